"""What changes over a training: the learning rate, and an average of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleiseg.core.params import TrainParams

if TYPE_CHECKING:
    import keras

#: Share of the training spent warming the learning rate up, and where a cosine ends.
WARM_UP, FINAL_RATE = 0.03, 0.01

#: On a plateau the learning rate is multiplied by this.
PLATEAU_FACTOR = 0.5

#: The average of the weights is brought up to date after every so many steps.
AVERAGE_EVERY = 4


class Average:
    """A moving average of a network's weights, on any backend.

    Short at first, so that the untrained weights are soon forgotten. It may be blended
    with the weights there were at the beginning, which keeps most of what the network
    knew and most of what it learnt [1]_.

    Parameters
    ----------
    network : keras.Model
        Whose.
    momentum : float
        Of the average, 0-1, a step.
    blend : float
        Share of the average in what `swap` puts into the network, 0-1; the rest is
        the network as it was when this was made.

    References
    ----------
    .. [1] M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
    """

    def __init__(
        self, network: keras.Model, momentum: float, *, blend: float = 1.0
    ) -> None:
        self._network, self._momentum, self._blend = network, momentum, blend
        self._start = network.get_weights() if blend < 1 else []
        self.weights: list[np.ndarray] = []
        self.updates = 0

    def update(self) -> None:
        """Take the network's present weights into the average."""
        self.updates += 1
        now = self._network.get_weights()
        if not self.weights or self._momentum == 0:
            self.weights = [np.array(w) for w in now]
            return
        keep = self._momentum**AVERAGE_EVERY
        keep = min(keep, self.updates / (self.updates + 9))
        for mean, new in zip(self.weights, now, strict=True):
            mean *= keep
            mean += (1 - keep) * new

    def swap(self) -> list[np.ndarray]:
        """Put the average, blended, into the network; returns what was there."""
        now = self._network.get_weights()
        kept = self.weights
        if kept and self._start:
            pairs = zip(self._start, kept, strict=True)
            kept = [a + self._blend * (b - a) for a, b in pairs]
        if kept:
            self._network.set_weights(kept)
        return now


class Schedule:
    """The learning rate: warmed up, then by a cosine or lowered on plateaus.

    It also keeps which epoch was best, and when patience has run out; all of it
    follows from the history.

    Parameters
    ----------
    params : TrainParams
        How it is to fall.
    history : sequence of dict
        The epochs there have been.
    """

    def __init__(
        self, params: TrainParams, history: Sequence[Mapping[str, float]] = ()
    ) -> None:
        self.params = params
        self.best_epoch = 0
        self._lowest: float | None = None
        self._factor = 1.0
        self._epoch = self._changed = 0
        for row in history:
            self.note(row)

    def rate(self, share: float) -> float:
        """Return the learning rate when `share` (0-1) of the training is done."""
        top = self.params.learning_rate
        if share < WARM_UP:
            return top * max(share / WARM_UP, 0.02)
        if self.params.schedule != "cosine":
            return top * self._factor
        turn = min((share - WARM_UP) / (1 - WARM_UP), 1.0)
        return top * (
            FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * turn)) / 2
        )

    def note(self, row: Mapping[str, float]) -> bool:
        """Take note of an epoch; returns whether it is the best so far.

        Of epochs with the same validation loss the first is the best.
        """
        self._epoch, loss = int(row["epoch"]), row["val_loss"]
        better = self._lowest is None or loss < self._lowest
        if better:
            self._lowest = loss if math.isfinite(loss) else math.inf
            self.best_epoch = self._changed = self._epoch
        elif self._epoch - self._changed >= self.params.plateau_patience:
            self._factor *= PLATEAU_FACTOR
            self._changed = self._epoch
        return better

    @property
    def patience_is_out(self) -> bool:
        """Whether there have been too many epochs without a better one."""
        patience = self.params.patience
        return patience is not None and self._epoch - self.best_epoch >= patience
