"""How a training ended: what Python gets, the shell prints and the widget shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from napari_nucleiseg.core.record import JsonTable, Record
from napari_nucleiseg.models.registry import (
    REPORT_FOLDER,
    UNSEEN_FILE,
    Model,
    find_model,
)
from napari_nucleiseg.models.verdict import Verdict
from napari_nucleiseg.training.report import panels_path


class TrainOutcome(Record):
    """How a training ended.

    Parameters
    ----------
    folder : pathlib.Path
        The model's; of one that was not kept, where it waits to be kept or discarded.
    kept : bool
        Whether it is among the models now: if it is better than its base, has none, or
        was to be kept in any case.
    verdict : Verdict
        How it compares with its base on the validation set.
    history : list of dict
        One row an epoch: ``epoch, minutes, loss, accuracy, val_loss, val_accuracy,
        val_AP50, val_AP75, val_mean_AP, learning_rate``; None is a figure that cannot
        be told. Where training started from a model, a row for epoch 0 says how that
        did.
    best_epoch : int
        The epoch that was kept; 0 is what training began with.
    stopped : bool
        Whether it was ended early by whoever watched it.
    problem : str
        What ended it before its time, if something went wrong.
    """

    # JSON has no paths: text will do.
    folder: Annotated[Path, Field(strict=False)]
    kept: bool
    verdict: Verdict
    history: list[JsonTable] = Field(default_factory=list)
    best_epoch: int = Field(default=0, ge=0)
    stopped: bool = False
    problem: str = ""

    @property
    def model(self) -> Model | None:
        """The model, in its place; None if it was not kept."""
        return find_model(self.folder) if self.kept else None

    @property
    def ending(self) -> str:
        """What became of the model, in words that go with its verdict."""
        name = f"“{self.folder.name}”"
        if not self.kept:
            return f"{name} waits to be kept or discarded; nothing else was changed."
        if self.verdict.base is None or self.verdict.better:
            return f"{name} is now among your models."
        if self.verdict.worth_keeping:
            return f"{name} may be better, and is now among your models beside it."
        return f"{name} was kept all the same, and is among your models."

    @property
    def epochs(self) -> int:
        """How many epochs there were."""
        return int(self.history[-1]["epoch"]) if self.history else 0

    @property
    def picture(self) -> Path:
        """What the best network found on the validation set, if that was drawn."""
        return panels_path(self.folder / REPORT_FOLDER, self.best_epoch)


def _plain(value: float) -> float | None:
    if isinstance(value, int):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else None


def plain_history(history: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """Return a history as JSON can hold it: five digits, and None for NaN."""
    return [{name: _plain(value) for name, value in row.items()} for row in history]


def mark_unseen(folder: Path) -> None:
    """Note in a model's folder that nobody was told how its training ended."""
    (folder / REPORT_FOLDER / UNSEEN_FILE).touch()


def mark_seen(folder: Path) -> None:
    """Take back what `mark_unseen` noted."""
    (folder / REPORT_FOLDER / UNSEEN_FILE).unlink(missing_ok=True)


def is_unseen(folder: Path) -> bool:
    """Return whether nobody was told yet how a model's training ended."""
    return (folder / REPORT_FOLDER / UNSEEN_FILE).is_file()
