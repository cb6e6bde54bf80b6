"""Plan overlapping tiles, run something on each, and blend the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np

from napari_nucleiseg.core.segment.image import place, resample

#: Longest side of a tile where nothing else is said, pixels.
TILE = 512


@dataclass(frozen=True)
class Tile:
    """One tile: where it starts in the padded image, and its side lengths.

    Parameters
    ----------
    y, x : int
        First row and column.
    height, width : int
        Side lengths, pixels.
    """

    y: int
    x: int
    height: int
    width: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The tile as slices."""
        return (
            slice(self.y, self.y + self.height),
            slice(self.x, self.x + self.width),
        )


@dataclass(frozen=True)
class TilePlan:
    """Equal tiles that cover an image.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` of the image.
    padded : tuple of int
        ``(y, x)`` after padding: what the tiles cover.
    tiles : tuple of Tile
        In reading order.
    """

    shape: tuple[int, int]
    padded: tuple[int, int]
    tiles: tuple[Tile, ...]


def _plan_axis(
    length: int, largest: int, overlap: int, multiple: int
) -> tuple[int, list[int]]:
    """Return the tile side and the starts along one axis."""

    def up(n: int) -> int:
        return -(-n // multiple) * multiple

    if up(length) <= largest:
        return up(length), [0]
    count = -(-(length - overlap) // (largest - overlap))
    side = min(largest, up(-(-(length + (count - 1) * overlap) // count)))
    last = max(length - side, 0)
    return side, [round(i * last / (count - 1)) for i in range(count)]


def plan_tiles(
    shape: tuple[int, int],
    *,
    largest: int = TILE,
    overlap: int = 64,
    multiple: int = 32,
) -> TilePlan:
    """Cover an image with as few equal tiles as will do.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` of the image, each at least 1.
    largest : int
        Longest side of a tile, a multiple of `multiple`.
    overlap : int
        Least overlap of neighbours, pixels.
    multiple : int
        What a tile's sides must be multiples of.

    Returns
    -------
    TilePlan

    Raises
    ------
    ValueError
        If the overlap leaves no room, or the sizes do not fit together.
    """
    if largest % multiple or not 0 <= overlap < largest:
        raise ValueError(
            f"The largest tile must be a multiple of {multiple} and longer than the "
            f"overlap; received {largest} and {overlap}."
        )
    height, ys = _plan_axis(shape[0], largest, overlap, multiple)
    width, xs = _plan_axis(shape[1], largest, overlap, multiple)
    padded = (max(shape[0], height), max(shape[1], width))
    tiles = tuple(Tile(y, x, height, width) for y in ys for x in xs)
    return TilePlan(tuple(shape), padded, tiles)  # type: ignore[arg-type]


def mirror_pad(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Extend ``(y, x, c)`` to `shape` at the lower right by mirroring it."""
    extra = [(0, new - old) for old, new in zip(image.shape[:2], shape, strict=True)]
    if not any(after for _, after in extra):
        return image
    # "symmetric" repeats the edge pixel, and so works for a single row or column.
    return np.pad(image, [*extra, (0, 0)], mode="symmetric")


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


def run_tiled(
    plan: TilePlan,
    maps_of: Callable[[Tile], np.ndarray],
    *,
    shape: tuple[int, int] | None = None,
    finish: Callable[[np.ndarray], np.ndarray] = lambda maps: maps,
    on_tile: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Run something tile by tile, and blend the results where tiles overlap.

    Only a row of tiles is held in full precision at a time.

    Parameters
    ----------
    plan : TilePlan
        The tiles.
    maps_of : callable
        Gives the maps of a tile, ``(y, x, maps)`` float32 of its size.
    shape : tuple of int, optional
        ``(y, x)`` of the result, to which each tile is resized; the plan's if not
        given.
    finish : callable
        Makes of rows that are ready, ``(y, x, maps)`` float32, what the result holds.
    on_tile : callable
        Called after each tile with the number of tiles done; may raise, to stop.

    Returns
    -------
    numpy.ndarray
        ``(y, x, maps)``, of the type that `finish` returns.
    """
    shape = shape or plan.shape
    rows, columns = _shares(plan, 0, shape[0]), _shares(plan, 1, shape[1])
    ends = [row.where.start for row in rows[1:]] + [shape[0]]
    tiles = enumerate(plan.tiles, start=1)
    out: np.ndarray | None = None
    waiting: np.ndarray | None = None  # rows that the tiles below have a share in
    for row, end in zip(rows, ends, strict=True):
        strip: np.ndarray | None = None
        for column in columns:
            done, tile = next(tiles)
            maps = maps_of(tile)[: plan.shape[0] - tile.y, : plan.shape[1] - tile.x]
            on_tile(done)
            if shape != plan.shape:
                maps = resample(
                    maps,
                    (row.step, column.step),
                    (row.first, column.first),
                    (row.weight.size, column.weight.size),
                )
            if strip is None:
                strip = np.zeros(
                    (row.weight.size, shape[1], maps.shape[-1]), np.float32
                )
            weight = np.outer(row.weight, column.weight)
            strip[:, column.where] += maps * weight[..., None]
        assert strip is not None  # there is always a tile
        if waiting is not None:
            strip[: len(waiting)] += waiting
        ready = end - row.where.start
        finished = finish(strip[:ready])
        if out is None:
            out = np.empty((*shape, finished.shape[-1]), finished.dtype)
        out[row.where.start : end] = finished
        waiting = strip[ready:]
    assert out is not None
    return out
