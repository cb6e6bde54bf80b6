"""`nucleiseg segment`: image files in, label files out."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from os.path import realpath  # unlike Path.resolve, at ease with a loop of links
from pathlib import Path

from napari_nucleiseg.cli.finish import read_share, segment_to_zarr
from napari_nucleiseg.cli.options import (
    add_options,
    add_size_limit,
    folder_path,
    given_options,
)
from napari_nucleiseg.cli.terminal import TerminalMonitor, complain, quiet_start
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.io.atomic import make_folder, reason_of

log = logging.getLogger(__name__)


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options of `nucleiseg segment`, and what runs it."""
    sub.description = (
        "Find the nuclei in TIFF, OME-TIFF, PNG or JPEG images and write "
        "<name>_labels.tif for each, with a number for each nucleus. One image of any "
        "size, OME-Zarr too, can be written to OME-Zarr."
    )
    sub.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="image file")
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
    sub.set_defaults(run=_segment)


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
    from napari_nucleiseg.models.registry import DEFAULT_MODEL

    params = SegmentParams(**given_options(args, SegmentParams))
    model = args.model or DEFAULT_MODEL
    with quiet_start():
        load_model(model)
    if args.output.suffix == ".zarr":
        return segment_to_zarr(args, params, model)
    if args.blocks:
        complain("--blocks needs an --output that ends in .zarr")
        return 2
    make_folder(args.output)
    failed = skipped = 0
    for path, target in _plan_outputs(args.inputs, args.output).items():
        try:
            if isinstance(target, str):
                raise ValueError(target)
            if args.skip_existing and _is_done(path, target, args.overlay):
                skipped += 1
                continue
            _segment_file(path, target, model, params.model_dump(), args)
        # Whatever becomes of one image, the others are done.
        except Exception as e:
            log.debug("%s failed", path, exc_info=True)
            complain(f"{path}: {reason_of(e)}")
            failed += 1
    if skipped:
        complain(f"{skipped} of {len(args.inputs)} images skipped: they were done")
    if failed:
        complain(f"{failed} of {len(args.inputs)} images failed")
    return 1 if failed else 0


def _overlay_of(path: Path, target: Path) -> Path:
    return target.with_name(f"{path.stem}_overlay.png")


def _is_done(path: Path, target: Path, overlay: bool) -> bool:
    """Return whether an image's results are there; each was written whole."""
    return target.is_file() and not (
        overlay and not _overlay_of(path, target).is_file()
    )


def _segment_file(
    path: Path, target: Path, model: str, params: dict, args: argparse.Namespace
) -> None:
    from napari_nucleiseg.core.segment.planes import to_planes
    from napari_nucleiseg.io.images import read_image, write_labels, write_overlay
    from napari_nucleiseg.models.segmenting import segment

    found = read_image(
        path, series=args.series or 0, max_megapixels=args.max_megapixels
    )
    if found.series > 1 and args.series is None:
        complain(f"{path}: has {found.series} series; using 0 (--series chooses)")
    how = {"axes": args.axes or found.axes, "channel": args.channel}
    monitor = TerminalMonitor(path.name)
    text = ""
    try:
        result = segment(found.data, model, **params, **how, monitor=monitor)
        write_labels(target, result.labels)
        if args.overlay:
            planes, _ = to_planes(found.data, **how)
            first = result.labels.reshape(-1, *result.labels.shape[-2:])[0]
            write_overlay(_overlay_of(path, target), planes[0], first)
        text = f"{result.summary}, diameter {result.diameter:.0f} px"
    finally:
        monitor.close(text)
    for warning in result.warnings:
        complain(f"{path}: {warning}")
