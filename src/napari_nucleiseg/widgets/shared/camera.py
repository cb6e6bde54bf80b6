"""Moving the camera to something in a layer."""

from __future__ import annotations

import itertools
import math

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_nucleiseg.widgets.shared.layers import full_data

#: A nucleus that is gone to takes up this part of the canvas, along its longer side.
FILL = 0.2


def look_at(viewer: ViewerModel, layer: Labels, pixels: np.ndarray) -> None:
    """Move the camera, and the sliders of a stack, to some pixels of a layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose camera and sliders.
    layer : napari.layers.Labels
        The layer; its axes are the viewer's last ones.
    pixels : numpy.ndarray
        ``(n, ndim)`` int, at least one.
    """
    first = viewer.dims.ndim - layer.ndim
    displayed = list(viewer.dims.displayed)
    hidden = [i for i in range(layer.ndim) if i + first not in displayed]
    for axis in hidden:  # one plane, of a nucleus that reaches through several
        middle = np.sort(pixels[:, axis])[len(pixels) // 2]
        pixels = pixels[pixels[:, axis] == middle]
    low, high = pixels.min(axis=0) - 0.5, pixels.max(axis=0) + 0.5
    for axis in hidden:
        low[axis] = high[axis] = pixels[0, axis]
    # An axis of length 1 may span several of the image's channels: it stays there.
    hidden = [axis for axis in hidden if full_data(layer).shape[axis] > 1]
    corners = itertools.product(*zip(low, high, strict=True))
    world = np.array([layer.data_to_world(corner) for corner in corners])
    centre = world.mean(axis=0)
    for axis in hidden:
        viewer.dims.set_point(axis + first, centre[axis])
    seen = [axis - first for axis in displayed if axis >= first]
    size = float(np.ptp(world[:, seen], axis=0).max())
    if "area" in layer.features:  # a speck is shown among nuclei, not as a wall
        typical = 2 * math.sqrt(float(layer.features["area"].median()) / math.pi)
        size = max(size, typical * abs(float(layer.scale[-1])))
    camera = viewer.scene.camera
    camera.center = tuple([0.0] * (3 - len(seen)) + centre[seen].tolist())
    camera.zoom = FILL * min(viewer.canvas.size) / size
