"""Draws a training into its report folder, as it goes and at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleiseg.core.pairs import Pair
from napari_nucleiseg.models.reports import (
    TensorBoardLog,
    write_history,
    write_panels,
    write_report,
)
from napari_nucleiseg.models.run_folder import RunFolder

if TYPE_CHECKING:
    from napari_nucleiseg.models.trainer import TrainResult

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

    def epoch(self, result: TrainResult) -> None:
        """Draw the latest epoch, unless one was drawn just now."""
        if len(result.history) == 2:
            self._log.add(result.history[0])  # what training began with
        self._log.add(result.history[-1])
        now = time.monotonic()
        if now - self._last >= DRAW_EVERY:
            self._last = now
            write_history(self._folder, result.history)
            self._pictures(result)

    def _pictures(self, result: TrainResult) -> None:
        if result.latest is not None:
            epoch = int(result.history[-1]["epoch"])
            self._draw(result.crops, result.latest.predicted, epoch)

    def _draw(
        self, crops: Sequence[Pair], predicted: Sequence[np.ndarray], epoch: int
    ) -> None:
        write_panels(
            self._folder,
            [
                (crop.image, crop.labels, found, crop.known)
                for crop, found in zip(crops, predicted, strict=True)
            ],
            epoch,
        )

    def finish(self, result: TrainResult, title: str) -> None:
        """Draw what came of it: the whole history, and the best network's report."""
        write_history(self._folder, result.history)
        if result.best is not None:
            write_report(self._folder, result.crops, result.best.predicted, title=title)

    def close(self) -> None:
        """Close the log."""
        self._log.close()
