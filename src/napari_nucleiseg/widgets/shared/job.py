"""Run a core function off the GUI thread, with progress and cancelling."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari.qt.threading import WorkerBase, WorkerBaseSignals
from qtpy.QtCore import Signal

from napari_nucleiseg.core.monitor import Cancelled, Monitor, Progress

#: Progress is shown at most this often, seconds.
INTERVAL = 0.05


class _JobSignals(WorkerBaseSignals):
    progressed = Signal(object)  # a Progress
    cancelled = Signal()  # ended because it was asked to


class Job(WorkerBase):
    """A piece of core work in a thread of its own.

    Exactly one of ``returned``, ``errored`` and ``cancelled`` is emitted at the end,
    then ``finished``. napari asks every worker to quit when it closes, and waits: a
    job stops at its next tile.

    Parameters
    ----------
    work : callable
        Given the job as its monitor; what it returns is emitted with ``returned``.
        It must not touch a layer or a control.
    """

    def __init__(self, work: Callable[[Monitor], Any]) -> None:
        super().__init__(SignalsClass=_JobSignals)
        self._work = work
        self._last: tuple[str, float] = ("", 0.0)

    def work(self) -> Any:
        """Run; called by superqt in the thread."""
        try:
            result = self._work(self)
        except Cancelled:
            self.quit()
            result = None
        except RuntimeError as e:
            # superqt takes a RuntimeError for a deleted widget and goes silent.
            raise JobError(str(e)) from e
        if self.abort_requested:
            self.cancelled.emit()
        return result

    def report(self, progress: Progress) -> None:
        """Pass progress on to the GUI thread, not more often than it can be seen."""
        now = time.monotonic()
        stage, last = self._last
        if progress.stage == stage and now - last < INTERVAL:
            return
        self._last = (progress.stage, now)
        self.progressed.emit(progress)

    def should_stop(self) -> bool:
        """Return whether the job was asked to stop."""
        return bool(self.abort_requested)


class JobError(Exception):
    """What a RuntimeError in a job is reported as."""
