"""The options of `nucleiseg train`, and which of them go together."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_nucleiseg.cli.options import add_options, add_size_limit
from napari_nucleiseg.core.params import TrainParams

#: Options for the user's own images, which do not go with a data set.
_OF_IMAGES = ("images", "labels", "channel", "split", "test", "validation_share")


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options of `nucleiseg train`; what runs it is set elsewhere."""
    sub.description = (
        "Train a model on your own images and labels, from another model (--base) or "
        "from scratch (--recipe). Part of the nuclei is held out as the validation "
        "set; at the end both models are compared on it, and the new one is kept only "
        "if it is better. Ctrl-C stops and keeps the best epoch so far. The exit "
        "status is 0 if there is a new model, 1 if it was not better."
    )
    sub.add_argument(
        "--output",
        required=True,
        metavar="NAME|FOLDER",
        help="the model to write. A bare name goes to the folder of your own models, "
        "where the widget finds it; anything with a path separator (./name) is a "
        "folder",
    )
    _add_sources(sub)
    _add_ways(sub)
    params = sub.add_argument_group(
        "how to train",
        "The defaults suit training a model further; a recipe has its own.",
    )
    add_options(params, TrainParams)
    params.add_argument(
        "--no-rehearsal",
        dest="rehearsal",
        action="store_const",
        const=0.0,
        default=argparse.SUPPRESS,
        help="mix no other images in; the same as --rehearsal 0",
    )


def _add_sources(sub: argparse.ArgumentParser) -> None:
    group = sub.add_argument_group("what to learn from")
    group.add_argument(
        "--images", type=Path, metavar="DIR", help="folder with the images"
    )
    group.add_argument(
        "--labels",
        type=Path,
        metavar="DIR",
        help="folder with their labels: X.tif, X_labels.tif or X_masks.tif for X.tif "
        "(default: in the folder of the images, or images/ and masks/ in it)",
    )
    group.add_argument(
        "--channel",
        type=int,
        metavar="N",
        help="learn from this channel only, counted from 0 (default: the first one, "
        "or all of a colour image)",
    )
    add_size_limit(group)
    group.add_argument(
        "--labelled",
        choices=("all", "painted"),
        default="all",
        help="whether every nucleus is labelled, or only some: then only these, with a "
        "narrow rim, count in training and scores (default: all)",
    )
    group.add_argument(
        "--split",
        action="store_true",
        help="give each separate piece a number of its own, for masks of nucleus "
        "and background",
    )
    group.add_argument(
        "--test",
        type=Path,
        metavar="DIR",
        help="folder with images and labels to judge the new model by, from which "
        "nothing is learnt (default: what is held out of --images)",
    )
    group.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="instead, for a recipe: data sets with images/, masks/ and split.csv "
        "(id, split, kind)",
    )


def _add_ways(sub: argparse.ArgumentParser) -> None:
    group = sub.add_argument_group("what to start from, and what to do at the end")
    start = group.add_mutually_exclusive_group()
    start.add_argument(
        "--base", metavar="NAME|FOLDER", help="model to start from (default: nuclei)"
    )
    start.add_argument(
        "--recipe",
        metavar="NAME",
        help="train a network of this name from scratch; generalist is the built-in "
        "model's, and an unknown name lists them all",
    )
    group.add_argument(
        "--no-pretrained",
        action="store_true",
        help="do not download pretrained weights: train the encoder from random ones",
    )
    again = group.add_mutually_exclusive_group()
    again.add_argument(
        "--resume",
        action="store_true",
        help="resume a training of this output that was interrupted, with the images "
        "and settings it began with",
    )
    again.add_argument(
        "--force",
        action="store_true",
        help="replace an existing model, or discard an unfinished training",
    )
    group.add_argument(
        "--keep",
        action="store_true",
        help="keep the model even if it is not better; with --resume, a model that "
        "was not kept at first",
    )
    group.add_argument(
        "--yes",
        action="store_true",
        help="begin a training of hours without a question",
    )
    group.add_argument("--json", action="store_true", help="print the outcome as JSON")


def check_options(args: argparse.Namespace) -> None:
    """Refuse what does not go together, before anything is read."""
    if args.recipe is None:
        if args.no_pretrained:
            raise ValueError("--no-pretrained goes with --recipe")
        if args.data is not None:
            raise ValueError(
                "--data goes with --recipe; your own images are given with --images"
            )
    elif args.keep:
        raise ValueError("--keep goes with --base: a recipe's model is always kept")
    if args.test is not None and args.recipe is not None:
        raise ValueError("--test goes with --base: a recipe's model is always kept")
    if args.data is not None:
        given = [n for n in _OF_IMAGES if getattr(args, n, None) not in (None, False)]
        given += ["labelled"] if args.labelled != "all" else []
        if given:
            names = ", ".join("--" + name.replace("_", "-") for name in given)
            raise ValueError(f"{names} cannot be given with --data")
    elif args.images is None and not (args.resume and args.recipe is None):
        raise ValueError("--images must be given (or --data, with --recipe)")
