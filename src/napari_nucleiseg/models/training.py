"""Train a network: pairs in, a network and its history out (Keras, any backend)."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from napari_nucleiseg.core.instances import InstanceSettings, maps_to_labels
from napari_nucleiseg.core.monitor import Monitor, Progress, SilentMonitor
from napari_nucleiseg.core.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.score import score_image, summarise
from napari_nucleiseg.models.dataset import PatchSampler
from napari_nucleiseg.models.unet import build_unet

#: Share of the time spent warming the learning rate up, and where it ends.
WARM_UP, FINAL_RATE = 0.03, 0.01

#: The average of the weights is brought up to date after every so many steps.
AVERAGE_EVERY = 4

#: Validation patches drawn, the same ones after every epoch.
VALIDATION_PATCHES = 48


@dataclass
class TrainResult:
    """What training leaves.

    Parameters
    ----------
    network : keras.Model
        The best network seen, by the loss on the validation patches.
    history : list of dict
        One row an epoch: ``epoch, minutes, loss, val_loss, val_AP50, val_AP75,
        val_mean_AP, learning_rate``.
    best_epoch : int
        Row of `history` that `network` is from, counted from 1; 0 if none finished.
    stopped : bool
        Whether the monitor ended it early.
    """

    network: keras.Model
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    stopped: bool = False


def nuclei_loss(y_true: Any, y_pred: Any) -> Any:
    """Return the loss of predicted maps.

    Weighted binary cross-entropy on all three maps plus soft Dice on the nucleus
    map, so that small nuclei count although they hold few pixels.

    Parameters
    ----------
    y_true : tensor
        ``(n, y, x, 4)``: nucleus, distance, contact, and each pixel's weight (0
        leaves a pixel out).
    y_pred : tensor
        ``(n, y, x, 3)`` in 0-1.

    Returns
    -------
    tensor
        Scalar.
    """
    target, weight = y_true[..., :3], y_true[..., 3:]
    p = ops.clip(y_pred, 1e-6, 1 - 1e-6)
    entropy = -(target * ops.log(p) + (1 - target) * ops.log(1 - p))
    cross = ops.sum(entropy * weight) / (ops.sum(weight) + 1e-6)
    known = ops.cast(weight > 0, "float32")[..., 0]
    nucleus, truth = y_pred[..., 0] * known, target[..., 0] * known
    dice = 1 - (2 * ops.sum(nucleus * truth) + 1) / (
        ops.sum(nucleus) + ops.sum(truth) + 1
    )
    return cross + 0.5 * dice


def _batches(
    sampler: PatchSampler, params: TrainParams
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
    """Yield training batches, drawn in the background while the network works."""
    with ThreadPoolExecutor(1, thread_name_prefix="patches") as pool:
        waiting: deque = deque()
        step = 0
        try:
            while True:
                while len(waiting) < 3:
                    seed = (params.seed, step)
                    waiting.append(pool.submit(sampler.batch, params.batch_size, seed))
                    step += 1
                yield waiting.popleft().result()[:2]
        finally:
            for job in waiting:
                job.cancel()


class _Average:
    """A running average of a network's weights, on any backend.

    Short at first, so that the untrained weights are soon forgotten.
    """

    def __init__(self, network: keras.Model, momentum: float) -> None:
        self._network, self._momentum = network, momentum
        self._weights: list[np.ndarray] | None = None
        self._updates = 0

    def update(self) -> None:
        """Take the network's present weights into the average."""
        self._updates += 1
        now = self._network.get_weights()
        if self._weights is None or self._momentum == 0:
            self._weights = [np.array(w) for w in now]
            return
        keep = self._momentum**AVERAGE_EVERY
        keep = min(keep, self._updates / (self._updates + 9))
        for mean, new in zip(self._weights, now, strict=True):
            mean *= keep
            mean += (1 - keep) * new

    def swap(self) -> list[np.ndarray]:
        """Put the average into the network; returns what was there."""
        now = self._network.get_weights()
        if self._weights is not None:
            self._network.set_weights(self._weights)
        return now


def _learning_rate(share: float, top: float) -> float:
    """Return the learning rate when `share` (0-1) of the training is done."""
    if share < WARM_UP:
        return top * max(share / WARM_UP, 0.02)
    turn = min((share - WARM_UP) / (1 - WARM_UP), 1.0)
    return top * (FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * turn)) / 2)


def _validate(
    network: keras.Model, held_out: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> dict[str, float]:
    """Return loss and AP on the held-out patches."""
    x, y, labels = held_out
    maps = np.concatenate(
        [
            ops.convert_to_numpy(network.predict_on_batch(x[i : i + 8]))
            for i in range(0, len(x), 8)
        ]
    )
    loss = nuclei_loss(ops.convert_to_tensor(y), ops.convert_to_tensor(maps))
    settings = InstanceSettings()
    figures: Any = summarise(
        [
            score_image(truth, maps_to_labels(found, settings))
            for truth, found in zip(labels, maps, strict=True)
        ]
    )["per_image_mean"]
    return {
        "val_loss": float(ops.convert_to_numpy(loss)),
        "val_AP50": figures["AP"]["0.50"],
        "val_AP75": figures["AP"]["0.75"],
        "val_mean_AP": figures["mean_AP"],
    }


def fit_network(
    pairs: Sequence[Pair],
    validation: Sequence[Pair],
    *,
    params: TrainParams | None = None,
    network: keras.Model | None = None,
    monitor: Monitor | None = None,
    on_better: Callable[[TrainResult], None] | None = None,
) -> TrainResult:
    """Train a network on pairs of image and labels.

    AdamW with a warm-up and a cosine decay; the network kept is the running average
    of the weights that has the lowest loss on fixed validation patches.

    Parameters
    ----------
    pairs, validation : sequence of Pair
        What to learn from, and what to check on; keep them apart.
    params : TrainParams, optional
        How to train.
    network : keras.Model, optional
        Go on from this one instead of a fresh U-Net.
    monitor : Monitor, optional
        Told of every batch and epoch, and asked after each batch whether to stop.
    on_better : callable, optional
        Called with the result so far each time the network has become better, with
        the better weights in it: the place to save.

    Returns
    -------
    TrainResult

    Raises
    ------
    ValueError
        If there is nothing to train or to validate on.
    FloatingPointError
        If the loss becomes infinite or NaN.
    """
    params = params or TrainParams()
    monitor = monitor or SilentMonitor()
    keras.utils.set_random_seed(params.seed)
    network = network or build_unet()
    settings = {
        "channels": network.input_shape[-1],
        "patch_size": params.patch_size,
        "diameter": params.diameter,
    }
    monitor.report(Progress("Preparing images", 0, 0))
    sampler = PatchSampler(pairs, augmentation=params.augmentation, **settings)
    held_out = PatchSampler(validation, augmentation=0.0, **settings).batch(
        VALIDATION_PATCHES, 0
    )
    network.compile(
        keras.optimizers.AdamW(
            params.learning_rate,
            weight_decay=params.weight_decay,
            global_clipnorm=1.0,
        ),
        loss=nuclei_loss,
        # Compiling for a processor costs more than it brings.
        jit_compile=False,
    )
    result = TrainResult(network)
    average = _Average(network, params.ema_momentum)
    start = time.monotonic()
    total = params.epochs * params.steps_per_epoch
    best, best_weights = math.inf, network.get_weights()
    losses: list[float] = []
    batches = _batches(sampler, params)
    for step in range(total):
        minutes = (time.monotonic() - start) / 60
        share = max(step / total, minutes / (params.minutes or math.inf))
        rate = _learning_rate(share, params.learning_rate)
        network.optimizer.learning_rate = rate
        loss = float(network.train_on_batch(*next(batches)))
        if not math.isfinite(loss):
            batches.close()
            network.set_weights(best_weights)
            raise FloatingPointError(
                f"The loss became {loss} in step {step + 1}: the learning rate "
                f"{params.learning_rate:g} may be too high for these images."
            )
        losses.append(loss)
        if step % AVERAGE_EVERY == 0:
            average.update()
        monitor.report(Progress("Training", step + 1, total, {"loss": loss}))
        result.stopped = monitor.should_stop()
        last = result.stopped or share >= 1 or step + 1 == total
        if (step + 1) % params.steps_per_epoch and not last:
            continue
        if result.stopped and result.history:
            break  # what is there is what is kept, at once
        current = average.swap()
        row = {
            "epoch": len(result.history) + 1,
            "minutes": round(minutes, 2),
            "loss": float(np.mean(losses)),
            **_validate(network, held_out),
            "learning_rate": rate,
        }
        losses.clear()
        result.history.append(row)
        # AP on so few patches leaps about; the loss on them hardly does.
        if row["val_loss"] <= best:
            best, best_weights = row["val_loss"], network.get_weights()
            result.best_epoch = len(result.history)
            if on_better:
                on_better(result)
        network.set_weights(current)
        monitor.report(Progress("Epoch", len(result.history), params.epochs, row))
        if last:
            break
    batches.close()
    network.set_weights(best_weights)
    return result
