"""`nucleiseg segment`: images in, labels and, if wanted, tables out."""

from __future__ import annotations

import argparse
import glob
import logging
from collections.abc import Sequence
from os.path import realpath  # unlike Path.resolve, at ease with a loop of links
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg import __version__
from napari_nucleiseg.cli.finish import read_share, segment_to_zarr
from napari_nucleiseg.cli.measuring import Tables, add_measure_options
from napari_nucleiseg.cli.options import (
    add_options,
    add_size_limit,
    folder_path,
    given_options,
)
from napari_nucleiseg.cli.terminal import TerminalMonitor, complain, quiet_start
from napari_nucleiseg.core.params import MeasureParams, SegmentParams
from napari_nucleiseg.io.atomic import make_folder, reason_of

if TYPE_CHECKING:
    from napari_nucleiseg.io.images import ImageFile
    from napari_nucleiseg.models.recipe import SavedRecipe

log = logging.getLogger(__name__)


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options of `nucleiseg segment`, and what runs it."""
    sub.description = (
        "Find the nuclei in TIFF, OME-TIFF, PNG or JPEG images and write "
        "<name>_labels.tif for each, with a number for each nucleus, and recipe.json, "
        "which says how and does it again (--recipe). One image of any size, OME-Zarr "
        "too, can be written to OME-Zarr."
    )
    sub.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="image file, folder of images, or pattern such as 'plate/*/*.tif'",
    )
    sub.add_argument(
        "--output",
        required=True,
        type=folder_path,
        metavar="DIR|OUT.zarr",
        help="folder for labels; or, for one image of any size, the OME-Zarr that its "
        "labels are to be: it is read and written by blocks, and goes on where it was "
        "stopped",
    )
    sub.add_argument(
        "--blocks",
        type=read_share,
        metavar="i/N",
        help="do only the i-th of N shares of the blocks of OUT.zarr: any number at "
        "once, on any machines; then `nucleiseg finish OUT.zarr`",
    )
    sub.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out images whose results are in the folder already",
    )
    sub.add_argument(
        "--model", default=None, metavar="NAME|FOLDER", help="model to use"
    )
    sub.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="do as in this recipe.json; options given beside it go first",
    )
    sub.add_argument(
        "--measure",
        action="store_true",
        help="also measure the nuclei in every channel: nuclei.csv and images.csv",
    )
    sub.add_argument(
        "--channel",
        type=int,
        metavar="N",
        help="use this channel only, counted from 0 (default: the first one, or all "
        "of a colour image)",
    )
    sub.add_argument(
        "--axes",
        metavar="LETTERS",
        help="what the image's axes are, a letter for each, such as TCYX: Y, X, C for "
        "channels, S for colours, any other for planes (default: as the file says)",
    )
    sub.add_argument(
        "--series",
        type=int,
        metavar="N",
        help="use this series of a TIFF file that has several, counted from 0 "
        "(default: the first one)",
    )
    add_size_limit(sub)
    add_options(sub, SegmentParams)
    sub.add_argument(
        "--overlay",
        action="store_true",
        help="also write <name>_overlay.png with the outlines (first plane of a stack)",
    )
    add_measure_options(sub)
    sub.set_defaults(run=_segment)


def find_inputs(inputs: Sequence[str]) -> list[Path]:
    """Return the image files that are meant, each once.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders and patterns. Of a folder all images are taken but labels,
        masks and overlays.

    Raises
    ------
    ValueError
        If a folder or pattern holds no image, and is all there is.
    """
    from napari_nucleiseg.io.images import PICTURE_SUFFIXES, TIFF_SUFFIXES
    from napari_nucleiseg.io.pair_reading import list_files
    from napari_nucleiseg.io.pairs import LABEL_ENDINGS

    found: dict[Path, None] = {}
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            files = list_files(path, (*TIFF_SUFFIXES, *PICTURE_SUFFIXES))
        elif not path.exists() and glob.has_magic(text):
            files = sorted(x for x in map(Path, glob.glob(text, recursive=True)))  # noqa: PTH207
        else:
            found[path] = None
            continue
        endings = (*LABEL_ENDINGS, "_overlay")
        images = [x for x in files if x.is_file() and not x.stem.endswith(endings)]
        if not images and len(inputs) == 1:
            raise ValueError(f"{text}: there are no images")
        # Named as what cannot be read, when its turn comes; the others are done.
        images = images or [path]
        found.update(dict.fromkeys(images))
    return list(found)


def _recipe(args: argparse.Namespace) -> SavedRecipe:
    """Return what is asked for: by options, then by a recipe, then by default."""
    from napari_nucleiseg.models.recipe import SavedRecipe, read_recipe
    from napari_nucleiseg.models.registry import DEFAULT_MODEL

    given = given_options(args, MeasureParams)
    if given and not args.measure and args.recipe is None:
        name = next(iter(given)).replace("_", "-")
        raise ValueError(f"--{name} is of measuring: add --measure")
    base = read_recipe(args.recipe) if args.recipe else SavedRecipe.of(DEFAULT_MODEL)
    asked = {
        name: value
        for name in ("axes", "channel", "series", "pixel_size")
        if (value := getattr(args, name)) is not None
    }
    if args.model:
        asked["model"] = args.model
        asked["model_hash"] = SavedRecipe.of(args.model).model_hash
    measure = base.measure
    if args.measure or measure is not None:
        measure = (measure or MeasureParams()).replace(**given)
    segment = base.segment.replace(**given_options(args, SegmentParams))
    return base.replace(**asked, version=__version__, segment=segment, measure=measure)


def _plan_outputs(inputs: Sequence[Path], folder: Path) -> dict[Path, Path | str]:
    """Return where each input's labels go, or why they cannot."""
    sources = {realpath(path) for path in inputs}
    taken: dict[Path, Path] = {}
    plan: dict[Path, Path | str] = {}
    for path in inputs:
        target = folder / f"{path.stem}_labels.tif"
        if (
            realpath(target) in sources
            or realpath(_overlay_of(path, target)) in sources
        ):
            plan[path] = f"its result would overwrite the input {target.name}"
        elif target in taken and realpath(taken[target]) != realpath(path):
            plan[path] = f"{taken[target]} has the same name, and so the same result"
        else:
            taken[target] = path
            plan[path] = target
    return plan


def _segment(args: argparse.Namespace) -> int:
    from napari_nucleiseg.models.predictor import load_model
    from napari_nucleiseg.models.recipe import RECIPE_FILE

    recipe = _recipe(args)
    with quiet_start():
        load_model(recipe.model)
    if args.output.suffix == ".zarr":
        if recipe.measure is not None:
            complain("--measure is not for an --output that ends in .zarr")
            return 2
        args.inputs = [Path(text) for text in args.inputs]
        for name in ("axes", "channel", "series"):
            setattr(args, name, getattr(recipe, name))
        return segment_to_zarr(args, recipe.segment, recipe.model)
    if args.blocks:
        complain("--blocks needs an --output that ends in .zarr")
        return 2
    inputs = find_inputs(args.inputs)
    make_folder(args.output)
    tables = None
    if recipe.measure is not None:
        args.pixel_size = recipe.pixel_size
        how = recipe.measure.model_dump()
        tables = Tables(args, args.output, gates=recipe.gates, params=how)
    failed = skipped = nuclei = 0
    for path, target in _plan_outputs(inputs, args.output).items():
        try:
            if isinstance(target, str):
                raise ValueError(target)
            if args.skip_existing and _is_done(path, target, args.overlay):
                skipped += 1
                if tables is not None:
                    _measure_again(path, target, recipe, tables, args)
                continue
            nuclei += _segment_file(path, target, recipe, tables, args)
        # Whatever becomes of one image, the others are done.
        except Exception as e:
            log.debug("%s failed", path, exc_info=True)
            complain(f"{path}: {reason_of(e)}")
            failed += 1
    done = len(inputs) - failed - skipped
    if done:
        recipe.write(args.output / RECIPE_FILE)
    if tables is not None and done + skipped:
        print(tables.write())
    print(f"{nuclei} nuclei in {done} image{'s' * (done != 1)}: {args.output}")
    if skipped:
        complain(f"{skipped} of {len(inputs)} images skipped: they were done")
    if failed:
        complain(f"{failed} of {len(inputs)} images failed")
    return 1 if failed else 0


def _overlay_of(path: Path, target: Path) -> Path:
    return target.with_name(f"{path.stem}_overlay.png")


def _is_done(path: Path, target: Path, overlay: bool) -> bool:
    """Return whether an image's results are there; each was written whole."""
    return target.is_file() and not (
        overlay and not _overlay_of(path, target).is_file()
    )


def _read(path: Path, recipe: SavedRecipe, args: argparse.Namespace) -> ImageFile:
    from napari_nucleiseg.io.images import read_image

    found = read_image(
        path, series=recipe.series or 0, max_megapixels=args.max_megapixels
    )
    if found.series > 1 and recipe.series is None:
        complain(f"{path}: has {found.series} series; using 0 (--series chooses)")
    return found


def _segment_file(
    path: Path,
    target: Path,
    recipe: SavedRecipe,
    tables: Tables | None,
    args: argparse.Namespace,
) -> int:
    """Write an image's labels, add it to the tables, and return the count of nuclei."""
    from napari_nucleiseg.core.segment.planes import to_planes
    from napari_nucleiseg.io.images import write_labels, write_overlay
    from napari_nucleiseg.models.segmenting import segment

    found = _read(path, recipe, args)
    how: dict[str, Any] = {"axes": recipe.axes or found.axes, "channel": recipe.channel}
    monitor = TerminalMonitor(path.name)
    text = ""
    try:
        result = segment(
            found.data,
            recipe.model,
            **recipe.segment.model_dump(),
            **how,
            monitor=monitor,
        )
        write_labels(target, result.labels)
        if args.overlay:
            planes, _ = to_planes(found.data, **how)
            first = result.labels.reshape(-1, *result.labels.shape[-2:])[0]
            write_overlay(_overlay_of(path, target), planes[0], first)
        if tables is not None:
            tables.add(
                path.stem,
                result.labels,
                _channels(found, result.labels.shape, result.axes),
                path,
                axes=result.axes,
                confidence=result.confidence,
                monitor=monitor,
            )
        text = f"{result.summary}, diameter {result.diameter:.0f} px"
    finally:
        monitor.close(text)
    for warning in result.warnings:
        complain(f"{path}: {warning}")
    return result.count


def _measure_again(
    path: Path,
    target: Path,
    recipe: SavedRecipe,
    tables: Tables,
    args: argparse.Namespace,
) -> None:
    """Add an image that was done before to the tables; its confidence is not known."""
    from napari_nucleiseg.core.labels.annotations import to_labels
    from napari_nucleiseg.io.pair_reading import read_labels

    found = _read(path, recipe, args)
    limit = args.max_megapixels
    labels = to_labels(read_labels(target, max_megapixels=limit), target.name)
    axes = recipe.axes or found.axes
    channels = _channels(found, labels.shape, axes)
    tables.add(path.stem, labels, channels, path, axes=axes, confidence={})


def _channels(found: ImageFile, shape: tuple[int, ...], axes: str) -> dict[str, Any]:
    from napari_nucleiseg.core.measure.channels import split_channels

    return split_channels(found.data, shape, axes=axes)
