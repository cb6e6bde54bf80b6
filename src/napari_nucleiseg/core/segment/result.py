"""Nuclei found in an image: the result, and how labels are made from its maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_nucleiseg.core.measure import measure
from napari_nucleiseg.core.monitor import (
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
)
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.blocks.grid import ArrayMaps
from napari_nucleiseg.core.segment.blocks.separating import Flooded, separate
from napari_nucleiseg.core.segment.confidence import (
    Calibration,
    Judge,
    label_confidence,
)
from napari_nucleiseg.core.segment.instances import InstanceSettings
from napari_nucleiseg.core.segment.region import Region

NOTHING_FOUND = (
    "No nuclei were found. Try a lower probability, another channel or another "
    "diameter."
)

#: The nuclei of so many planes are counted out one by one.
MOST_COUNTS = 8


@dataclass(frozen=True)
class PlaneMaps:
    """What the network said about one plane.

    Parameters
    ----------
    maps : numpy.ndarray
        ``(y, x, maps)`` uint8 of the plane's size, 0-255 for 0-1; see `instances.MAPS`.
    scale : float
        Size of what the network saw over the plane's own.
    """

    maps: np.ndarray
    scale: float


@dataclass(frozen=True)
class Segmentation:
    """Nuclei found in an image.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(…, y, x)`` int32, 0 background, nuclei 1..n without holes in the
        numbering, through all planes.
    confidence : numpy.ndarray
        ``(n,)`` float32 in 0-1: how likely each nucleus is a true one, if the model
        has a calibration; else its mean nucleus map.
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
    axes : str
        The image's, a letter for each; see `planes`.
    channel : int or None
        The channel that was used, counted from 0.
    suspect : tuple of str
        Why the image may have been read wrongly; see `warnings`.
    calibration : Calibration or None
        The model's own; makes the confidence.
    region : Region or None
        Where nuclei were looked for; None for everywhere.
    flooded : mapping of int to Flooded or None
        What `relabel` need not find again, by plane.
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
    axes: str = "YX"
    channel: int | None = None
    suspect: tuple[str, ...] = ()
    calibration: Calibration | None = field(default=None, repr=False)
    region: Region | None = field(default=None, repr=False)
    flooded: Mapping[int, Flooded] | None = field(default=None, repr=False)

    @property
    def count(self) -> int:
        """Number of nuclei."""
        return int(self.confidence.size)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the result is suspect, a sentence for each reason."""
        if self.count:
            return self.suspect
        return (*self.suspect, NOTHING_FOUND)

    @property
    def counts(self) -> np.ndarray:
        """Number of nuclei in each plane, ``labels.shape[:-2]`` int."""
        planes = self.labels.reshape(-1, self.labels.shape[-2] * self.labels.shape[-1])
        # The numbering goes on through the planes: each one's highest is a running sum.
        highest = np.maximum.accumulate(planes.max(axis=1))
        return np.diff(highest, prepend=0).reshape(self.labels.shape[:-2])

    @property
    def summary(self) -> str:
        """How many nuclei there are, and in how many planes, in words."""
        text = f"{self.count} {'nucleus' if self.count == 1 else 'nuclei'}"
        counts = self.counts.ravel()
        if counts.size == 1:
            return text
        if counts.size <= MOST_COUNTS:
            each = ", ".join(map(str, counts))
        else:
            each = f"{counts.min()} to {counts.max()} each"
        return f"{text} in {counts.size} planes ({each})"

    @property
    def maps(self) -> np.ndarray:
        """The maps as float32 in 0-1, ``(…, y, x, maps)``."""
        planes = np.stack([plane.maps for plane in self.planes])
        maps = planes.astype(np.float32) / 255
        return maps.reshape(*self.labels.shape, maps.shape[-1])

    def measure(self, image: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Measure each nucleus; see `core.measure.measure`."""
        return measure(self.labels, image, self.confidence)

    def record(self) -> dict[str, Any]:
        """Return what made these labels, as a dictionary that JSON can hold."""
        return {
            "model": self.model,
            "params": self.params.model_dump(),
            **self.settings.model_dump(),
            "accurate": self.params.accurate,
            "diameter": round(float(self.diameter), 2),
            "scale": round(float(self.scale), 4),
            "axes": self.axes,
            "channel": self.channel,
            "warnings": list(self.warnings),
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
        for name in type(model).model_fields
        if (value := getattr(params, name, None)) is not None
    }
    chosen = model.replace(**asked)
    return chosen.replace(min_area=chosen.smallest(diameter))


def relabel(
    segmentation: Segmentation, params: SegmentParams, *, monitor: Monitor | None = None
) -> Segmentation:
    """Make labels from the same maps with other thresholds.

    Parameters
    ----------
    segmentation : Segmentation
        From `segment`.
    params : SegmentParams
        New thresholds, None for the model's own; those of `core.params.NEEDS_RUN` are
        ignored, since the network does not run.
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
    labels, confidence = label_planes(
        segmentation.planes,
        settings,
        segmentation.labels.shape,
        monitor or SilentMonitor(),
        confidence=segmentation.calibration or label_confidence,
        region=segmentation.region,
        flooded=segmentation.flooded,
    )
    return replace(
        segmentation,
        labels=labels,
        confidence=confidence,
        params=params.replace(
            accurate=segmentation.params.accurate, engine=segmentation.params.engine
        ),
        settings=settings,
    )


def label_planes(
    planes: Sequence[PlaneMaps],
    settings: InstanceSettings,
    shape: tuple[int, ...],
    monitor: Monitor,
    *,
    confidence: Judge = label_confidence,
    region: Region | None = None,
    flooded: Mapping[int, Flooded] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Make the labels of all planes, numbered through.

    Parameters
    ----------
    planes : sequence of PlaneMaps
        The network's maps, plane by plane.
    settings : InstanceSettings
        Thresholds to use, with a number for ``min_area``.
    shape : tuple of int
        ``(…, y, x)`` of the labels; as many planes as there are maps.
    monitor : Monitor
        Told of every plane, and asked at each whether to stop.
    confidence : callable
        The figures of a plane's nuclei to what is told of each: a `Calibration`,
        `label_confidence` or `nucleus_features`.
    region : Region, optional
        Only nuclei with their centroids there are kept.
    flooded : mapping of int to Flooded, optional
        See `Segmentation`.

    Returns
    -------
    labels : numpy.ndarray
        Of `shape`, int32.
    confidence : numpy.ndarray
        ``(n,)`` float32 in 0-1, or what else that gives, one row for each nucleus.

    Raises
    ------
    Cancelled
        If the monitor asked for it.
    """
    labels = np.zeros((len(planes), *shape[-2:]), np.int32)
    confidences: list[np.ndarray] = []
    count = 0
    for index, plane in enumerate(planes):

        def on_block(done: int, total: int, before: int = index) -> None:
            check_cancelled(monitor)
            monitor.report(
                Progress(
                    "Separating nuclei", before * total + done, len(planes) * total
                )
            )

        found, figures = separate(
            ArrayMaps(plane.maps),
            settings,
            scale=plane.scale,
            on_block=on_block,
            flooded=None if flooded is None else flooded[index],
        )
        judged = confidence(figures)
        outside = None if region is None else ~_inside(region, index, found)
        table = number_kept(judged, settings, count, outside)
        labels[index] = table[found]
        confidences.append(judged[table[1:] > 0])
        count += int((table > 0).sum())
    monitor.report(Progress("Separating nuclei", len(planes), len(planes)))
    return labels.reshape(shape), np.concatenate(confidences)


def number_kept(
    judged: np.ndarray,
    settings: InstanceSettings,
    before: int = 0,
    outside: np.ndarray | None = None,
) -> np.ndarray:
    """Return the final number of each nucleus: none for those that are too unlikely.

    Parameters
    ----------
    judged : numpy.ndarray
        ``(n,)`` confidences of nuclei 1..n, or other figures, one row for each: then
        all are kept.
    settings : InstanceSettings
        Its least confidence is used.
    before : int
        What the numbers start after.
    outside : numpy.ndarray, optional
        ``(n,)`` bool: nuclei that are left out in any case.

    Returns
    -------
    numpy.ndarray
        ``(n + 1,)`` int32: 0 for the background and for nuclei that are left out.
    """
    keep = np.ones(len(judged), bool)
    if judged.ndim == 1:
        keep = judged >= settings.min_confidence
    if outside is not None:
        keep &= ~outside
    return np.r_[0, np.where(keep, before + np.cumsum(keep), 0)].astype(np.int32)


def _inside(region: Region, plane: int, labels: np.ndarray) -> np.ndarray:
    """Return which of the nuclei 1..n of a plane have their centroid in a region."""
    at = np.flatnonzero(labels)
    number = labels.ravel()[at]
    areas = np.bincount(number)[1:]
    y, x = (
        np.bincount(number, places)[1:] / np.maximum(areas, 1)
        for places in np.divmod(at, labels.shape[1])
    )
    return region.covers(plane, y, x)
