"""Runs a network over the planes of one image: how large, how bright, and the maps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from napari_nucleiseg.core.monitor import Monitor, Progress, check_cancelled
from napari_nucleiseg.core.segment import image as images
from napari_nucleiseg.core.segment.blending import KEPT, TiledMaps, run_tiled
from napari_nucleiseg.core.segment.blocks.settling import widest_hole
from napari_nucleiseg.core.segment.instances import MAPS
from napari_nucleiseg.core.segment.lazy import LazyPlanes
from napari_nucleiseg.core.segment.predictor import NetworkSpec, Predictor
from napari_nucleiseg.core.segment.region import Region
from napari_nucleiseg.core.segment.result import PlaneMaps
from napari_nucleiseg.core.segment.size import (
    estimate_scale,
    scale_for,
    working_range,
)
from napari_nucleiseg.core.segment.tiling import Tile, mirror_pad, plan_tiles

#: The axes along which tiles ``(n, y, x, c)`` are flipped for an accurate run; the
#: first is none of them.
FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (1, 2))

#: A look whose scale is within this share of the wanted one serves as the result.
NEAR = 0.06

#: The network sees an image at most this many times as large, for it takes the square
#: of that as long.
MAX_SCALE = 4.0

#: Nor does it see one that is smaller than this, unless the image itself is, pixels.
MIN_SIDE = 8


def limit_scale(scale: float, shape: Sequence[int]) -> float:
    """Return the scale at which the network can see an image ``(y, x)``."""
    return float(np.clip(scale, min(1.0, MIN_SIDE / min(shape)), MAX_SCALE))


def scaled_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return ``(y, x)`` after scaling, each at least 1."""
    y, x = (max(1, round(side * scale)) for side in shape)
    return y, x


#: Rows that `quantise` turns at a time: few enough for the processor's cache.
_ROWS = 64


def quantise(maps: np.ndarray) -> np.ndarray:
    """Return maps in 0-1 as uint8, 255 for 1."""
    out = np.empty(maps.shape, np.uint8)
    for start in range(0, len(maps), _ROWS):
        rows = slice(start, start + _ROWS)
        out[rows] = np.clip(maps[rows], 0, 1) * 255 + 0.5
    return out


class Runner:
    """Runs one network over the planes of one image and reports."""

    def __init__(
        self,
        predictor: Predictor,
        monitor: Monitor,
        planes: np.ndarray | LazyPlanes,
        *,
        flips: bool,
    ) -> None:
        self._predictor, self._spec = predictor, predictor.spec
        self._monitor, self._planes = monitor, planes
        self._ways = FLIPS if flips else FLIPS[:1]
        # Maps made while measuring the size that can serve as the result.
        self._spare: dict[tuple[int, float], np.ndarray] = {}
        self._contrasts: dict[int, images.Contrast] = {}

    @property
    def contrasts(self) -> list[images.Contrast]:
        """The contrast of each plane that was looked at."""
        return list(self._contrasts.values())

    def choose_scale(self, given: float | None) -> tuple[float, float, float]:
        """Return the scale to run at, the one that would be best, and the diameter.

        Parameters
        ----------
        given : float or None
            The diameter (px); measured if it is None.
        """
        if given is None:
            wanted, diameter = self.measure_scale()
        else:
            wanted, diameter = scale_for(given, self._spec), given
        return limit_scale(wanted, self._planes.shape[1:3]), wanted, diameter

    def measure_scale(self) -> tuple[float, float]:
        """Return the scale to run at and the nuclear diameter (px), by looking."""
        count = len(self._planes)
        picks = sorted({0, count // 2, count - 1})
        scales, diameters = [], []
        for done, index in enumerate(picks):
            check_cancelled(self._monitor)
            self._monitor.report(Progress("Measuring nuclei", done, len(picks)))
            look = functools.partial(self._look, index)
            found = estimate_scale(look, self._planes.shape[1:3], self._spec)
            if found is not None:
                scales.append(found[0])
                diameters.append(found[1])
        if not scales:
            return 1.0, self._spec.diameter
        middle = int(np.argsort(scales)[len(scales) // 2])
        scale, diameter = scales[middle], diameters[middle]
        return self._scale_seen_near(scale, diameter), diameter

    def _look(
        self, index: int, scale: float, window: images.Window | None
    ) -> np.ndarray:
        """Return the maps of a plane, or a window of it, of the size that is seen."""
        plane = self._planes[index]
        part = plane if window is None else plane[window]
        view = _View(part, self._contrast(index), scale, self._spec)
        maps = run_tiled(
            view.plan,
            lambda tile: self._predict(view.read(tile), FLIPS[:1]),
            on_tile=lambda _: check_cancelled(self._monitor),
        )
        if window is None:
            self._spare[index, scale] = maps
        return maps

    def _scale_seen_near(self, scale: float, diameter: float) -> float:
        """Return the scale of a look that can serve as the result, or `scale`.

        One at nearly that scale; or one of an image made smaller, on which the nuclei
        are of a size that would be left as it is.
        """
        low, high = working_range(self._spec)
        near = [
            seen
            for _, seen in self._spare
            if abs(np.log(seen / scale)) < NEAR
            or (scale < 1 and seen < 1 and low <= seen * diameter <= high)
        ]
        return min(near, key=lambda seen: abs(np.log(seen / scale)), default=scale)

    def run_plane(
        self, index: int, scale: float, region: Region | None = None
    ) -> PlaneMaps:
        """Return the network's maps of one plane, seen at the given scale.

        Those of nuclei outside of a region are left empty.
        """
        maps = self.maps_of(index, scale, kept=0)
        y, x = maps.shape
        if region is None:
            return PlaneMaps(maps.read((slice(0, y), slice(0, x))), scale)
        out = np.zeros((y, x, len(MAPS)), np.uint8)
        for box in region.boxes(index, (y, x), 2 * widest_hole(scale)):
            out[box] = maps.read(box)
        return PlaneMaps(out, scale)

    def maps_of(
        self,
        index: int,
        scale: float,
        *,
        kept: float = KEPT,
        on_tile: Callable[[int], None] | None = None,
    ) -> TiledMaps:
        """Return what gives the network's maps of any part of a plane, uint8.

        Parameters
        ----------
        index : int
            Of the plane.
        scale : float
            At which the network sees it.
        kept, on_tile
            See `TiledMaps`; by default each tile is reported.
        """
        check_cancelled(self._monitor)
        plane = self._planes[index]
        view = _View(plane, self._contrast(index), scale, self._spec)
        seen = self._spare.pop((index, scale), None)
        if seen is not None:
            seen = mirror_pad(seen[..., : len(MAPS)], view.plan.padded)
        # A look is the first of the ways.
        left = self._ways if seen is None else self._ways[1:]
        each = len(view.plan.tiles)
        before, total = each * index, each * len(self._planes)

        def maps_of(tile: Tile) -> np.ndarray:
            if not left:
                return seen[tile.window]  # type: ignore[index]
            # Without the size.
            maps = self._predict(view.read(tile), left)[..., : len(MAPS)]
            if seen is None:
                return maps
            return (seen[tile.window] + len(left) * maps) / len(self._ways)

        def report(done: int) -> None:
            check_cancelled(self._monitor)
            if left:
                self._monitor.report(
                    Progress("Finding nuclei", before + min(done, each), total)
                )

        return TiledMaps(
            view.plan,
            maps_of,
            shape=view.shape,
            finish=quantise,
            on_tile=on_tile or report,
            kept=kept,
        )

    def _contrast(self, index: int) -> images.Contrast:
        if index not in self._contrasts:
            self._contrasts[index] = images.Contrast.of(
                images.sample_plane(self._planes[index])
            )
        return self._contrasts[index]

    def _predict(self, tile: np.ndarray, ways: Sequence[tuple[int, ...]]) -> np.ndarray:
        """Return the mean of the network's maps of a tile flipped each of these ways.

        The tile is ``(y, x, c)`` float32 in 0-1, the maps ``(y, x, maps)``.
        """
        tiles = images.match_channels(tile, self._spec.channels)[None]
        maps = []
        for axes in ways:
            check_cancelled(self._monitor)
            flipped = np.ascontiguousarray(np.flip(tiles, axes))
            maps.append(np.flip(self._predictor.predict(flipped), axes)[0])
        mean: np.ndarray = maps[0] if len(maps) == 1 else np.stack(maps).mean(axis=0)
        return mean


class _View:
    """A plane as the network sees it: resized and stretched, a tile at a time."""

    def __init__(
        self,
        plane: images.Plane,
        contrast: images.Contrast,
        scale: float,
        spec: NetworkSpec,
    ) -> None:
        self.shape = (plane.shape[0], plane.shape[1])
        self._plane, self._contrast = plane, contrast
        seen = scaled_shape(self.shape, scale)
        self._resizing = images.Resizing(self.shape, seen)
        self.plan = plan_tiles(seen, largest=spec.tile, multiple=spec.multiple)

    def read(self, tile: Tile) -> np.ndarray:
        """Return a tile of it, ``(y, x, c)`` float32 in 0-1."""
        y, x = (
            slice(side.start, min(side.stop, end))
            for side, end in zip(tile.window, self.plan.shape, strict=True)
        )
        part = self._contrast.stretch(self._plane[self._resizing.needs((y, x))])
        # Weights add up to 1 but for rounding.
        part = np.minimum(self._resizing(part, (y, x)), np.float32(1))
        return mirror_pad(part, (tile.height, tile.width))
