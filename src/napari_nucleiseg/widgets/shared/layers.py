"""Layers to arrays, and results to layers that lie where the image lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_nucleiseg.core.segment.planes import (
    channel_axis,
    check_axes,
    guess_axes,
    to_image_axes,
)
from napari_nucleiseg.core.segment.result import Segmentation
from napari_nucleiseg.io.images import read_axes

if TYPE_CHECKING:
    import pandas as pd

#: Key in a labels layer's metadata for what made it.
RECORD = "nucleiseg"

#: Key in an error map's metadata; holds the id of the labels layer it is of.
ERRORS_OF = "nucleiseg_errors_of"

#: Key in the metadata of a layer that only marks something, and holds no data.
MARK = "nucleiseg_mark"

#: How longer axis labels begin, and what they mean; any other is an axis of planes.
_LETTERS = {"ch": "C", "time": "T", "depth": "Z", "row": "Y", "col": "X"}

_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class ChannelChoice:
    """One way to read an image layer.

    Parameters
    ----------
    label : str
        For the user.
    axes : str
        The axes of the layer's data; see `core.segment.planes`.
    channel : int or None
        The channel to use.
    """

    label: str
    axes: str
    channel: int | None = None


def full_data(layer: Image) -> Any:
    """Return a layer's data at full resolution (an array, or something lazy)."""
    return layer.data[0] if layer.multiscale else layer.data


def snapshot(layer: Layer) -> Any:
    """Return a layer's data as they are now; lazy ones are read in the job."""
    data = full_data(layer)
    return data.copy() if isinstance(data, np.ndarray) else data


def layer_axes(layer: Image) -> str:
    """Return the axes of an image layer's data, a letter for each.

    Each as the layer's axis label names it; else as the file does that the layer was
    opened from; else guessed from the shape. See `core.segment.planes`.
    """
    shape = tuple(full_data(layer).shape)
    path = layer.source.path
    known = read_axes(Path(path), shape) if path else None
    if known is None or ("S" in known) != layer.rgb:
        known = "Q" * (len(shape) - 3) + "YXS" if layer.rgb else guess_axes(shape)
        known = known if layer.rgb else known.replace("S", "C")
    labels = [str(label) for label in layer.axis_labels]
    named = [_axis_letter(label) for label in labels] + ["S"] * layer.rgb
    letters = [name or letter for name, letter in zip(named, known, strict=True)]
    try:
        return check_axes("".join(letters), shape)
    except ValueError:  # the names do not go together
        return known


def _axis_letter(label: str) -> str | None:
    """Return the letter that an axis label stands for; None if it names nothing."""
    word = label.strip().lower()
    if not word.isascii() or not word.isalpha():
        return None  # such as napari's own "-3"
    for name, letter in _LETTERS.items():
        if word.startswith(name):
            return letter
    return word.upper() if len(word) == 1 else "P"


def channel_choices(layer: Image, axes: str | None = None) -> list[ChannelChoice]:
    """Return the ways to read a layer, the one to start with first.

    Parameters
    ----------
    layer : napari.layers.Image
        The layer.
    axes : str, optional
        Of its data; `layer_axes` if not given.

    Returns
    -------
    list of ChannelChoice
        A single entry where there is nothing to choose.

    Raises
    ------
    ValueError
        If the layer's data cannot have such axes.
    """
    shape = full_data(layer).shape
    axes = layer_axes(layer) if axes is None else check_axes(axes, shape)
    at = channel_axis(axes, shape)
    if at is not None:
        channels, planes = (
            f"{axes[:at]}{letter}{axes[at + 1 :]}" for letter in ("C", "Q")
        )
        single = [ChannelChoice(f"Channel {i}", channels, i) for i in range(shape[at])]
        every = ChannelChoice("Every plane", planes)
        return [*single, every] if axes[at] == "C" else [every, *single]
    if "S" in axes:
        colours = [ChannelChoice(f"{c} only", axes, i) for i, c in enumerate(_COLOURS)]
        return [ChannelChoice("All colours", axes), *colours]
    label = "The only channel" if len(shape) == 2 else "Every plane"
    return [ChannelChoice(label, axes)]


def placement(layer: Layer, axes: str | None = None) -> dict[str, Any]:
    """Return what puts labels exactly over a layer, at every position of every slider.

    Parameters
    ----------
    layer : napari.layers.Layer
        The image, or other labels.
    axes : str, optional
        The axes of the image's data, if the labels lack its channels: they are as
        `core.segment.planes.to_image_axes` makes them. Their axis of length 1 is then
        as wide as all channels.

    Returns
    -------
    dict
        ``scale, translate, rotate, shear, affine, units, axis_labels``.
    """
    n = layer.ndim
    rotate, scale = np.asarray(layer.rotate), np.array(layer.scale, float)
    shear, translate = np.eye(n), np.array(layer.translate, float)
    shear[np.triu_indices(n, 1)] = layer.shear
    at = (axes or "").replace("S", "").find("C")
    keep = list(range(n))
    if at == 0:
        keep.remove(0)
    elif at > 0:
        channels = layer.data[0].shape[at] if layer.multiscale else layer.data.shape[at]
        # Its one pixel begins where the first channel does, and ends with the last.
        translate += (rotate @ shear)[:, at] * scale[at] * (channels - 1) / 2
        scale[at] *= channels
    affine = np.asarray(layer.affine.affine_matrix)
    both = np.ix_(keep, keep)
    with_shift = np.ix_([*keep, n], [*keep, n])
    return {
        "scale": scale[keep],
        "translate": translate[keep],
        "rotate": rotate[both],
        "shear": shear[both][np.triu_indices(len(keep), 1)],
        "affine": affine[with_shift],
        "units": tuple(layer.units[i] for i in keep),
        "axis_labels": tuple(layer.axis_labels[i] for i in keep),
    }


def make_features(result: Segmentation, image: np.ndarray | None) -> pd.DataFrame:
    """Return the table of a result, with the ``index`` column that napari looks up.

    Parameters
    ----------
    result : Segmentation
        The nuclei.
    image : numpy.ndarray, optional
        For the mean intensity; see `core.measure.measure`.
    """
    import pandas as pd  # takes a quarter of a second, which the widget need not wait

    table = pd.DataFrame(result.measure(image)).rename(columns={"label": "index"})
    return table.astype({"confidence": float})  # napari shows NaN of a narrower one


def has_room(layer: Labels, result: Segmentation) -> bool:
    """Return whether a result lies where a layer lies: its image was read alike."""
    shape = to_image_axes(result.labels, result.axes).shape
    axes = layer.metadata[RECORD]["axes"]
    return layer.data.shape == shape and axes == result.axes


def show_result(
    viewer: ViewerModel,
    source: Image,
    result: Segmentation,
    features: pd.DataFrame,
    *,
    labels: np.ndarray | None = None,
    into: Labels | None,
    record: dict[str, Any],
) -> Labels:
    """Put a result into the viewer: update its layer, or add one.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    source : napari.layers.Image
        The image the nuclei are in.
    result : Segmentation
        The nuclei.
    features : pandas.DataFrame
        See `make_features`.
    labels : numpy.ndarray, optional
        ``(…, y, x)``, shown instead of the result's: with corrections kept, say.
    into : napari.layers.Labels or None
        The layer to be updated, which `has_room` for it; None for a new one.
    record : dict
        What made the labels, for the metadata.

    Returns
    -------
    napari.layers.Labels
    """
    metadata = {RECORD: {**record, "image_id": source.unique_id, "image": source.name}}
    # The layer gets an array of its own, which may be painted on.
    shown = result.labels if labels is None else labels
    data = to_image_axes(shown, result.axes).copy()
    if into is not None:
        into.data = data
        into.features = features
        into.metadata = metadata
        # Forget the edits: to undo one would write former pixels into these labels.
        mode, into.editable = into.mode, False
        into.editable, into.mode = True, mode
        return into
    return viewer.add_labels(
        data,
        name=f"{source.name} nuclei",
        features=features,
        metadata=metadata,
        **placement(source, result.axes),
    )
