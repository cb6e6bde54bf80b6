"""From an image to labelled nuclei: the one place that knows the order of the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from napari_nucleiseg.core import image as images
from napari_nucleiseg.core.instances import (
    InstanceSettings,
    label_confidence,
    maps_to_labels,
    renumber,
)
from napari_nucleiseg.core.measure import measure
from napari_nucleiseg.core.monitor import (
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
)
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.size import estimate_scale
from napari_nucleiseg.core.tiling import plan_tiles, run_tiled


class Predictor(Protocol):
    """A loaded network: tiles in, maps out.

    Attributes
    ----------
    name : str
        What the model is called, for the record.
    channels : int
        Channels a tile has.
    diameter : float
        Diameter of the nuclei it was trained on, pixels.
    diameter_range : tuple of float
        Diameters it copes with as they are, pixels.
    settings : InstanceSettings
        Its own thresholds.
    multiple : int
        What a tile's sides must be multiples of.
    """

    name: str
    channels: int
    diameter: float
    diameter_range: tuple[float, float]
    settings: InstanceSettings
    multiple: int

    def predict(self, tiles: np.ndarray) -> np.ndarray:
        """Turn ``(n, y, x, c)`` float32 into ``(n, y, x, 3)`` float32 in 0-1."""


@dataclass(frozen=True)
class PlaneMaps:
    """What the network said about one plane.

    Parameters
    ----------
    maps : numpy.ndarray
        ``(y, x, 3)`` uint8, 0-255 for 0-1: nucleus, distance, contact. At the
        image's size, or larger if the nuclei had to be enlarged.
    shape : tuple of int
        ``(y, x)`` of the image plane.
    """

    maps: np.ndarray
    shape: tuple[int, int]


@dataclass(frozen=True)
class Segmentation:
    """Nuclei found in an image.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(…, y, x)`` int32, 0 background, nuclei 1..n without holes in the
        numbering, through all planes.
    confidence : numpy.ndarray
        ``(n,)`` float32 in 0-1: how sure the network is of each nucleus.
    params : SegmentParams
        As asked for.
    settings : InstanceSettings
        The thresholds that were used.
    model : str
        Name of the model.
    model_settings : InstanceSettings
        The model's own thresholds.
    diameter : float
        Diameter in pixels that the image was scaled by: as given, or as measured.
    scale : float
        Size of what the network saw over the image's own.
    planes : tuple of PlaneMaps
        The network's maps, plane by plane, from which `relabel` works.
    """

    labels: np.ndarray
    confidence: np.ndarray
    params: SegmentParams
    settings: InstanceSettings
    model: str
    model_settings: InstanceSettings
    diameter: float
    scale: float
    planes: tuple[PlaneMaps, ...] = field(repr=False)

    @property
    def count(self) -> int:
        """Number of nuclei."""
        return int(self.confidence.size)

    @property
    def maps(self) -> np.ndarray:
        """The maps as float32 in 0-1, ``(…, y, x, 3)`` at the image's size."""
        planes = [
            images.resize(plane.maps.astype(np.float32) / 255, plane.shape)
            for plane in self.planes
        ]
        return np.stack(planes).reshape(*self.labels.shape, 3)

    def measure(self, image: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return one row of figures per nucleus; see `core.measure.measure`."""
        return measure(self.labels, image, self.confidence)

    def record(self) -> dict[str, Any]:
        """Return what made these labels, as a dictionary that JSON can hold."""
        return {
            "model": self.model,
            "params": self.params.to_dict(),
            "probability": self.settings.probability,
            "separation": self.settings.separation,
            "min_area": self.settings.min_area,
            "diameter": round(float(self.diameter), 2),
            "scale": round(float(self.scale), 4),
        }


def resolve_settings(
    params: SegmentParams, model: InstanceSettings, diameter: float
) -> InstanceSettings:
    """Return the thresholds to use: those asked for, else the model's own.

    Parameters
    ----------
    params : SegmentParams
        As asked for.
    model : InstanceSettings
        The model's own.
    diameter : float
        Of a typical nucleus, pixels of the image: the least area follows from it.

    Returns
    -------
    InstanceSettings
        With a number for ``min_area``.
    """
    asked: dict[str, Any] = {
        name: value
        for name in ("probability", "separation", "min_area")
        if (value := getattr(params, name)) is not None
    }
    chosen = replace(model, **asked)
    return replace(chosen, min_area=chosen.smallest(diameter))


def guess_rgb(shape: Sequence[int]) -> bool:
    """Return whether an array of this shape is taken for RGB(A), as napari does."""
    return len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 4


def to_planes(
    image: np.ndarray,
    *,
    rgb: bool | None = None,
    channel: int | None = None,
    channel_axis: int | None = None,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Bring an image to ``(planes, y, x, c)``.

    Parameters
    ----------
    image : numpy.ndarray
        ``(…, y, x)``, ``(…, y, x, 3|4)`` for RGB(A), or either with a channel axis.
    rgb : bool, optional
        Whether the last axis is colour; guessed from the shape if not given.
    channel : int, optional
        The one channel to use: of `channel_axis`, of the colours if `rgb`, else of
        the first axis.
    channel_axis : int, optional
        Axis that holds the channels. Without a `channel`, the first one is used.

    Returns
    -------
    planes : numpy.ndarray
        ``(planes, y, x, c)``, the image's dtype; c is 1, or 3 for colour.
    shape : tuple of int
        Shape of the labels: the image's without channel and colour.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the image has no pixels, too few axes, or not that channel.
    """
    image = np.asarray(image)
    if image.dtype.kind not in "biuf":
        raise TypeError(
            f"An image must hold real numbers; received values of type {image.dtype}."
        )
    if rgb is None:
        rgb = channel_axis is None and guess_rgb(image.shape)
    if image.ndim < (3 if rgb else 2):
        raise ValueError(
            f"An image must have at least two axes (y, x); received {image.shape}."
        )
    if rgb and image.shape[-1] not in (3, 4):
        raise ValueError(
            "A colour image must have 3 or 4 values a pixel on its last axis; "
            f"received shape {image.shape}."
        )
    if channel_axis is None and channel is not None:
        channel_axis = image.ndim - 1 if rgb else 0
        if image.ndim == 2 and channel == 0:
            channel_axis = None
    if channel_axis is not None:
        image = _take_channel(image, channel or 0, channel_axis)
        rgb = rgb and channel_axis not in (-1, image.ndim)
    image = image[..., :3] if rgb else image[..., None]
    shape = image.shape[:-1]
    if 0 in shape:
        raise ValueError(f"The image has no pixels: its shape is {shape}.")
    return image.reshape(-1, *image.shape[-3:]), shape


def _take_channel(image: np.ndarray, channel: int, axis: int) -> np.ndarray:
    if image.ndim < 3:
        raise ValueError(
            f"Channel {channel} was asked for, but the image of shape {image.shape} "
            "has one channel only, number 0."
        )
    if not -image.ndim <= axis < image.ndim:
        raise ValueError(
            f"The channel axis must be one of the image's {image.ndim} axes; received "
            f"{axis}."
        )
    have = image.shape[axis]
    if have == 0:
        raise ValueError(f"The image has no pixels: its shape is {image.shape}.")
    if not 0 <= channel < have:
        raise ValueError(
            f"The channel must be between 0 and {have - 1}; received {channel}."
        )
    return np.take(image, channel, axis=axis)


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
    runner = _Runner(predictor, monitor, len(planes))
    if params.diameter is None:
        scale, diameter = runner.measure_scale(planes)
    else:
        diameter = params.diameter
        scale = predictor.diameter / diameter
    scale = _limit_scale(scale, shape[-2:])
    found = tuple(runner.run_plane(i, plane, scale) for i, plane in enumerate(planes))
    settings = resolve_settings(params, predictor.settings, diameter)
    labels, confidence = _label_planes(found, settings, shape, monitor)
    return Segmentation(
        labels=labels,
        confidence=confidence,
        params=params,
        settings=settings,
        model=predictor.name,
        model_settings=predictor.settings,
        diameter=diameter,
        scale=scale,
        planes=found,
    )


def relabel(
    segmentation: Segmentation, params: SegmentParams, *, monitor: Monitor | None = None
) -> Segmentation:
    """Make labels anew from the maps that are there, with other thresholds.

    Parameters
    ----------
    segmentation : Segmentation
        From `segment`.
    params : SegmentParams
        New thresholds, None for the model's own; the diameter is not looked at, for
        the network does not run.
    monitor : Monitor, optional
        See `segment`.

    Returns
    -------
    Segmentation
        With the same maps.
    """
    settings = resolve_settings(
        params, segmentation.model_settings, segmentation.diameter
    )
    labels, confidence = _label_planes(
        segmentation.planes,
        settings,
        segmentation.labels.shape,
        monitor or SilentMonitor(),
    )
    return replace(
        segmentation,
        labels=labels,
        confidence=confidence,
        params=params,
        settings=settings,
    )


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


class _Runner:
    """Runs one network over the planes of one image and reports."""

    def __init__(self, predictor: Predictor, monitor: Monitor, n_planes: int) -> None:
        self._predictor, self._monitor, self._n_planes = predictor, monitor, n_planes
        # Maps made while measuring the size that can serve as the result.
        self._spare: dict[tuple[int, float], np.ndarray] = {}

    def prepare(self, plane: np.ndarray) -> np.ndarray:
        """Return a plane as the network wants it: ``(y, x, c)`` float32 in 0-1."""
        stretched = images.normalise(images.to_finite_float(plane))
        return images.match_channels(stretched, self._predictor.channels)

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

            found = estimate_scale(look, prepared.shape[:2], self._predictor)
            if found is not None:
                scales.append(found[0])
                diameters.append(found[1])
        if not scales:
            return 1.0, self._predictor.diameter
        middle = int(np.argsort(scales)[len(scales) // 2])
        return scales[middle], diameters[middle]

    def run_plane(self, index: int, plane: np.ndarray, scale: float) -> PlaneMaps:
        """Return the network's maps of one plane at the given scale."""
        check_cancelled(self._monitor)
        maps = self._spare.pop((index, scale), None)
        if maps is None:
            maps = self._maps(self.prepare(plane), scale, index=index)
        shape = plane.shape[:2]
        if scale < 1:
            maps = images.resize(maps, shape)
        quantised = (np.clip(maps, 0, 1) * 255 + 0.5).astype(np.uint8)
        return PlaneMaps(quantised, shape)

    def _maps(
        self, prepared: np.ndarray, scale: float, *, index: int = 0, report: bool = True
    ) -> np.ndarray:
        shape = scaled_shape(prepared.shape[:2], scale)
        scaled = images.resize(prepared, shape)
        plan = plan_tiles(shape, multiple=self._predictor.multiple)
        total = len(plan.tiles) * self._n_planes
        done = len(plan.tiles) * index
        for result in run_tiled(scaled, plan, self._predictor.predict):
            if result is not None:
                return result
            check_cancelled(self._monitor)
            done += 1
            if report:
                self._monitor.report(Progress("Finding nuclei", done, total))
        raise AssertionError("a tile plan always ends in a result")


def _label_planes(
    planes: Sequence[PlaneMaps],
    settings: InstanceSettings,
    shape: tuple[int, ...],
    monitor: Monitor,
) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((len(planes), *shape[-2:]), np.int32)
    confidences: list[np.ndarray] = []
    count = 0
    for index, plane in enumerate(planes):
        check_cancelled(monitor)
        monitor.report(Progress("Separating nuclei", index, len(planes)))
        found, confidence = label_plane(plane, settings)
        labels[index] = np.where(found > 0, found + count, 0)
        confidences.append(confidence)
        count += confidence.size
    monitor.report(Progress("Separating nuclei", len(planes), len(planes)))
    return labels.reshape(shape), np.concatenate(confidences)


def label_plane(
    plane: PlaneMaps, settings: InstanceSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Return one plane's labels ``(y, x)`` int32 and confidences ``(n,)`` float32."""
    have = plane.maps.shape[:2]
    growth = (have[0] * have[1]) / (plane.shape[0] * plane.shape[1])
    labels = maps_to_labels(
        plane.maps, settings, round((settings.min_area or 0) * growth)
    )
    confidence = label_confidence(labels, plane.maps)
    if have != plane.shape:
        rows, cols = (
            np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
            for old, new in zip(have, plane.shape, strict=True)
        )
        labels = labels[np.ix_(rows, cols)]
        kept = renumber(labels)
        # renumber() keeps a nucleus's place: look up which old number each had.
        old_number = np.zeros(int(kept.max()) + 1, np.int64)
        old_number[kept.ravel()] = labels.ravel()
        labels, confidence = kept, confidence[old_number[1:] - 1]
    return labels, confidence


def as_metadata(segmentation: Segmentation, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record for a layer's metadata, with whatever else belongs to it."""
    return {"nucleiseg": {**segmentation.record(), **extra}}
