"""Train a network: pairs in, a network and its history out (Keras, any backend)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.monitor import Monitor, Progress, SilentMonitor
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.segment.instances import InstanceSettings
from napari_nucleiseg.networks.architectures import find_architecture
from napari_nucleiseg.training.checkpoint import TrainState
from napari_nucleiseg.training.loop import Trainer, TrainResult
from napari_nucleiseg.training.sampler import Sizes, sizes_for

__all__ = ["TrainResult", "fit_network"]


def fit_network(
    pairs: Sequence[Pair],
    validation: Sequence[Pair],
    *,
    params: TrainParams | None = None,
    network: keras.Model | None = None,
    architecture: str = "nuclei",
    settings: InstanceSettings | None = None,
    sizes: Sizes | None = None,
    rehearsal: Sequence[Pair] = (),
    resume: tuple[TrainState, Sequence[np.ndarray]] | None = None,
    first: bool = False,
    monitor: Monitor | None = None,
    on_epoch: Callable[[Trainer, bool], None] | None = None,
) -> TrainResult:
    """Train a network on pairs of image and labels.

    The learning rate is warmed up, then follows the schedule; the network kept is the
    running average of the weights that has the lowest loss on fixed validation
    patches.

    Parameters
    ----------
    pairs, validation : sequence of Pair
        What to learn from, and what to check on; keep them apart.
    params : TrainParams, optional
        How to train.
    network : keras.Model, optional
        Go on from this one instead of a fresh one; it is looked at before the first
        epoch, and only kept weights that are better than it.
    architecture : str
        See `networks.architectures.find_architecture`.
    settings : InstanceSettings, optional
        Thresholds to segment the held-out crops with.
    sizes : Sizes, optional
        Nuclear diameters; by default those of the parameters, see `dataset.sizes_for`.
    rehearsal : sequence of Pair
        Other images, for the share of patches that ``params.rehearsal`` says.
    resume : tuple, optional
        A state, and the best weights, that an earlier run left.
    first : bool
        Whether `network` is what the result is to be compared, and blended, with.
    monitor : Monitor, optional
        Told of every batch and epoch, and asked after each batch whether to stop.
    on_epoch : callable, optional
        Called after each epoch with the trainer and whether it became better: the
        place to save.

    Returns
    -------
    TrainResult

    Raises
    ------
    ValueError
        If there is nothing to train or to validate on.
    FloatingPointError
        If the loss becomes infinite or NaN before any epoch has ended.
    """
    params = params or TrainParams()
    monitor = monitor or SilentMonitor()
    keras.utils.set_random_seed(params.seed)
    design = find_architecture(architecture)
    monitor.report(Progress("Preparing images", 0, 0))
    given = network is not None
    trainer = Trainer(
        pairs,
        validation,
        params,
        network if network is not None else design.build(),
        design,
        settings or InstanceSettings(),
        rehearsal,
        sizes or sizes_for(design.name, params.diameter),
        params.blend if first else 1.0,
    )
    if given and first:
        monitor.report(Progress("Checking the model to start from", 0, 0))
        trainer.take_first(note=resume is None)
        if resume is None:
            row = trainer.result.history[0]
            monitor.report(Progress("Epoch", 0, params.epochs, row))
    if resume is not None:
        trainer.restore(*resume)
    try:
        return trainer.run(monitor, on_epoch)
    except FloatingPointError as e:
        if not any(row["epoch"] for row in trainer.result.history):
            raise
        trainer.result.problem = str(e)
        return trainer.result
