"""The labels that a table is of: whether they are still the same, and erasing some."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_nucleiseg.core.segment.planes import from_image_axes, to_image_axes
from napari_nucleiseg.widgets.measure import painting

if TYPE_CHECKING:
    import napari
    import pandas as pd


class LabelsTie:
    """Watches one labels layer while its table is shown, and colours its nuclei.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : napari.layers.Labels
        The layer.
    on_changed : callable
        Called without arguments when the labels are not what they were.
    """

    def __init__(
        self, viewer: napari.Viewer, layer: Labels, on_changed: Callable[[], None]
    ) -> None:
        self.viewer, self.layer = viewer, layer
        self._on_changed = on_changed
        self._painter = painting.Painter(layer)
        self._own_doing = self._changed = False
        self._point = viewer.dims.point
        self._checksum = _checksum(layer)
        for event in self._edits:
            event.connect(self._on_edited)

    @property
    def _edits(self) -> tuple[Any, ...]:
        events = self.layer.events
        return (events.paint, events.data, events.set_data)

    def leave(self) -> None:
        """Give the layer its own colours back, and watch it no longer."""
        for event in self._edits:
            event.disconnect(self._on_edited)
        self._painter.restore()

    def paint(self, table: pd.DataFrame, column: str, selected: np.ndarray) -> None:
        """Colour the nuclei by a column of the table, and bring out selected rows."""
        shares = painting.shares_of(table, column) if column in table else None
        self._own_doing = True
        try:
            self._painter.paint(table["label"].to_numpy(), shares, selected)
        finally:
            self._own_doing = False

    def erase(self, rows: pd.DataFrame, planes: list[str]) -> None:
        """Erase nuclei from the layer, so that napari's undo brings them back.

        Parameters
        ----------
        rows : pandas.DataFrame
            Theirs in the table.
        planes : list of str
            Columns that say in which plane a nucleus lies.

        Raises
        ------
        ValueError
            If the labels are not in memory.
        """
        layer = self.layer
        if not isinstance(layer.data, np.ndarray):
            raise ValueError("These labels cannot be edited: they are not in memory.")
        axes = painting.data_axes(layer)
        named = axes[0].isalpha()
        data = from_image_axes(layer.data, axes) if named else layer.data
        gone = np.zeros(data.shape, bool)
        places = rows[planes].to_numpy(int)
        for plane in np.unique(places, axis=0):
            at = tuple(plane.tolist())
            labels = rows["label"][(places == plane).all(axis=1)]
            gone[at] = np.isin(data[at], labels)
        where = np.nonzero(to_image_axes(gone, axes) if named else gone)
        self._own_doing = True
        try:
            layer.data_setitem(where, 0)
        finally:
            self._own_doing = False
        self._checksum = _checksum(layer)

    def _on_edited(self, _: object = None) -> None:
        """Notice edits. Undoing only draws the layer anew, and so do sliders."""
        point = self.viewer.dims.point
        moved, self._point = point != self._point, point
        if moved or self._own_doing or self._changed:
            return
        if _checksum(self.layer) != self._checksum:
            self._changed = True
            self._on_changed()


def _checksum(layer: Labels) -> int:
    """Return a number that changes with the labels; 0 if they are not in memory."""
    data = layer.data
    return (
        zlib.crc32(np.ascontiguousarray(data).data)
        if isinstance(data, np.ndarray)
        else 0
    )
