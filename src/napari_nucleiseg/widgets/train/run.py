"""One press of Train: a training in a process of its own, and how it ends."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Signal

from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.training.process import Result, TrainingKilled, TrainingProcess
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
    learnt = Signal(object, str)  # a Result, and the name of its model
    failed = Signal(str)  # what to say
    thrown_away = Signal()

    def __init__(self, prepare: Callable[[Monitor], RunFolder]) -> None:
        super().__init__()
        self.folder: RunFolder | None = None
        self.process: TrainingProcess | None = None
        self._prepare = prepare
        self._stopping = self._cancelled = False
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
        """End it, keeping the best so far."""
        self._stopping = True
        if self.process is not None:
            self.process.stop()

    def cancel(self) -> None:
        """End it at once, and throw it away."""
        self._cancelled = True
        if self.process is not None:
            self.process.kill()

    def let_go(self) -> None:
        """Leave it to itself: it stops, keeps the best, and ends."""
        if self.process is not None:
            self.process.let_go()
        if self._job is not None:
            self._job.quit()
            self._end()

    def _work(self, monitor: Monitor) -> Result | None:
        monitor.report(Progress("Preparing the images", 0, 0))
        self.folder = folder = self._prepare(monitor)
        self.prepared.emit(folder)
        self.process = process = TrainingProcess(folder)
        # What was asked for while there was no process yet.
        if self._cancelled:
            process.kill()
        elif self._stopping:
            process.stop()
        return process.wait(monitor)

    def _end(self) -> None:
        self._job = self.process = None

    def _on_progress(self, progress: Progress) -> None:
        if self.is_running:
            self.progressed.emit(progress)

    def _on_returned(self, result: Result | None) -> None:
        if not self.is_running:
            return
        self._end()
        if self._cancelled:
            self._throw_away()
        elif result is not None and self.folder is not None:
            self.learnt.emit(result, self.folder.output.name)

    def _on_errored(self, error: Exception) -> None:
        if not self.is_running:
            return
        self._end()
        if self._cancelled:
            self._throw_away()
            return
        folder = self.folder
        if (
            folder is not None
            and folder.exists
            and not (folder.can_resume or folder.has_model)
        ):
            folder.discard()  # nothing was learnt yet
        self.failed.emit(_describe(error))

    def _throw_away(self) -> None:
        if self.folder is not None:
            self.folder.discard()
        self.thrown_away.emit()


def _describe(error: Exception) -> str:
    """Return what to say of a training that failed."""
    text = str(error) or type(error).__name__
    if isinstance(error, MemoryError):
        text = f"There is not enough memory for these images. {error}"
    return text if isinstance(error, TrainingKilled) else f"Stopped: {text}"
