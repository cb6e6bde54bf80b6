"""What Keras trains on: batches of patches, and a metric of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.networks.architectures import Architecture
from napari_nucleiseg.training.sampler import PatchSampler


def draw_batches(
    samplers: Sequence[PatchSampler],
    params: TrainParams,
    step: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches without end, the same ones for the same step.

    Parameters
    ----------
    samplers : sequence of PatchSampler
        Of the images to learn from and, if there are two, of others:
        ``params.rehearsal`` says which share of each batch, on average, those get.
    params : TrainParams
        Its batch size and seed.
    step : int
        Of the first batch.

    Yields
    ------
    images : numpy.ndarray
        ``(n, y, x, c)`` float32 in 0-1.
    targets : numpy.ndarray
        ``(n, y, x, targets + 1)`` float32.
    """
    while True:
        seed = (params.seed, step)
        if len(samplers) == 1:
            x, y, _ = samplers[0].batch(params.batch_size, seed)
        else:
            rng = np.random.default_rng(seed)
            n = rng.binomial(params.batch_size, params.rehearsal)
            parts = [
                sampler.batch(count, (*seed, i))
                for i, (sampler, count) in enumerate(
                    zip(samplers, (params.batch_size - n, n), strict=True)
                )
                if count
            ]
            x, y, _ = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        yield x, y
        step += 1


def pixel_accuracy(design: Architecture) -> Callable[[Any, Any], Any]:
    """Return a metric: the share of known pixels that are rightly nucleus or not."""
    from keras import ops

    truth, found = design.targets.index("nucleus"), design.maps.index("nucleus")

    def accuracy(y_true: Any, y_pred: Any) -> Any:
        known = ops.cast(y_true[..., -1] > 0, "float32")
        same = (y_true[..., truth] > 0.5) == (y_pred[..., found] > 0.5)
        return ops.sum(ops.cast(same, "float32") * known) / (ops.sum(known) + 1e-6)

    return accuracy
