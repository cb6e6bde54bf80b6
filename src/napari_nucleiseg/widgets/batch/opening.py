"""Open an image of a batch and its labels as layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_nucleiseg.core.labels.annotations import to_labels
from napari_nucleiseg.core.segment.planes import to_image_axes
from napari_nucleiseg.io.pair_reading import read_labels
from napari_nucleiseg.models.batch.items import Item
from napari_nucleiseg.models.batch.ledger import Entry
from napari_nucleiseg.models.recipe import SavedRecipe
from napari_nucleiseg.widgets.shared.layers import RECORD, layer_axes, placement

if TYPE_CHECKING:
    import napari


def open_result(
    viewer: napari.Viewer,
    item: Item,
    folder: Path,
    recipe: SavedRecipe,
    entry: Entry | None,
) -> Labels:
    """Open an image, unless it is open, and its labels over it.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    item : Item
        The image.
    folder : pathlib.Path
        That of the results.
    recipe : SavedRecipe
        What made them.
    entry : Entry or None
        What is known of the result.

    Raises
    ------
    ValueError, OSError
        If a file cannot be read.
    """
    labels = read_labels(item.labels_in(folder))
    image = _image_layer(viewer, item)
    axes = (entry.axes if entry is not None else "") or layer_axes(image)
    data = to_image_axes(to_labels(labels, item.name), axes)
    record: dict[str, Any] = {
        "axes": axes,
        "image_id": image.unique_id,
        "image": image.name,
        "recipe": recipe.replace(axes=axes, measure=None, gates=[]).model_dump(),
    }
    return viewer.add_labels(
        data.copy(),
        name=f"{image.name} nuclei",
        features=_features(entry),
        metadata={RECORD: record},
        **placement(image, axes),
    )


def _image_layer(viewer: napari.Viewer, item: Item) -> Image:
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    for layer in images:
        path = layer.source.path
        here = item.path is None and layer.name == item.title
        if here or (path and item.path and Path(path) == item.path.absolute()):
            return layer
    if item.path is None:
        raise ValueError(f"The layer {item.title} is no longer there.")
    (layer, *_) = viewer.open(str(item.path.absolute()), plugin="napari")
    return layer


def _features(entry: Entry | None) -> dict[str, np.ndarray]:
    if entry is None or not entry.confidence:
        return {}
    numbers = np.arange(1, len(entry.confidence) + 1)
    return {"index": numbers, "confidence": np.array(entry.confidence)}
