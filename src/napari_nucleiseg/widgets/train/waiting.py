"""Trainings besides the one of this widget: elsewhere, interrupted, or ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from magicgui.widgets import Container
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_nucleiseg.models.registry import (
    REPORT_FOLDER,
    Model,
    list_models,
    models_folder,
)
from napari_nucleiseg.models.verdict import Verdict
from napari_nucleiseg.training.outcome import is_unseen, mark_seen
from napari_nucleiseg.training.report import panels_path
from napari_nucleiseg.training.run_folder import RunFolder
from napari_nucleiseg.training.runs import list_runs, sweep_runs
from napari_nucleiseg.widgets.shared.controls import (
    MessageLine,
    NarrowBox,
    explain,
    one_shot,
    quoted,
)

#: How often a training that is under way elsewhere is looked at, milliseconds.
LOOK_MS = 3000


@dataclass(frozen=True)
class Entry:
    """One training that is there besides the widget's own.

    Parameters
    ----------
    name : str
        Of its model.
    run : RunFolder or None
        Its folder; None if its model is among the user's own.
    owner : str
        Who is at it; empty if nobody is.
    model : Model or None
        The model that came of it, if nobody was told yet.
    """

    name: str
    run: RunFolder | None
    owner: str = ""
    model: Model | None = None

    @property
    def state(self) -> tuple[object, ...]:
        """What changes when there is something new to say of it."""
        run = self.run
        return self.name, self.owner, run is None, run is not None and run.has_model

    @property
    def rows(self) -> list[dict[str, float]]:
        """Its epochs, for the curves."""
        if self.run is not None:
            return self.run.history
        history = self.model.card.training.get("history") if self.model else None
        return list(history or [])

    @property
    def verdict(self) -> Verdict | None:
        """What is known of how good it is."""
        if self.run is not None:
            return self.run.verdict
        return self.model.card.verdict if self.model else None

    @property
    def picture(self) -> Path | None:
        """What its network found on the validation set, if that was drawn."""
        report = self.model.folder / REPORT_FOLDER if self.model else None
        path = self.run.picture if self.run else None
        if report is not None and self.model is not None:
            path = panels_path(report, self.model.card.training.get("best_epoch", 0))
        return path if path is not None and path.is_file() else None

    @property
    def text(self) -> str:
        """What it is, in words."""
        name, run = quoted(self.name), self.run
        if run is None:
            return (
                f"{name} was trained to its end while no window showed it, and is "
                "among your models."
            )
        if self.owner:
            return f"{name} is being trained in {self.owner}."
        if run.has_model:
            return (
                f"The training of {name} has ended. The model waits here, and is not "
                "among your models."
            )
        return (
            f"The training of {name} was interrupted. It is saved up to its last full "
            "epoch."
        )


def list_entries() -> list[Entry]:
    """Return what there is to be shown, what can be done something about first."""
    begun = list_runs(models_folder())
    runs = [Entry(run.output.name, run, run.owner) for run in begun]
    unseen = [
        Entry(model.card.name, None, "", model)
        for model in list_models()
        if not model.built_in and is_unseen(model.folder)
    ]
    return sorted([*unseen, *runs], key=lambda entry: bool(entry.owner))


class WaitingPanel(QWidget):
    """Says what waits, and offers to resume, keep or discard it; else it is hidden.

    A training that another process is at is only named, and can be looked at.
    """

    #: To be resumed; the run.
    resumed = Signal(object)
    #: Settled, with what happened in words, and the model that was kept, if one was.
    settled = Signal(str, str)
    #: A training elsewhere has begun or ended; there may be a new model.
    ended = Signal()
    #: To be shown: an Entry, or None where there is nothing any more; and whether the
    #: user has chosen it.
    looked_at = Signal(object, bool)

    def __init__(self) -> None:
        super().__init__()
        self.entry: Entry | None = None
        self._state: tuple[object, ...] | None = None
        self.box = NarrowBox(
            label="Earlier trainings",
            tooltip="Trainings that wait for you, or are under way elsewhere.",
        )
        self._choice = Container(widgets=[self.box])
        self._choice.margins = (0, 0, 0, 0)
        self.line = MessageLine("waiting_line")
        self.resume_button = QPushButton("Resume")
        self.resume_button.setToolTip("Continue from the last epoch that was saved.")
        self.keep_button = QPushButton("Keep it")
        self.keep_button.setToolTip("Put the new model among your own models.")
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("Delete this training and its result.")
        self.seen_button = QPushButton("Close")
        self.seen_button.setToolTip("Show this no more. The model stays.")
        row = QHBoxLayout()
        for button in (
            self.resume_button,
            self.keep_button,
            self.discard_button,
            self.seen_button,
        ):
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._choice.native)
        column.addWidget(self.line)
        column.addLayout(row)
        self.box.changed.connect(self._on_chosen)
        self.resume_button.clicked.connect(self._on_resume_clicked)
        self.keep_button.clicked.connect(self.keep)
        self.discard_button.clicked.connect(self.discard)
        self.seen_button.clicked.connect(self.close_entry)
        self._look = one_shot(self, LOOK_MS, self._on_look_again)
        self._entries: list[Entry] = []
        sweep_runs(models_folder())
        self.refresh(busy=False)

    @property
    def run(self) -> RunFolder | None:
        """The training that is shown, if something can be done about it."""
        entry = self.entry
        return None if entry is None or entry.owner else entry.run

    def refresh(self, *, busy: bool) -> None:
        """Look again what waits; while a training is under way here, nothing does."""
        self._entries = [] if busy else list_entries()
        shown = self.entry and self.entry.name
        same = [entry for entry in self._entries if entry.name == shown]
        first = self._entries[0] if self._entries else None
        chosen = same[0] if same else first
        self.box.offer([(entry.name, entry) for entry in self._entries], chosen)
        self._choice.visible = len(self._entries) > 1
        if any(entry.owner for entry in self._entries):
            self._look.start()
        self._show(chosen)

    def _on_chosen(self, entry: Entry) -> None:
        self._show(entry)
        self.looked_at.emit(entry, True)

    def _show(self, entry: Entry | None) -> None:
        before, self._state = self._state, entry.state if entry else None
        self.entry = entry
        self.setVisible(entry is not None)
        self.line.setText(entry.text if entry else "")
        run = self.run
        self.resume_button.setVisible(run is not None and run.can_resume)
        self.keep_button.setVisible(run is not None and run.has_model)
        self.discard_button.setVisible(run is not None)
        self.seen_button.setVisible(entry is not None and entry.run is None)
        if self._state != before:
            self.looked_at.emit(entry, False)

    def _on_look_again(self) -> None:
        before = [(entry.name, entry.owner) for entry in self._entries]
        if before == [(entry.name, entry.owner) for entry in list_entries()]:
            if self.entry is not None and self.entry.owner:
                self.looked_at.emit(self.entry, False)
            self._look.start()
        else:
            self.ended.emit()

    def _on_resume_clicked(self) -> None:
        if self.run is not None:
            self.resumed.emit(self.run)

    def keep(self) -> None:
        """Put the model that waits among the user's own."""
        run = self.run
        if run is None or not run.has_model:
            return
        try:
            folder = run.accept()
        except (OSError, ValueError) as e:
            self.settled.emit(f"It could not be kept: {explain(e)}", "")
            return
        text = f"{quoted(folder.name)} is now among your models."
        self.settled.emit(text, folder.name)

    def discard(self) -> None:
        """Delete the training that waits."""
        if self.run is None:
            return
        name = quoted(self.run.output.name)
        try:
            self.run.discard()
        except (OSError, ValueError) as e:
            self.settled.emit(f"{name} could not be discarded: {explain(e)}", "")
            return
        self.settled.emit(f"The training of {name} was discarded.", "")

    def close_entry(self) -> None:
        """Show a training that has ended no more."""
        if self.entry is not None and self.entry.model is not None:
            try:
                mark_seen(self.entry.model.folder)
            except OSError as e:
                self.settled.emit(explain(e), "")
                return
            self.settled.emit("", self.entry.name)
