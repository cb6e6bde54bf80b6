"""The verdict on a training: on what was held out, or on images to test on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleiseg.core.labels.holdout import HELD_OUT
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.score.comparing import gain_interval, score_of
from napari_nucleiseg.core.segment.predictor import Predictor
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import DEFAULT_MODEL, Model
from napari_nucleiseg.models.verdict import Verdict
from napari_nucleiseg.training.folds import Judged
from napari_nucleiseg.training.validation import (
    Evaluation,
    score_crops,
    score_labels,
)

if TYPE_CHECKING:
    from napari_nucleiseg.training.loop import Training

#: The packaged images that a new model must not be worse on, and what is cut of them,
#: pixels. None of them is learnt from.
_PACKAGED, _SIDE = ("crowded", "small", "large", "tissue", "smear"), 256


def judge_so_far(training: Training, base_name: str, share: float) -> Verdict | None:
    """Return the verdict on the best epoch so far, on what was held out.

    Parameters
    ----------
    training : Training
        The training.
    base_name : str
        Of the model it started from.
    share : float
        Of all nuclei, how many were held out.

    Returns
    -------
    Verdict or None
        None before the first evaluation, or where there is nothing to compare with.
    """
    if training.best is None or training.first is None:
        return None
    verdict = _compare(training.crops, training.first, training.best, base_name)
    return verdict.replace(share=share, unchanged=not training.best_epoch)


def judge(
    training: Training,
    base: Model | None,
    test: Sequence[Pair],
    share: float,
) -> Verdict:
    """Compare the best network with its base, or with the built-in model.

    Parameters
    ----------
    training : Training
        Which has ended.
    base : Model or None
        The model it started from.
    test : sequence of Pair
        Images to judge by instead of those that were held out; may be empty.
    share : float
        See `judge_so_far`.

    Returns
    -------
    Verdict
    """
    assert training.best is not None  # at least one epoch has ended
    crops = list(test) or training.crops
    older: Predictor | None = None
    name = base.card.name if base else DEFAULT_MODEL
    if test or training.first is None:
        older = load_model(base.folder if base else DEFAULT_MODEL, "float32")
        before = score_crops(crops, older)
    else:
        before = training.first
    after = score_crops(crops, training.predictor) if test else training.best
    verdict = _compare(crops, before, after, name)
    verdict = verdict.replace(
        on="test" if test else "held out",
        share=1.0 if test else share,
        unchanged=base is not None and not training.best_epoch,
    )
    if base is None or verdict.unchanged:
        return verdict
    packaged = _packaged_crops()
    older = older or load_model(base.folder, "float32")
    scores = [
        score_of(sum_of(score_crops(packaged, predictor)))
        for predictor in (older, training.predictor)
    ]
    return verdict.replace(packaged=(float(scores[0]), float(scores[1])))


def judge_by_all(
    verdict: Verdict, training: Training, folds: Sequence[Judged]
) -> Verdict:
    """Return a verdict with the figures of the nuclei of all folds.

    Parameters
    ----------
    verdict : Verdict
        On what was held out of the first training.
    training : Training
        That training.
    folds : sequence of Judged
        What was found on further parts of the nuclei by networks that were trained
        without them.
    """
    if not folds:
        return verdict
    assert training.first is not None
    assert training.best is not None
    crops = [*training.crops, *(crop for fold in folds for crop in fold.crops)]
    before, after = (
        score_labels(crops, [*first.predicted, *(x for some in more for x in some)])
        for first, more in (
            (training.first, [fold.before for fold in folds]),
            (training.best, [fold.after for fold in folds]),
        )
    )
    told = _compare(crops, before, after, verdict.base_name)
    trainings = 1 + len(folds)
    return verdict.replace(
        new=told.new,
        base=told.base,
        images=len({crop.name.removesuffix(HELD_OUT) for crop in crops}),
        interval=told.interval,
        worst=told.worst.removesuffix(HELD_OUT),
        trainings=trainings,
        share=min(trainings * verdict.share, 1.0),
    )


def sum_of(evaluation: Evaluation) -> np.ndarray:
    """Return the sum of an evaluation's tallies."""
    return np.concatenate(evaluation.tallies).sum(0)


def _compare(
    crops: Sequence[Pair], before: Evaluation, after: Evaluation, name: str
) -> Verdict:
    right = [float(score_of(rows.sum(0))) for rows in after.tallies]
    return Verdict(
        new=after.figures,
        base=before.figures,
        base_name=name,
        images=len(crops),
        interval=gain_interval(
            np.concatenate(before.tallies), np.concatenate(after.tallies)
        ),
        worst=crops[int(np.argmin(right))].name,
    )


def _packaged_crops() -> list[Pair]:
    """Return the middles of packaged images."""
    crops = []
    for name in _PACKAGED:
        sample = load_sample(name)
        low = [max(0, (size - _SIDE) // 2) for size in sample.labels.shape]
        window = tuple(slice(start, start + _SIDE) for start in low)
        crops.append(Pair(sample.image[window], sample.labels[window], name))
    return crops
