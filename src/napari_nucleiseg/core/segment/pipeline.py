"""From an image to labelled nuclei: the one place that knows the order of the steps."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from napari_nucleiseg.core.monitor import (
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
)
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment import image as images
from napari_nucleiseg.core.segment.confidence import label_confidence
from napari_nucleiseg.core.segment.instances import MAPS
from napari_nucleiseg.core.segment.planes import read_as, to_planes
from napari_nucleiseg.core.segment.predictor import NetworkSpec, Predictor
from napari_nucleiseg.core.segment.result import (
    PlaneMaps,
    Segmentation,
    label_planes,
    resolve_settings,
)
from napari_nucleiseg.core.segment.size import (
    estimate_scale,
    working_diameter,
    working_range,
)
from napari_nucleiseg.core.segment.tiling import (
    Tile,
    mirror_pad,
    plan_tiles,
    run_tiled,
)


def segment(
    image: np.ndarray,
    predictor: Predictor,
    *,
    params: SegmentParams | None = None,
    axes: str | None = None,
    channel: int | None = None,
    monitor: Monitor | None = None,
) -> Segmentation:
    """Find the nuclei in an image, plane by plane.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x)``, RGB(A) ``(y, x, 3|4)``, or a stack ``(…, y, x[, 3|4])``, unless
        `axes` say otherwise; bool, integer or float of any width; NaN and infinities
        are allowed.
    predictor : Predictor
        The network to use.
    params : SegmentParams, optional
        Size and thresholds.
    axes, channel
        See `planes.read_as`.
    monitor : Monitor, optional
        Told of every tile and stage, and asked at each whether to stop.

    Returns
    -------
    Segmentation

    Raises
    ------
    Cancelled
        If the monitor asked for it; takes effect within a tile.
    TypeError, ValueError
        If the image cannot be one, or a parameter is outside its limits.
    """
    params = params or SegmentParams()
    monitor = monitor or SilentMonitor()
    reading = read_as(np.shape(image), axes, channel)
    planes, shape = to_planes(image, axes=reading.axes, channel=reading.channel)
    spec = predictor.spec
    runner = _Runner(predictor, monitor, planes, flips=params.accurate)
    if params.diameter is None:
        wanted, diameter = runner.measure_scale()
    else:
        diameter = params.diameter
        wanted = working_diameter(spec) / diameter
    scale = _limit_scale(wanted, shape[-2:])
    found = tuple(runner.run_plane(index, scale) for index in range(len(planes)))
    settings = resolve_settings(params, spec.settings, diameter)
    labels, confidence = label_planes(
        found, settings, shape, monitor, confidence=spec.calibration or label_confidence
    )
    warnings = [*reading.warnings, *warn_of_contrast(runner.contrasts)]
    if scale < wanted:
        warnings.append(
            f"Nuclei of {diameter:.1f} px are very small for this model: the image was "
            f"enlarged {scale:.0f} times, which is the most, instead of {wanted:.1f}."
        )
    return Segmentation(
        labels=labels,
        confidence=confidence,
        params=params,
        settings=settings,
        model=spec.name,
        model_settings=spec.settings,
        diameter=diameter,
        scale=scale,
        planes=found,
        axes=reading.axes,
        channel=reading.channel,
        suspect=tuple(warnings),
        calibration=spec.calibration,
    )


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


def _limit_scale(scale: float, shape: Sequence[int]) -> float:
    return float(np.clip(scale, min(1.0, MIN_SIDE / min(shape)), MAX_SCALE))


def scaled_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return ``(y, x)`` after scaling, each at least 1."""
    y, x = (max(1, round(side * scale)) for side in shape)
    return y, x


#: Rows that `quantise` turns at a time: few enough for the processor's cache.
_ROWS = 64


def quantise(maps: np.ndarray) -> np.ndarray:
    """Return what nuclei are told apart by, without the size, as uint8: 255 for 1."""
    maps = maps[..., : len(MAPS)]
    out = np.empty(maps.shape, np.uint8)
    for start in range(0, len(maps), _ROWS):
        rows = slice(start, start + _ROWS)
        out[rows] = np.clip(maps[rows], 0, 1) * 255 + 0.5
    return out


class _Runner:
    """Runs one network over the planes of one image and reports."""

    def __init__(
        self, predictor: Predictor, monitor: Monitor, planes: np.ndarray, *, flips: bool
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

    def run_plane(self, index: int, scale: float) -> PlaneMaps:
        """Return the network's maps of one plane, seen at the given scale."""
        check_cancelled(self._monitor)
        plane = self._planes[index]
        view = _View(plane, self._contrast(index), scale, self._spec)
        seen = self._spare.pop((index, scale), None)
        if seen is not None:
            seen = mirror_pad(seen, view.plan.padded)
        # A look is the first of the ways.
        left = self._ways if seen is None else self._ways[1:]
        each = len(view.plan.tiles)
        before, total = each * index, each * len(self._planes)

        def maps_of(tile: Tile) -> np.ndarray:
            if not left:
                return seen[tile.window]  # type: ignore[index]
            maps = self._predict(view.read(tile), left)
            if seen is None:
                return maps
            return (seen[tile.window] + len(left) * maps) / len(self._ways)

        def on_tile(done: int) -> None:
            check_cancelled(self._monitor)
            if left:
                self._monitor.report(Progress("Finding nuclei", before + done, total))

        maps = run_tiled(
            view.plan, maps_of, shape=view.shape, finish=quantise, on_tile=on_tile
        )
        return PlaneMaps(maps, scale)

    def _contrast(self, index: int) -> images.Contrast:
        if index not in self._contrasts:
            self._contrasts[index] = images.Contrast.of(self._planes[index])
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
        plane: np.ndarray,
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
        part = self._resizing(part, (y, x))
        return mirror_pad(part, (tile.height, tile.width))


def warn_of_contrast(planes: Sequence[images.Contrast]) -> list[str]:
    """Return what is suspect about the values of an image, a sentence each."""
    found = []
    missing, extreme = (
        sum(getattr(plane, name) for plane in planes) for name in ("missing", "extreme")
    )
    if missing:
        found.append(
            f"{_values(missing)} NaN, infinite or the mark of missing data; the "
            "contrast was set without them."
        )
    if extreme:
        found.append(
            f"{_values(extreme)} far outside the range of the others; the contrast was "
            "set without them."
        )
    constant = sum(plane.constant for plane in planes)
    if constant:
        which = (
            f"{constant} of {len(planes)} planes are" if planes[1:] else "The image is"
        )
        found.append(f"{which} constant: there is nothing to be seen.")
    return found


def _values(count: int) -> str:
    return f"{count} {'value is' if count == 1 else 'values are'}"
