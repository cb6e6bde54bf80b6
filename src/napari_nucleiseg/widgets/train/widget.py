"""The Train widget."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.training.outcome import TrainOutcome
from napari_nucleiseg.training.process import TrainingProcess
from napari_nucleiseg.training.run_folder import RunFolder
from napari_nucleiseg.widgets.shared.controls import (
    MessageLine,
    Shell,
    explain,
    one_shot,
    unwrapped,
)
from napari_nucleiseg.widgets.shared.docks import bring_forward, main_window
from napari_nucleiseg.widgets.shared.leaving import Leaving
from napari_nucleiseg.widgets.train.closing import CloseGuard
from napari_nucleiseg.widgets.train.filling import FillPanel
from napari_nucleiseg.widgets.train.form import TrainForm, folded
from napari_nucleiseg.widgets.train.models_panel import ModelsPanel
from napari_nucleiseg.widgets.train.preparing import prepare_run
from napari_nucleiseg.widgets.train.questions import may_learn, may_take_long
from napari_nucleiseg.widgets.train.run import TrainRun
from napari_nucleiseg.widgets.train.view import (
    Curves,
    Picture,
    TrainProgress,
    VerdictTable,
)
from napari_nucleiseg.widgets.train.waiting import Entry, WaitingPanel

if TYPE_CHECKING:
    import napari

_TRAIN_TIP = "Train a model on these labels, in the background."


class TrainWidget(Shell):
    """Choose images and labels, press Train, and keep the model if it is better.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    """

    TABBED = True

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(width=340)
        self.viewer = unwrapped(napari_viewer)
        self._run: TrainRun | None = None
        self._rows: list[dict[str, float]] = []
        self._gone = False
        self._new_model = ""
        self._make_controls()
        self._lay_out()
        self._connect()
        self._update()

    # ---- building ----------------------------------------------------------------

    def _make_controls(self) -> None:
        self.form = TrainForm(self.viewer)
        self.train_button = QPushButton("Train")
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip(
            "Stop the training, and keep the best epoch so far."
        )
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip(
            "End the training at once, and discard what it has learnt."
        )
        self.progress = TrainProgress()
        self.message_line = MessageLine("message_line")
        self.segment_button = QPushButton("Segment with it")
        self.segment_button.setToolTip(
            "Open the Segment widget with the new model chosen."
        )
        self.filling = FillPanel(self, self.form)
        self.waiting = WaitingPanel()
        self.curves = Curves()
        self.picture = Picture()
        self.verdict = VerdictTable()
        self.models_panel = ModelsPanel()
        self._looked_for: QWidget = self.curves
        # When it has found its place.
        self._look_down = one_shot(
            self, 100, lambda: self.ensureWidgetVisible(self._looked_for)
        )

    def _lay_out(self) -> None:
        self.my_models = folded("My models", self.models_panel)
        buttons = QWidget()
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        for button in (self.train_button, self.stop_button, self.cancel_button):
            row.addWidget(button, 1)
        self.fill(
            (
                self.form,
                buttons,
                self.filling,
                self.progress,
                self.message_line,
                self.segment_button,
                self.waiting,
                self.verdict,
                self.curves,
                self.picture,
                self.my_models,
            ),
            *self.form.parts,
        )
        for widget in (
            self.curves,
            self.picture,
            self.verdict,
            self.message_line,
            self.segment_button,
        ):
            widget.hide()

    def _connect(self) -> None:
        self.form.changed.connect(self._update)
        self.train_button.clicked.connect(self.train)
        self.stop_button.clicked.connect(self.stop)
        self.cancel_button.clicked.connect(self.cancel)
        self.segment_button.clicked.connect(self.segment_with_it)
        self.filling.said.connect(self._say)
        self.waiting.resumed.connect(self.resume)
        self.waiting.settled.connect(self._on_settled)
        self.waiting.ended.connect(self._on_models_changed)
        self.waiting.looked_at.connect(self._on_looked_at)
        self.models_panel.changed.connect(self._on_models_changed)
        self._guard = CloseGuard(self)
        Leaving(self).do(functools.partial(_let_go, self.__dict__))

    def showEvent(self, event: Any) -> None:
        """Offer the layers, and watch the window's closing, once there is a window."""
        super().showEvent(event)
        self.reset_choices()
        self._guard.attach()

    def reset_choices(self, *_: object) -> None:
        """Offer the layers there are now; called by napari when they change."""
        if not self._gone:
            self.form.sources.reset_choices()

    # ---- what can be done --------------------------------------------------------

    @property
    def is_training(self) -> bool:
        """Whether a training is being prepared, or under way."""
        return self._run is not None and self._run.is_running

    @property
    def process(self) -> TrainingProcess | None:
        """The process that trains, once there is one."""
        return None if self._run is None else self._run.process

    def _reason(self) -> str:
        """Say why Train cannot be pressed, or nothing."""
        return self.form.reason()

    def _update(self) -> None:
        training = self.is_training
        self.waiting.refresh(busy=training)
        reason = "" if training else self._reason()
        self.train_button.setVisible(not training)
        self.train_button.setEnabled(not reason)
        self.train_button.setToolTip(reason or _TRAIN_TIP)
        self.filling.refresh()
        self.stop_button.setVisible(training)
        self.cancel_button.setVisible(training)
        self.form.setEnabled(not training)

    def _on_settled(self, text: str, kept: str) -> None:
        """Show what was done with a training that waited."""
        self._run = None
        self._offer(kept)
        self._on_models_changed()
        self._on_looked_at(self.waiting.entry, True)
        if text:
            self._say(text)

    # ---- training ----------------------------------------------------------------

    def train(self) -> None:
        """Start the training that the form asks for."""
        if self.is_training or self._reason():
            return
        if not (may_learn(self, self.form) and may_take_long(self, self.form)):
            return
        plan = self.form.plan()
        self._rows = []
        self._start(lambda monitor: prepare_run(plan))

    def resume(self, run: RunFolder) -> None:
        """Continue a training that was interrupted."""
        if self.is_training or not run.can_resume:
            return
        try:
            self._rows = list(run.load()[0].history)
        except (OSError, ValueError) as e:
            self._say(f"It cannot be resumed: {explain(e)}")
            return
        self._start(lambda monitor: run)

    def _start(self, prepare: Callable[[Monitor], RunFolder]) -> None:
        self.message_line.hide()
        self._offer("")
        self.filling.offer(None)
        self.verdict.hide()
        self.curves.show_rows(self._rows)
        self.curves.setVisible(bool(self._rows))
        self.picture.hide()
        run = self._run = TrainRun(prepare)
        run.prepared.connect(self._on_prepared)
        run.progressed.connect(self._on_progress)
        run.learnt.connect(self._on_learnt)
        run.failed.connect(self._on_failed)
        run.thrown_away.connect(self._on_thrown_away)
        self.progress.begin()
        run.start()
        self._update()

    def stop(self) -> None:
        """Stop the training, keeping the best epoch so far."""
        if self._run is not None and self.is_training:
            self.stop_button.setEnabled(False)
            self.progress.hold("Stopping; the best so far is kept …")
            self._run.stop()

    def cancel(self) -> None:
        """End the training at once, and discard it."""
        if self._run is not None and self.is_training:
            self.progress.hold("Cancelling …")
            self._run.cancel()

    def let_go(self, *, go_on: bool = False) -> None:
        """Leave the training to itself: it goes on, or stops and keeps the best."""
        if self._run is not None and self.is_training:
            self._run.let_go(go_on=go_on)
            self._show_ended()

    def _on_looked_at(self, entry: Entry | None, by_hand: bool) -> None:
        """Show what there is to see of a training that waits, or is under way."""
        if self.is_training or (self._run is not None and not by_hand):
            return  # what this widget's own training gave stays
        rows = entry.rows if entry else []
        self.curves.show_rows(rows)
        self.curves.setVisible(bool(rows))
        picture = entry.picture if entry else None
        if picture is not None:
            self.picture.show_file(picture)
        self.picture.setVisible(picture is not None)
        verdict = entry.verdict if entry else None
        if entry is not None and verdict is not None:
            self.verdict.show_verdict(verdict, entry.name)
        self.verdict.setVisible(verdict is not None)

    def _on_prepared(self, folder: RunFolder) -> None:
        if self.is_training and folder.exists:
            self.progress.take_order(folder)

    def _on_progress(self, progress: Progress) -> None:
        if progress.stage == "Epoch":
            self._rows.append(dict(progress.metrics))
            self.curves.show_rows(self._rows)
            if not self.curves.isVisibleTo(self):
                self.curves.show()
                self._scroll_to(self.curves)
            if self._run is not None and self._run.folder is not None:
                self.picture.show_file(self._run.folder.picture)
                self.picture.show()
        self.progress.show_progress(progress)

    # ---- endings -----------------------------------------------------------------

    def _show_ended(self) -> None:
        self.form.free_name()
        self.stop_button.setEnabled(True)
        self.progress.show_progress(None)
        self._update()

    def _scroll_to(self, part: QWidget) -> None:
        self._looked_for = part
        self._look_down.start()

    def _say(self, text: str) -> None:
        self.message_line.setText(text)
        self.message_line.show()
        self._update()

    def _on_learnt(self, outcome: TrainOutcome, name: str) -> None:
        self._show_ended()
        self.verdict.show_verdict(outcome.verdict, name)
        self.verdict.show()
        self.picture.show_file(outcome.picture)
        self._offer(name if outcome.kept else "")
        epochs = f"{outcome.epochs} epoch{'' if outcome.epochs == 1 else 's'}"
        text = f"Trained for {epochs}; the best was epoch {outcome.best_epoch}. "
        if outcome.problem:
            text += f"It ended early: {outcome.problem} "
        text += outcome.ending
        if outcome.kept:
            self._on_models_changed()
        self._say(text)
        self._scroll_to(self.verdict)
        # It passes, and is short: the sentence is in the dock.
        show_info(f"{name}: {outcome.verdict.word}")

    def _offer(self, name: str) -> None:
        """Offer to segment with a new model, or no longer if it has no name."""
        self._new_model = name
        self.segment_button.setVisible(bool(name))

    def segment_with_it(self) -> None:
        """Open the Segment widget, or bring it forward, with the new model chosen."""
        if not _segment_widgets(self):
            self.viewer.window.add_plugin_dock_widget(
                "napari-nucleiseg", "Segment nuclei"
            )
        for widget in _segment_widgets(self)[:1]:
            widget.refresh_models()
            index = widget.model_box.findText(self._new_model)
            widget.model_box.setCurrentIndex(index)
            bring_forward(widget)

    def _on_failed(self, text: str) -> None:
        self._show_ended()
        self._say(text)
        show_error(f"Train a nuclei model. {text}")

    def _on_thrown_away(self) -> None:
        self._show_ended()
        self.curves.hide()
        self.picture.hide()
        self._say("Cancelled; nothing was kept, and nothing was changed.")

    def _on_models_changed(self, renamed: Mapping[str, str] | None = None) -> None:
        self.form.refresh_models(renamed)
        self.models_panel.refresh()
        for widget in _segment_widgets(self):
            widget.refresh_models()
        self._update()


def _segment_widgets(widget: QWidget) -> list[Any]:
    """Return the segment widgets that are open beside a widget."""
    from napari_nucleiseg.widgets.segment.widget import SegmentWidget

    window = main_window(widget)
    return [] if window is None else list(window.findChildren(SegmentWidget))


def _let_go(state: dict[str, Any]) -> None:
    """Leave the layers alone, and a training to itself to end well."""
    state["_gone"] = True
    form = state["form"]
    form.sources.unwatch()
    run = state["_run"]
    if run is not None:
        run.let_go()
    if form.check_job is not None:
        form.check_job.quit()
