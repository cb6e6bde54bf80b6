"""A question in the panel: what is to become of labels that were edited by hand."""

from __future__ import annotations

from collections.abc import Callable

from napari.layers import Image, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout

from napari_nucleiseg.widgets.shared.controls import MessageLine, quoted


class EditsQuestion(QFrame):
    """Asks whether to keep edits or to start over; hidden until there is need.

    It is no dialog, which would stand in the way of looking at what was edited.
    """

    #: Emitted with the image whose labels stay as they are.
    kept = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._image: Image | None = None
        self._start_over: Callable[[], None] = lambda: None
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.line = MessageLine("question_line")
        self.keep_button = QPushButton("Keep my edits")
        self.keep_button.setObjectName("keep_button")
        self.keep_button.setToolTip("Leave the labels as they are.")
        self.over_button = QPushButton("Start over")
        self.over_button.setObjectName("start_over_button")
        self.over_button.setToolTip("Replace the labels, and with them every edit.")
        buttons = QHBoxLayout()
        buttons.addWidget(self.keep_button)
        buttons.addWidget(self.over_button)
        column = QVBoxLayout(self)
        column.addWidget(self.line)
        column.addLayout(buttons)
        self.keep_button.clicked.connect(self._on_keep_clicked)
        self.over_button.clicked.connect(self._on_over_clicked)
        self.hide()

    def ask(self, image: Image, start_over: Callable[[], None]) -> None:
        """Ask about an image's labels.

        Parameters
        ----------
        image : napari.layers.Image
            Whose labels were edited.
        start_over : callable
            Called if they are to be replaced.
        """
        self._image, self._start_over = image, start_over
        self.line.setText(
            f"The labels of {quoted(image.name)} were edited by hand. New ones would "
            "replace the edits."
        )
        self.show()

    def withdraw(self, image: Layer | None) -> None:
        """Ask no longer, if it is this image that was asked about."""
        if self._image is not None and self._image is image:
            self._close()

    def _close(self) -> None:
        self._image, self._start_over = None, lambda: None
        self.hide()

    def _on_keep_clicked(self) -> None:
        image = self._image
        self._close()
        self.kept.emit(image)

    def _on_over_clicked(self) -> None:
        start_over = self._start_over
        self._close()
        start_over()
