"""One press of Train: a training in a process of its own, and how it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from qtpy.QtCore import QObject, Signal

from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.training.outcome import TrainOutcome
from napari_nucleiseg.training.process import (
    TrainingKilled,
    TrainingProcess,
    explain,
)
from napari_nucleiseg.training.run_folder import RunFolder
from napari_nucleiseg.widgets.shared.job import Job


class TrainRun(QObject):
    """A training, from preparing its images to its end.

    Exactly one of ``learnt``, ``failed`` and ``thrown_away`` is emitted at the end,
    unless it is let go: then none is.

    Parameters
    ----------
    prepare : callable
        Given a monitor, returns the run's folder with all that it needs; called in
        another thread, so it must not touch a layer or a control.
    """

    prepared = Signal(object)  # the RunFolder
    progressed = Signal(object)  # a Progress
    learnt = Signal(object, str)  # a TrainOutcome, and the name of its model
    failed = Signal(str)  # what to say
    thrown_away = Signal()

    def __init__(self, prepare: Callable[[Monitor], RunFolder]) -> None:
        super().__init__()
        self.folder: RunFolder | None = None
        self.process: TrainingProcess | None = None
        self._prepare = prepare
        self._stopping = self._cancelled = self._released = self._go_on = False
        self._job: Job | None = Job(self._work)

    @property
    def is_running(self) -> bool:
        """Whether it has neither ended nor been let go."""
        return self._job is not None

    def start(self) -> None:
        """Begin; everything after is told by the signals."""
        job = self._job
        assert job is not None
        job.progressed.connect(self._on_progress)
        job.returned.connect(self._on_returned)
        job.errored.connect(self._on_errored)
        job.start()

    def stop(self) -> None:
        """Stop it, keeping the best epoch so far."""
        self._stopping = True
        if self.process is not None:
            self.process.stop()

    def cancel(self) -> None:
        """Stop it at once, and discard it."""
        self._cancelled = True
        if self.process is not None:
            self.process.kill()

    def let_go(self, *, go_on: bool = False) -> None:
        """Leave it to itself: it goes on to its end, or stops and keeps the best."""
        self._released, self._go_on = True, go_on
        if self.process is not None:
            self.process.let_go(go_on=go_on)
        if self._job is not None:
            self._job.quit()
            self._job = self.process = None

    def _work(self, monitor: Monitor) -> TrainOutcome | None:
        monitor.report(Progress("Preparing the images", 0, 0))
        self.folder = folder = self._prepare(monitor)
        self.prepared.emit(folder)
        if self._released and not self._go_on:
            folder.release()
            folder.discard_if_empty()
            return None
        self.process = process = TrainingProcess(folder)
        # What was asked for while there was no process yet.
        if self._cancelled:
            process.kill()
        elif self._released:
            process.let_go(go_on=self._go_on)
        elif self._stopping:
            process.stop()
        return process.wait(monitor)

    def _on_progress(self, progress: Progress) -> None:
        if self.is_running:
            self.progressed.emit(progress)

    def _on_returned(self, outcome: TrainOutcome | None) -> None:
        self._finish(outcome, None)

    def _on_errored(self, error: Exception) -> None:
        self._finish(None, error)

    def _finish(self, outcome: TrainOutcome | None, error: Exception | None) -> None:
        if not self.is_running:
            return
        self._job = self.process = None
        folder = self.folder
        if self._cancelled:
            try:
                if folder is not None:
                    folder.discard()
            except (OSError, ValueError) as e:
                self.failed.emit(_describe(e))
                return
            self.thrown_away.emit()
        elif error is not None:
            if folder is not None:
                folder.release()
                with contextlib.suppress(OSError, ValueError):
                    folder.discard_if_empty()
            self.failed.emit(_describe(error))
        elif outcome is not None and folder is not None:
            name = outcome.folder.name if outcome.kept else folder.output.name
            self.learnt.emit(outcome, name)


def _describe(error: Exception) -> str:
    text = explain(error)
    return text if isinstance(error, TrainingKilled) else f"Stopped: {text}"
