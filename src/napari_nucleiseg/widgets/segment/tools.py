"""Tools that correct nuclei: buttons, keys and the mouse on the canvas."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QVBoxLayout, QWidget

from napari_nucleiseg.widgets.segment.corrector import Corrector
from napari_nucleiseg.widgets.segment.keys import bind_keys, key_text
from napari_nucleiseg.widgets.segment.mark import Mark
from napari_nucleiseg.widgets.shared.controls import MessageLine, unwrapped

if TYPE_CHECKING:
    import napari

#: Method and key, text and tooltip of each button. napari 0.9 leaves these keys free
#: for labels, images and the viewer.
BUTTONS = (
    (
        "accept",
        "A",
        "Accept",
        "Note that this nucleus is right: it stays as it is when you segment again. "
        "Press it again to take that back.",
    ),
    ("delete", "Delete", "Delete", "Delete this nucleus."),
    ("merge", "J", "Merge", "Join this nucleus with the next one you click."),
    ("split", "S", "Split", "Draw a line across a nucleus: it is split there."),
    (
        "split_by_maps",
        "K",
        "Split by maps",
        "Split this nucleus where the network saw a border, with a higher separation "
        "than that of the others.",
    ),
    (
        "draw",
        "D",
        "Draw",
        "Click a nucleus that was missed, or draw its outline. Press it again when you "
        "are done.",
    ),
)

#: Tools that wait for the mouse, and what to do with it.
_TOOLS = {
    "merge": "Click the nucleus to merge with nucleus {label}.",
    "split": "Draw a line across the nucleus to split.",
    "draw": "Click a nucleus that was missed, or draw its outline.",
}

#: A press that moves less than this is a click, pixels of the screen.
_STILL = 4

_DISCARD_TIP = (
    "Replace every correction by what the model found. Undo (Ctrl+Z) brings the "
    "corrections back."
)


class CorrectionTools(QWidget):
    """Corrects the nuclei of one labels layer.

    A click on a nucleus, with napari's pan and zoom tool, makes it the one to correct.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose mouse is listened to, and whose keys are bound, until Qt deletes this.
    mark : Mark
        Shows strokes while they are drawn.

    Attributes
    ----------
    current : int
        The nucleus to correct; 0 for none.
    """

    #: Emitted with the label of a nucleus that was clicked, or made.
    chosen = Signal(int)
    #: Emitted when every correction is to be replaced by what the model found.
    discarded = Signal()

    def __init__(self, viewer: napari.Viewer, mark: Mark) -> None:
        super().__init__()
        self._viewer, self._mark = unwrapped(viewer), mark
        self._layer: Labels | None = None
        self._tool = ""
        self.current = 0
        self.message_line = MessageLine("correction_line")
        self.discard_button = QPushButton("Discard corrections")
        self.discard_button.setObjectName("discard_button")
        self.discard_button.setToolTip(_DISCARD_TIP)
        self.discard_button.clicked.connect(self.discarded)
        self.buttons: dict[str, QPushButton] = {}
        free = bind_keys(viewer, self, {key: name for name, key, _, _ in BUTTONS})
        grid = QGridLayout()
        for number, (name, key, text, tip) in enumerate(BUTTONS):
            button = self.buttons[name] = QPushButton(text)
            button.setObjectName(f"{name}_button")
            button.setCheckable(name in _TOOLS)
            button.setToolTip(tip)
            if key in free:
                button.setText(f"{text} ({key_text(key)})")
            button.clicked.connect(functools.partial(self._press, name))
            grid.addWidget(button, number // 2, number % 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(grid)
        column.addWidget(self.message_line)
        column.addWidget(self.discard_button)
        self._listen()

    def _listen(self) -> None:
        owner = weakref.ref(self)

        def on_drag(_viewer: Any, event: Any) -> Iterator[None]:
            alive = owner()
            if alive is not None:
                yield from alive._on_drag(event)

        callbacks = self._viewer.mouse_drag_callbacks
        callbacks.append(on_drag)
        self.destroyed.connect(lambda: callbacks.remove(on_drag))

    def set_layer(self, layer: Labels | None) -> None:
        """Correct a labels layer from now on, or none."""
        if layer is not self._layer:
            self.use("")
            self.message_line.clear()
        self._layer, self.current = layer, 0
        self.refresh()

    def refresh(self) -> None:
        """Offer what can be done just now."""
        self.setEnabled(self._layer is not None)
        watch = None if self._layer is None else self._corrector().watch
        self.discard_button.setVisible(watch is not None and watch.table.edited)

    def _corrector(self) -> Corrector:
        assert self._layer is not None
        return Corrector(self._viewer, self._layer)

    # ---- what the buttons and keys do ----------------------------------------------

    def _press(self, name: str, *_: object) -> None:
        getattr(self, name)()

    def accept(self) -> None:
        """Note that the nucleus is right, or take that back."""
        self._correct(lambda it: it.accept(self.current))

    def delete(self) -> None:
        """Delete the nucleus."""
        self._correct(lambda it: it.delete(self.current))

    def split_by_maps(self) -> None:
        """Split the nucleus where the network's maps do."""
        self._correct(lambda it: it.split_by_maps(self.current))

    def merge(self) -> None:
        """Wait for the nucleus to merge with; pressed again, do not."""
        self.use("merge" if self._tool != "merge" and self.current else "")
        if not self.current:
            self.message_line.setText("Click a nucleus first, or go to one.")

    def split(self) -> None:
        """Wait for a line across a nucleus; pressed again, do not."""
        self.use("split" if self._tool != "split" else "")

    def draw(self) -> None:
        """Wait for outlines and clicks, until it is pressed again."""
        self.use("draw" if self._tool != "draw" else "")

    def use(self, tool: str) -> None:
        """Give the mouse a tool, or none."""
        layer = self._layer
        if layer is None or layer not in self._viewer.layers:
            tool = ""
        if tool or self._tool:
            text = _TOOLS.get(tool, "").format(label=self.current)
            self.message_line.setText(text)
        if tool and layer is not None:
            layer.mode = "pan_zoom"
            self._viewer.layers.selection.active = layer
        if tool or self._tool:
            # A stroke is drawn, and does not move the image.
            self._viewer.scene.camera.mouse_pan = tool not in ("split", "draw")
        self._tool = tool
        for name in _TOOLS:
            self.buttons[name].setChecked(name == tool)

    def _correct(self, correction: Callable[[Corrector], object]) -> object:
        """Correct the layer; say why that cannot be, and return None."""
        if self._layer is None or self._layer not in self._viewer.layers:
            return None
        corrector = self._corrector()
        try:
            done = correction(corrector)
        except ValueError as e:
            self.message_line.setText(str(e))
            return None
        self.message_line.clear()
        if corrector.watch is not None:
            corrector.watch.update()
        return True if done is None else done

    # ---- the mouse -------------------------------------------------------------------

    def _on_drag(self, event: Any) -> Iterator[None]:
        layer = self._layer
        if layer is None or not self._takes_mouse(event):
            return
        camera, start = self._viewer.scene.camera, np.array(event.position)
        points, moved = [np.array(layer.world_to_data(event.position))], 0.0
        yield
        # The last one is where the button was let go: moves may be left out.
        held = True
        while held:
            held = event.type == "mouse_move"
            step = np.array(event.position) - start
            moved = max(moved, float(np.hypot(*step[-2:])) * camera.zoom)
            points.append(np.array(layer.world_to_data(event.position)))
            if held:
                if self._tool in ("split", "draw"):
                    self._mark.stroke(layer, points)
                yield
        self._mark.stroke(layer, [])
        if moved < _STILL:
            self._on_clicked(points[0])
        elif self._tool == "split":
            line, current = np.array(points), self.current
            label = self._correct(lambda it: it.split_along(line, current))
            if isinstance(label, int):
                self.use("")
                self.chosen.emit(label)
        elif self._tool == "draw":
            outline = np.array(points)
            self._on_drawn(self._correct(lambda it: it.draw(outline)))

    def _takes_mouse(self, event: Any) -> bool:
        """Whether a press is for this panel, and not for a tool of napari's own."""
        active = self._viewer.layers.selection.active
        idle = isinstance(active, Image | Labels) and active.mode == "pan_zoom"
        flat = self._viewer.dims.ndisplay == 2
        visible = self.isVisible() and self._layer in self._viewer.layers
        return event.button == 1 and not event.modifiers and idle and flat and visible

    def _on_clicked(self, point: np.ndarray) -> None:
        layer = self._layer
        assert layer is not None
        label = self._corrector().label_at(point)
        if self._tool == "draw":
            self._on_drawn(self._correct(lambda it: it.draw_basin(point)))
        elif self._tool == "merge":
            first = self.current
            if label and self._correct(lambda it: it.merge(first, label)):
                self.use("")
                self.chosen.emit(first)
        elif label and not self._tool:
            self.chosen.emit(label)
            self.message_line.clear()

    def _on_drawn(self, label: object) -> None:
        if isinstance(label, int):
            self.chosen.emit(label)
