"""A stage of a recipe: what it learns from, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_nucleiseg.core.labels.holdout import hold_out_images
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.splits import read_split
from napari_nucleiseg.training.sheets import make_sheets

#: Side of a made-up sheet, pixels.
SHEET_SIZE = 288


@dataclass(frozen=True)
class Stage:
    """One stage of a training.

    Parameters
    ----------
    params : TrainParams
        How to train.
    shares : mapping of str to float, optional
        How much of the training each kind of image gets, whatever their number; see
        `read_split`. None takes every image, and each counts alike.
    sheets : int
        How many made-up sheets of dense tissue to learn from besides: a kind of their
        own, ``"sheets"``.
    hold_out : bool
        Whether a share of the ``train`` split's images (``params.validation_share``),
        drawn at random, is what it is chosen by, instead of the ``val`` split.
    """

    params: TrainParams
    shares: Mapping[str, float] | None = None
    sheets: int = 0
    hold_out: bool = False

    def training_set(self, data: Sequence[Path]) -> list[Pair]:
        """Return what is learnt from: the data sets' ``train`` split, and sheets."""
        pairs = read_split(data, "train", self.shares)
        if self.sheets and self.shares:
            each = self.shares["sheets"] / self.sheets
            made = make_sheets(self.sheets, SHEET_SIZE, self.params.seed)
            pairs += [replace(pair, weight=each) for pair in made]
        return pairs

    def sets(self, data: Sequence[Path]) -> tuple[list[Pair], list[Pair]]:
        """Return what is learnt from, and what it is chosen by."""
        pairs = self.training_set(data)
        if self.hold_out:
            share, seed = self.params.validation_share, self.params.seed
            return hold_out_images(pairs, share, seed)
        return pairs, read_split(data, "val", self.shares)
