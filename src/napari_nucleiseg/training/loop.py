"""One training: pairs in, a network and its history out (Keras, any backend)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.monitor import Monitor, Progress, SilentMonitor
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.segment.predictor import NetworkSpec
from napari_nucleiseg.networks.architectures import (
    DEFAULT_ARCHITECTURE,
    Architecture,
    find_architecture,
)
from napari_nucleiseg.training.batches import draw_batches, pixel_accuracy
from napari_nucleiseg.training.checkpoint import TrainState
from napari_nucleiseg.training.sampler import PatchSampler
from napari_nucleiseg.training.schedule import AVERAGE_EVERY, Average, Schedule
from napari_nucleiseg.training.specs import spec_for
from napari_nucleiseg.training.speed import pixels_per_epoch
from napari_nucleiseg.training.validation import (
    Evaluation,
    NetworkPredictor,
    ValidationSet,
)
from napari_nucleiseg.training.whole_images import WholeImageSampler

#: Validation patches drawn, the same ones after every epoch: for short epochs and
#: for long ones.
VALIDATION_PATCHES = (24, 48)


def fit_network(
    pairs: Sequence[Pair],
    validation: Sequence[Pair],
    *,
    params: TrainParams,
    network: keras.Model,
    architecture: str = DEFAULT_ARCHITECTURE,
    spec: NetworkSpec | None = None,
    rehearsal: Sequence[Pair] = (),
    resume: tuple[TrainState, Sequence[np.ndarray]] | None = None,
    first: bool = False,
    only: int | None = None,
    monitor: Monitor | None = None,
    on_epoch: Callable[[Training, bool], None] | None = None,
) -> Training:
    """Train a network on pairs of image and labels.

    The learning rate is warmed up, then follows the schedule; the network kept is the
    moving average of the weights that has the lowest loss on fixed validation
    patches.

    Parameters
    ----------
    pairs, validation : sequence of Pair
        What to learn from, and what to check on; keep them apart.
    params : TrainParams
        How to train.
    network : keras.Model
        What to train.
    architecture : str
        See `networks.architectures.find_architecture`.
    spec : NetworkSpec, optional
        What the network is made for; by default see `spec_for`.
    rehearsal : sequence of Pair
        Other images, for the share of patches that ``params.rehearsal`` says.
    resume : tuple, optional
        A state, and the best weights, that an earlier run left.
    first : bool
        Whether `network` is trained already: it is evaluated before the first epoch,
        only weights that are better than it are kept, and blended with it.
    only : int, optional
        End after so many of the epochs, whatever comes of them: the network is checked
        after the last of them alone, and that is the one kept.
    monitor : Monitor, optional
        Told of every batch and epoch, and asked after each batch whether to stop.
    on_epoch : callable, optional
        Called after each epoch with the training and whether it became better: the
        place to save.

    Returns
    -------
    Training
        With the best network, by the loss on the validation patches.

    Raises
    ------
    ValueError
        If there is nothing to train or to validate on.
    FloatingPointError
        If the loss becomes infinite or NaN before any epoch has ended.
    """
    monitor = monitor or SilentMonitor()
    keras.utils.set_random_seed(params.seed)
    design = find_architecture(architecture)
    monitor.report(Progress("Preparing images", 0, 0))
    training = Training(
        pairs,
        validation,
        params,
        network,
        design,
        spec or spec_for(design.name, params.diameter),
        rehearsal,
        params.blend if first else 1.0,
        only,
    )
    if first:
        monitor.report(Progress("Checking the model to start from", 0, 0))
        training.take_first(note=resume is None)
        if resume is None:
            monitor.report(Progress("Epoch", 0, params.epochs, training.history[0]))
    if resume is not None:
        training.restore(*resume)
    try:
        training.run(monitor, on_epoch)
    except FloatingPointError as e:
        if not training.has_epochs:
            raise
        training.problem = str(e)
    return training


class Training:
    """One training, epoch by epoch; use `fit_network`.

    Attributes
    ----------
    network : keras.Model
        What is trained; the best one, once the training has ended.
    history : list of dict
        One row an epoch: ``epoch, minutes, loss, accuracy, val_loss, val_accuracy,
        val_AP50, val_AP75, val_mean_AP, learning_rate``. Where training started from a
        network, a row for epoch 0 says how that did.
    best_epoch : int
        The first of the epochs with the lowest validation loss; 0 is what training
        began with.
    best, first, latest : Evaluation or None
        On the validation images: the best network, the one that training started
        from, and the one after the last epoch.
    predictor : NetworkPredictor
        The network, as what segments an image.
    crops : list of Pair
        The crops of the validation images that are segmented.
    stopped : bool
        Whether the monitor ended it early.
    problem : str
        Why it ended before its time, if something went wrong.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        validation: Sequence[Pair],
        params: TrainParams,
        network: keras.Model,
        architecture: Architecture,
        spec: NetworkSpec,
        rehearsal: Sequence[Pair],
        blend: float = 1.0,
        only: int | None = None,
    ) -> None:
        self.params, self.network, self.architecture = params, network, architecture
        self.only = only
        cut: dict[str, Any] = {
            "channels": spec.channels,
            "patch_size": params.side,
            "diameter": spec.diameter,
            "own_scale": params.own_scale,
        }
        vary: dict[str, Any] = {
            "augmentation": params.augmentation,
            "targets": architecture.targets,
            "fluorescence": params.fluorescence,
        }
        self._samplers = [
            WholeImageSampler(pairs, side=params.resize, channels=spec.channels, **vary)
            if params.resize
            else PatchSampler(pairs, **vary, **cut)
        ]
        if rehearsal and params.rehearsal:
            self._samplers.append(PatchSampler(rehearsal, **vary, **cut))
        few, many = VALIDATION_PATCHES
        self._validation = ValidationSet(
            validation,
            patches=many if params.steps_per_epoch >= 100 else few,
            design=architecture,
            resize=params.resize,
            **cut,
        )
        self.predictor = NetworkPredictor(
            lambda x: ops.convert_to_numpy(network(x, training=False)),
            spec,
        )
        network.compile(
            architecture.optimizer(params.learning_rate, params.weight_decay),
            loss=architecture.loss,
            metrics=[pixel_accuracy(architecture)],
            # Compiling for a processor costs more than it brings.
            jit_compile=False,
        )
        network.optimizer.build(network.trainable_variables)
        self.average = Average(network, params.ema_momentum, blend=blend)
        self.schedule = Schedule(params)
        self.history: list[dict[str, float]] = []
        self.best: Evaluation | None = None
        self.first: Evaluation | None = None
        self.latest: Evaluation | None = None
        self.crops = self._validation.crops
        self.stopped, self.problem = False, ""
        self.best_weights = network.get_weights()
        self.minutes = 0.0
        #: How fast the latest epoch was: see `training.speed`.
        self.seconds_per_megapixel = self.seconds_checking = 0.0
        self._epochs_here = 0

    @property
    def has_epochs(self) -> bool:
        """Whether an epoch has ended."""
        return any(row["epoch"] for row in self.history)

    @property
    def best_epoch(self) -> int:
        """The epoch that the best weights are from."""
        return self.schedule.best_epoch

    @property
    def seconds_of_epochs(self) -> float:
        """How long this run's epochs took, if all were as fast as the latest."""
        one = pixels_per_epoch(self.params) / 1e6 * self.seconds_per_megapixel
        checks = self._epochs_here + 1  # what it starts from is checked too
        return self._epochs_here * one + checks * self.seconds_checking

    def evaluate(self) -> Evaluation:
        """Check the network as it is on the validation images."""

        def loss(y_true: np.ndarray, y_pred: np.ndarray) -> float:
            value = self.architecture.loss(
                ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
            )
            return float(ops.convert_to_numpy(ops.mean(value)))

        return self._validation.evaluate(self.predictor, loss)

    def state(self) -> TrainState:
        """Return what is needed to resume from here."""
        return TrainState(
            weights=self.network.get_weights(),
            optimizer=[
                ops.convert_to_numpy(v) for v in self.network.optimizer.variables
            ],
            average=self.average.weights,
            history=self.history,
            values={
                "updates": self.average.updates,
                "best_epoch": self.best_epoch,
                "minutes": self.minutes,
            },
        )

    def restore(self, state: TrainState, best: Sequence[np.ndarray]) -> None:
        """Restore a saved state, and the best weights saved with it."""
        self.network.set_weights(list(best))
        self.best = self.evaluate()
        self.best_weights = list(best)
        self.network.set_weights(state.weights)
        for variable, value in zip(
            self.network.optimizer.variables, state.optimizer, strict=True
        ):
            variable.assign(value)
        self.average.weights = state.average
        self.average.updates = state.values["updates"]
        self.minutes = state.values["minutes"]
        self.history = state.history
        self.schedule = Schedule(self.params, state.history)

    def take_first(self, *, note: bool) -> None:
        """Check the network before the first epoch, to compare with."""
        self.latest = self.first = self.evaluate()
        if note:
            row = {"epoch": 0, "minutes": 0.0, **self.first.row}
            self.schedule.note(row)
            self.best = self.first
            self.history.append(row)

    def run(
        self, monitor: Monitor, on_epoch: Callable[[Training, bool], None] | None
    ) -> None:
        """Train until the epochs, the time or the patience are used up."""
        params, network = self.params, self.network
        done = sum(row["epoch"] > 0 for row in self.history)
        per_epoch = params.steps_per_epoch
        total = params.epochs * per_epoch
        used, start = self.minutes, time.monotonic()
        epoch, share, rate, began, ended = done, 0.0, 0.0, start, 0.0

        def epoch_begins(index: int, logs: Any) -> None:
            nonlocal epoch, began
            self._epochs_here += 1
            epoch, began = index + 1, time.monotonic()
            if ended:
                self.seconds_checking = began - ended

        def step_begins(step: int, logs: Any) -> None:
            nonlocal share, rate
            self.minutes = used + (time.monotonic() - start) / 60
            share = max(
                ((epoch - 1) * per_epoch + step) / total,
                self.minutes / (params.minutes or math.inf),
            )
            rate = self.schedule.rate(share)
            network.optimizer.learning_rate = rate

        def step_ends(step: int, logs: dict[str, Any]) -> None:
            loss = float(logs["loss"])  # the mean of the epoch so far
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"The loss became {loss} in epoch {epoch}: the learning rate "
                    f"{params.learning_rate:g} may be too high for these images."
                )
            seen = (epoch - 1) * per_epoch + step + 1
            if (seen - 1) % AVERAGE_EVERY == 0:
                self.average.update()
            monitor.report(Progress("Training", seen, total, {"loss": loss}))
            pixels = (step + 1) * params.batch_size * params.side**2
            self.seconds_per_megapixel = (time.monotonic() - began) / pixels * 1e6
            self.stopped = monitor.should_stop()
            network.stop_training = self.stopped or share >= 1

        def epoch_ends(index: int, logs: dict[str, Any]) -> None:
            nonlocal ended
            if self.stopped and self.has_epochs:
                return  # what is there is what is kept, at once
            if self.only is not None and epoch < self.only:
                return
            ended = time.monotonic()
            monitor.report(Progress("Checking", epoch, params.epochs))
            better = self._check(
                epoch, {n: float(logs[n]) for n in ("loss", "accuracy")}, rate
            )
            if on_epoch is not None:
                on_epoch(self, better)
            monitor.report(Progress("Epoch", epoch, params.epochs, self.history[-1]))
            network.stop_training |= self.schedule.patience_is_out

        try:
            network.fit(
                draw_batches(self._samplers, params, done * per_epoch),
                steps_per_epoch=per_epoch,
                initial_epoch=done,
                epochs=self.only or params.epochs,
                callbacks=[
                    keras.callbacks.LambdaCallback(
                        on_epoch_begin=epoch_begins,
                        on_train_batch_begin=step_begins,
                        on_train_batch_end=step_ends,
                        on_epoch_end=epoch_ends,
                    )
                ],
                shuffle=False,  # the batches are as they come
                verbose=0,
            )
        finally:
            network.set_weights(self.best_weights)

    def _check(self, epoch: int, means: dict[str, float], rate: float) -> bool:
        """Evaluate the average after an epoch; returns whether it is the best."""
        current = self.average.swap()
        self.latest = self.evaluate()
        row = {
            "epoch": epoch,
            "minutes": round(self.minutes, 2),
            **means,
            **self.latest.row,
            "learning_rate": rate,
        }
        self.history.append(row)
        # AP on so few images varies a lot from epoch to epoch; the loss hardly does.
        better = self.schedule.note(row) or self.only is not None
        if better:
            self.best = self.latest
            self.best_weights = self.network.get_weights()
        self.network.set_weights(current)
        return better
