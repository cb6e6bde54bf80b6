"""`nucleiseg finish`, and `nucleiseg segment` to OME-Zarr: images of any size."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.cli.options import folder_path
from napari_nucleiseg.cli.terminal import TerminalMonitor, complain
from napari_nucleiseg.io.atomic import reason_of

if TYPE_CHECKING:
    from distributed import Client

    from napari_nucleiseg.models.recipe import SavedRecipe


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options of `nucleiseg finish`, and what runs it."""
    sub.description = (
        "Make the labels of an image whose blocks were found by `nucleiseg segment "
        "IMAGE --output OUT.zarr --blocks i/N`, and a Parquet table of its nuclei."
    )
    sub.add_argument("output", type=folder_path, metavar="OUT.zarr")
    sub.set_defaults(run=_finish)


def read_share(text: str) -> tuple[int, int]:
    """Read ``i/N``, for argparse."""
    try:
        number, count = map(int, text.split("/"))
    except ValueError:
        number, count = 0, 0
    if not 1 <= number <= count:
        raise argparse.ArgumentTypeError(
            f"must be i/N with i from 1 to N, such as 3/8; received {text!r}"
        )
    return number, count


@contextmanager
def processes(args: argparse.Namespace) -> Iterator[Client | None]:
    """Give the processes that the work is to be spread over, if it is."""
    if args.workers is None and args.scheduler is None:
        yield None
        return
    from napari_nucleiseg.models.cluster import connect

    with connect(workers=args.workers, scheduler=args.scheduler) as client:
        yield client


def segment_to_zarr(args: argparse.Namespace, recipe: SavedRecipe) -> int:
    """Segment one image by blocks, for `nucleiseg segment`; returns the exit status."""
    from napari_nucleiseg.io.block_files import BlockFiles
    from napari_nucleiseg.io.lazy_images import open_image
    from napari_nucleiseg.models.by_block import segment_blocks
    from napari_nucleiseg.models.predictor import load_model

    if len(args.inputs) != 1 or args.overlay:
        complain("one image at a time, without --overlay, goes into an OME-Zarr folder")
        return 2
    if args.blocks and (args.workers or args.scheduler):
        complain("--blocks is done by this process alone, without --workers")
        return 2
    if args.blocks and args.restart:
        complain("--restart would discard the blocks of the other shares")
        return 2
    (path,) = args.inputs
    if args.output.exists():
        if args.skip_existing:
            complain(f"{path} skipped: it was done")
            return 0
        complain(f"{args.output} is there already: choose another name, or remove it")
        return 1
    monitor = TerminalMonitor(path.name)
    text = ""
    try:
        if args.restart:
            BlockFiles(args.output).discard()
        how: dict[str, Any] = {
            "params": recipe.segment,
            "axes": recipe.axes,
            "channel": recipe.channel,
            "monitor": monitor,
        }
        with processes(args) as client:
            if client is None:
                with closing(open_image(path, series=recipe.series or 0)) as image:
                    plan = segment_blocks(
                        image,
                        args.output,
                        load_model(str(recipe.model), recipe.segment.engine),
                        share=args.blocks or (1, 1),
                        **how,
                    )
            else:
                from napari_nucleiseg.models.cluster import segment_blocks_on

                plan = segment_blocks_on(
                    client,
                    path,
                    args.output,
                    str(recipe.model),
                    series=recipe.series or 0,
                    **how,
                )
        text = "blocks done"
    except (OSError, ValueError, TypeError, MemoryError) as e:
        complain(f"{path}: {reason_of(e)}")
        return 1
    finally:
        monitor.close(text)
    for warning in plan.warnings:
        complain(f"{path}: {warning}")
    return 0 if args.blocks else _write(args.output)


def _finish(args: argparse.Namespace) -> int:
    return _write(args.output)


def _write(output: Path) -> int:
    from napari_nucleiseg.models.finishing import finish

    monitor = TerminalMonitor(output.name)
    text = ""
    try:
        done = finish(output, monitor=monitor)
        count = sum(done.counts)
        text = (
            f"{count} {'nucleus' if count == 1 else 'nuclei'}, diameter "
            f"{done.plan.diameter:.0f} px"
        )
    except (OSError, ValueError, MemoryError) as e:
        complain(f"{output}: {reason_of(e)}")
        return 1
    finally:
        monitor.close(text)
    return 0
