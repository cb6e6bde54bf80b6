"""The mark round one nucleus among its neighbours, and the stroke being drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Shapes

from napari_nucleiseg.widgets.shared.layers import MARK, placement

#: The frame leaves this share of the nucleus free round it, and is so wide.
_MARGIN, _WIDTH = 0.2, 0.04

_LOOKS: dict[str, Any] = {"edge_color": "yellow", "face_color": "transparent"}


class Mark:
    """A frame and a stroke over a labels layer, in a layer of their own.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._shapes: Shapes | None = None
        self._of: Labels | None = None
        self._frame: np.ndarray | None = None
        self._width = 1.0

    @property
    def is_there(self) -> bool:
        """Whether it has a layer, which the user may have removed."""
        return self._shapes is not None and self._shapes in self._viewer.layers

    def frame(self, layer: Labels, pixels: np.ndarray) -> None:
        """Put the frame round pixels ``(n, ndim)`` of a layer; away if there are none.

        Of a nucleus that reaches through several planes, the plane shown counts.
        """
        self._frame = None
        if len(pixels):
            axes = [i for i in self._displayed(layer) if i >= 0]
            plane = pixels[len(pixels) // 2]
            low, high = pixels.min(axis=0), pixels.max(axis=0)
            size = float(np.max((high - low)[axes], initial=0)) + 1
            self._width = max(0.5, _WIDTH * size)
            corners = np.tile(plane.astype(float), (4, 1))
            margin = 0.5 + _MARGIN * size + self._width
            if len(axes) == 2:
                first, second = axes
                corners[:, first] = np.array([low, low, high, high])[:, first]
                corners[:, second] = np.array([low, high, high, low])[:, second]
                corners[:, first] += margin * np.array([-1, -1, 1, 1])
                corners[:, second] += margin * np.array([-1, 1, 1, -1])
                self._frame = corners
        self._show(layer, None)

    def stroke(self, layer: Labels, points: Sequence[np.ndarray]) -> None:
        """Show a stroke through points ``(ndim,)`` of a layer, as it is drawn."""
        self._show(layer, np.array(points) if len(points) > 1 else None)

    def _displayed(self, layer: Labels) -> list[int]:
        """Return which of a layer's axes are on the screen, in 2D."""
        dims = self._viewer.dims
        return [axis - (dims.ndim - layer.ndim) for axis in dims.displayed]

    def _show(self, layer: Labels, stroke: np.ndarray | None) -> None:
        wanted = [(self._frame, "polygon"), (stroke, "path")]
        shapes = [(data, kind) for data, kind in wanted if data is not None]
        if not shapes and not self.is_there:
            return
        if not self.is_there or self._of is not layer:
            self.remove()
            active = self._viewer.layers.selection.active
            self._shapes = self._viewer.add_shapes(
                ndim=layer.ndim,
                name="Nucleus under review",
                metadata={MARK: True},
                **placement(layer),
            )
            self._shapes.editable = False
            self._of = layer
            self._viewer.layers.selection.active = active
        assert self._shapes is not None
        self._shapes.data = []
        for data, kind in shapes:
            self._shapes.add(data, shape_type=kind, edge_width=self._width, **_LOOKS)

    def clear(self) -> None:
        """Take frame and stroke away."""
        self._frame = None
        if self._of is not None:
            self._show(self._of, None)

    def remove(self) -> None:
        """Remove the layer, if it is there."""
        if self.is_there:
            self._viewer.layers.remove(self._shapes)
        self._shapes = self._of = None
