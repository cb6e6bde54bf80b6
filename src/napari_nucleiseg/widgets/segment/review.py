"""Look through nuclei, the uncertain ones first, and correct them."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.widgets.segment.colours import ConfidenceColours, make_legend
from napari_nucleiseg.widgets.segment.corrector import Corrector
from napari_nucleiseg.widgets.segment.edits import BY_HAND
from napari_nucleiseg.widgets.segment.keys import bind_keys, key_text
from napari_nucleiseg.widgets.segment.mark import Mark
from napari_nucleiseg.widgets.segment.tools import CorrectionTools
from napari_nucleiseg.widgets.shared.camera import look_at
from napari_nucleiseg.widgets.shared.controls import MessageLine, one_shot, unwrapped
from napari_nucleiseg.widgets.shared.leaving import Leaving

if TYPE_CHECKING:
    import napari

#: Keys, and what they do. napari 0.9 leaves them free for labels and the viewer.
KEYS = {"N": "next_uncertain", "Shift-N": "previous", "U": "toggle_outlines"}

#: The width of the contours when outlines are shown, pixels.
_CONTOUR = 2

_NO_LABELS = "Segment an image first: its nuclei come with a confidence."
_NO_CONFIDENCE = "These labels have no confidence: only those from Segment do."
_COLOUR_TIP = (
    "Colour each nucleus by the model's confidence, from bright (uncertain) to dark "
    "(certain). Nuclei drawn by hand are white."
)
_NEXT_TIP = "Go to the nucleus with the lowest confidence not looked at yet."


class ReviewPanel(QWidget):
    """Go from one uncertain nucleus to the next, and correct what is wrong.

    To be put into another widget. It works on one labels layer, whose ``features``
    need the columns ``index`` (the label) and ``confidence`` (0–1). A click on a
    nucleus, with napari's pan and zoom tool, makes it the one that is corrected.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose camera is moved, and in which `KEYS` are bound until the panel
        goes, unless something else has taken them already.
    parent : QWidget, optional
        See Qt.
    """

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._layer: Labels | None = None
        self._colours, self._mark = ConfidenceColours(), Mark(unwrapped(viewer))
        self._listener = self._on_features_changed
        # Labels and confidences, the least confident first.
        self._labels: np.ndarray = np.empty(0, np.int64)
        self._confidence: np.ndarray = np.empty(0)
        # What was looked at, in order, and which of them is looked at now.
        self._looked: list[int] = []
        self._at = -1
        self._make_controls()
        self._lay_out()
        self._away = one_shot(self, 0, self._on_hidden)
        Leaving(self).do(functools.partial(_leave_layer, self.__dict__))
        self.set_layer(None)

    # ---- building ------------------------------------------------------------------

    def _make_controls(self) -> None:
        free = bind_keys(self.viewer, self, KEYS)
        keys = {
            name: f" ({key_text(key)})" for key, name in KEYS.items() if key in free
        }
        self.colour_box = QCheckBox("Colour by confidence")
        self.colour_box.setObjectName("colour_box")
        self.colour_box.toggled.connect(self._on_colour_toggled)
        self.outline_box = QCheckBox("Outlines" + keys.get("toggle_outlines", ""))
        self.outline_box.setObjectName("outline_box")
        self.outline_box.setToolTip("Show outlines instead of filled nuclei.")
        self.outline_box.toggled.connect(self._show_outlines)
        self.legend = make_legend()
        self.legend.hide()
        self.previous_button = QPushButton("Previous" + keys.get("previous", ""))
        self.previous_button.setObjectName("previous_button")
        self.previous_button.setToolTip("Go back to the nucleus looked at before.")
        self.previous_button.clicked.connect(self.previous)
        self.next_button = QPushButton("Next" + keys.get("next_uncertain", ""))
        self.next_button.setObjectName("next_button")
        self.next_button.clicked.connect(self.next_uncertain)
        self.place_line = MessageLine("place_line")
        self.tools = CorrectionTools(self.viewer, self._mark)
        self.tools.chosen.connect(self._on_chosen)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        looks, ways = QHBoxLayout(), QHBoxLayout()
        for row, first, second in (
            (looks, self.colour_box, self.outline_box),
            (ways, self.previous_button, self.next_button),
        ):
            row.addWidget(first, 1)
            row.addWidget(second, 1)
        layout.addLayout(looks)
        layout.addWidget(self.legend)
        layout.addLayout(ways)
        layout.addWidget(self.place_line)
        layout.addWidget(self.tools)

    def hideEvent(self, event: Any) -> None:
        """Take the mark away with the panel."""
        super().hideEvent(event)
        self._away.start()

    def _on_hidden(self) -> None:
        if not self.isVisible():
            self.tools.use("")
            self._mark.remove()

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
            self._colours.take_off()
            if self._layer is not None:
                self._layer.events.features.disconnect(self._listener)
            self._layer = unwrapped(layer)
            self._labels, self._confidence = np.empty(0, np.int64), np.empty(0)
            self._looked, self._at = [], -1
            self.tools.set_layer(self._layer)
            self._mark.clear()
            self.place_line.clear()
            if layer is not None:
                layer.events.features.connect(self._listener)
                self._show_outlines(self.outline_box.isChecked())
        self._on_features_changed()

    def _on_features_changed(self, event: Any = None) -> None:
        before = dict(zip(self._labels.tolist(), self._confidence, strict=True))
        self._labels, self._confidence = _ranking(self._layer)
        now = dict(zip(self._labels.tolist(), self._confidence, strict=True))
        hand = _by_hand(self._layer)
        current = self.current
        # Numbers of another result are other nuclei.
        self._looked = [
            n for n in self._looked if n in hand or now.get(n, -1) == before.get(n)
        ]
        if current in self._looked:
            self._at = self._looked.index(current)
            if self._mark.is_there and self._layer is not None:
                pixels = Corrector(self.viewer, self._layer).pixels(current)
                self._mark.frame(self._layer, pixels)
            self._show_place()
        elif self._at >= 0:
            self._at = len(self._looked)  # after the last, at none
            self._mark.clear()
            self.place_line.clear()
        self.tools.current = self.current
        self.tools.refresh()
        reason = _NO_LABELS if self._layer is None else _NO_CONFIDENCE
        if self._layer is not None and "confidence" in self._layer.features:
            reason = "There are no nuclei to review."
        possible = self._labels.size > 0
        for control, tip in (
            (self.colour_box, _COLOUR_TIP),
            (self.next_button, _NEXT_TIP),
        ):
            control.setEnabled(possible)
            control.setToolTip(tip if possible else reason)
        self._colour()

    # ---- looks -----------------------------------------------------------------------

    def _on_colour_toggled(self, ticked: bool) -> None:
        self.legend.setVisible(ticked)
        self._colour()

    def _colour(self) -> None:
        """Give the layer the colours it should have just now."""
        if (
            self._layer is not None
            and self.colour_box.isChecked()
            and self._labels.size
        ):
            self._colours.put_on(self._layer, self._labels, self._confidence)
        else:
            self._colours.take_off()

    def _show_outlines(self, ticked: bool) -> None:
        if self._layer is not None and bool(self._layer.contour) != ticked:
            self._layer.contour = _CONTOUR if ticked else 0

    def toggle_outlines(self) -> None:
        """Show outlines, or filled nuclei again."""
        self.outline_box.toggle()

    # ---- going from nucleus to nucleus -----------------------------------------------

    @property
    def current(self) -> int:
        """The nucleus that is looked at; 0 if there is none."""
        return self._looked[self._at] if 0 <= self._at < len(self._looked) else 0

    def next_uncertain(self) -> None:
        """Go to the least confident nucleus not looked at; after the last, start over.

        Having gone back, go forward again first. Nuclei that were erased are skipped.
        """
        if not self._is_there() or not self._labels.size:
            return
        for at in range(self._at + 1, len(self._looked)):
            if self._go_to(self._looked[at]):
                return
        rest = [n for n in self._labels.tolist() if n not in self._looked]
        if not rest:
            self._looked, self._at = [], -1
            rest = self._labels.tolist()
        if not any(self._go_to(label) for label in rest):
            self.place_line.setText("No uncertain nucleus is left.")

    def previous(self) -> None:
        """Go back to the nucleus looked at before."""
        if self._is_there():
            any(self._go_to(n) for n in reversed(self._looked[: max(self._at, 0)]))

    def _is_there(self) -> bool:
        if self._layer is not None and self._layer not in self.viewer.layers:
            self.set_layer(None)
        return self._layer is not None

    def _go_to(self, label: int, *, move: bool = True) -> bool:
        """Look at a nucleus, and return whether it is there."""
        layer = self._layer
        assert layer is not None
        pixels = Corrector(self.viewer, layer).pixels(label)
        if not len(pixels):
            return False
        if label not in self._looked:
            self._looked.append(label)
        self._at = self._looked.index(label)
        self.tools.current = label
        layer.visible = True
        layer.selected_label = label
        self.viewer.layers.selection.active = layer
        if move:
            look_at(self.viewer, layer, pixels)
        self._mark.frame(layer, pixels)
        self._show_place()
        return True

    def _on_chosen(self, label: int) -> None:
        self._go_to(label, move=False)

    def _show_place(self) -> None:
        """Say which nucleus is looked at."""
        layer, label = self._layer, self.current
        if layer is None or not label:
            return
        table = layer.features.set_index("index")
        row = table.loc[label] if label in table.index else {}
        how = row.get(BY_HAND)
        if not isinstance(how, str):
            how = f"confidence {row.get('confidence', np.nan):.2f}"
        count, total = len(self._looked), len(table)
        last = " That was the last." if count >= total else ""
        self.place_line.setText(
            f"Nucleus {label}: {how}. Looked at {count} of {total}.{last}"
        )


def _ranking(layer: Labels | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer's labels and their confidence, the least confident first."""
    if layer is None or not {"index", "confidence"} <= set(layer.features.columns):
        return np.empty(0, np.int64), np.empty(0)
    table = layer.features[["index", "confidence"]].dropna()
    table = table[table["index"] > 0].sort_values("confidence", kind="stable")
    return table["index"].to_numpy(np.int64), table["confidence"].to_numpy(float)


def _by_hand(layer: Labels | None) -> set[int]:
    """Return the labels that were touched by hand."""
    if layer is None or BY_HAND not in layer.features:
        return set()
    table = layer.features.dropna(subset=[BY_HAND])
    return set(table["index"].tolist())


def _leave_layer(state: dict[str, Any]) -> None:
    """Leave the layer of a panel that is gone."""
    layer = state.get("_layer")
    if layer is not None:
        layer.events.features.disconnect(state["_listener"])
        state["_colours"].take_off()
