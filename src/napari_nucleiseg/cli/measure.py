"""`nucleiseg measure`: labels and images in, tables out."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg import __version__
from napari_nucleiseg.cli.measuring import add_measure_options, with_measuring
from napari_nucleiseg.cli.options import add_size_limit, folder_path
from napari_nucleiseg.cli.terminal import TerminalMonitor, complain
from napari_nucleiseg.io.atomic import make_folder, reason_of

if TYPE_CHECKING:
    from napari_nucleiseg.models.batch.tables import Tables
    from napari_nucleiseg.models.recipe import SavedRecipe

log = logging.getLogger(__name__)


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options of `nucleiseg measure`, and what runs it."""
    sub.description = (
        "Measure every nucleus in label files and write a table with a row for each "
        "(nuclei.csv), one with a row for each image (images.csv), and recipe.json, "
        "which says how and does it again (--recipe). In folders, files belong "
        "together by name: X.tif and X_labels.tif or X_masks.tif."
    )
    sub.add_argument(
        "--labels", required=True, type=Path, metavar="FILE|DIR", help="the nuclei"
    )
    sub.add_argument(
        "--images",
        nargs="+",
        default=(),
        metavar="[NAME=]FILE|DIR",
        help="what intensities are measured in, every channel of it; several with a "
        "name for each, such as DAPI=blue GFP=green",
    )
    sub.add_argument(
        "--output", required=True, type=folder_path, metavar="DIR", help="for tables"
    )
    sub.add_argument(
        "--axes",
        metavar="LETTERS",
        help="what the images' axes are, a letter for each, such as TCYX (default: as "
        "each file says)",
    )
    sub.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="measure as in this recipe.json; options given beside it go first",
    )
    add_size_limit(sub)
    add_measure_options(sub)
    sub.set_defaults(run=_measure)


def _recipe(args: argparse.Namespace) -> SavedRecipe:
    """Return how to measure; and how the labels were made, if they lie with that."""
    from napari_nucleiseg.models.recipe import RECIPE_FILE, SavedRecipe, read_recipe

    folder = args.labels if args.labels.is_dir() else args.labels.parent
    beside = folder / RECIPE_FILE
    base = SavedRecipe()
    if beside.is_file():
        base = read_recipe(beside, check=False)
    elif args.axes is not None:
        base = base.replace(axes=args.axes)
    given = read_recipe(args.recipe, check=False) if args.recipe else SavedRecipe()
    base = base.replace(
        version=__version__,
        pixel_size=given.pixel_size,
        measure=given.measure,
        gates=given.gates,
    )
    return with_measuring(base, args)


def _measure(args: argparse.Namespace) -> int:
    from napari_nucleiseg.models.batch.tables import Tables
    from napari_nucleiseg.models.recipe import RECIPE_FILE

    recipe = _recipe(args)
    how = {"suffix": args.table, "outlines": args.outlines}
    tables = Tables(args.output, recipe, **how)
    sources = [_named(text) for text in args.images]
    if len({name for name, _ in sources}) < len(sources):
        raise ValueError(
            "several --images need a name each, such as DAPI=blue GFP=green"
        )
    files = _find_files(args.labels, dict(sources))
    make_folder(args.output)
    failed = 0
    for name, (labels, images) in files.items():
        try:
            _measure_file(tables, name, labels, images, args)
        # Whatever becomes of one image, the others are done.
        except Exception as e:
            log.debug("%s failed", labels, exc_info=True)
            complain(f"{labels}: {reason_of(e)}")
            failed += 1
    print(tables.write())
    recipe.write(args.output / RECIPE_FILE)
    if failed:
        complain(f"{failed} of {len(files)} images failed")
    return 1 if failed else 0


def _named(text: str) -> tuple[str, Path]:
    name, sign, path = text.partition("=")
    return (name, Path(path)) if sign else ("", Path(text))


def _find_files(
    labels: Path, sources: dict[str, Path]
) -> dict[str, tuple[Path, dict[str, Path]]]:
    """Return the label file and the image files of each image, by its name."""
    from napari_nucleiseg.io.pairs import find_label_files, find_pairs

    if labels.is_file():
        if folders := [path for path in sources.values() if not path.is_file()]:
            raise ValueError(
                f"{labels} is a file, and so must its image be; {folders[0]} is none"
            )
        return {labels.stem.removesuffix("_labels"): (labels, sources)}
    if not sources:
        found = find_label_files(labels)
        for name, paths in found.items():
            if len(paths) > 1:
                raise ValueError(
                    f"{paths[0]} and {paths[1]} are labels of one image, {name}"
                )
        return {name: (paths[0], {}) for name, paths in found.items()}
    files: dict[str, tuple[Path, dict[str, Path]]] = {}
    for channel, folder in sources.items():
        pairs = find_pairs(folder, labels)
        for finding in pairs.findings:
            complain(f"{folder}: {finding.text}")
        for pair in pairs.pairs:
            files.setdefault(pair.name, (pair.labels, {}))[1][channel] = pair.image
    whole = {name: x for name, x in files.items() if len(x[1]) == len(sources)}
    if missing := sorted(files.keys() - whole.keys()):
        complain(f"left out, for an image of theirs is missing: {', '.join(missing)}")
    return whole


def _measure_file(
    tables: Tables,
    name: str,
    labels_file: Path,
    image_files: dict[str, Path],
    args: argparse.Namespace,
) -> None:
    from napari_nucleiseg.core.labels.annotations import to_labels
    from napari_nucleiseg.core.measure.channels import split_channels
    from napari_nucleiseg.io.images import read_image
    from napari_nucleiseg.io.pair_reading import read_labels

    limit = args.max_megapixels
    labels = to_labels(read_labels(labels_file, max_megapixels=limit), name)
    channels: dict[str, Any] = {}
    axes = args.axes
    for channel, path in image_files.items():
        found = read_image(path, max_megapixels=limit)
        axes = args.axes or found.axes
        channels |= split_channels(found.data, labels.shape, axes=axes, name=channel)
    monitor = TerminalMonitor(name)
    text = ""
    source = next(iter(image_files.values()), labels_file)
    try:
        table = tables.measure(
            name, labels, channels, source, axes=axes, monitor=monitor
        )
        text = f"{len(table)} nuclei"
    finally:
        monitor.close(text)
