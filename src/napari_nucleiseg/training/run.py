"""`train()`: pairs in, a saved model out, kept only if it is better than its base.

Keras is imported when a training starts, not with this module: a window that prepares
a training (see `training.process`) does not load it.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleiseg.core.labels.annotations import known_nuclei
from napari_nucleiseg.core.labels.holdout import check_apart, split_validation
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.labels.resizing import diameter_resized
from napari_nucleiseg.core.monitor import Monitor, Progress, SilentMonitor
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.models.card import ModelCard
from napari_nucleiseg.models.registry import DEFAULT_MODEL, find_model
from napari_nucleiseg.models.verdict import Verdict
from napari_nucleiseg.networks.architectures import (
    DEFAULT_ARCHITECTURE,
    find_architecture,
)
from napari_nucleiseg.training.outcome import TrainOutcome, plain_history
from napari_nucleiseg.training.rehearsal import rehearsal_pairs
from napari_nucleiseg.training.run_folder import Order, RunFolder
from napari_nucleiseg.training.specs import spec_for
from napari_nucleiseg.training.speed import (
    Speed,
    pixels_per_epoch,
    remember_around,
    remember_speed,
)

if TYPE_CHECKING:
    from napari_nucleiseg.training.drawing import Drawing
    from napari_nucleiseg.training.loop import Training


#: Names of images that go into a model's card, at most.
MOST_NAMES = 20

#: Images that the ranges of an int8 network are found on at most, and patches of them
#: and of the packaged ones.
TYPICAL = 48

#: Called after each epoch, with the training and whether it became better.
OnEpoch = Callable[["Training", bool], None]


def train(
    pairs: Sequence[Pair],
    output: str | os.PathLike[str],
    *,
    validation: Sequence[Pair] | None = None,
    test: Sequence[Pair] = (),
    base: str | os.PathLike[str] | None = DEFAULT_MODEL,
    architecture: str = DEFAULT_ARCHITECTURE,
    pretrained: bool = True,
    params: TrainParams | None = None,
    title: str = "",
    license: str = "your own",
    data: dict[str, Any] | None = None,
    keep_always: bool = False,
    resume: bool = False,
    monitor: Monitor | None = None,
) -> TrainOutcome:
    """Train a network and save it as a model folder, if it is better than its base.

    After every epoch all that is needed to resume is saved in ``<output>.training``
    beside the output, which is removed when the model is in its place.

    Parameters
    ----------
    pairs : sequence of Pair
        What to learn from.
    output : path
        The model folder to write; its last part is the model's name.
    validation : sequence of Pair, optional
        The validation set; by default part of `pairs` is held out.
    test : sequence of Pair
        Images to judge the new model by instead of the validation set; nothing is
        learnt from them, nor is the epoch chosen by them.
    base : str or path, optional
        Model to start from; None trains from scratch.
    architecture : str
        Network to build if there is no base; see
        `networks.architectures.ARCHITECTURES`.
    pretrained : bool
        Whether pretrained weights are downloaded, where the architecture has some.
    params : TrainParams, optional
        How to train.
    title, license : str
        For the model's card: what it is for, and the licence of its weights.
    data : dict, optional
        What it was trained on, for the card.
    keep_always : bool
        Keep the model even if it is not better than its base.
    resume : bool
        Resume a training of this output that was interrupted, with the pairs and
        parameters that it began with.
    monitor : Monitor, optional
        Told of every batch and epoch, and asked after each batch whether to stop;
        then the best network so far is saved.

    Returns
    -------
    TrainOutcome

    Raises
    ------
    ValueError
        If there are no pairs, sizes differ, the base is not there or damaged, or the
        output cannot be a model folder.
    FloatingPointError
        If the loss becomes infinite or NaN in the first epoch.
    OSError
        If the training cannot be saved.
    """
    output = Path(output).resolve()
    run = RunFolder(output)
    if not resume:
        run = prepare(
            pairs,
            validation,
            output,
            Order(
                name=output.name,
                params=params or TrainParams(),
                base=None if base is None else str(base),
                architecture=architecture,
                pretrained=pretrained,
                title=title,
                license=license,
                data=data or {},
                keep_always=keep_always,
            ),
            test=test,
        )
    elif not run.can_resume:
        raise ValueError(
            f"There is no interrupted training of {output.name!r} to resume: nothing "
            f"was saved in {run.path}."
        )
    return execute(run, monitor)


def prepare(
    pairs: Sequence[Pair],
    validation: Sequence[Pair] | None,
    output: Path,
    order: Order,
    *,
    test: Sequence[Pair] = (),
) -> RunFolder:
    """Write the folder of a training; loads no Keras.

    Parameters
    ----------
    pairs, validation, output, test
        See `train`.
    order : Order
        What is asked for. The architecture is its base's.

    Returns
    -------
    RunFolder
    """
    if not pairs:
        raise ValueError("Training needs at least one image with labels.")
    check_apart(pairs, test)
    base = None if order.base is None else find_model(order.base)
    if validation is None:
        pairs, validation = split_validation(
            pairs, order.params.validation_share, order.params.seed
        )
    data = {
        **_count(pairs),
        **{f"validation_{name}": n for name, n in _count(validation).items()},
        **{f"test_{name}": n for name, n in _count(test).items() if test},
        "images": [pair.name for pair in (*pairs, *validation)][:MOST_NAMES],
        "date": datetime.date.today().isoformat(),
        **order.data,
    }
    if base is not None:
        order = order.replace(architecture=base.card.architecture)
    order = order.replace(params=_sized(order, pairs))
    learnt = f"on {data['nuclei']} nuclei of your own images"
    title = f"Trained {learnt}"
    if base is not None:
        title = f"{base.card.name}, trained further {learnt}"
    order = order.replace(title=order.title or title, data=data)
    kept = None if base is None or base.built_in else base
    return RunFolder.create(output, order, pairs, validation, test=test, base=kept)


def _sized(order: Order, pairs: Sequence[Pair]) -> TrainParams:
    """Return the parameters, with the diameter that resizing gives the nuclei."""
    params = order.params
    if params.resize is None:
        return params
    multiple = find_architecture(order.architecture).multiple
    if params.resize % multiple:
        raise ValueError(
            f"The side that images are resized to must be a multiple of {multiple} for "
            f"the network {order.architecture!r}; received {params.resize}."
        )
    if params.diameter is not None:
        raise ValueError(
            "A nuclear diameter cannot be chosen for whole images resized to "
            f"{params.resize} px: how large nuclei are follows from resizing. Leave "
            "out one of the two."
        )
    return params.replace(diameter=diameter_resized(pairs, params.resize))


def _count(pairs: Sequence[Pair]) -> dict[str, int]:
    nuclei = sum(known_nuclei(pair).size for pair in pairs)
    return {"pairs": len(pairs), "nuclei": nuclei}


def execute(run: RunFolder, monitor: Monitor | None = None) -> TrainOutcome:
    """Run or resume the training of a folder, and judge the result.

    Parameters
    ----------
    run : RunFolder
        The training.
    monitor : Monitor, optional
        See `train`.

    Returns
    -------
    TrainOutcome

    Raises
    ------
    TrainingBusy
        If another process is training there.
    """
    if not run.exists:
        run.order()  # says so
    run.acquire()
    try:
        return _execute(run, monitor or SilentMonitor())
    finally:
        run.release()


def _execute(run: RunFolder, monitor: Monitor) -> TrainOutcome:
    order, began = run.order(), time.monotonic()
    monitor.report(Progress("Starting Keras", 0, 0))
    # Everything wrong with the base is said before Keras takes its seconds.
    base = None if order.base is None else find_model(order.base)
    card = base.card if base else None
    pairs, validation, test = run.pairs()
    name = base.card.name if base else ""
    held, learnt = (order.data.get(k, 0) for k in ("validation_nuclei", "nuclei"))
    share = held / (held + learnt) if held and learnt else order.params.validation_share
    resume = run.load() if run.can_resume else None

    from napari_nucleiseg.training.drawing import Drawing
    from napari_nucleiseg.training.judging import judge
    from napari_nucleiseg.training.loop import fit_network
    from napari_nucleiseg.training.saving import load_network, save_network

    if base is not None:
        network = load_network(base.folder)
    else:
        network = find_architecture(order.architecture).build(
            pretrained=order.pretrained, fetch=resume is None
        )
    drawn = Drawing(run.report)
    how: dict[str, Any] = {
        "spec": spec_for(order.architecture, order.params.diameter, card),
        "rehearsal": rehearsal_pairs() if order.params.rehearsal else (),
        "monitor": monitor,
    }
    try:
        training = fit_network(
            pairs,
            validation,
            params=order.params,
            network=network,
            architecture=order.architecture,
            resume=resume,
            first=base is not None,
            only=run.trained_epochs,
            **how,
            on_epoch=_saver(run, drawn, name, share),
        )
    finally:
        drawn.close()
    monitor.report(Progress("Judging the model", 0, 0))
    verdict = judge(training, base, test, share)
    judging = time.monotonic()
    if base is not None and not test:
        verdict = _judge_further(
            verdict, training, run, (pairs, validation), base.folder, how
        )
    judging = time.monotonic() - judging
    monitor.report(Progress("Saving the model", 0, 0))
    drawn.finish(training, f"{order.name}: {order.title}")
    kept = order.keep_always or base is None or verdict.worth_keeping
    outcome = TrainOutcome(
        folder=run.output if kept else run.finished_model,
        kept=kept,
        verdict=verdict,
        history=plain_history(training.history),
        best_epoch=training.best_epoch,
        stopped=training.stopped,
        problem=training.problem,
    )
    save_network(
        run.finished_model,
        training.network,
        order,
        outcome,
        base=card,
        report=run.report,
        tiles=_typical_tiles(pairs, order, card),
    )
    if kept:
        outcome = outcome.replace(folder=run.accept())
    if not training.stopped:
        around = time.monotonic() - began - judging - training.seconds_of_epochs
        remember_around(training.architecture.name, around)
    return outcome


def _judge_further(
    verdict: Verdict,
    training: Training,
    run: RunFolder,
    sets: tuple[list[Pair], list[Pair]],
    base: Path,
    how: dict[str, Any],
) -> Verdict:
    """Return the verdict by all nuclei, part by part, where that is wanted."""
    from napari_nucleiseg.training.folds import are_worth_it, further_folds, train_folds
    from napari_nucleiseg.training.judging import judge_by_all
    from napari_nucleiseg.training.saving import load_network

    by = training.params.judging
    if by == "part" or verdict.unchanged or training.stopped:
        return verdict
    folds = further_folds(*sets, training.params)
    if by == "auto" and not are_worth_it(verdict, training, folds):
        return verdict
    run.note_trained(int(training.history[-1]["epoch"]))
    judged = train_folds(
        folds, training, lambda: load_network(base), folder=run.path, **how
    )
    return judge_by_all(verdict, training, judged)


def _typical_tiles(
    pairs: Sequence[Pair], order: Order, base: ModelCard | None
) -> np.ndarray | None:
    """Return what a network is to see, where it is saved as int8 too."""
    if not find_architecture(order.architecture).int8:
        return None
    from napari_nucleiseg.training.sampler import PatchSampler

    spec = spec_for(order.architecture, order.params.diameter, base)
    chosen = pairs[:TYPICAL]
    mine = [replace(pair, weight=1 / len(chosen)) for pair in chosen]
    sampler = PatchSampler(
        [*mine, *rehearsal_pairs()],
        channels=spec.channels,
        diameter=spec.diameter,
        augmentation=order.params.augmentation,
    )
    return sampler.batch(TYPICAL, order.params.seed)[0]


def _saver(run: RunFolder, drawn: Drawing, name: str, share: float) -> OnEpoch:
    from napari_nucleiseg.training.judging import judge_so_far

    def on_epoch(training: Training, better: bool) -> None:
        if training.seconds_checking:  # known from the second epoch on
            speed = Speed(training.seconds_per_megapixel, training.seconds_checking)
            pixels = pixels_per_epoch(training.params)
            remember_speed(training.architecture.name, speed, pixels)
        state = training.state()
        if (verdict := judge_so_far(training, name, share)) is not None:
            state.values["verdict"] = verdict.model_dump(mode="json")
        run.save(state, training.best_weights, better=better)
        drawn.epoch(training)

    return on_epoch
