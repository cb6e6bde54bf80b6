"""Progress of a job: the stage, a bar, how long it has run, and the time left."""

from __future__ import annotations

import time
from dataclasses import replace

from magicgui.widgets import Container, Label, ProgressBar
from qtpy.QtCore import Qt, QTimer

from napari_nucleiseg.core.monitor import Progress, TimeLeft

#: Between two reports the bar and the clock move on so often, milliseconds.
MOVE_MS = 100

#: The timer may be so much too early, seconds: a second is over all the same.
_EARLY = 0.05

#: Parts of a bar over all stages.
_PARTS = 10_000

#: How soon the first report is expected, seconds, and what it will bring of the whole.
_FIRST, _FIRST_STEP = 10.0, 0.03


class StageProgress(Container):
    """A bar, and under it the stage, the time so far and the time left.

    Hidden when idle. A bar over all stages moves on between two reports, at the pace of
    those before and ever more slowly, but never as far as the next one is expected to
    bring it. The time so far moves on every second, whatever the job is at.
    """

    bar: ProgressBar
    line: Label

    def __init__(self) -> None:
        super().__init__(
            widgets=[ProgressBar(name="bar"), Label(name="line")],
            labels=False,
            visible=False,
        )
        self.margins = (0, 0, 0, 0)
        self.bar.native.setTextVisible(False)
        self.line.tooltip = "How long it has taken, and about how long it still will."
        self._timer = QTimer(self.native)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(MOVE_MS)
        self._timer.timeout.connect(self._move)
        self._begin()

    def _begin(self) -> None:
        self._left = TimeLeft()
        self._progress: Progress | None = None
        self._at, self._pace, self._step = time.monotonic(), _FIRST, _FIRST_STEP
        self._shown = 0.0
        self._start = time.monotonic()
        # The stage and the second of what the line says.
        self._written: tuple[str, int] = ("", 0)

    def show_progress(self, progress: Progress | None) -> None:
        """Show progress, or hide when the job is over."""
        self.visible = progress is not None
        before, self._progress = self._progress, progress
        if progress is None:
            self._timer.stop()
            self._begin()
            return
        now = time.monotonic()
        if before is None:
            self._start = now
            self._timer.start()
        if progress.whole is not None:
            if before is None or not before.whole:
                # What was done already tells nothing of the pace.
                self._at, self._left = now, TimeLeft()
            elif progress.whole > before.whole:
                # The mean, since several blocks may be ready at once.
                self._step += (progress.whole - before.whole - self._step) / 2
                self._pace += (now - self._at - self._pace) / 2
                self._at = now
        self._move()

    def _move(self) -> None:
        progress = self._progress
        if progress is None:
            return
        if progress.whole is None:
            self.bar.max, self.bar.value = progress.total, progress.done
            self._tell(progress)
            return
        waited = (time.monotonic() - self._at) / max(self._pace, 1e-3)
        ahead = min(self._step, 1 - progress.whole) * waited / (1 + waited)
        self._shown = max(self._shown, progress.whole + ahead)
        self.bar.max = _PARTS
        self.bar.value = int(_PARTS * min(self._shown, 1.0))
        self._tell(replace(progress, whole=min(self._shown, 1.0)))

    def _tell(self, progress: Progress) -> None:
        gone = int(time.monotonic() - self._start + _EARLY)
        if self._written == (progress.stage, gone):
            return
        self._written = progress.stage, gone
        left = self._left.of(progress)
        parts = [clock(gone)] if gone else []
        parts += [f"{left} left"] if left else []
        text = f": {', '.join(parts)}" if parts else ""
        self.line.value = f"{progress.stage}{text}{'' if left else ' …'}"


def clock(seconds: int) -> str:
    """Return a time as minutes and seconds, with hours where there are any."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"
