"""Judging by all nuclei, not by those held out alone: cross-validation.

Of few nuclei a fifth says little. So after the training, the same training is done
again from the same model, each time without another part of the nuclei, and each part
is judged by the network that has not learnt from it [1]_. The networks are thrown away:
what is kept is the first one, whose training is what is judged.

References
----------
.. [1] M. Stone, "Cross-validatory choice and assessment of statistical predictions",
   Journal of the Royal Statistical Society B 36, 1974.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleiseg.core.labels.annotations import known_nuclei
from napari_nucleiseg.core.labels.holdout import split_validation
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.monitor import (
    Cancelled,
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
    duration,
)
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.models.verdict import LEAST_NUCLEI, Verdict
from napari_nucleiseg.training.checkpoint import read_arrays, write_arrays
from napari_nucleiseg.training.speed import find_speed, pixels_per_epoch

if TYPE_CHECKING:
    import keras

    from napari_nucleiseg.core.segment.predictor import NetworkSpec
    from napari_nucleiseg.training.loop import Training

#: What is reported while the further networks are trained.
STAGE = "Training again, to judge"

#: What a fold's labels are saved as, and which there are.
_FILE, _LISTS = "judged_{}.npz", ("before", "after")

#: By itself, it is done where fewer nuclei than the first were held out, at least as
#: many as the second can be judged by then, and it takes at most so many minutes.
FEW, ENOUGH, LONGEST = 50, LEAST_NUCLEI, 3.0


def judging_minutes(params: TrainParams, architecture: str, nuclei: int) -> float:
    """Return how long judging by all of so many nuclei takes at most, minutes.

    Parameters
    ----------
    params : TrainParams
        How is trained.
    architecture : str
        The network's.
    nuclei : int
        How many there are, with those to be held out.

    Returns
    -------
    float
        0 if it will not be done.
    """
    auto = params.judging == "auto"
    if params.judging == "part" or (
        auto and (nuclei < ENOUGH or nuclei * params.validation_share >= FEW)
    ):
        return 0.0
    speed = find_speed(architecture)
    training = params.epochs * pixels_per_epoch(params) / 1e6 * speed.per_megapixel
    if params.minutes is not None:
        training = min(training, 60 * params.minutes)
    # The base is checked, too.
    minutes = _count(params) * (training + 2 * speed.checking) / 60
    return min(minutes, LONGEST) if auto else minutes


def judging_time(params: TrainParams, minutes: float) -> str:
    """Return a sentence that says how long judging by all nuclei takes."""
    when = "" if params.judging == "all" else ", if the part held out cannot tell,"
    return f"Judging by all nuclei{when} takes up to {duration(60 * minutes)} more."


def _count(params: TrainParams) -> int:
    """Return how many parts there are besides the one held out first."""
    return max(round(1 / params.validation_share) - 1, 1)


def are_worth_it(verdict: Verdict, training: Training, folds: Sequence[Fold]) -> bool:
    """Return whether more trainings would tell what the first one cannot, and soon."""
    nuclei = verdict.new.nuclei + sum(_nuclei(fold.held) for fold in folds)
    epoch = pixels_per_epoch(training.params) / 1e6 * training.seconds_per_megapixel
    each = training.best_epoch * epoch + 2 * training.seconds_checking
    return (
        verdict.word == "can't tell"
        and verdict.new.nuclei < FEW
        and nuclei >= ENOUGH
        and len(folds) * each / 60 <= LONGEST
    )


@dataclass(frozen=True)
class Judged:
    """What was found on a part of the nuclei by networks that had not learnt from it.

    Parameters
    ----------
    crops : list of Pair
        Where.
    before, after : list of numpy.ndarray
        Labels that the base found in each crop, and that the trained network found.
    """

    crops: list[Pair]
    before: list[np.ndarray]
    after: list[np.ndarray]


@dataclass(frozen=True)
class Fold:
    """One more training, to judge by another part of the nuclei.

    Parameters
    ----------
    learnt, held : list of Pair
        What to learn from, and what to judge by.
    """

    learnt: list[Pair]
    held: list[Pair]


def further_folds(
    pairs: Sequence[Pair], validation: Sequence[Pair], params: TrainParams
) -> list[Fold]:
    """Divide what was learnt from into parts, each of which is held out once.

    Parameters
    ----------
    pairs, validation : sequence of Pair
        What was learnt from, and what was held out first.
    params : TrainParams
        Its share for validation, and its seed.

    Returns
    -------
    list of Fold
        As many as the share goes into 1, less the first; fewer where the nuclei cannot
        be divided so often.
    """
    folds: list[Fold] = []
    rest, gone = list(pairs), list(validation)
    for left in range(_count(params), 0, -1):
        others: list[Pair] = []
        held = rest
        if left > 1:
            # Else, and where it cannot be divided, all that is left.
            with contextlib.suppress(ValueError):
                others, held = split_validation(rest, 1 / left, params.seed + left)
        folds.append(Fold([*gone, *others], held))
        rest, gone = others, [*gone, *held]
        if not _nuclei(rest):
            break
    return [fold for fold in folds if _nuclei(fold.held) and _nuclei(fold.learnt)]


def _nuclei(pairs: Sequence[Pair]) -> int:
    return sum(known_nuclei(pair).size for pair in pairs)


def train_folds(
    folds: Sequence[Fold],
    training: Training,
    load: Callable[[], keras.Model],
    *,
    spec: NetworkSpec,
    rehearsal: Sequence[Pair] = (),
    folder: Path | None = None,
    monitor: Monitor | None = None,
) -> list[Judged]:
    """Train once more for each fold, and judge the part that was held out.

    Parameters
    ----------
    folds : sequence of Fold
        From `further_folds`.
    training : Training
        The first one, which has ended.
    load : callable
        Returns the network that it began with, to be trained anew.
    spec : NetworkSpec
        What that is made for.
    rehearsal : sequence of Pair
        See `loop.fit_network`.
    folder : pathlib.Path, optional
        Where what is found is saved, and looked for first.
    monitor : Monitor, optional
        Told of progress. If it asks to stop, what has been judged so far is returned.

    Raises
    ------
    OSError
        If what was found cannot be saved.
    """
    from napari_nucleiseg.training.loop import fit_network
    from napari_nucleiseg.training.validation import choose_crops

    params, epochs = training.params, training.best_epoch
    if params.minutes is not None:  # the time was up after so many
        last = int(training.history[-1]["epoch"])
        params = params.replace(minutes=None, epochs=max(last, 1))
    listener = _Listener(
        monitor or SilentMonitor(), len(folds) * epochs * params.steps_per_epoch
    )
    done: list[Judged] = []
    network = None
    for number, fold in enumerate(folds):
        listener.before = number * epochs * params.steps_per_epoch
        file = None if folder is None else folder / _FILE.format(number)
        found = None if file is None else _read(file)
        if found is None:
            network = network or load()
            start = network.get_weights()
            try:
                one = fit_network(
                    fold.learnt,
                    fold.held,
                    params=params.replace(seed=params.seed + number + 1),
                    network=network,
                    architecture=training.architecture.name,
                    spec=spec,
                    rehearsal=rehearsal,
                    first=True,
                    only=epochs,
                    monitor=listener,
                )
            except Cancelled:
                break
            finally:
                network.set_weights(start)
            assert one.first is not None
            assert one.best is not None
            found = one.first.predicted, one.best.predicted
            if file is not None:
                write_arrays(file, dict(zip(_LISTS, found, strict=True)), None)
        done.append(Judged(choose_crops(fold.held), *found))
    return done


def _read(file: Path) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
    """Return what an earlier process found before and after; None if it did not."""
    try:
        lists, _ = read_arrays(file)
        before, after = (lists[name] for name in _LISTS)
    except (OSError, ValueError, KeyError):
        return None
    return before, after


class _Listener:
    """Tells of several trainings as of one, and gives them up at once.

    Parameters
    ----------
    monitor : Monitor
        Whom to tell.
    total : int
        Steps in all.
    """

    def __init__(self, monitor: Monitor, total: int) -> None:
        self._monitor, self._total = monitor, total
        self.before = 0

    def report(self, progress: Progress) -> None:
        check_cancelled(self._monitor)
        if progress.stage == "Training":
            done = self.before + progress.done
            self._monitor.report(Progress(STAGE, done, self._total, progress.metrics))

    def should_stop(self) -> bool:
        return False  # which would only end an epoch early
