"""How far a piece of work is, and how long it will take."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_nucleiseg.core.monitor import Progress, TimeLeft


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
        self._left = TimeLeft()
        self.hide()

    def show_progress(self, progress: Progress | None) -> None:
        """Show where the work stands, or nothing when it is over."""
        self.setVisible(progress is not None)
        if progress is None:
            self._left = TimeLeft()
            return
        left = self._left.of(progress)
        text = f"{progress.stage}: {left} left" if left else f"{progress.stage} …"
        self.line.setText(text)
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
