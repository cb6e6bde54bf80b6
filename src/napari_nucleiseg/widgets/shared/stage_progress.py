"""Progress of a job: the stage, a bar, and the time left."""

from __future__ import annotations

import time
from dataclasses import replace

from magicgui.widgets import Container, Label, ProgressBar
from qtpy.QtCore import QTimer

from napari_nucleiseg.core.monitor import Progress, TimeLeft

#: Between two reports the bar moves on so often, milliseconds.
MOVE_MS = 400

#: Parts of a bar over all stages.
_PARTS = 10_000

#: How soon the first report is expected, seconds, and what it will bring of the whole.
_FIRST, _FIRST_STEP = 10.0, 0.03


class StageProgress(Container):
    """A bar, and under it the stage's name and the time left; hidden when idle.

    A bar over all stages moves on between two reports, at the pace of those before and
    ever more slowly, but never as far as the next one is expected to bring it.
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
        self._timer = QTimer(self.native)
        self._timer.setInterval(MOVE_MS)
        self._timer.timeout.connect(self._move)
        self._begin()

    def _begin(self) -> None:
        self._left = TimeLeft()
        self._progress: Progress | None = None
        self._at, self._pace, self._step = time.monotonic(), _FIRST, _FIRST_STEP
        self._shown = 0.0

    def show_progress(self, progress: Progress | None) -> None:
        """Show progress, or hide when the job is over."""
        self.visible = progress is not None
        before, self._progress = self._progress, progress
        if progress is None:
            self._timer.stop()
            self._begin()
        elif progress.whole is None:
            self._timer.stop()
            self.bar.max = progress.total
            self.bar.value = progress.done
            self._tell(progress)
        else:
            now = time.monotonic()
            if before is None or not before.whole:
                # What was done already tells nothing of the pace.
                self._at, self._left = now, TimeLeft()
            elif progress.whole > before.whole:
                # The mean, since several blocks may be ready at once.
                self._step += (progress.whole - before.whole - self._step) / 2
                self._pace += (now - self._at - self._pace) / 2
                self._at = now
            self._timer.start()
            self._move()

    def _move(self) -> None:
        progress = self._progress
        if progress is None or progress.whole is None:
            return
        waited = (time.monotonic() - self._at) / max(self._pace, 1e-3)
        ahead = min(self._step, 1 - progress.whole) * waited / (1 + waited)
        self._shown = max(self._shown, progress.whole + ahead)
        self.bar.max = _PARTS
        self.bar.value = int(_PARTS * min(self._shown, 1.0))
        self._tell(replace(progress, whole=min(self._shown, 1.0)))

    def _tell(self, progress: Progress) -> None:
        left = self._left.of(progress)
        self.say(f"{progress.stage}: {left} left" if left else f"{progress.stage} …")

    def say(self, text: str) -> None:
        """Show a text instead of the stage."""
        self.line.value = text
