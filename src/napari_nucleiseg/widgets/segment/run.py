"""One press of Segment: what it works on, what it finds, and what is said of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.core.segment.planes import to_planes
from napari_nucleiseg.core.segment.predictor import Predictor
from napari_nucleiseg.core.segment.result import (
    Segmentation,
    relabel,
    resolve_settings,
)
from napari_nucleiseg.widgets.shared.layers import (
    ChannelChoice,
    full_data,
    make_features,
)

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Image


@dataclass(frozen=True, eq=False)
class Run:
    """What one press of the button works on, noted on the GUI thread.

    Parameters
    ----------
    layer : napari.layers.Image
        Not to be touched by another thread.
    data : array-like
        ``(…, y, x[, c])``, the layer's at full resolution; perhaps lazy.
    choice : ChannelChoice
        How to read it.
    params : SegmentParams
        As asked for.
    started : float
        When, by `time.monotonic`.
    """

    layer: Image
    data: Any
    choice: ChannelChoice
    params: SegmentParams
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, layer: Image, choice: ChannelChoice, params: SegmentParams) -> Run:
        """Note what a layer holds just now."""
        return cls(layer, full_data(layer), choice, params)


@dataclass(frozen=True, eq=False)
class Found:
    """A result to be shown, from whose maps the sliders are answered.

    Parameters
    ----------
    run : Run
        What it came from.
    result : Segmentation
        The nuclei.
    intensity : numpy.ndarray
        The image in the shape of its labels, float64, colours averaged.
    features : pandas.DataFrame
        One row a nucleus; see `layers.make_features`.
    """

    run: Run
    result: Segmentation
    intensity: np.ndarray
    features: pd.DataFrame


def find_nuclei(run: Run, predictor: Predictor, monitor: Monitor) -> Found:
    """Find the nuclei; for another thread than the GUI's.

    Raises
    ------
    Cancelled
        If the monitor asked for it.
    TypeError, ValueError
        If the layer's data cannot be an image.
    """
    image = np.asanyarray(run.data)  # once: lazy data is read or computed here
    how: dict[str, Any] = {"axes": run.choice.axes, "channel": run.choice.channel}
    result = segment(image, predictor, params=run.params, monitor=monitor, **how)
    planes, shape = to_planes(image, **how)
    intensity = planes.mean(axis=-1, dtype=np.float64).reshape(shape)
    return Found(run, result, intensity, make_features(result, intensity))


def wants_other_labels(found: Found, params: SegmentParams) -> bool:
    """Return whether other thresholds are asked for than the labels were made with."""
    result = found.result
    wanted = resolve_settings(params, result.model_settings, result.diameter)
    return wanted != result.settings


def find_again(found: Found, params: SegmentParams, monitor: Monitor) -> Found:
    """Make the labels anew with other thresholds; the network does not run.

    Raises
    ------
    Cancelled
        If the monitor asked for it.
    """
    result = relabel(found.result, params, monitor=monitor)
    features = make_features(result, found.intensity)
    return replace(found, result=result, features=features)


def describe_found(found: Found, seconds: float) -> str:
    """Return what a run found, in a sentence or two."""
    result = found.result
    text = f"{result.summary} found in {seconds:.1f} s. "
    if result.count == 0:
        return text + " ".join(result.warnings)
    measured = " (measured)" if found.run.params.diameter is None else ""
    text = f"{text}Nuclei are {result.diameter:.0f} px wide{measured}."
    return " ".join([text, *result.warnings])


def describe_again(found: Found) -> str:
    """Return what there is after relabelling."""
    return f"{found.result.summary} with these values."
