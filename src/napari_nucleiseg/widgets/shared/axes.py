"""The control that shows the axes of an image layer, and lets them be changed."""

from __future__ import annotations

from magicgui.widgets import LineEdit
from napari.layers import Image

from napari_nucleiseg.widgets.shared.layers import (
    ChannelChoice,
    channel_choices,
    layer_axes,
)

_TIP = (
    "The image's axes, one letter each, such as TCYX: Y and X for rows and columns, C "
    "for channels, S for the colours of an RGB image, and any other letter, such as T "
    "or Z, for planes that are segmented separately."
)


class AxesEdit(LineEdit):
    """The axes of a layer, as its names or its file say, or as the user has set them.

    A form calls `follow` when another layer is chosen and offers the `choices` then and
    whenever the text has `changed`. Where there are none, `error` says why.
    """

    def __init__(self) -> None:
        super().__init__(name="axes", label="Axes", tooltip=_TIP)
        self._layer: Image | None = None
        self._set: dict[str, str] = {}  # by the user, for each layer
        self.changed.connect(self._on_changed)

    def follow(self, layer: Image | None) -> None:
        """Show the axes of a layer; hidden if it is a single plane."""
        self._layer = layer
        needed = layer is not None and layer.ndim > 2
        if layer is not None:
            key = str(layer.unique_id)
            with self.changed.blocked():
                self.value = self._set.get(key) or layer_axes(layer)
        self.visible = needed

    def _on_changed(self, text: str) -> None:
        if self._layer is not None:
            self._set[str(self._layer.unique_id)] = text

    @property
    def error(self) -> str:
        """Why the layer cannot have these axes; empty if it can."""
        try:
            self._read()
        except ValueError as e:
            return str(e)
        return ""

    def choices(self) -> list[ChannelChoice]:
        """Return the ways to read the layer with these axes, the first one first."""
        return [] if self.error else self._read()

    def _read(self) -> list[ChannelChoice]:
        return [] if self._layer is None else channel_choices(self._layer, self.value)
