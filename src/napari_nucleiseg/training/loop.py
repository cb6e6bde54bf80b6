"""One training, step by step and epoch by epoch (Keras, any backend)."""

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

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.segment.instances import InstanceSettings
from napari_nucleiseg.core.segment.predictor import NetworkSpec
from napari_nucleiseg.networks.architectures import Architecture
from napari_nucleiseg.training.checkpoint import TrainState
from napari_nucleiseg.training.sampler import PatchSampler, Sizes
from napari_nucleiseg.training.schedule import AVERAGE_EVERY, Average, Schedule
from napari_nucleiseg.training.validation import Evaluation, HeldOut, NetworkPredictor

#: Validation patches drawn, the same ones after every epoch: for short epochs and
#: for long ones.
VALIDATION_PATCHES = (24, 48)


@dataclass
class TrainResult:
    """What training leaves.

    Parameters
    ----------
    network : keras.Model
        The best network seen, by the loss on the validation patches.
    history : list of dict
        One row an epoch: ``epoch, minutes, loss, accuracy, val_loss, val_accuracy,
        val_AP50, val_AP75, val_mean_AP, learning_rate``. Where training went on from
        a network, a row for epoch 0 says how that did.
    best_epoch : int
        The epoch that `network` is from; 0 is what training began with.
    best : Evaluation or None
        How `network` does on the held-out images.
    first : Evaluation or None
        How the network that training went on from does there.
    latest : Evaluation or None
        The last look at the held-out images.
    crops : list of Pair
        The held-out crops that were looked at.
    stopped : bool
        Whether the monitor ended it early.
    problem : str
        Why it ended before its time, if something went wrong.
    """

    network: keras.Model
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best: Evaluation | None = None
    first: Evaluation | None = None
    latest: Evaluation | None = None
    crops: list[Pair] = field(default_factory=list)
    stopped: bool = False
    problem: str = ""


def _batches(
    samplers: Sequence[PatchSampler], share: float, params: TrainParams, start: int
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
    """Yield training batches, drawn in the background while the network works.

    `share` of each batch, on average, comes from the second sampler.
    """

    def draw(step: int) -> tuple[np.ndarray, np.ndarray]:
        seed = (params.seed, step)
        if len(samplers) == 1:
            return samplers[0].batch(params.batch_size, seed)[:2]
        n = np.random.default_rng(seed).binomial(params.batch_size, share)
        parts = [
            sampler.batch(count, (*seed, i))[:2]
            for i, (sampler, count) in enumerate(
                zip(samplers, (params.batch_size - n, n), strict=True)
            )
            if count
        ]
        x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return x, y

    with ThreadPoolExecutor(1, thread_name_prefix="patches") as pool:
        waiting: deque = deque()
        step = start
        try:
            while True:
                while len(waiting) < 3:
                    waiting.append(pool.submit(draw, step))
                    step += 1
                yield waiting.popleft().result()
        finally:
            for job in waiting:
                job.cancel()


def pixel_accuracy(maps: tuple[str, ...]) -> Callable[[Any, Any], Any]:
    """Return a metric: the share of known pixels that are rightly nucleus or not."""
    index = maps.index("nucleus")

    def accuracy(y_true: Any, y_pred: Any) -> Any:
        known = ops.cast(y_true[..., 3] > 0, "float32")
        same = ops.cast((y_true[..., 0] > 0.5) == (y_pred[..., index] > 0.5), "float32")
        return ops.sum(same * known) / (ops.sum(known) + 1e-6)

    return accuracy


class Trainer:
    """One training, epoch by epoch; use `training.fit_network`."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        validation: Sequence[Pair],
        params: TrainParams,
        network: keras.Model,
        architecture: Architecture,
        settings: InstanceSettings,
        rehearsal: Sequence[Pair],
        sizes: Sizes,
        blend: float = 1.0,
    ) -> None:
        self.params, self.network, self.architecture = params, network, architecture
        cut: dict[str, Any] = {
            "channels": network.input_shape[-1],
            "patch_size": params.patch_size,
            "diameter": sizes.diameter,
            "own_scale": params.own_scale,
        }
        sets = [pairs] if not rehearsal or not params.rehearsal else [pairs, rehearsal]
        self.samplers = [
            PatchSampler(some, augmentation=params.augmentation, **cut) for some in sets
        ]
        few, many = VALIDATION_PATCHES
        self.held_out = HeldOut(
            validation, patches=many if params.steps_per_epoch >= 100 else few, **cut
        )
        self.predictor = NetworkPredictor(
            lambda x: ops.convert_to_numpy(network(x, training=False)),
            NetworkSpec(
                name="in training",
                channels=network.input_shape[-1],
                diameter=sizes.diameter,
                diameter_range=sizes.known,
                working_diameter=sizes.working,
                working_range=sizes.left,
                multiple=architecture.multiple,
                tile=architecture.tile,
                maps=architecture.maps,
                settings=settings,
            ),
        )
        self.loss = architecture.loss()
        network.compile(
            architecture.optimizer(params.learning_rate, params.weight_decay),
            loss=self.loss,
            metrics=[pixel_accuracy(architecture.maps)],
            # Compiling for a processor costs more than it brings.
            jit_compile=False,
        )
        network.optimizer.build(network.trainable_variables)
        self.average = Average(network, params.ema_momentum, blend=blend)
        self.schedule = Schedule(params)
        self.result = TrainResult(network, crops=self.held_out.crops)
        self.lowest = math.inf
        self.best_weights = network.get_weights()
        self.minutes = 0.0
        self._patience_is_out = False
        self.seconds_per_megapixel = 0.0

    def evaluate(self) -> Evaluation:
        """Look at the held-out images with the network as it is."""

        def loss(y_true: np.ndarray, y_pred: np.ndarray) -> float:
            value = self.loss(
                ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
            )
            return float(ops.convert_to_numpy(ops.mean(value)))

        return self.held_out.evaluate(self.predictor, loss)

    def state(self) -> TrainState:
        """Return what is needed to go on from here."""
        return TrainState(
            weights=self.network.get_weights(),
            optimizer=[
                ops.convert_to_numpy(v) for v in self.network.optimizer.variables
            ],
            average=self.average.weights,
            history=self.result.history,
            values={
                "factor": self.schedule.factor,
                "since_best": self.schedule.since_best,
                "since_change": self.schedule.since_change,
                "updates": self.average.updates,
                "best_epoch": self.result.best_epoch,
                "lowest": self.lowest,
                "minutes": self.minutes,
            },
        )

    def restore(self, state: TrainState, best: Sequence[np.ndarray]) -> None:
        """Go back to a state that was saved, and to the best weights saved by it."""
        values = state.values
        self.network.set_weights(list(best))
        self.result.best = self.evaluate()
        self.best_weights = list(best)
        self.network.set_weights(state.weights)
        for variable, value in zip(
            self.network.optimizer.variables, state.optimizer, strict=True
        ):
            variable.assign(value)
        self.average.weights, self.average.updates = state.average, values["updates"]
        self.schedule.factor = values["factor"]
        self.schedule.since_best = values["since_best"]
        self.schedule.since_change = values["since_change"]
        self.result.history = state.history
        self.result.best_epoch = values["best_epoch"]
        self.lowest, self.minutes = values["lowest"], values["minutes"]

    def take_first(self, *, note: bool) -> None:
        """Look at the held-out images before the first epoch, to compare with."""
        first = self.evaluate()
        self.result.latest = self.result.first = first
        if note:
            self.result.best, self.lowest = first, first.row["val_loss"]
            self.result.history.append({"epoch": 0, "minutes": 0.0, **first.row})

    def run(
        self, monitor: Monitor, on_epoch: Callable[[Trainer, bool], None] | None
    ) -> TrainResult:
        """Train until the epochs, the time or the patience are used up."""
        params, result = self.params, self.result
        done = [row for row in result.history if row["epoch"] > 0]
        per_epoch = params.steps_per_epoch
        total = params.epochs * per_epoch
        batches = _batches(
            self.samplers, params.rehearsal, params, len(done) * per_epoch
        )
        used, start = self.minutes, time.monotonic()
        try:
            for epoch in range(len(done) + 1, params.epochs + 1):
                share, seen = 0.0, []
                began, first_step = time.monotonic(), (epoch - 1) * per_epoch
                for step in range(first_step, epoch * per_epoch):
                    self.minutes = used + (time.monotonic() - start) / 60
                    share = max(
                        step / total, self.minutes / (params.minutes or math.inf)
                    )
                    rate = self.schedule.rate(share)
                    self.network.optimizer.learning_rate = rate
                    logs = self.network.train_on_batch(*next(batches), return_dict=True)
                    seen.append((float(logs["loss"]), float(logs["accuracy"])))
                    if not math.isfinite(logs["loss"]):
                        raise FloatingPointError(
                            f"The loss became {logs['loss']} in epoch {epoch}: the "
                            f"learning rate {params.learning_rate:g} may be too high "
                            "for these images."
                        )
                    if step % AVERAGE_EVERY == 0:
                        self.average.update()
                    done_steps = Progress(
                        "Training", step + 1, total, {"loss": float(logs["loss"])}
                    )
                    monitor.report(done_steps)
                    result.stopped = monitor.should_stop()
                    if result.stopped or share >= 1:
                        break
                pixels = params.batch_size * params.patch_size**2 / 1e6
                self.seconds_per_megapixel = (time.monotonic() - began) / (
                    (step - first_step + 1) * pixels
                )
                if result.stopped and any(row["epoch"] for row in result.history):
                    break  # what is there is what is kept, at once
                loss, accuracy = np.mean(seen, axis=0).tolist()
                means = {"loss": loss, "accuracy": accuracy}
                self._end_epoch(epoch, means, rate, monitor, on_epoch)
                if result.stopped or share >= 1 or self._patience_is_out:
                    break
        finally:
            batches.close()
            self.network.set_weights(self.best_weights)
        return result

    def _end_epoch(
        self,
        epoch: int,
        means: dict[str, float],
        rate: float,
        monitor: Monitor,
        on_epoch: Callable[[Trainer, bool], None] | None,
    ) -> None:
        monitor.report(Progress("Checking", epoch, self.params.epochs))
        result = self.result
        current = self.average.swap()
        latest = result.latest = self.evaluate()
        result.history.append(
            {
                "epoch": epoch,
                "minutes": round(self.minutes, 2),
                **means,
                **latest.row,
                "learning_rate": rate,
            }
        )
        # AP on so few images leaps about; the loss on them hardly does.
        better = latest.row["val_loss"] <= self.lowest
        if better:
            self.lowest, result.best = latest.row["val_loss"], latest
            result.best_epoch = epoch
            self.best_weights = self.network.get_weights()
        self._patience_is_out = self.schedule.epoch_ended(better)
        self.network.set_weights(current)
        if on_epoch is not None:
            on_epoch(self, better)
        monitor.report(Progress("Epoch", epoch, self.params.epochs, result.history[-1]))
