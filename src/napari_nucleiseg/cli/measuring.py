"""The options of measuring, which `segment --measure` and `measure` both have."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.cli.options import add_options, given_options
from napari_nucleiseg.core.params import MeasureParams

if TYPE_CHECKING:
    from napari_nucleiseg.core.measure.gates import Gate
    from napari_nucleiseg.models.recipe import SavedRecipe


def add_measure_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of measuring."""
    group = sub.add_argument_group("what is measured")
    group.add_argument(
        "--pixel-size",
        type=_pixel_size,
        metavar="UM",
        help="how large a pixel is, µm; or Y,X where it is not square (default: as "
        "each file says; else lengths are in pixels)",
    )
    add_options(group, MeasureParams)
    group.add_argument(
        "--gate",
        action="append",
        type=_gate,
        metavar="JSON",
        help="add a column that says which nuclei lie in a gate, as a recipe holds "
        'it: \'{"name": "large", "x": "area_um2", "low": 50}\'; several times for '
        "several",
    )
    group.add_argument(
        "--table",
        choices=("csv", "parquet"),
        default="csv",
        help="what the tables are written as (default: csv)",
    )
    group.add_argument(
        "--outlines",
        nargs="+",
        choices=("geojson", "roi"),
        default=(),
        help="also write the outlines of each image, for QuPath (<name>.geojson) or "
        "Fiji (<name>_rois.zip)",
    )


def with_measuring(base: SavedRecipe, args: argparse.Namespace) -> SavedRecipe:
    """Return a recipe that measures, as it says but for the options given."""
    asked: dict[str, Any] = {}
    if args.pixel_size is not None:
        asked["pixel_size"] = args.pixel_size
    if args.gate is not None:
        asked["gates"] = args.gate
    given = given_options(args, MeasureParams)
    how = (base.measure or MeasureParams()).replace(**given)
    return base.replace(measure=how, **asked)


def _pixel_size(text: str) -> float | list[float]:
    sizes = [float(part) for part in text.split(",")]
    if len(sizes) > 2 or not all(0 < size < float("inf") for size in sizes):
        raise argparse.ArgumentTypeError(
            f"must be a size above 0, or two such as 0.5,0.4; received {text!r}"
        )
    return sizes if len(sizes) == 2 else sizes[0]


_pixel_size.__name__ = "float"  # for argparse to say in its error


def _gate(text: str) -> Gate:
    from napari_nucleiseg.core.measure.gates import Gate

    try:
        return Gate.from_json(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"is no gate: {e}") from e
