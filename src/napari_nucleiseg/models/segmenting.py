"""`segment()` of the Python API, which the widget and the shell use too."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment import pipeline
from napari_nucleiseg.core.segment.pipeline import Segmentation
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import DEFAULT_MODEL, Model


def segment(
    image: np.ndarray,
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    *,
    axes: str | None = None,
    channel: int | None = None,
    monitor: Monitor | None = None,
    **params: Any,
) -> Segmentation:
    """Find the nuclei in an image.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x)``, RGB(A) ``(y, x, 3|4)``, or a stack or time-lapse
        ``(…, y, x[, 3|4])``, done plane by plane, unless `axes` say otherwise; bool,
        integer or float of any width. Bright nuclei on dark, dark ones on bright and
        stained tissue alike. Dask's and zarr's arrays are read a window at a time; of a
        pyramid, a list of ever smaller levels, the first one is used.
    model : str or path
        Name of a model, or a model folder.
    axes : str, optional
        A letter for each axis of the image, such as ``"TCYX"``: Y, X, C for channels,
        S for the colours of RGB(A), any other for planes. Guessed from the shape if
        not given.
    channel : int, optional
        The one channel to use, counted from 0; the first one if not given, or all
        colours.
    monitor : Monitor, optional
        Told of progress, and asked at every tile whether to stop.
    **params
        Any field of `core.params.SegmentParams`: ``diameter`` (pixels; measured if not
        given), thresholds such as ``probability`` (the model's own if not given), and
        ``accurate`` (whether to look four times, flipped each way).

    Returns
    -------
    Segmentation
        ``labels`` ``(…, y, x)`` int32, ``confidence`` ``(n,)``, ``maps``, ``params``,
        ``model``, and ``warnings``: why the result is suspect, if it is.

    Raises
    ------
    Cancelled
        If the monitor asked to stop.
    TypeError, ValueError
        If the image cannot be one (a masked array is none), a parameter is outside its
        limits, the monitor is none, or there is no such model.

    Examples
    --------
    >>> from napari_nucleiseg import segment
    >>> from napari_nucleiseg.io.sample_data import load_sample
    >>> result = segment(load_sample("large").image)
    >>> result.labels.shape
    (360, 360)
    """
    wanted = SegmentParams(**params)
    if monitor is not None and not all(
        callable(getattr(monitor, name, None)) for name in ("report", "should_stop")
    ):
        raise TypeError(
            "The monitor must have the methods report(progress) and should_stop(); "
            f"received {monitor!r}."
        )
    return pipeline.segment(
        image,
        load_model(model, wanted.engine),
        params=wanted,
        axes=axes,
        channel=channel,
        monitor=monitor,
    )


def find_labels(image: np.ndarray, model: Model | None = None) -> np.ndarray:
    """Return what a model finds in the image of a `Pair`.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x)`` or ``(y, x, channel)``.
    model : Model, optional
        The built-in one if not given.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` int32 labels.
    """
    predictor = load_model(model.folder if model else DEFAULT_MODEL)
    axes = "YXS" if image.ndim == 3 else "YX"
    return pipeline.segment(image, predictor, axes=axes).labels
