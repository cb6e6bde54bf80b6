"""A training that waits: interrupted, or with a model that was not better."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_nucleiseg.models.registry import models_folder
from napari_nucleiseg.training.run_folder import RunFolder, list_runs


class WaitingPanel(QWidget):
    """Says what waits, and offers to resume, keep or discard it; else it is hidden."""

    #: To be gone on with; the run.
    resumed = Signal(object)
    #: Settled, with what happened in words.
    settled = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.run: RunFolder | None = None
        self.line = QLabel()
        self.line.setWordWrap(True)
        self.resume_button = QPushButton("Resume")
        self.resume_button.setToolTip("Go on from the last epoch that was saved.")
        self.keep_button = QPushButton("Keep it all the same")
        self.keep_button.setToolTip("Put the new model among your own models.")
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("Delete this training and what came of it.")
        row = QHBoxLayout()
        for button in (self.resume_button, self.keep_button, self.discard_button):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.line)
        column.addLayout(row)
        self.resume_button.clicked.connect(self._on_resume_clicked)
        self.keep_button.clicked.connect(self.keep)
        self.discard_button.clicked.connect(self.discard)
        self.refresh(busy=False)

    def refresh(self, *, busy: bool) -> None:
        """Look again what waits; while a training is under way nothing does."""
        runs = [] if busy else list_runs(models_folder())
        self.run = run = runs[0] if runs else None
        self.setVisible(run is not None)
        if run is None:
            return
        self.resume_button.setVisible(run.can_resume)
        self.keep_button.setVisible(run.has_model)
        name = run.output.name
        self.line.setText(
            f"The new model “{name}” was not better than the one it began with, and "
            "was not added to your models."
            if run.has_model
            else f"The training of “{name}” was interrupted. It is saved up to its "
            "last full epoch."
        )

    def _on_resume_clicked(self) -> None:
        if self.run is not None:
            self.resumed.emit(self.run)

    def keep(self) -> None:
        """Keep a model although it is not better."""
        run = self.run
        if run is None or not run.has_model:
            return
        try:
            run.accept()
        except (OSError, ValueError) as e:
            self.settled.emit(f"It could not be kept: {e}")
            return
        self.settled.emit(f"“{run.output.name}” is now among your models.")

    def discard(self) -> None:
        """Throw away the training that waits."""
        if self.run is not None:
            name = self.run.output.name
            self.run.discard()
            self.settled.emit(f"The training of “{name}” was discarded.")
