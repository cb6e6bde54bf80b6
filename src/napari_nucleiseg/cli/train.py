"""`nucleiseg train`: from pairs of image and labels, or by a recipe, to a model."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleiseg.cli import train_options
from napari_nucleiseg.cli.options import given_options
from napari_nucleiseg.cli.terminal import TrainMonitor, complain
from napari_nucleiseg.cli.train_options import check_options
from napari_nucleiseg.cli.train_pairs import read_pairs, read_test
from napari_nucleiseg.core.params import TrainParams

if TYPE_CHECKING:
    from napari_nucleiseg.core.labels.pairs import Pair
    from napari_nucleiseg.training.outcome import TrainOutcome
    from napari_nucleiseg.training.recipes import Recipe
    from napari_nucleiseg.training.run_folder import RunFolder

#: Options that `Recipe.run` shares out among its stages.
_OF_RUNS = ("epochs", "minutes", "seed")


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options of `nucleiseg train`, and what runs it."""
    train_options.add_arguments(sub)
    sub.set_defaults(run=_train)


@dataclass(frozen=True)
class _Order:
    """What is to be done, once the options have been checked."""

    output: Path
    params: TrainParams  # of the first stage, if by a recipe
    recipe: Recipe | None
    data: list[Path] | list[Pair]


def _train(args: argparse.Namespace) -> int:
    from napari_nucleiseg.training.run_folder import RunFolder

    check_options(args)
    output = _output_folder(args.output)
    run = RunFolder(output)
    if args.resume and args.keep and run.has_model and not run.owner:
        folder = str(run.accept())
        print(json.dumps({"model": folder}) if args.json else f"Saved {folder}")
        return 0
    _check_output(args, output, run)
    order = _plan(args, output, run)
    _ask_if_long(args, order)
    if args.force:
        run.discard()
    monitor = TrainMonitor(order.params.epochs, order.params.minutes)
    try:
        with monitor.heeding_ctrl_c():
            outcome = _run_training(args, order, monitor)
    except KeyboardInterrupt:
        if run.can_resume:
            complain(
                "interrupted; the same command with --resume continues from the "
                "last epoch"
            )
        raise
    return _say(args, outcome)


def _ask_if_long(args: argparse.Namespace, order: _Order) -> None:
    """Ask before hours are spent, where somebody is there to answer."""
    from napari_nucleiseg.core.labels.annotations import known_nuclei
    from napari_nucleiseg.core.labels.pairs import Pair
    from napari_nucleiseg.core.monitor import duration
    from napari_nucleiseg.networks.architectures import DEFAULT_ARCHITECTURE
    from napari_nucleiseg.training.folds import judging_minutes
    from napari_nucleiseg.training.speed import LONG, estimate_minutes

    if order.recipe is None:
        minutes = estimate_minutes(order.params, DEFAULT_ARCHITECTURE)
        if args.test is None and not args.resume:
            pairs = [pair for pair in order.data if isinstance(pair, Pair)]
            nuclei = sum(known_nuclei(pair).size for pair in pairs)
            minutes += judging_minutes(order.params, DEFAULT_ARCHITECTURE, nuclei)
    else:
        given = given_options(args, TrainParams)
        minutes = order.recipe.minutes(**{name: given.get(name) for name in _OF_RUNS})
    if minutes < LONG or args.yes:
        return
    complain(f"this will take up to {duration(60 * minutes)} on this computer")
    if sys.stdin.isatty():
        complain("go on? [y/N] ")
        if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
            raise ValueError("nothing was trained; --yes goes on without a question")


def _run_training(
    args: argparse.Namespace, order: _Order, monitor: TrainMonitor
) -> TrainOutcome:
    """Run the training: the one place that knows how it is called."""
    from napari_nucleiseg.models.registry import DEFAULT_MODEL
    from napari_nucleiseg.networks.architectures import PretrainedWeightsError

    # TensorFlow's own messages would break up the progress line.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if order.recipe is None:
        from napari_nucleiseg.core.labels.pairs import Pair
        from napari_nucleiseg.training.run import train

        return train(
            [pair for pair in order.data if isinstance(pair, Pair)],
            order.output,
            test=[] if args.resume else read_test(args),
            base=args.base or DEFAULT_MODEL,
            params=order.params,
            keep_always=args.keep,
            resume=args.resume,
            monitor=monitor,
        )
    given = given_options(args, TrainParams)
    try:
        return order.recipe.run(
            order.data,
            order.output,
            **{name: given.get(name) for name in _OF_RUNS},
            pretrained=not args.no_pretrained,
            resume=args.resume,
            monitor=monitor,
        )
    except PretrainedWeightsError as e:
        raise ValueError(f"{e} --no-pretrained trains without them.") from e


def _output_folder(text: str) -> Path:
    """Return where a model is to be written: a bare name is one of the user's own."""
    from napari_nucleiseg.models.registry import own_model_folder

    bare = not any(mark in text for mark in ("/", "\\")) and text not in (".", "..")
    return own_model_folder(text) if bare else Path(text).resolve()


def _check_output(args: argparse.Namespace, output: Path, run: RunFolder) -> None:
    """Refuse to overwrite a model or a training, unless asked to."""
    from napari_nucleiseg.models.card import CARD_FILE
    from napari_nucleiseg.models.registry import check_target

    check_target(output, output.name)
    if owner := run.owner:
        raise ValueError(f"{output.name} is being trained in {owner}")
    if args.force:
        return
    if args.resume and not run.has_model:
        return
    if not args.resume and (output / CARD_FILE).exists():
        raise ValueError(f"there is a model in {output} already; --force replaces it")
    if run.has_model:
        raise ValueError(
            f"a training of {output.name} has ended, and its model was not better than "
            f"its base: {run.finished_model}. --resume --keep keeps it, --force "
            "discards it"
        )
    if run.can_resume:
        raise ValueError(
            f"a training of {output.name} was interrupted, and waits in {run.path}: "
            "--resume resumes it, --force discards it"
        )


def _plan(args: argparse.Namespace, output: Path, run: RunFolder) -> _Order:
    """Find out what is to be done; whatever is wrong with the options is said here."""
    recipe, params = None, TrainParams()
    if args.recipe is not None:
        recipe, params = _plan_recipe(args)
    if args.resume:
        earlier = run.order()
        by = earlier.data.get("recipe")
        if by != args.recipe:
            raise ValueError(
                f"the training in {run.path} was started "
                + (f"by --recipe {by}" if by else "without --recipe")
                + "; --resume needs the same"
            )
        complain("--resume uses the images and settings that the training began with")
        params = earlier.params
        if recipe is None:
            return _Order(output, params, None, [])
    elif recipe is None:
        params = TrainParams(**given_options(args, TrainParams))
    if args.data is not None:
        return _Order(output, params, recipe, args.data)
    return _Order(output, params, recipe, read_pairs(args, params))


def _plan_recipe(args: argparse.Namespace) -> tuple[Recipe, TrainParams]:
    """Return the recipe with what was asked for, and its first stage's parameters."""
    from napari_nucleiseg.networks.architectures import find_architecture
    from napari_nucleiseg.training.recipes import find_recipe

    recipe, given = find_recipe(args.recipe), given_options(args, TrainParams)
    if args.no_pretrained and not find_architecture(recipe.architecture).pretrained:
        raise ValueError(
            f"the recipe {recipe.name} uses no pretrained weights, so "
            "--no-pretrained does not apply"
        )
    shared = {name: value for name, value in given.items() if name in _OF_RUNS}
    # None can only be said to each stage: to `Recipe.run` it means the stage's own.
    changes = {k: v for k, v in given.items() if k not in shared or v is None}
    stages = tuple(
        dataclasses.replace(stage, params=stage.params.replace(**changes))
        for stage in recipe.stages
    )
    params = stages[0].params.replace(**shared)
    return dataclasses.replace(recipe, stages=stages), params


def _say(args: argparse.Namespace, outcome: TrainOutcome) -> int:
    """Print the outcome; returns the exit status."""
    if outcome.problem:
        complain(outcome.problem)
    if args.json:
        record = {
            "model": str(outcome.folder) if outcome.kept else None,
            "epochs": outcome.epochs,
            "stopped": outcome.stopped,
            "problem": outcome.problem,
            "word": outcome.verdict.word,
            "verdict": outcome.verdict.model_dump(),
        }
        print(json.dumps(record, indent=1))
    else:
        print(outcome.verdict.text)
        print(
            f"{outcome.ending}\nSaved {outcome.folder}"
            if outcome.kept
            else f"Not kept; it waits in {outcome.folder}. --output {args.output} "
            "--resume --keep keeps it, a new training with --force discards it."
        )
    return 0 if outcome.kept else 1
