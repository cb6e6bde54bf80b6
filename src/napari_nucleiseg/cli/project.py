"""`nucleiseg project`: examples and the models that they taught, round by round."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.cli.options import add_options, add_size_limit, given_options
from napari_nucleiseg.cli.terminal import TrainMonitor, complain
from napari_nucleiseg.core.params import TrainParams

if TYPE_CHECKING:
    from napari_nucleiseg.training.project.project import Project


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the actions of `nucleiseg project`, and what runs them."""
    sub.description = (
        "A project is a folder of examples and of the models that they taught, which "
        "grows round by round; the Teach widget works on the same."
    )
    actions = sub.add_subparsers(metavar="ACTION", required=True)

    def add(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        action = actions.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + "."
        )
        action.set_defaults(run=run)
        action.add_argument("project", type=Path, metavar="FOLDER")
        return action

    new = add("new", _new, "make a new project")
    new.add_argument(
        "--base", metavar="NAME|FOLDER", help="model to start from (default: nuclei)"
    )
    add_options(new.add_argument_group("how to train"), TrainParams)
    show = add("show", _show, "show what is in a project")
    show.add_argument("--json", action="store_true", help="print it as JSON")
    _add_sources(add("add", _add, "add images and their labels to a project"))
    teach = add("teach", _teach, "train on all examples of a project")
    keep = teach.add_mutually_exclusive_group()
    keep.add_argument(
        "--keep",
        action="store_const",
        const=True,
        help="keep the model even if it is not better",
    )
    keep.add_argument(
        "--back",
        action="store_true",
        help="train nothing: go back to the model before the last one kept",
    )
    teach.add_argument(
        "--resume",
        action="store_true",
        help="go on with a round that was interrupted, on the examples it had",
    )
    export = add("export", _export, "write a project as one file")
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument("--force", action="store_true", help="replace an existing file")
    take = add("import", _import, "unpack an exported project into a new folder")
    take.add_argument("file", type=Path, metavar="FILE")


def _add_sources(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="the images"
    )
    sub.add_argument(
        "--labels", type=Path, metavar="DIR", help="their labels; see nucleiseg train"
    )
    sub.add_argument("--channel", type=int, metavar="N", help="learn from this channel")
    sub.add_argument(
        "--labelled",
        choices=("all", "painted"),
        default="all",
        help="whether every nucleus is labelled, or only some (default: all)",
    )
    sub.add_argument(
        "--test",
        action="store_true",
        help="test new models on these, and never learn from them",
    )
    add_size_limit(sub)


def _open(args: argparse.Namespace) -> Project:
    from napari_nucleiseg.training.project.project import Project

    return Project(args.project)


def _new(args: argparse.Namespace) -> int:
    from napari_nucleiseg.models.registry import DEFAULT_MODEL
    from napari_nucleiseg.training.project.project import Project

    project = Project.create(
        args.project,
        base=args.base or DEFAULT_MODEL,
        params=TrainParams(**given_options(args, TrainParams)),
    )
    print(f"Made the project {project.note.name} in {project.folder}")
    return 0


def _show(args: argparse.Namespace) -> int:
    project = _open(args)
    note = project.note
    if args.json:
        print(json.dumps(note.model_dump(mode="json"), indent=1))
        return 0
    print(f"{note.name}: {project.nuclei} nuclei in {len(note.examples)} examples")
    for example in note.examples:
        print(f"  {example.name}: {example.nuclei}  {example.source}".rstrip())
    if note.tests:
        print(f"Tested on {_images(len(note.tests))}, never learnt from:")
    for example in note.tests:
        print(f"  {example.name}: {example.nuclei}  {example.source}".rstrip())
    for one in note.rounds:
        said = one.verdict.sentence if one.verdict is not None else ""
        print(f"{one.model}: {one.state}, {one.nuclei} nuclei. {said}".rstrip())
    print(f"The model is {project.model.card.name}")
    return 0


def _add(args: argparse.Namespace) -> int:
    import dataclasses

    from napari_nucleiseg.core.labels.annotations import known_from_paint, stack_name
    from napari_nucleiseg.io.pairs import find_pairs, load_pairs, read_pair_folder
    from napari_nucleiseg.training.project.checking import check_addition

    project = _open(args)
    files = (
        read_pair_folder(args.images)
        if args.labels is None
        else find_pairs(args.images, args.labels)
    )
    pairs, findings = load_pairs(
        files.pairs, channel=args.channel, max_megapixels=args.max_megapixels
    )
    if args.labelled == "painted":
        pairs = [
            dataclasses.replace(p, known=known_from_paint(p.labels)) for p in pairs
        ]
    about = check_addition(project, pairs)
    for finding in (*files.findings, *findings, *about):
        complain(f"{finding.level}: {finding.text}")
    if not pairs or any(found.level == "error" for found in about):
        raise ValueError("nothing was added: see above")
    paths = {file.name: str(file.image.resolve()) for file in files.pairs}
    sources = [paths.get(stack_name(pair.name), "") for pair in pairs]
    added = project.add(pairs, sources=sources, test=args.test)
    if args.test:
        print(f"{added} more nuclei to test on, in {_images(len(project.tests))}")
    else:
        images = len(project.examples)
        print(f"{added} more nuclei; {project.nuclei} in {images} examples")
    return 0


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def _teach(args: argparse.Namespace) -> int:
    import os

    project = _open(args)
    if args.back:
        print(f"The model is {project.back().card.name}")
        return 0
    # TensorFlow's own messages would break up the progress line.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    params = project.note.params
    monitor = TrainMonitor(params.epochs, params.minutes)
    with monitor.heeding_ctrl_c():
        outcome = project.teach(keep=args.keep, resume=args.resume, monitor=monitor)
    print(outcome.verdict.text)
    print(f"The model is {project.model.card.name}")
    return 0 if project.rounds[-1].state == "kept" else 1


def _export(args: argparse.Namespace) -> int:
    from napari_nucleiseg.training.project.sharing import export_project

    try:
        file = export_project(_open(args), args.file, replace=args.force)
    except FileExistsError as e:
        raise ValueError(f"{e} --force replaces it.") from e
    print(f"Wrote {file}")
    return 0


def _import(args: argparse.Namespace) -> int:
    from napari_nucleiseg.training.project.sharing import import_project

    project = import_project(args.file, args.project)
    print(f"Unpacked the project {project.note.name} into {project.folder}")
    return 0
