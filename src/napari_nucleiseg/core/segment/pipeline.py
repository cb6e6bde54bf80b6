"""From an image to labelled nuclei: the one place that knows the order of the steps."""

from __future__ import annotations

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
from napari_nucleiseg.core.segment.instances import label_confidence
from napari_nucleiseg.core.segment.planes import to_planes
from napari_nucleiseg.core.segment.predictor import Predictor
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
from napari_nucleiseg.core.segment.tiling import plan_tiles, run_tiled


def segment(
    image: np.ndarray,
    predictor: Predictor,
    *,
    params: SegmentParams | None = None,
    rgb: bool | None = None,
    channel: int | None = None,
    channel_axis: int | None = None,
    monitor: Monitor | None = None,
) -> Segmentation:
    """Find the nuclei in an image, plane by plane.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x)``, RGB(A) ``(y, x, 3|4)``, or a stack ``(…, y, x[, 3|4])``; bool,
        integer or float of any width; NaN and infinities are allowed.
    predictor : Predictor
        The network to use.
    params : SegmentParams, optional
        Size and thresholds.
    rgb, channel, channel_axis
        See `to_planes`.
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
    planes, shape = to_planes(
        image, rgb=rgb, channel=channel, channel_axis=channel_axis
    )
    spec = predictor.spec
    runner = _Runner(predictor, monitor, len(planes), flips=params.accurate)
    if params.diameter is None:
        scale, diameter = runner.measure_scale(planes)
    else:
        diameter = params.diameter
        scale = working_diameter(spec) / diameter
    scale = _limit_scale(scale, shape[-2:])
    found = tuple(runner.run_plane(i, plane, scale) for i, plane in enumerate(planes))
    settings = resolve_settings(params, spec.settings, diameter)
    labels, confidence = label_planes(
        found, settings, shape, monitor, confidence=spec.calibration or label_confidence
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
        calibration=spec.calibration,
    )


#: The axes along which tiles ``(n, y, x, c)`` are flipped for an accurate run; the
#: first is none of them.
FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (1, 2))

#: A look whose scale is within this share of the wanted one serves as the result.
NEAR = 0.06

#: What the network sees is at most this many times the image's area, and never
#: more than this many pixels a side unless the image itself is larger.
MAX_GROWTH, MAX_GROWN_SIDE = 16.0, 8192


def _limit_scale(scale: float, shape: Sequence[int]) -> float:
    """Keep the network's image from growing out of memory, or vanishing."""
    longest = max(shape)
    most = min(MAX_GROWTH**0.5, max(1.0, MAX_GROWN_SIDE / longest))
    least = min(1.0, 8 / min(shape))
    return float(np.clip(scale, least, most))


def scaled_shape(shape: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return ``(y, x)`` after scaling, each at least 1."""
    y, x = (max(1, round(side * scale)) for side in shape)
    return y, x


#: Rows that `quantise` turns at a time: few enough for the processor's cache.
_ROWS = 64


def quantise(maps: np.ndarray) -> np.ndarray:
    """Return maps ``(y, x, c)`` in 0-1 as uint8, 255 for 1."""
    out = np.empty(maps.shape, np.uint8)
    for start in range(0, len(maps), _ROWS):
        rows = slice(start, start + _ROWS)
        out[rows] = np.clip(maps[rows], 0, 1) * 255 + 0.5
    return out


class _Runner:
    """Runs one network over the planes of one image and reports."""

    def __init__(
        self, predictor: Predictor, monitor: Monitor, n_planes: int, *, flips: bool
    ) -> None:
        self._predictor, self._spec = predictor, predictor.spec
        self._monitor, self._n_planes = monitor, n_planes
        self._flips = flips
        # Maps made while measuring the size that can serve as the result.
        self._spare: dict[tuple[int, float], np.ndarray] = {}

    def prepare(self, plane: np.ndarray) -> np.ndarray:
        """Return a plane with its contrast stretched: ``(y, x, c)`` float32 in 0-1."""
        return images.normalise(images.to_finite_float(plane))

    def measure_scale(self, planes: np.ndarray) -> tuple[float, float]:
        """Return the scale to run at and the nuclear diameter (px), by looking."""
        picks = sorted({0, len(planes) // 2, len(planes) - 1})
        scales, diameters = [], []
        for done, index in enumerate(picks):
            check_cancelled(self._monitor)
            self._monitor.report(Progress("Measuring nuclei", done, len(picks)))
            prepared = self.prepare(planes[index])

            def look(
                scale: float,
                window: tuple[slice, slice] | None,
                index: int = index,
                prepared: np.ndarray = prepared,
            ) -> np.ndarray:
                part = prepared if window is None else prepared[window]
                maps = self._maps(part, scale, report=False)
                if window is None:
                    self._spare[index, scale] = maps
                return maps

            found = estimate_scale(look, prepared.shape[:2], self._spec)
            if found is not None:
                scales.append(found[0])
                diameters.append(found[1])
        if not scales:
            return 1.0, self._spec.diameter
        middle = int(np.argsort(scales)[len(scales) // 2])
        scale, diameter = scales[middle], diameters[middle]
        return self._scale_seen_near(scale, diameter), diameter

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

    def run_plane(self, index: int, plane: np.ndarray, scale: float) -> PlaneMaps:
        """Return the network's maps of one plane at the given scale."""
        check_cancelled(self._monitor)
        seen = self._spare.pop((index, scale), None)
        ways = FLIPS if self._flips else FLIPS[:1]
        left = ways if seen is None else ways[1:]  # a look is the first of them
        if seen is not None and not left:
            maps = seen
        else:
            maps = self._maps(self.prepare(plane), scale, index=index, ways=left)
            if seen is not None:
                maps = (seen + len(left) * maps) / len(ways)
        shape = plane.shape[:2]
        if scale < 1:
            maps = images.resize(maps, shape)
        return PlaneMaps(quantise(maps), shape)

    def _predict(
        self, tiles: np.ndarray, ways: Sequence[tuple[int, ...]]
    ) -> np.ndarray:
        """Return the mean of the network's maps of tiles flipped each of these ways."""
        maps = []
        for axes in ways:
            check_cancelled(self._monitor)
            flipped = np.ascontiguousarray(np.flip(tiles, axes))
            maps.append(np.flip(self._predictor.predict(flipped), axes))
        mean: np.ndarray = maps[0] if len(maps) == 1 else np.stack(maps).mean(axis=0)
        return mean

    def _maps(
        self,
        prepared: np.ndarray,
        scale: float,
        *,
        index: int = 0,
        report: bool = True,
        ways: Sequence[tuple[int, ...]] = FLIPS[:1],
    ) -> np.ndarray:
        shape = scaled_shape(prepared.shape[:2], scale)
        scaled = images.resize(prepared, shape)
        plan = plan_tiles(shape, largest=self._spec.tile, multiple=self._spec.multiple)
        total = len(plan.tiles) * self._n_planes
        before = len(plan.tiles) * index
        channels = self._spec.channels

        def on_tile(done: int) -> None:
            check_cancelled(self._monitor)
            if report:
                self._monitor.report(Progress("Finding nuclei", before + done, total))

        # A grey tile is repeated for the network only here: it is cheaper to scale.
        return run_tiled(
            scaled,
            plan,
            lambda tile: self._predict(images.match_channels(tile, channels), ways),
            on_tile=on_tile,
        )
