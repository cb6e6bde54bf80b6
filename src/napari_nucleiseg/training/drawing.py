"""Draws a training into its report folder, as it goes and at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_nucleiseg.training.report import (
    TensorBoardLog,
    write_history,
    write_panels,
    write_report,
)
from napari_nucleiseg.training.run_folder import RunFolder

if TYPE_CHECKING:
    from napari_nucleiseg.training.loop import TrainResult

#: Curves and pictures are drawn at most this often while training, seconds.
DRAW_EVERY = 4.0


class Drawing:
    """Curves, pictures and logs of one training.

    Parameters
    ----------
    run : RunFolder
        The training.
    """

    def __init__(self, run: RunFolder) -> None:
        self._folder = run.report
        self._log = TensorBoardLog(run.report / "tensorboard")
        self._last = 0.0
        self._curves_of = 0  # rows of the history that the curves show

    def epoch(self, result: TrainResult) -> None:
        """Draw the latest epoch, unless one was drawn just now."""
        if len(result.history) == 2:
            self._log.add(result.history[0])  # what training began with
        self._log.add(result.history[-1])
        now = time.monotonic()
        if now - self._last >= DRAW_EVERY:
            self._last = now
            self._curves(result)
            self._pictures(result)

    def _curves(self, result: TrainResult) -> None:
        if len(result.history) != self._curves_of:
            write_history(self._folder, result.history)
            self._curves_of = len(result.history)

    def _pictures(self, result: TrainResult) -> None:
        if result.latest is None:
            return
        pairs = zip(result.crops, result.latest.predicted, strict=True)
        write_panels(
            self._folder,
            [(crop.image, crop.labels, found, crop.known) for crop, found in pairs],
            int(result.history[-1]["epoch"]),
        )

    def finish(self, result: TrainResult, title: str) -> None:
        """Draw what came of it: the whole history, and the best network's report."""
        self._curves(result)
        if result.best is not None:
            write_report(self._folder, result.crops, result.best.predicted, title=title)

    def close(self) -> None:
        """Close the log."""
        self._log.close()
