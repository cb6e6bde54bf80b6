"""Where in an image Segment is to look: all of it, what is in view, or in shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Shapes

from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.core.segment.region import Region
from napari_nucleiseg.widgets.shared.controls import quoted
from napari_nucleiseg.widgets.shared.layers import ChannelChoice, full_data

if TYPE_CHECKING:
    import napari

#: What is chosen besides a Shapes layer.
WHOLE, VIEW = "whole", "view"

#: Corners that an ellipse is drawn with.
_CORNERS = 48


@dataclass(frozen=True)
class _Axes:
    """Which axes of an image layer are which."""

    y: int
    x: int
    stack: tuple[int, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, image: Image, choice: ChannelChoice) -> _Axes:
        letters = choice.axes.replace("S", "")
        stack = tuple(
            i
            for i, letter in enumerate(letters)
            if letter not in "YX" and (letter != "C" or choice.channel is None)
        )
        shape = full_data(image).shape
        sizes = tuple(shape[i] for i in stack)
        return cls(letters.index("Y"), letters.index("X"), stack, sizes)

    def plane(self, position: np.ndarray) -> int:
        """Return the number of the plane at a position in the image's pixels."""
        if not self.stack:
            return 0
        place = [
            int(np.clip(round(float(position[axis])), 0, size - 1))
            for axis, size in zip(self.stack, self.sizes, strict=True)
        ]
        return int(np.ravel_multi_index(place, self.sizes))


def window_in_view(
    viewer: napari.Viewer, image: Image, choice: ChannelChoice
) -> tuple[int, Window]:
    """Return which plane of an image is in view, and which part of it.

    Raises
    ------
    ValueError
        See `region_in_view`.
    """
    region = region_in_view(viewer, image, choice)
    ((plane, corners),) = region.outlines
    axes, shape = _Axes.of(image, choice), full_data(image).shape
    y, x = (
        slice(max(0, int(low)), min(shape[axis], int(high) + 1))
        for low, high, axis in zip(
            corners.min(axis=0), corners.max(axis=0), (axes.y, axes.x), strict=True
        )
    )
    return plane or 0, (y, x)


def region_in_view(
    viewer: napari.Viewer, image: Image, choice: ChannelChoice
) -> Region:
    """Return the part of an image that is in view, in the plane that is.

    Raises
    ------
    ValueError
        If the image's rows and columns are not what is shown, or nothing is in view.
    """
    axes = _Axes.of(image, choice)
    shown = [i - (viewer.dims.ndim - image.ndim) for i in viewer.dims.displayed]
    if sorted(shown) != sorted((axes.y, axes.x)):
        raise ValueError(
            "What is in view can only be told while the image's rows and columns are "
            "shown in 2D."
        )
    # Not the layer's corner pixels: those of a pyramid are of whole chunks.
    half = np.array(viewer.canvas.size) / 2 / viewer.scene.camera.zoom
    centre = np.array(viewer.scene.camera.center[-2:])
    corners = []
    for world in _rectangle(centre - half, centre + half):
        point = np.array(viewer.dims.point, float)
        point[list(viewer.dims.displayed)] = world
        corners.append(np.asarray(image.world_to_data(point)))
    outline = np.array(corners)[:, [axes.y, axes.x]]
    region = Region(((axes.plane(corners[0]), outline),))
    data = full_data(image)
    shape = data.shape[axes.y], data.shape[axes.x]
    if not region.boxes(axes.plane(corners[0]), shape, 0):
        raise ValueError(f"Nothing of {quoted(image.name)} is in view.")
    return region


def region_in_shapes(shapes: Shapes, image: Image, choice: ChannelChoice) -> Region:
    """Return the part of an image inside the areas of a Shapes layer.

    Shapes that have no axis for the planes hold for all of them.

    Raises
    ------
    ValueError
        If there are no areas: lines and paths have none.
    """
    axes = _Axes.of(image, choice)
    outlines: list[tuple[int | None, np.ndarray]] = []
    for corners, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind not in ("rectangle", "polygon", "ellipse"):
            continue
        corners = np.asarray(corners, float)
        if kind == "ellipse":
            corners = _round(corners)
        world = np.array([shapes.data_to_world(corner) for corner in corners])
        every = world.shape[1] < image.ndim
        missing = max(image.ndim - world.shape[1], 0)
        world = np.pad(world, ((0, 0), (missing, 0)))[:, -image.ndim :]
        places = np.array([image.world_to_data(point) for point in world])
        plane = None if every else axes.plane(places.mean(axis=0))
        outlines.append((plane, places[:, [axes.y, axes.x]]))
    if not outlines:
        raise ValueError(
            f"{quoted(shapes.name)} holds no areas: draw a rectangle, an ellipse or a "
            "polygon in it first."
        )
    return Region(tuple(outlines))


def _rectangle(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    (y0, x0), (y1, x1) = low, high
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], float)


def _round(corners: np.ndarray) -> np.ndarray:
    """Return corners along the ellipse inside a box of four."""
    centre = corners.mean(axis=0)
    first, second = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)[:, None]
    return centre + np.cos(angles) * first + np.sin(angles) * second
