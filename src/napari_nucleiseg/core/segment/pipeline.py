"""From an image to labelled nuclei: the one place that knows the order of the steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_nucleiseg.core.monitor import (
    Monitor,
    SilentMonitor,
)
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment import image as images
from napari_nucleiseg.core.segment.blocks.separating import Flooded
from napari_nucleiseg.core.segment.confidence import label_confidence
from napari_nucleiseg.core.segment.lazy import Array, LazyPlanes, largest_level
from napari_nucleiseg.core.segment.planes import Reading, read_as, to_planes
from napari_nucleiseg.core.segment.predictor import Predictor
from napari_nucleiseg.core.segment.region import Region
from napari_nucleiseg.core.segment.result import (
    Segmentation,
    label_planes,
    resolve_settings,
)
from napari_nucleiseg.core.segment.runner import Runner


def segment(
    image: Array | Sequence[Array],
    predictor: Predictor,
    *,
    params: SegmentParams | None = None,
    axes: str | None = None,
    channel: int | None = None,
    region: Region | None = None,
    keep: bool = False,
    monitor: Monitor | None = None,
) -> Segmentation:
    """Find the nuclei in an image, plane by plane.

    Parameters
    ----------
    image : Array
        ``(y, x)``, RGB(A) ``(y, x, 3|4)``, or a stack ``(…, y, x[, 3|4])``, unless
        `axes` say otherwise; bool, integer or float of any width; NaN and infinities
        are allowed. One that is no NumPy array, such as dask's or zarr's, is read a
        window at a time. Of a list of ever smaller levels the first one is used.
    predictor : Predictor
        The network to use.
    params : SegmentParams, optional
        Size and thresholds.
    axes, channel
        See `planes.read_as`.
    region : Region, optional
        Only its nuclei are looked for: those that a run without it finds there.
    keep : bool
        Whether to keep what makes `result.relabel` faster, at 4 bytes a pixel.
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
    largest = largest_level(image)
    reading = read_as(np.shape(largest), axes, channel)
    planes, shape = planes_of(largest, reading)
    spec = predictor.spec
    runner = Runner(predictor, monitor, planes, flips=params.accurate)
    scale, wanted, diameter = runner.choose_scale(params.diameter)
    found = tuple(
        runner.run_plane(index, scale, region) for index in range(len(planes))
    )
    settings = resolve_settings(params, spec.settings, diameter)
    flooded = {index: Flooded() for index in range(len(planes))} if keep else None
    labels, confidence = label_planes(
        found,
        settings,
        shape,
        monitor,
        confidence=spec.calibration or label_confidence,
        region=region,
        flooded=flooded,
    )
    warnings = warn_of(reading, runner.contrasts, scale, wanted, diameter, spec.note)
    return Segmentation(
        labels=labels,
        confidence=confidence,
        params=params.replace(engine=spec.engine),
        settings=settings,
        model=spec.name,
        model_settings=spec.settings,
        diameter=diameter,
        scale=scale,
        planes=found,
        axes=reading.axes,
        channel=reading.channel,
        suspect=warnings,
        calibration=spec.calibration,
        region=region,
        flooded=flooded,
    )


def planes_of(
    image: Array, reading: Reading
) -> tuple[np.ndarray | LazyPlanes, tuple[int, ...]]:
    """Return an image's planes, and the shape ``(…, y, x)`` of its labels.

    What is no NumPy array is read a window at a time.
    """
    lazy = isinstance(getattr(image, "dtype", None), np.dtype)
    if isinstance(image, np.ndarray) or not lazy:
        return to_planes(
            np.asanyarray(image), axes=reading.axes, channel=reading.channel
        )
    planes = LazyPlanes(image, reading)
    return planes, (*planes.stack, *planes.shape[1:3])


def warn_of(
    reading: Reading,
    contrasts: Sequence[images.Contrast],
    scale: float,
    wanted: float,
    diameter: float,
    note: str = "",
) -> tuple[str, ...]:
    """Return why an image may have been read wrongly, a sentence each.

    The last is the note of the network that ran, if it has one.
    """
    warnings = [*reading.warnings, *warn_of_contrast(contrasts)]
    if scale < wanted:
        warnings.append(
            f"Nuclei of {diameter:.1f} px are very small for this model: the image was "
            f"enlarged {scale:.0f} times, which is the most, instead of {wanted:.1f}."
        )
    return (*warnings, note) if note else tuple(warnings)


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
