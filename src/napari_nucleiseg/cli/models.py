"""`nucleiseg models`: list, show, rename, delete, export, import."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_nucleiseg.models.registry import Model


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options and actions of `nucleiseg models`, and what runs them."""
    sub.description = (
        "List the models, the built-in one and your own, or manage one of them."
    )
    sub.add_argument("--json", action="store_true", help="print the cards as JSON")
    sub.set_defaults(run=_list)
    actions = sub.add_subparsers(metavar="ACTION")

    def add(name: str, run: Any, text: str, *arguments: str) -> argparse.ArgumentParser:
        action = actions.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + "."
        )
        for argument in arguments:
            action.add_argument(argument.lower(), metavar=argument)
        action.set_defaults(run=run)
        return action

    add("show", _show, "show a model's card", "NAME").add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print the card as JSON",
    )
    add("rename", _rename, "give one of your models another name", "OLD", "NEW")
    add("delete", _delete, "delete one of your models", "NAME").add_argument(
        "--yes", action="store_true", help="do not ask"
    )
    add(
        "export",
        _export,
        "write a model as one file (in a folder: NAME.nucleiseg)",
        "NAME",
        "FILE",
    ).add_argument("--force", action="store_true", help="replace an existing file")
    add("import", _import, "add a model from an exported file", "FILE").add_argument(
        "--name", help="what to call it here (default: its own name)"
    )


def _list(args: argparse.Namespace) -> int:
    from napari_nucleiseg.models.registry import list_models, models_folder

    models = list_models()
    if args.json:
        print(json.dumps([m.card.model_dump(mode="json") for m in models], indent=1))
        return 0
    for model in models:
        _print_card(model)
        print()
    print(f"Your own models are kept in {models_folder()}")
    return 0


def _print_card(model: Model) -> None:
    from napari_nucleiseg.models.card import format_card

    print(format_card(model.card, str(model.folder), model.built_in))


def _show(args: argparse.Namespace) -> int:
    from napari_nucleiseg.models.registry import find_model

    model = find_model(args.name)
    if args.json:
        print(json.dumps(model.card.model_dump(mode="json"), indent=1))
    else:
        _print_card(model)
    return 0


def _rename(args: argparse.Namespace) -> int:
    from napari_nucleiseg.models.library import rename_model
    from napari_nucleiseg.models.registry import find_model

    model = rename_model(find_model(args.old, check=False), args.new)
    print(f"{args.old} is now {model.card.name}")
    return 0


def _delete(args: argparse.Namespace) -> int:
    from napari_nucleiseg.models.library import delete_model
    from napari_nucleiseg.models.registry import find_model

    model = find_model(args.name, check=False)
    if not model.built_in and not args.yes:
        if not sys.stdin.isatty():
            raise ValueError(
                f"cannot ask here whether to delete {model.card.name}; --yes deletes "
                "without asking"
            )
        if not _agreed(f"Delete {model.card.name} ({model.folder})? [y/N] "):
            print("Nothing was deleted.")
            return 1
    delete_model(model)
    print(f"Deleted {model.card.name}")
    return 0


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _export(args: argparse.Namespace) -> int:
    from napari_nucleiseg.models.library import export_model
    from napari_nucleiseg.models.registry import find_model

    try:
        file = export_model(find_model(args.name), Path(args.file), replace=args.force)
    except FileExistsError as e:
        raise ValueError(f"{e} --force replaces it.") from e
    print(f"Wrote {file}")
    return 0


def _import(args: argparse.Namespace) -> int:
    from napari_nucleiseg.models.library import NameTaken, import_model

    try:
        model = import_model(Path(args.file), name=args.name)
    except NameTaken as e:
        raise ValueError(f"{e} --name gives it another name here.") from e
    print(f"Imported {model.card.name} into {model.folder}")
    return 0
