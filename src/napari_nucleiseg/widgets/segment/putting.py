"""Results into the viewer: the labels layer of an image, and what is kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels

from napari_nucleiseg.widgets.segment import run as runs
from napari_nucleiseg.widgets.segment.edits import (
    carried,
    shown,
    unwatch,
    watch_edits,
    watch_of,
    watched_labels,
)
from napari_nucleiseg.widgets.segment.run import Found
from napari_nucleiseg.widgets.shared import layers as layer_tools

if TYPE_CHECKING:
    import napari


def put_result(viewer: napari.Viewer, image: Image, found: Found) -> Labels | None:
    """Show a result, in the layer that is there or else in one of its own.

    What was touched by hand in that layer stays.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    image : napari.layers.Image
        What the nuclei are in.
    found : Found
        The nuclei.

    Returns
    -------
    napari.layers.Labels or None
        None if there is no nucleus, and no layer either.
    """
    result, table = found.result, found.editable()
    layer = watched_labels(viewer, image)
    if layer is not None and not layer_tools.has_room(layer, result):
        _put_aside(viewer, layer)  # the image is read in another way now
        layer = None
    if layer is not None:
        table = carried(layer, table, result.region)
    if layer is not None or result.count:
        layer = layer_tools.show_result(
            viewer,
            image,
            result,
            shown(table.table()),
            labels=table.labels,
            into=layer,
            record={**result.record(), "recipe": found.recipe.model_dump()},
        )
        watch_edits(viewer, layer, table)
    runs.keep(image, found, layer, len(table.by_hand()))
    return layer


def _put_aside(viewer: napari.Viewer, layer: Labels) -> None:
    """Remove labels that a result cannot go into; only hide edited ones."""
    watch = watch_of(layer)
    if watch is not None and watch.update():
        unwatch(layer)
        layer.visible = False
    else:
        viewer.layers.remove(layer)
