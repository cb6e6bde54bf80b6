"""`nucleiseg segment`: images in, labels and, if wanted, tables out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg import __version__
from napari_nucleiseg.cli.finish import processes, read_share, segment_to_zarr
from napari_nucleiseg.cli.measuring import add_measure_options, with_measuring
from napari_nucleiseg.cli.options import (
    add_options,
    add_processes,
    add_size_limit,
    folder_path,
    given_options,
)
from napari_nucleiseg.cli.terminal import TerminalMonitor, complain, quiet_start
from napari_nucleiseg.core.params import MeasureParams, SegmentParams

if TYPE_CHECKING:
    from napari_nucleiseg.core.monitor import Monitor, Progress
    from napari_nucleiseg.models.batch.items import Item
    from napari_nucleiseg.models.batch.watching import Outcome
    from napari_nucleiseg.models.recipe import SavedRecipe


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
        "labels are to be (IMAGE.zarr/labels/NAME makes them part of the image): it is "
        "read and written by blocks, and goes on where it was stopped",
    )
    sub.add_argument(
        "--blocks",
        type=read_share,
        metavar="i/N",
        help="do only the i-th of N shares of the blocks of OUT.zarr: any number at "
        "once, on any machines; then `nucleiseg finish OUT.zarr`",
    )
    sub.add_argument(
        "--restart",
        action="store_true",
        help="begin OUT.zarr anew: the blocks that an earlier run has left there "
        "(OUT.zarr.part) are discarded",
    )
    add_processes(sub)
    sub.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out images whose results, made with these settings, are in the "
        "folder already",
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
        "--condition",
        metavar="RULE",
        help="what the conditions of the images are told by, for a column of the "
        "tables: 'folder' (its name); a pattern of file names such as "
        "'{condition}_*'; or a CSV file with a column of file names or wells and one "
        "of conditions, such as plate.csv or plate.csv:treatment",
    )
    sub.add_argument(
        "--contact-sheet",
        action="store_true",
        help="also write contact_sheet.png: all images with their outlines",
    )
    sub.add_argument(
        "--report",
        action="store_true",
        help="also write report.html: settings, counts by condition, plots and the "
        "least certain images, in one file",
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
    sub.add_argument(
        "--image-name",
        metavar="NAME",
        help="what the image is called in the names of columns, such as mean_NAME",
    )
    sub.set_defaults(run=_segment)


def _recipe(args: argparse.Namespace) -> SavedRecipe:
    """Return what is asked for: by options, then by a recipe, then by default."""
    from napari_nucleiseg.models.recipe import SavedRecipe, read_recipe
    from napari_nucleiseg.models.registry import DEFAULT_MODEL

    given = given_options(args, MeasureParams)
    if given and not args.measure and args.recipe is None:
        name = next(iter(given)).replace("_", "-")
        raise ValueError(f"--{name} is of measuring: add --measure")
    base = read_recipe(args.recipe) if args.recipe else SavedRecipe()
    if base.corrected:
        complain(
            f"{args.recipe}: its labels were corrected by hand afterwards; that is not "
            "done again"
        )
    asked: dict[str, Any] = {
        name: value
        for name in ("axes", "channel", "series", "image_name", "condition")
        if (value := getattr(args, name)) is not None
    }
    if args.model or base.model is None:
        model = SavedRecipe.of(args.model or DEFAULT_MODEL)
        asked |= {"model": model.model, "model_hash": model.model_hash}
    segment = base.segment.replace(**given_options(args, SegmentParams))
    asked |= {"version": __version__, "corrected": False}
    recipe = base.replace(**asked, segment=segment)
    if args.measure or base.measure is not None:
        recipe = with_measuring(recipe, args)
    return recipe


def _segment(args: argparse.Namespace) -> int:
    from napari_nucleiseg.io.inputs import find_images
    from napari_nucleiseg.io.label_zarr import image_of
    from napari_nucleiseg.models.batch.items import plan_files
    from napari_nucleiseg.models.batch.run import Batch
    from napari_nucleiseg.models.batch.work import Wanted
    from napari_nucleiseg.models.predictor import load_model

    recipe = _recipe(args)
    assert recipe.model is not None
    with quiet_start():
        load_model(recipe.model, recipe.segment.engine)
    if args.output.suffix == ".zarr" or image_of(args.output) is not None:
        if recipe.measure is not None:
            complain("--measure is not for an --output that ends in .zarr")
            return 2
        args.inputs = [Path(text) for text in args.inputs]
        return segment_to_zarr(args, recipe)
    if args.blocks or args.restart:
        name = "--blocks" if args.blocks else "--restart"
        complain(f"{name} needs an --output that ends in .zarr")
        return 2
    items = plan_files(
        find_images(args.inputs), args.output, condition=recipe.condition
    )
    wanted = Wanted(
        overlay=args.overlay,
        sheet=args.contact_sheet,
        report=args.report,
        suffix=args.table,
        outlines=args.outlines,
        max_megapixels=args.max_megapixels,
    )
    batch = Batch(items, args.output, recipe, wanted)
    with processes(args) as client:
        found = batch.run(_Terminal(), again=not args.skip_existing, client=client)
    if batch.summary:
        print(batch.summary)
    done = [outcome for outcome in found if outcome.state == "done"]
    nuclei = sum(outcome.nuclei for outcome in done)
    images = f"{len(done)} image{'s' * (len(done) != 1)}"
    print(f"{nuclei} nuclei in {images}: {args.output}")
    skipped = sum(outcome.state == "skipped" for outcome in found)
    failed = sum(outcome.state == "failed" for outcome in found)
    if skipped:
        complain(f"{skipped} of {len(items)} images skipped: they were done")
    foreign = sum(x.entry is not None and x.entry.foreign for x in found)
    if foreign:
        complain(f"{foreign} of them: labels that were corrected or made elsewhere")
    if failed:
        complain(f"{failed} of {len(items)} images failed")
    return 1 if failed else 0


class _Terminal:
    """Follows a batch: a bar for each image, and what is wrong with it."""

    _monitor: _LateMonitor | None = None

    def begin(self, item: Item) -> Monitor:
        """Return what shows the bar."""
        self._monitor = _LateMonitor(Path(item.title).name)
        return self._monitor

    def end(self, outcome: Outcome) -> None:
        """End the bar, and complain of what there is to complain of."""
        if self._monitor is not None:
            entry = outcome.entry
            self._monitor.close(entry.summary if entry is not None else "")
            self._monitor = None
        for text in outcome.complaints if outcome.state != "skipped" else ():
            complain(f"{outcome.item.title}: {text}")


class _LateMonitor:
    """A bar that is drawn once there is something to be seen: not for a broken file."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: TerminalMonitor | None = None

    def report(self, progress: Progress) -> None:
        """Move the bar."""
        if self._bar is None:
            self._bar = TerminalMonitor(self._title)
        self._bar.report(progress)

    def should_stop(self) -> bool:
        """Never: Ctrl-C raises KeyboardInterrupt."""
        return False

    def close(self, text: str) -> None:
        """End the bar, if there is one."""
        if self._bar is not None:
            self._bar.close(text)
