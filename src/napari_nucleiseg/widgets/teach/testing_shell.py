"""The part of the Teach widget that has a project test on images of the user's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.widgets.shared.controls import explain
from napari_nucleiseg.widgets.teach.examples import ForeignLabels, add_tests
from napari_nucleiseg.widgets.teach.gathering import base_used, note_test
from napari_nucleiseg.widgets.teach.next_shell import NextShell
from napari_nucleiseg.widgets.train.questions import ask_about_foreign


class TestingShell(NextShell):
    """What adds images to test on, and asks about labels that seem to be of others.

    A subclass sets ``_again`` to what is done anew if such labels are to be used.
    """

    _again: Callable[[], None]

    def judge_on(self, folder: Path | None = None, *, sure: bool = False) -> None:
        """Have the project test on images from now on, and never learn from them.

        Parameters
        ----------
        folder : pathlib.Path, optional
            With images and labels; else it is the image chosen in the list of layers.
        sure : bool
            Whether labels are taken that do not seem to be of their image.
        """
        if self.is_busy:
            return
        try:
            where = folder or note_test(self.viewer)
            project = self.projects.make(base_used(self.viewer))
        except (OSError, ValueError) as e:
            self._fail(explain(e))
            return

        def work(monitor: Monitor) -> None:
            monitor.report(Progress("Reading the images to test on", 0, 0))
            add_tests(project, where, sure=sure)

        self._again = functools.partial(self.judge_on, folder, sure=True)
        self._start(work, self._on_tests_added, layers=[])

    def _on_tests_added(self, _: None) -> None:
        self.projects.tell()
        self._say("The next round is tested on these; nothing is learnt from them.")

    def _on_errored(self, error: Exception) -> None:
        if isinstance(error, ForeignLabels) and self._current() is not None:
            self._end()
            if ask_about_foreign(self, explain(error)):
                self._again()
        else:
            super()._on_errored(error)
