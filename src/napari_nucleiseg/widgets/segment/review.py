"""Review labels by confidence: the uncertain nuclei first."""

from __future__ import annotations

import functools
import itertools
import math
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.widgets.shared.controls import unwrapped
from napari_nucleiseg.widgets.shared.layers import full_data

if TYPE_CHECKING:
    import napari

#: The key for the next uncertain nucleus. napari 0.9 leaves it free for every layer.
KEY = "N"

#: Colours run from this confidence, and all below, to 1: most nuclei lie in between.
UNSURE = 0.5

#: A nucleus that is gone to takes up this part of the canvas, along its longer side.
FILL = 0.2

_NO_LABELS = "Segment an image first: its nuclei come with a confidence."
_NO_CONFIDENCE = "These labels have no confidence: only those from Segment do."
_COLOUR_TIP = (
    "Paint each nucleus by how sure the model is of it, from bright (unsure) to dark "
    "(sure). Nuclei painted by hand are white. Untick it for the previous colours."
)


class ReviewPanel(QWidget):
    """Colour nuclei by confidence, and go from one uncertain nucleus to the next.

    To be put into another widget. It works on one labels layer, whose ``features``
    need the columns ``index`` (the label) and ``confidence`` (0–1).

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose camera is moved. The key `KEY` is bound in it until the panel
        goes, unless something else has taken it already.
    parent : QWidget, optional
        See Qt.
    """

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._layer: Labels | None = None
        self._former: Any = None
        self._listener = self._on_features_changed
        # Labels and confidences, the least confident first, and how many were shown.
        self._labels: np.ndarray = np.empty(0, np.int64)
        self._confidence: np.ndarray = np.empty(0)
        self._shown = 0
        self._make_controls()
        key_is_free = self._bind_key()
        keys = f" Key: {KEY}." if key_is_free else ""
        self._next_tip = f"Go to the nucleus that the model is least sure of.{keys}"
        if key_is_free:
            self.next_button.setText(f"Next uncertain nucleus ({KEY})")
        self.set_layer(None)

    def _make_controls(self) -> None:
        self.colour_box = QCheckBox("Colour by confidence")
        self.colour_box.setObjectName("colour_box")
        self.colour_box.toggled.connect(self._on_colour_toggled)
        self.legend = _make_legend()
        self.legend.hide()
        self.next_button = QPushButton("Next uncertain nucleus")
        self.next_button.setObjectName("next_button")
        self.next_button.clicked.connect(self.next_uncertain)
        self.place_line = QLabel()
        self.place_line.setWordWrap(True)
        self.place_line.setObjectName("place_line")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            self.colour_box,
            self.legend,
            self.next_button,
            self.place_line,
        ):
            layout.addWidget(widget)

    def _bind_key(self) -> bool:
        panel = weakref.ref(self)

        def on_key_pressed(_viewer: Any) -> None:
            alive = panel()
            if alive is not None:
                alive.next_uncertain()

        try:
            self.viewer.bind_key(KEY, on_key_pressed)
        except ValueError:  # someone else's
            on_key_pressed = None  # type: ignore[assignment]
        # The viewer and the layer outlive the panel: let go of them without holding
        # on to a widget that Qt has deleted.
        self.destroyed.connect(
            functools.partial(
                _let_go, unwrapped(self.viewer), on_key_pressed, self.__dict__
            )
        )
        return on_key_pressed is not None

    # ---- the layer -----------------------------------------------------------------

    def set_layer(self, layer: Labels | None) -> None:
        """Work on a labels layer from now on, or on none.

        The former layer gets its own colours back; ticked, the new one is coloured.

        Parameters
        ----------
        layer : napari.layers.Labels or None
            The same layer again is read again.
        """
        if layer is None or self._layer is None or layer != self._layer:
            self._restore_colours()
            self._stop_listening()
            self._layer = unwrapped(layer)
            self._labels, self._confidence = np.empty(0, np.int64), np.empty(0)
            if layer is not None:
                layer.events.features.connect(self._listener)
        self._on_features_changed()

    def _stop_listening(self) -> None:
        if self._layer is not None:
            self._layer.events.features.disconnect(self._listener)

    def _on_features_changed(self, event: Any = None) -> None:
        labels, confidence = _ranking(self._layer)
        if not (
            np.array_equal(labels, self._labels)
            and np.array_equal(confidence, self._confidence)
        ):
            self._shown = 0
            self.place_line.clear()
        self._labels, self._confidence = labels, confidence
        reason = _NO_LABELS if self._layer is None else _NO_CONFIDENCE
        if self._layer is not None and "confidence" in self._layer.features:
            reason = "There are no nuclei to review."
        possible = labels.size > 0
        self.colour_box.setEnabled(possible)
        self.colour_box.setToolTip(_COLOUR_TIP if possible else reason)
        self.next_button.setEnabled(possible)
        self.next_button.setToolTip(self._next_tip if possible else reason)
        if not possible:
            self._shown = 0
            self.place_line.clear()
        self._colour()

    # ---- colours ---------------------------------------------------------------------

    def _on_colour_toggled(self, ticked: bool) -> None:
        self.legend.setVisible(ticked)
        self._colour()

    def _colour(self) -> None:
        """Give the layer the colours it should have just now."""
        if not (self.colour_box.isChecked() and self._labels.size):
            self._restore_colours()
            return
        layer = self._layer
        assert layer is not None
        if self._former is None:
            self._former = layer.colormap
        colours = _colours(self._confidence)
        table: dict[int | None, Any] = {None: "white", 0: "transparent"}
        table.update(zip(self._labels.tolist(), colours, strict=True))
        layer.colormap = DirectLabelColormap(color_dict=table)

    def _restore_colours(self) -> None:
        if self._former is not None and self._layer is not None:
            self._layer.colormap = self._former
        self._former = None

    # ---- going from nucleus to nucleus -----------------------------------------------

    def next_uncertain(self) -> None:
        """Go to the least confident nucleus not yet shown; after the last, start over.

        Nuclei that were erased since are passed over.
        """
        layer = self._layer
        if layer is None or not self._labels.size:
            return
        if layer not in self.viewer.layers:
            self.set_layer(None)
            return
        if self._shown >= self._labels.size:
            self._shown = 0
        data = np.asarray(full_data(layer))
        for rank in range(self._shown, self._labels.size):
            label = int(self._labels[rank])
            pixels = np.nonzero(data == label)
            if pixels[0].size:
                break
        else:
            self._shown = self._labels.size
            self.place_line.setText("No uncertain nucleus is left.")
            return
        self._shown = rank + 1
        layer.visible = True
        layer.selected_label = label
        self.viewer.layers.selection.active = layer
        _look_at(self.viewer, layer, np.stack(pixels, axis=-1))
        last = " That was the last." if self._shown == self._labels.size else ""
        self.place_line.setText(
            f"{self._shown} of {self._labels.size}, confidence "
            f"{self._confidence[rank]:.2f}.{last}"
        )


def _ranking(layer: Labels | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer's labels and their confidence, the least confident first."""
    if layer is None or not {"index", "confidence"} <= set(layer.features.columns):
        return np.empty(0, np.int64), np.empty(0)
    table = layer.features[["index", "confidence"]].dropna()
    table = table[table["index"] > 0].sort_values("confidence", kind="stable")
    return table["index"].to_numpy(np.int64), table["confidence"].to_numpy(float)


def _look_at(viewer: napari.Viewer, layer: Labels, pixels: np.ndarray) -> None:
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


def _colours(confidence: np.ndarray) -> np.ndarray:
    """Return ``(n, 4)`` RGBA in 0–1: bright is unsure; colour-blind people can tell."""
    doubt = np.clip((1 - confidence) / (1 - UNSURE), 0, 1)
    # The darkest quarter of the scale would not show on black.
    return ensure_colormap("viridis").map(0.25 + 0.75 * doubt)


def _make_legend() -> QWidget:
    colours = _colours(np.linspace(UNSURE, 1, 128))
    bytes_ = np.ascontiguousarray((255 * colours[None, :, :3]).round().astype(np.uint8))
    image = QImage(bytes_.data, 128, 1, 3 * 128, QImage.Format.Format_RGB888)
    bar = QLabel()
    bar.setPixmap(QPixmap.fromImage(image.copy()))
    bar.setScaledContents(True)
    bar.setFixedHeight(12)
    bar.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    legend = QWidget()
    row = QHBoxLayout(legend)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(QLabel(f"{UNSURE} or less"))
    row.addWidget(bar, 1)
    row.addWidget(QLabel("1"))
    return legend


def _let_go(
    viewer: napari.Viewer,
    on_key_pressed: Callable | None,
    state: dict[str, Any],
    *_: Any,
) -> None:
    """Unbind the key and leave the layer of a panel that is gone."""
    if on_key_pressed is not None:
        unbound = viewer.bind_key(KEY, None)
        if unbound is not None and unbound != on_key_pressed:
            viewer.bind_key(KEY, unbound)  # someone else took it over since
    layer, former = state.get("_layer"), state.get("_former")
    if layer is not None:
        layer.events.features.disconnect(state["_listener"])
        if former is not None:
            layer.colormap = former
