"""Frames over an image: the regions in which every nucleus is to be learnt."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes

from napari_nucleiseg.core.labels.annotations import known_inside
from napari_nucleiseg.core.labels.proposing import Region
from napari_nucleiseg.core.segment.planes import from_image_axes
from napari_nucleiseg.widgets.segment.corrector import Corrector
from napari_nucleiseg.widgets.segment.edits import watch_of
from napari_nucleiseg.widgets.shared.layers import MARK, placement
from napari_nucleiseg.widgets.train.regions import mask_of, snapshot

#: Key in the metadata of a layer of frames; holds the id of its image layer.
FRAMES_OF = "nucleiseg_frames_of"

#: The part of the canvas that a region takes up when it is gone to.
_FILL = 0.85


def frames_of(viewer: ViewerModel, image: Image) -> Shapes | None:
    """Return the frames over an image, if there are any."""
    for layer in viewer.layers:
        if layer.metadata.get(FRAMES_OF) == image.unique_id:
            return layer
    return None


def add_frame(
    viewer: ViewerModel,
    image: Image,
    labels: Labels,
    region: Region,
    plane: tuple[int, ...],
) -> Shapes:
    """Put a frame round a region of an image, and move the camera there.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    image : napari.layers.Image
        The image.
    labels : napari.layers.Labels
        Its nuclei, as Segment made them.
    region : Region
        In the plane's pixels.
    plane : tuple of int
        Which plane of a stack.

    Returns
    -------
    napari.layers.Shapes
        The layer with the frames.
    """
    order, _ = Corrector(viewer, labels).axes_order()
    # Pixels reach half of their size round their whole numbers.
    top, bottom, left, right = (
        edge - 0.5 for edge in (region.top, region.bottom, region.left, region.right)
    )
    flat = np.array([(top, left), (top, right), (bottom, right), (bottom, left)])
    corners = np.zeros((4, labels.ndim))
    corners[:, order] = np.hstack([np.tile(plane, (4, 1)), flat]) if plane else flat
    layer = frames_of(viewer, image)
    if layer is None:
        layer = viewer.add_shapes(
            ndim=labels.ndim,
            name=f"{image.name} to learn",
            metadata={MARK: True, FRAMES_OF: image.unique_id},
            **placement(labels),
        )
    width = max(1.0, 0.006 * max(bottom - top, right - left))
    layer.add(
        corners,
        shape_type="polygon",
        edge_width=width,
        edge_color="yellow",
        face_color="transparent",
    )
    layer.editable = False
    viewer.layers.selection.active = labels
    _look_at(viewer, labels, corners, order)
    return layer


def _look_at(
    viewer: ViewerModel, labels: Labels, corners: np.ndarray, order: list[int]
) -> None:
    """Show a frame with little round it, and the plane that it is in."""
    world = np.array([labels.data_to_world(corner) for corner in corners])
    first = viewer.dims.ndim - labels.ndim
    for axis in order[:-2]:
        viewer.dims.set_point(axis + first, float(world[0, axis]))
    seen = [axis - first for axis in viewer.dims.displayed]
    size = float(np.ptp(world[:, seen], axis=0).max())
    camera, centre = viewer.scene.camera, world.mean(axis=0)
    camera.center = tuple([0.0] * (3 - len(seen)) + centre[seen].tolist())
    camera.zoom = _FILL * min(viewer.canvas.size) / size


def nuclei_inside(
    image: Image, labels: Labels, frames: Shapes
) -> tuple[set[int], bool]:
    """Return the nuclei in the frames, and whether anything there was touched by hand.

    Parameters
    ----------
    image, labels : layers
        The image and its nuclei, as Segment made them.
    frames : napari.layers.Shapes
        Over the image.
    """
    inside = mask_of(snapshot(image, labels, None, "by hand", frames))
    data = np.asarray(labels.data)
    size = data.shape[-2:]
    found: set[int] = set()
    for plane, mask in zip(
        data.reshape(-1, *size), inside.reshape(-1, *size), strict=True
    ):
        if mask.any():
            here = np.unique(plane[known_inside(plane, mask)])
            found |= set(here[here > 0].tolist())
    watch = watch_of(labels)
    if watch is None:
        return found, False
    touched = bool(np.isin(data[inside], list(watch.table.by_hand())).any())
    cleared = watch.table.cleared
    if cleared is not None:
        there = from_image_axes(inside, watch.table.axes).reshape(cleared.shape)
        touched |= bool((cleared & there).any())
    return found, touched


def remove_frames(viewer: ViewerModel, image: Image) -> None:
    """Take the frames off an image."""
    layer = frames_of(viewer, image)
    if layer is not None:
        viewer.layers.remove(layer)
