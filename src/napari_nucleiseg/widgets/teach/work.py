"""One round, away from the screen: examples, a training, the images seen anew."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from napari.layers import Image

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.monitor import (
    Cancelled,
    Monitor,
    Progress,
    check_cancelled,
)
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.score.changes import compare
from napari_nucleiseg.core.score.matching import find_overlaps, match
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import Model
from napari_nucleiseg.training.folds import STAGE
from napari_nucleiseg.training.outcome import TrainOutcome
from napari_nucleiseg.training.process import TrainingProcess
from napari_nucleiseg.training.project.checking import check_examples
from napari_nucleiseg.training.project.project import Project
from napari_nucleiseg.training.run_folder import RunFolder
from napari_nucleiseg.widgets.segment.run import Found, Run, find_nuclei
from napari_nucleiseg.widgets.teach.comparison import Compared
from napari_nucleiseg.widgets.teach.examples import add_examples
from napari_nucleiseg.widgets.train.regions import LayerSource

#: Stages of the training process that pass by too quickly to be read.
_QUIET = ("Epoch", "Checking")

#: The stage at which the examples have been added.
PREPARING = "Preparing the images"


@dataclass(frozen=True)
class Target:
    """An open image to which the new model is applied, noted on the GUI thread.

    Parameters
    ----------
    image : napari.layers.Image
        Only to find it again.
    data : array-like
        The layer's, at full resolution.
    run : Run
        How its nuclei were found.
    before : numpy.ndarray
        ``(…, y, x)``, what the model before found by itself.
    """

    image: Image
    data: Any
    run: Run
    before: np.ndarray


@dataclass(frozen=True)
class Taught:
    """A round that waits to be kept, and what the new model makes of the images.

    Parameters
    ----------
    outcome : TrainOutcome
        How the training ended.
    found : list of (Image, Found)
        What it finds.
    compared : list of Compared
        The same beside what was found before.
    given, learnt, knew : int
        Nuclei of the examples on these images, how many of them the new model finds by
        itself, and how many the one before found.
    tested : tuple of str
        Images of which nothing was learnt, since the project tests on them.
    """

    outcome: TrainOutcome
    found: list[tuple[Image, Found]]
    compared: list[Compared]
    given: int
    learnt: int
    knew: int
    tested: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """What is to be done in a round, noted on the GUI thread.

    Parameters
    ----------
    project : Project
        Which is taught.
    sources : sequence of LayerSource
        What is known on the open images.
    targets : sequence of Target
        The images to see anew.
    params : TrainParams
        How to train, from now on.
    sure : bool
        Whether labels are taken that do not seem to be of their image.
    resume : bool
        Whether to go on with the round that was interrupted, and add nothing.
    enough : threading.Event
        Set if the model is to be judged by what it has been judged by so far.
    given_up : threading.Event
        Set if what was trained is to be discarded should the round be stopped; else it
        can be resumed.
    """

    project: Project
    sources: Sequence[LayerSource]
    targets: Sequence[Target]
    params: TrainParams
    sure: bool = False
    resume: bool = False
    enough: threading.Event = field(default_factory=threading.Event)
    given_up: threading.Event = field(default_factory=threading.Event)


def teach(lesson: Lesson, monitor: Monitor) -> Taught:
    """Add examples, train on all there are, and apply the new model.

    Parameters
    ----------
    lesson : Lesson
        What is to be done.
    monitor : Monitor
        Told of progress, and asked whether to stop.

    Raises
    ------
    ForeignLabels
        If labels do not seem to be of their image; nothing was added.
    ValueError
        If there is too little to learn from; what there is was added.
    Cancelled
        If the monitor asked for it; the examples stay.
    """
    project, targets = lesson.project, lesson.targets
    pairs: list[Pair] = []
    tested: tuple[str, ...] = ()
    if not lesson.resume:
        monitor.report(Progress("Adding the examples", 0, 0))
        pairs, tested = add_examples(project, lesson.sources, sure=lesson.sure)
        project.set_params(lesson.params)
        check_examples(project)
    outcome = _train(lesson, monitor)
    project.finish(outcome)
    model = project.model_of(project.rounds[-1])
    found, compared = [], []
    for target in targets:
        now = find_nuclei(
            target.data,
            replace(target.run, model=model),
            load_model(model.folder),
            monitor,
        )
        found.append((target.image, now))
        after = now.result.labels
        if after.shape == target.before.shape:
            changes = compare(target.before, after)
            axes = now.result.axes
            compared.append(Compared(target.image, target.before, after, axes, changes))
    given, learnt, knew = _count_taught(
        pairs, targets, [x.result.labels for _, x in found]
    )
    return Taught(outcome, found, compared, given, learnt, knew, tested)


def _train(lesson: Lesson, monitor: Monitor) -> TrainOutcome:
    """Train in a process of its own, which is ended at once if that is asked for."""
    project = lesson.project
    run: RunFolder | None = None
    process: TrainingProcess | None = None
    try:
        monitor.report(Progress(PREPARING, 0, 0))
        run = project.interrupted if lesson.resume else project.prepare()
        if run is None:
            raise ValueError("There is no interrupted round to resume any more.")
        check_cancelled(monitor)
        process = TrainingProcess(run)
        outcome = process.wait(_Listener(monitor, process, lesson.enough))
        check_cancelled(monitor)
        if outcome is None:
            raise Cancelled("The training was let go.")
    except BaseException as e:
        if process is not None:
            process.kill()
        if run is not None:
            project.settle_failed(run)
            if lesson.given_up.is_set():
                project.abandon()
        if monitor.should_stop():
            raise Cancelled("Stopped before the end, as asked.") from e
        raise
    return outcome


class _Listener:
    """Passes on the progress of a training, and kills it when that is asked for."""

    def __init__(
        self, monitor: Monitor, process: TrainingProcess, enough: threading.Event
    ) -> None:
        self._monitor, self._process, self._enough = monitor, process, enough
        self._judging = False

    def report(self, progress: Progress) -> None:
        self._judging = progress.stage == STAGE
        if progress.stage not in _QUIET:
            self._monitor.report(progress)

    def should_stop(self) -> bool:
        if self._monitor.should_stop():
            self._process.kill()
        # To end the training so, too, would keep less than it could be.
        return self._judging and self._enough.is_set()


def _count_taught(
    pairs: Sequence[Pair], targets: Sequence[Target], after: Sequence[np.ndarray]
) -> tuple[int, int, int]:
    """Return how many nuclei were given, and how many either model finds by itself."""
    planes: dict[str, list[Pair]] = {}
    for pair in pairs:
        planes.setdefault(pair.name.partition(" [plane ")[0], []).append(pair)
    given = learnt = knew = 0
    for target, now in zip(targets, after, strict=True):
        mine = planes.get(target.image.name, [])
        if sum(pair.labels.size for pair in mine) != now.size:
            continue
        given += sum(np.unique(pair.labels[pair.labels > 0]).size for pair in mine)
        learnt += _matched(mine, now)
        knew += _matched(mine, target.before)
    return given, learnt, knew


def _matched(pairs: Sequence[Pair], labels: np.ndarray) -> int:
    planes = labels.reshape(-1, *labels.shape[-2:])
    return sum(
        match(find_overlaps(pair.labels, plane).iou(), 0.5)[0].size
        for pair, plane in zip(pairs, planes, strict=True)
    )


def as_published(found: Found, model: Model) -> Found:
    """Return a result as that of the same model in the list of models."""
    return replace(
        found,
        run=replace(found.run, model=model),
        result=replace(found.result, model=model.card.name),
    )
