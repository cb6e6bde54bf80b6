"""Tables of many images, which `segment --measure` and `measure` both write."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.cli.options import add_options, given_options
from napari_nucleiseg.core.params import MeasureParams

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from napari_nucleiseg.core.measure.gates import Gate


def add_measure_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of measuring."""
    group = sub.add_argument_group("what is measured")
    group.add_argument(
        "--pixel-size",
        type=float,
        metavar="UM",
        help="how large a pixel is, µm (default: as each file says; else lengths are "
        "in pixels)",
    )
    add_options(group, MeasureParams)
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


def measure_params(args: argparse.Namespace) -> dict[str, Any]:
    """Return the measuring options that were given, checked."""
    given = given_options(args, MeasureParams)
    MeasureParams(**given)
    return given


class Tables:
    """The nuclei of the images measured so far.

    Parameters
    ----------
    args : argparse.Namespace
        With the options of `add_measure_options`.
    folder : pathlib.Path
        Where tables and outlines are written.
    gates : sequence of Gate
        Each becomes a column.
    params : dict, optional
        How to measure; as the options say if not given.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        folder: Path,
        *,
        gates: Iterable[Gate] = (),
        params: dict[str, Any] | None = None,
    ) -> None:
        self._folder, self._gates = folder, list(gates)
        self._params = measure_params(args) if params is None else params
        self._pixel_size = args.pixel_size
        self._suffix, self._outlines = args.table, args.outlines
        self._tables: list[pd.DataFrame] = []
        self._areas: dict[str, float | None] = {}

    def add(
        self,
        name: str,
        labels: np.ndarray,
        images: dict[str, Any],
        source: Path,
        **how: Any,
    ) -> pd.DataFrame:
        """Measure the nuclei of an image, and write their outlines.

        Parameters
        ----------
        name : str
            What the image is called in the tables.
        labels, images
            See `core.measure.nuclei.measure`.
        source : pathlib.Path
            The file that says how large a pixel is, if the options do not.
        **how
            For `measure`.
        """
        from napari_nucleiseg.core.measure.gates import add_gates
        from napari_nucleiseg.core.measure.nuclei import area_mm2, measure, plane_names
        from napari_nucleiseg.io.pixel_size import read_pixel_size
        from napari_nucleiseg.io.tables import write_geojson, write_rois

        scale = self._pixel_size or read_pixel_size(source)
        table = measure(labels, images, scale=scale, **self._params, **how)
        table = add_gates(table, self._gates)
        axes = "".join(plane_names(labels.ndim - 2, how.get("axes")))
        if "geojson" in self._outlines:
            write_geojson(self._folder / f"{name}.geojson", labels, table, axes=axes)
        if "roi" in self._outlines:
            write_rois(self._folder / f"{name}_rois.zip", labels, axes=axes)
        table.insert(0, "image", name)
        self._tables.append(table)
        self._areas[name] = None if scale is None else area_mm2(labels.shape, scale)
        return table

    def write(self) -> str:
        """Write ``nuclei`` and ``images``, and return the latter as text.

        Raises
        ------
        ValueError
            If no image was measured.
        """
        import pandas as pd

        from napari_nucleiseg.core.measure.summary import summarise
        from napari_nucleiseg.io.tables import write_table

        if not self._tables:
            raise ValueError("no image was measured, so there are no tables")
        # An empty table would make the columns of the others ones of any type.
        full = [table for table in self._tables if len(table)] or self._tables[:1]
        nuclei = pd.concat(full, ignore_index=True)
        images = summarise(nuclei, self._areas, gates=[g.name for g in self._gates])
        write_table(self._folder / f"nuclei.{self._suffix}", nuclei)
        write_table(self._folder / f"images.{self._suffix}", images)
        areas = [name for name in images if name.startswith("median(area")]
        known = ["area_mm2", "nuclei_per_mm2"] if any(self._areas.values()) else []
        shares = [name for name in images if name.startswith("share(")]
        shown = images[["image", "nuclei", *known, *areas, *shares]]
        return shown.to_string(index=False, na_rep="–", float_format="{:.4g}".format)
