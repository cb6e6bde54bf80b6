"""The part of a large image that is in view is corrected by hand, and written back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image
from qtpy.QtWidgets import QPushButton

from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.models.correcting import write_part
from napari_nucleiseg.widgets.segment import large, parts
from napari_nucleiseg.widgets.segment.answering import AnsweringShell
from napari_nucleiseg.widgets.segment.places import window_in_view
from napari_nucleiseg.widgets.shared.controls import explain
from napari_nucleiseg.widgets.shared.layers import full_data

if TYPE_CHECKING:
    import napari
    import numpy as np

_CORRECT_TIP = (
    "Open the part of these labels that is in view as a layer in memory, where nuclei "
    "can be reviewed, corrected, drawn and accepted."
)
_WRITE_TIP = (
    "Write these labels into the file they are from, with their table. Nuclei that "
    "reach over the edge of this part stay as they are there."
)


class PartShell(AnsweringShell):
    """A dock that opens parts of large labels, and writes them back.

    A subclass lays out ``correct_button`` and ``write_button``.

    Parameters
    ----------
    viewer, title, button, tip
        See `JobShell`.
    """

    def __init__(
        self, viewer: napari.Viewer, *, title: str, button: str, tip: str
    ) -> None:
        super().__init__(viewer, title=title, button=button, tip=tip)
        self.correct_button = QPushButton("Correct what is in view")
        self.correct_button.setObjectName("correct_button")
        self.correct_button.setToolTip(_CORRECT_TIP)
        self.correct_button.hide()
        self.correct_button.clicked.connect(self._open_part)
        self.write_button = QPushButton("Write corrections back")
        self.write_button.setObjectName("write_button")
        self.write_button.setToolTip(_WRITE_TIP)
        self.write_button.hide()
        self.write_button.clicked.connect(self._write_part)

    def _update_review(self) -> None:
        """Let the chosen image's nuclei be looked through."""
        raise NotImplementedError

    def _update_parts(self) -> None:
        """Offer what can be done just now."""
        image = self.inputs.chosen_layer()
        kept = large.kept_for(self.viewer, image)
        self.correct_button.setVisible(kept is not None and not self.is_busy)
        self.write_button.setVisible(parts.is_part(image) and not self.is_busy)

    def _open_part(self) -> None:
        image = self.inputs.chosen_layer()
        kept = large.kept_for(self.viewer, image)
        if image is None or kept is None or self.is_busy:
            return
        if kept.patched:
            self._say("Press Apply to all first: these values are shown in part only.")
            return
        found, data = kept.found, full_data(image)
        try:
            plane, window = window_in_view(self.viewer, image, found.run.choice)
        except ValueError as e:
            self._say(explain(e))
            return

        def work(monitor: Monitor) -> parts.OpenPart:
            monitor.report(Progress("Reading what is in view", 0, 0))
            return parts.read_open_part(data, found, plane, window)

        def done(opened: parts.OpenPart) -> None:
            layer = parts.add_part(self.viewer, image, found, opened)
            self.inputs.choose(layer)
            choice = self.inputs.chosen_channel()
            parts.add_labels(self.viewer, layer, found, opened, choice)
            parts.hide_whole(self.viewer, image)
            self.inputs.choose(layer)
            self._update_review()
            self._say("Correct these nuclei, then press Write corrections back.")
            self._show_state()

        self._start(work, done, layers=(image,))

    def _write_part(self) -> None:
        layer = self.inputs.chosen_layer()
        if layer is None or not parts.is_part(layer) or self.is_busy:
            return
        try:
            part, labels, about = parts.write_back(self.viewer, layer)
        except ValueError as e:
            self._say(explain(e))
            return

        def work(monitor: Monitor) -> dict[str, np.ndarray]:
            monitor.report(Progress("Writing labels", 0, 0))
            return write_part(part, labels, about)

        def done(table: dict[str, np.ndarray]) -> None:
            image = parts.after_writing(self.viewer, layer, table)
            if isinstance(image, Image):
                self.inputs.choose(image)
            self._update_review()
            self._say(f"The corrections are in {part.result}.")
            self._show_state()

        self._start(work, done, layers=())
