"""`nucleiseg link`: the nuclei of planes, linked through depth or time."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_nucleiseg.cli.options import (
    add_options,
    add_size_limit,
    folder_path,
    given_options,
)
from napari_nucleiseg.cli.terminal import TerminalMonitor, complain
from napari_nucleiseg.core.params import LinkParams
from napari_nucleiseg.io.atomic import make_folder, reason_of, write_whole


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options of `nucleiseg link`, and what runs it."""
    sub.description = (
        "Give the outlines of one nucleus in the planes of a stack one number, and "
        "write <name>_linked.tif; through time also <name>_tracks.csv, with the track "
        "and the parent of each."
    )
    sub.add_argument(
        "inputs", nargs="+", type=Path, metavar="LABELS", help="stack of labels"
    )
    sub.add_argument("--output", required=True, type=folder_path, metavar="DIR")
    add_size_limit(sub)
    add_options(sub, LinkParams)
    sub.set_defaults(run=_link)


def _link(args: argparse.Namespace) -> int:
    params = LinkParams(**given_options(args, LinkParams))
    make_folder(args.output)
    failed = 0
    for path in args.inputs:
        try:
            _link_file(path, params, args)
        except (OSError, ValueError, MemoryError, ImportError) as e:
            complain(f"{path}: {reason_of(e)}")
            failed += 1
    return 1 if failed else 0


def _link_file(path: Path, params: LinkParams, args: argparse.Namespace) -> None:
    from napari_nucleiseg.core.labels.linking import Tracks, link
    from napari_nucleiseg.io.images import write_labels
    from napari_nucleiseg.io.pair_reading import read_labels

    labels = read_labels(path, max_megapixels=args.max_megapixels)
    monitor = TerminalMonitor(path.name)
    text = ""
    try:
        linked = link(labels, params, monitor=monitor)
        tracks = linked if isinstance(linked, Tracks) else None
        found = linked.labels if isinstance(linked, Tracks) else linked
        write_labels(args.output / f"{path.stem}_linked.tif", found)
        count = f"{found.max()} {'nuclei' if tracks is None else 'tracks'}"
        text = f"{count} in {len(found)} planes"
    finally:
        monitor.close(text)
    if tracks is not None:
        table = args.output / f"{path.stem}_tracks.csv"
        write_whole(table, lambda fresh: tracks.table.to_csv(fresh, index=False))
