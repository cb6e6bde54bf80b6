"""A round whose training was interrupted: to be resumed, or discarded."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_nucleiseg.training.run_folder import RunFolder
from napari_nucleiseg.widgets.shared.controls import MessageLine
from napari_nucleiseg.widgets.train.view import Curves


class InterruptedPanel(QWidget):
    """Says how far an interrupted round is, and offers to resume or discard it."""

    resumed = Signal()
    discarded = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.line = MessageLine("interrupted_line")
        self.curves = Curves()
        self.resume_button = QPushButton("Resume the round")
        self.resume_button.setToolTip(
            "Go on from the last epoch that was saved, with the examples that there "
            "were then."
        )
        self.discard_button = QPushButton("Discard it")
        self.discard_button.setToolTip(
            "Delete what was trained in this round. The examples stay in the project."
        )
        self.resume_button.clicked.connect(self.resumed)
        self.discard_button.clicked.connect(self.discarded)
        row = QHBoxLayout()
        row.addWidget(self.resume_button)
        row.addWidget(self.discard_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.line, self.curves):
            column.addWidget(widget)
        column.addLayout(row)
        self.tell(None)

    def tell(self, run: RunFolder | None) -> None:
        """Show a round that was interrupted; nothing if there is none."""
        self.setVisible(run is not None)
        if run is None:
            return
        rows = run.history
        text = "The last round was interrupted. It is saved up to its last full epoch."
        if run.verdict is not None:
            text += f"\nSo far: {run.verdict.sentence}"
        self.line.setText(text)
        self.curves.show_rows(rows)
        self.curves.setVisible(bool(rows))
