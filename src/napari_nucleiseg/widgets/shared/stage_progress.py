"""How far a piece of work is, and how long it will take."""

from __future__ import annotations

import time

from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_nucleiseg.core.monitor import Progress
from napari_nucleiseg.widgets.shared.controls import duration


class StageProgress(QWidget):
    """A bar, and under it the stage's name and the time left; hidden when idle."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.line = QLabel()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.bar)
        column.addWidget(self.line)
        # The stage, when it began, and how much of it was done by then.
        self._stage, self._start, self._first = "", 0.0, 0
        self.hide()

    def show_progress(self, progress: Progress | None) -> None:
        """Show where the work stands, or nothing when it is over."""
        self.setVisible(progress is not None)
        if progress is None:
            self._stage = ""
            return
        if progress.stage != self._stage:
            self._stage, self._start = progress.stage, time.monotonic()
            self._first = progress.done
        text = f"{progress.stage} …"
        done = progress.done - self._first
        elapsed = time.monotonic() - self._start
        if progress.total and done > 0 and elapsed > 0.5:
            left = elapsed / done * (progress.total - progress.done)
            text = f"{progress.stage}: {duration(left)} left"
        self.line.setText(text)
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
