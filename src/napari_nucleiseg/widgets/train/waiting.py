"""Earlier trainings: under way elsewhere, interrupted, or not better than before."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_nucleiseg.models.registry import models_folder
from napari_nucleiseg.training.run_folder import RunFolder, list_runs
from napari_nucleiseg.widgets.shared.controls import MessageLine, explain, one_shot

#: How often a training that is under way elsewhere is looked at, milliseconds.
LOOK_MS = 3000


class WaitingPanel(QWidget):
    """Says what waits, and offers to resume, keep or discard it; else it is hidden.

    A training that another process is at is only named.
    """

    #: To be resumed; the run.
    resumed = Signal(object)
    #: Settled, with what happened in words.
    settled = Signal(str)
    #: A training elsewhere has begun or ended; there may be a new model.
    ended = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.run: RunFolder | None = None
        self.line = MessageLine("waiting_line")
        self.resume_button = QPushButton("Resume")
        self.resume_button.setToolTip("Continue from the last epoch that was saved.")
        self.keep_button = QPushButton("Keep it anyway")
        self.keep_button.setToolTip("Put the new model among your own models.")
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("Delete this training and its result.")
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
        self._look = one_shot(self, LOOK_MS, self._on_look_again)
        self._elsewhere: dict[str, str] = {}
        self.refresh(busy=False)

    def refresh(self, *, busy: bool) -> None:
        """Look again what waits; while a training is under way here, nothing does."""
        runs = [] if busy else list_runs(models_folder())
        owners = {run: run.owner for run in runs}
        free = [run for run, owner in owners.items() if not owner]
        self.run = run = free[0] if free else None
        self._elsewhere = {r.output.name: owner for r, owner in owners.items() if owner}
        lines = [
            f"“{name}” is being trained by {owner}."
            for name, owner in self._elsewhere.items()
        ]
        if lines:
            self._look.start()
        if run is not None:
            lines.append(
                f"The new model “{run.output.name}” was not better than the one it "
                "started from, and was not added to your models."
                if run.has_model
                else f"The training of “{run.output.name}” was interrupted. It is "
                "saved up to its last full epoch."
            )
        self.setVisible(bool(lines))
        self.line.setText("\n".join(lines))
        self.resume_button.setVisible(run is not None and run.can_resume)
        self.keep_button.setVisible(run is not None and run.has_model)
        self.discard_button.setVisible(run is not None)

    def _on_look_again(self) -> None:
        runs = list_runs(models_folder())
        if self._elsewhere == {r.output.name: r.owner for r in runs if r.owner}:
            self._look.start()
        else:
            self.ended.emit()

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
            self.settled.emit(f"It could not be kept: {explain(e)}")
            return
        self.settled.emit(f"“{run.output.name}” is now among your models.")

    def discard(self) -> None:
        """Delete the training that waits."""
        if self.run is None:
            return
        name = self.run.output.name
        try:
            self.run.discard()
        except ValueError as e:
            self.settled.emit(str(e))
            return
        self.settled.emit(f"The training of “{name}” was discarded.")
