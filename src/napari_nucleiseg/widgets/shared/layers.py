"""Layers to arrays, and results to layers that lie where the image lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_nucleiseg.core.segment.result import Segmentation

if TYPE_CHECKING:
    import pandas as pd

#: Key in a labels layer's metadata for what made it.
RECORD = "nucleiseg"

#: Key in an error map's metadata; holds the id of the labels layer it is of.
ERRORS_OF = "nucleiseg_errors_of"

#: An axis longer than this is not offered as channels unless it is named so.
MOST_CHANNELS = 6

_CHANNEL_NAMES = {"c", "ch", "channel", "channels"}


@dataclass(frozen=True)
class ChannelChoice:
    """One way to read an image layer.

    Parameters
    ----------
    label : str
        For the user.
    channel, channel_axis : int or None
        See `core.segment.planes.to_planes`.
    """

    label: str
    channel: int | None = None
    channel_axis: int | None = None


def full_data(layer: Image) -> Any:
    """Return a layer's data at full resolution (an array, or something lazy)."""
    return layer.data[0] if layer.multiscale else layer.data


def channel_choices(layer: Image) -> list[ChannelChoice]:
    """Return the ways to read a layer, the one to start with first.

    Parameters
    ----------
    layer : napari.layers.Image
        For RGB the colours are channels; otherwise an axis named ``c`` or
        ``channel``, or a short first axis, may be.

    Returns
    -------
    list of ChannelChoice
        A single entry where there is nothing to choose.
    """
    shape = full_data(layer).shape
    if layer.rgb:
        axis = len(shape) - 1
        colours = ("Red", "Green", "Blue")
        return [
            ChannelChoice("All colours"),
            *(ChannelChoice(f"{c} only", i, axis) for i, c in enumerate(colours)),
        ]
    if len(shape) < 3:
        return [ChannelChoice("The only one")]
    names = [str(name).lower() for name in layer.axis_labels]
    named = [i for i, name in enumerate(names[:-2]) if name in _CHANNEL_NAMES]
    axis = named[0] if named else 0
    if not named and shape[axis] > MOST_CHANNELS:
        return [ChannelChoice("Every plane")]
    single = [ChannelChoice(f"Channel {i}", i, axis) for i in range(shape[axis])]
    planes = ChannelChoice("Every plane")
    return [*single, planes] if named else [planes, *single]


def placement(layer: Image, dropped_axis: int | None = None) -> dict[str, Any]:
    """Return what puts a new layer exactly over an image layer.

    Parameters
    ----------
    layer : napari.layers.Image
        The image.
    dropped_axis : int, optional
        Axis of the image that the new layer lacks (its channels).

    Returns
    -------
    dict
        ``scale, translate, rotate, shear, affine, units, axis_labels``.
    """
    affine = np.asarray(layer.affine.affine_matrix)
    rotate = np.asarray(layer.rotate)
    n = layer.ndim
    shear = np.eye(n)
    shear[np.triu_indices(n, 1)] = layer.shear
    keep = [i for i in range(n) if i != dropped_axis]
    both = np.ix_(keep, keep)
    with_shift = np.ix_([*keep, n], [*keep, n])
    m = len(keep)
    return {
        "scale": np.asarray(layer.scale)[keep],
        "translate": np.asarray(layer.translate)[keep],
        "rotate": rotate[both],
        "shear": shear[both][np.triu_indices(m, 1)],
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
    return table.round(
        {name: 3 for name in table.columns if name not in ("index", "area")}
    )


def find_result_layer(viewer: ViewerModel, source: Layer) -> Labels | None:
    """Return the labels layer that was made from an image layer, if it is there."""
    for layer in reversed(viewer.layers):
        if isinstance(layer, Labels):
            record = layer.metadata.get(RECORD)
            if record is not None and record.get("image_id") == source.unique_id:
                return layer
    return None


def show_result(
    viewer: ViewerModel,
    source: Image,
    result: Segmentation,
    features: pd.DataFrame,
    *,
    previous: np.ndarray | None,
    dropped_axis: int | None,
    record: dict[str, Any],
) -> Labels:
    """Put a result into the viewer: update its layer, or add one.

    A layer whose labels were changed by hand since is left alone, and a new one
    added.

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
    previous : numpy.ndarray or None
        The labels that were put there last.
    dropped_axis : int or None
        See `placement`.
    record : dict
        What made the labels, for the metadata.

    Returns
    -------
    napari.layers.Labels
    """
    metadata = {RECORD: {**record, "image_id": source.unique_id, "image": source.name}}
    layer = find_result_layer(viewer, source)
    untouched = (
        layer is not None
        and previous is not None
        and layer.data.shape == result.labels.shape
        and np.array_equal(layer.data, previous)
    )
    # The layer gets an array of its own, which may be painted on.
    data = result.labels.copy()
    if layer is not None and untouched:
        layer.data = data
        layer.features = features
        layer.metadata = metadata
        return layer
    return viewer.add_labels(
        data,
        name=f"{source.name} nuclei",
        features=features,
        metadata=metadata,
        **placement(source, dropped_axis),
    )
