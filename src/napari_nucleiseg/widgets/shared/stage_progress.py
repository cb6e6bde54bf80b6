"""Progress of a job: the stage, a bar, and the time left."""

from __future__ import annotations

from magicgui.widgets import Container, Label, ProgressBar

from napari_nucleiseg.core.monitor import Progress, TimeLeft


class StageProgress(Container):
    """A bar, and under it the stage's name and the time left; hidden when idle."""

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
        self._left = TimeLeft()

    def show_progress(self, progress: Progress | None) -> None:
        """Show progress, or hide when the job is over."""
        self.visible = progress is not None
        if progress is None:
            self._left = TimeLeft()
            return
        left = self._left.of(progress)
        self.say(f"{progress.stage}: {left} left" if left else f"{progress.stage} …")
        self.bar.max = progress.total
        self.bar.value = progress.done

    def say(self, text: str) -> None:
        """Show a text instead of the stage."""
        self.line.value = text
