"""Draws a training into its report folder, as it goes and at the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleiseg.training.report import (
    TensorBoardLog,
    write_history,
    write_panels,
    write_report,
)

if TYPE_CHECKING:
    from napari_nucleiseg.training.loop import Training

#: Curves and pictures are drawn at most this often while training, seconds.
DRAW_EVERY = 4.0


class Drawing:
    """Curves, pictures and logs of one training.

    Parameters
    ----------
    folder : pathlib.Path
        The training's report folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = TensorBoardLog(folder / "tensorboard")
        self._last = 0.0

    def epoch(self, training: Training) -> None:
        """Draw the latest epoch, unless one was drawn just now."""
        latest = training.history[-1]
        # What training began with, epoch 0, is logged with the first.
        for row in training.history if latest["epoch"] == 1 else [latest]:
            self._log.add(row)
        if time.monotonic() - self._last < DRAW_EVERY:
            return
        self._last = time.monotonic()
        write_history(self._folder, training.history)
        if training.latest is not None:
            pairs = zip(training.crops, training.latest.predicted, strict=True)
            write_panels(
                self._folder,
                [(crop.image, crop.labels, found, crop.known) for crop, found in pairs],
                int(latest["epoch"]),
            )

    def finish(self, training: Training, title: str) -> None:
        """Draw the whole history, and the report of the best network."""
        write_history(self._folder, training.history)
        if training.best is not None:
            best, side = training.best, training.params.resize
            resized = None
            if side is not None and best.confusion is not None:
                resized = (side, best.confusion, best.row["val_loss"])
            write_report(
                self._folder,
                training.crops,
                best.predicted,
                title=title,
                resized=resized,
            )

    def close(self) -> None:
        """Close the log."""
        self._log.close()
