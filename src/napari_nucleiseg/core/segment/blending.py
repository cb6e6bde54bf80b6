"""Run something tile by tile, and blend the results where tiles overlap."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, floor

import numpy as np

from napari_nucleiseg.core.segment.image import Window, place, resample
from napari_nucleiseg.core.segment.tiling import Tile, TilePlan


def _ramp(start: int, side: int, starts: list[int]) -> np.ndarray:
    """Weights along one axis: 1, but falling to 0 over a shared stretch."""
    weight = np.ones(side, np.float32)
    before = [s for s in starts if s < start]
    after = [s for s in starts if s > start]
    if before and (shared := max(before) + side - start) > 0:
        weight[:shared] = (np.arange(shared) + 0.5) / shared
    if after and (shared := start + side - min(after)) > 0:
        weight[-shared:] *= 1 - (np.arange(shared) + 0.5) / shared
    return weight


@dataclass(frozen=True)
class _Share:
    """What tiles that start at one row, or column, give to the result."""

    start: int  # of the tiles
    where: slice  # in the result
    step: float  # pixels of the tile for each of the result
    weight: (
        np.ndarray
    )  # of each row or column, float32; those of all shares add up to 1

    @property
    def first(self) -> float:
        """Where the first row of the result lies in the tile, pixels."""
        return place(self.where.start, self.step) - self.start


def _ends(part: slice) -> tuple[int, int]:
    return part.start, part.stop


def _shares(plan: TilePlan, axis: int, size: int) -> list[_Share]:
    """Return the shares along an axis, for a result of this many rows or columns."""
    if axis == 0:
        side, starts = plan.tiles[0].height, sorted({tile.y for tile in plan.tiles})
    else:
        side, starts = plan.tiles[0].width, sorted({tile.x for tile in plan.tiles})
    length = plan.shape[axis]
    step = length / size
    shares = []
    total = np.zeros(size)
    for start in starts:
        low = 0 if start == 0 else ceil((start + 0.5) / step - 0.5)
        high = size
        if start + side < length:
            high = floor((start + side - 0.5) / step - 0.5) + 1
        where = slice(low, high)
        at = (np.arange(low, high) + 0.5) * step - 0.5 - start
        weight = np.interp(at, np.arange(side), _ramp(start, side, starts))
        total[where] += weight
        shares.append(_Share(start, where, step, weight))
    return [
        replace(share, weight=(share.weight / total[share.where]).astype(np.float32))
        for share in shares
    ]


#: Most memory for parts that were read and may be again, and for what tiles give to
#: parts that were not read yet, MB.
KEPT = 384


class _Shelf:
    """Arrays by key; beyond a size, those that were used longest ago are dropped."""

    def __init__(self, megabytes: float) -> None:
        self._arrays: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()
        self._room = megabytes * 1e6

    def put(self, key: tuple[int, ...], array: np.ndarray) -> None:
        self.take(key)
        self._arrays[key] = array
        self._room -= array.nbytes
        while self._room < 0:
            self.take(next(iter(self._arrays)))

    def take(self, key: tuple[int, ...]) -> np.ndarray | None:
        array = self._arrays.pop(key, None)
        if array is not None:
            self._room += array.nbytes
        return array


class TiledMaps:
    """Maps that are made tile by tile, blended where tiles overlap, and read in parts.

    Each part is what it would be if the whole were read, to the bit: the tiles and
    their weights are those of the whole. Only what lies around the part that was read
    last is kept.

    Parameters
    ----------
    plan : TilePlan
        The tiles.
    maps_of : callable
        Gives the maps of a tile, ``(y, x, maps)`` float32 of its size.
    shape : tuple of int, optional
        ``(y, x)`` of the whole, to which each tile is resized; the plan's if not given.
    finish : callable
        Makes of blended maps, ``(y, x, maps)`` float32, what is read.
    on_tile : callable
        Called after each tile with the number of tiles done; may raise, to stop.
    kept : float
        Most memory for what was read and may be again, MB.
    """

    def __init__(
        self,
        plan: TilePlan,
        maps_of: Callable[[Tile], np.ndarray],
        *,
        shape: tuple[int, int] | None = None,
        finish: Callable[[np.ndarray], np.ndarray] = lambda maps: maps,
        on_tile: Callable[[int], None] = lambda done: None,
        kept: float = KEPT,
    ) -> None:
        self.shape = shape or plan.shape
        self._plan, self._maps_of, self._finish = plan, maps_of, finish
        self._on_tile, self._done = on_tile, 0
        self._shares = tuple(_shares(plan, axis, self.shape[axis]) for axis in (0, 1))
        # Where cells start: all of a cell is made of the same tiles.
        self._edges = tuple(
            sorted({at for share in shares for at in _ends(share.where)})
            for shares in self._shares
        )
        self._cells, self._pieces = _Shelf(kept), _Shelf(KEPT)
        self._lock = threading.Lock()

    def read(self, window: Window) -> np.ndarray:
        """Return a part, ``(y, x, maps)``, of the type that `finish` returns.

        Several threads may read at once; they take turns at making tiles.
        """
        rows, columns = (
            range(bisect_right(edges, part.start) - 1, bisect_left(edges, part.stop))
            for edges, part in zip(self._edges, window, strict=True)
        )
        out: np.ndarray | None = None
        for row in rows:
            for column in columns:
                with self._lock:
                    cell = self._cell(row, column)
                if out is None:
                    sides = [part.stop - part.start for part in window]
                    out = np.empty((*sides, cell.shape[-1]), cell.dtype)
                starts = self._edges[0][row], self._edges[1][column]
                inside, here = [], []
                for part, start, size in zip(
                    window, starts, cell.shape[:2], strict=True
                ):
                    low, high = max(part.start, start), min(part.stop, start + size)
                    inside.append(slice(low - start, high - start))
                    here.append(slice(low - part.start, high - part.start))
                out[tuple(here)] = cell[tuple(inside)]
        assert out is not None  # a window holds a pixel, and each lies in a cell
        return out

    def _cell(self, row: int, column: int) -> np.ndarray:
        """Return one cell, finished."""
        cell = self._cells.take((row, column))
        if cell is None:
            cell = self._finish(self._blend(row, column))
        self._cells.put((row, column), cell)
        return cell

    def _blend(self, row: int, column: int) -> np.ndarray:
        """Return the sum of what tiles give to a cell."""
        total: np.ndarray | None = None
        for r in self._reaching(0, row):
            strip: np.ndarray | None = None
            for c in self._reaching(1, column):
                piece = self._pieces.take((r, c, row, column))
                if piece is None:
                    piece = self._make(r, c, row, column)
                strip = piece if strip is None else strip + piece
            # The lower tiles' sum first: how the whole was always added up.
            assert strip is not None
            total = strip if total is None else strip + total
        assert total is not None
        return total

    def _reaching(self, axis: int, cell: int) -> list[int]:
        """Return which rows, or columns, of tiles a cell is made of."""
        start = self._edges[axis][cell]
        return [
            i
            for i, share in enumerate(self._shares[axis])
            if share.where.start <= start < share.where.stop
        ]

    def _make(self, r: int, c: int, row: int, column: int) -> np.ndarray:
        """Make a tile; return what it gives to one cell, and keep the rest."""
        plan, down, across = self._plan, self._shares[0][r], self._shares[1][c]
        tile = plan.tiles[r * len(self._shares[1]) + c]
        maps = self._maps_of(tile)[: plan.shape[0] - tile.y, : plan.shape[1] - tile.x]
        self._done += 1
        self._on_tile(self._done)
        if self.shape != plan.shape:
            maps = resample(
                maps,
                (down.step, across.step),
                (down.first, across.first),
                (down.weight.size, across.weight.size),
            )
        maps = maps * np.outer(down.weight, across.weight)[..., None]
        wanted: np.ndarray | None = None
        for i, y in self._parts(0, down):
            for j, x in self._parts(1, across):
                if (i, j) == (row, column):
                    wanted = maps[y, x]
                else:
                    self._pieces.put((r, c, i, j), maps[y, x].copy())
        assert wanted is not None
        return wanted

    def _parts(self, axis: int, share: _Share) -> list[tuple[int, slice]]:
        """Return the cells that a share reaches, and which part of it lies in each."""
        edges, where = self._edges[axis], share.where
        return [
            (i, slice(low - where.start, high - where.start))
            for i, (low, high) in enumerate(pairwise(edges))
            if where.start <= low < where.stop
        ]


def run_tiled(
    plan: TilePlan,
    maps_of: Callable[[Tile], np.ndarray],
    *,
    shape: tuple[int, int] | None = None,
    finish: Callable[[np.ndarray], np.ndarray] = lambda maps: maps,
    on_tile: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Return the whole of a `TiledMaps`, ``(y, x, maps)``; the parameters are its."""
    maps = TiledMaps(plan, maps_of, shape=shape, finish=finish, on_tile=on_tile, kept=0)
    return maps.read((slice(0, maps.shape[0]), slice(0, maps.shape[1])))
