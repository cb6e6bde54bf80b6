"""A dock with a button that starts a job, its progress, and what came of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QPushButton

from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.widgets.shared.controls import (
    MessageLine,
    Shell,
    explain,
    one_shot,
    quoted,
    unwrapped,
)
from napari_nucleiseg.widgets.shared.job import Job
from napari_nucleiseg.widgets.shared.leaving import Leaving
from napari_nucleiseg.widgets.shared.stage_progress import StageProgress

if TYPE_CHECKING:
    import napari


#: A job that was asked to stop is waited for so long, milliseconds: a tile of the
#: network cannot be interrupted, and may take longer.
LET_GO_MS = 1500


@dataclass(frozen=True, eq=False)
class _Task:
    job: Job
    done: Callable[[Any], None]
    layers: Sequence[Layer]
    quiet: bool
    bar: bool
    cancelled: str


class JobShell(Shell):
    """What the docks share that work in the background when a button is pressed.

    A dock has one job at a time, and its button cancels the job while it runs. A
    subclass lays out ``run_button``, ``progress`` and ``result_line``, and says in
    `run` what is done and in `why_not` why it cannot be.

    Parameters
    ----------
    viewer : napari.Viewer
        Given by napari.
    title : str
        The dock's, which notifications begin with.
    button : str
        What the button says.
    tip : str
        Its tooltip.
    """

    #: For `_show_reason`; made by the docks that have it.
    reason_line: MessageLine

    #: What the button says while a job is under way, its tooltip, and what came of it.
    STOP = ("Cancel", "Stop; nothing is changed.", "Cancelled; nothing was changed.")
    #: Whether a job that is slow to stop is left to end by itself, unheard.
    LETS_GO = False

    def __init__(
        self, viewer: napari.Viewer, *, title: str, button: str, tip: str
    ) -> None:
        super().__init__(width=350)
        self.viewer = unwrapped(viewer)
        self._title, self._button, self._tip = title, button, tip
        self._task: _Task | None = None
        self._closed = self._stopping = False
        self.run_button = QPushButton(button)
        self.run_button.setObjectName("run_button")
        self.progress = StageProgress()
        self.result_line = MessageLine("result_line")
        self.run_button.clicked.connect(self._on_run_clicked)
        leaving = Leaving(self)
        leaving.do(functools.partial(_end, self.__dict__))
        self._listen = leaving.listen
        self._listen(self.viewer.layers.events.removed, self._on_layer_removed)

    # ---- for a subclass to say ----------------------------------------------------

    def why_not(self) -> str:
        """Return why the button cannot be pressed; empty if it can."""
        raise NotImplementedError

    def run(self) -> None:
        """Do what the button says, by `_start`."""
        raise NotImplementedError

    def _say(self, text: str) -> None:
        """Say what came of a press."""
        self.result_line.setText(text)

    def _on_ended(self) -> None:
        """React to a job's end, before its result is handed over."""

    # ---- the button ---------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether a job is under way."""
        return self._task is not None

    @property
    def is_busy(self) -> bool:
        """Whether a job is under way that the user has started by the button."""
        return self._task is not None and not self._task.quiet

    def _show_reason(self) -> None:
        """Say above the button why it cannot be pressed, where a dock has the line."""
        reason = self.why_not()
        self.reason_line.setText(reason)
        self.reason_line.setVisible(bool(reason))
        self._update_button()

    def _update_button(self) -> None:
        reason = "" if self.is_busy else self.why_not()
        text, tip = self._button, reason or self._tip
        if self.is_busy:
            text, tip, _ = self.STOP
        self.run_button.setText(text)
        self.run_button.setEnabled(not reason)
        self.run_button.setToolTip(tip)

    def _on_run_clicked(self) -> None:
        if self.is_busy:
            self.cancel()
        else:
            self.run()

    # ---- the job ------------------------------------------------------------------

    def _start(
        self,
        work: Callable[[Monitor], Any],
        done: Callable[[Any], None],
        *,
        layers: Sequence[Layer],
        quiet: bool = False,
        bar: bool = False,
        cancelled: str = "",
    ) -> None:
        """Start a job; one that is under way is not waited for any more.

        Parameters
        ----------
        work : callable
            See `Job`.
        done : callable
            Called with what it returns.
        layers : sequence of Layer
            What it is about: if one is removed, the job stops.
        quiet : bool
            Whether it shows no progress, and the button stays as it is.
        bar : bool
            Whether a quiet one shows its progress all the same.
        cancelled : str
            What is said when the user has stopped it, if not what `STOP` says.
        """
        if self._task is not None:
            self._task.job.quit()
        self._stopping = False
        job = Job(work)
        self._task = _Task(job, done, layers, quiet, bar, cancelled)
        job.progressed.connect(self._on_progress)
        job.returned.connect(self._on_returned)
        job.errored.connect(self._on_errored)
        job.cancelled.connect(self._on_cancelled)
        self._update_button()
        if not quiet:
            self.result_line.clear()
            self.progress.show_progress(Progress("Starting", 0, 0))
        job.start()

    def cancel(self) -> None:
        """Ask what is running to stop; it does so at its next step."""
        task = self._task
        if task is not None:
            task.job.quit()
            self._stopping = True
            self.progress.show_progress(Progress("Stopping", 0, 0))
            if self.LETS_GO:
                let_go = functools.partial(self._let_go_of, task)
                one_shot(self, LET_GO_MS, let_go).start()

    def _let_go_of(self, task: _Task) -> None:
        """Wait no more for a task that is slow to stop; nobody hears of its end."""
        if self._task is task:
            self._on_stopped(task)

    def _on_stopped(self, task: _Task) -> None:
        self._end()
        if not task.quiet:
            self._say(task.cancelled or self.STOP[2])

    def _current(self) -> _Task | None:
        """Return the task that sent a signal; None if it is not waited for any more."""
        task = self._task
        return task if task and self.sender() is task.job.signals else None

    def _end(self) -> None:
        self._task = None
        self.progress.show_progress(None)
        self._update_button()
        self._on_ended()

    def _on_progress(self, progress: Progress) -> None:
        task = self._current()
        if task is None or self._stopping:
            return
        if task.bar or not task.quiet:
            self.progress.show_progress(progress)

    def _on_returned(self, result: Any) -> None:
        task = self._current()
        if task is not None:
            self._end()
            task.done(result)

    def _on_errored(self, error: Exception) -> None:
        if self._current() is not None:
            self._end()
            self._fail(explain(error))

    def _on_cancelled(self) -> None:
        task = self._current()
        if task is not None:
            self._on_stopped(task)

    def _fail(self, text: str) -> None:
        """Say what went wrong, in the widget and in a notification, which passes."""
        self._say(text)
        show_error(f"{self._title}: {text}")

    def _on_layer_removed(self, event: Any) -> None:
        task = self._task
        if task is not None and event.value in task.layers:
            task.job.quit()
            self._end()
            self._say(f"Stopped: the layer {quoted(event.value.name)} was removed.")

    def closeEvent(self, event: Any) -> None:
        """Stop what is running when the widget is closed."""
        self._closed = True
        self.cancel()
        super().closeEvent(event)


def _end(state: dict[str, Any]) -> None:
    """Stop the job of a widget that is gone."""
    state["_closed"] = True
    if state["_task"] is not None:
        state["_task"].job.quit()
