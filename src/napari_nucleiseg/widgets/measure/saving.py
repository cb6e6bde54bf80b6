"""What is measured, as files: the table, a summary, or outlines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleiseg.core.measure.gates import Gate
from napari_nucleiseg.core.measure.summary import summarise
from napari_nucleiseg.core.measure.units import area_mm2
from napari_nucleiseg.core.segment.planes import from_image_axes
from napari_nucleiseg.io.tables import write_geojson, write_rois, write_table
from napari_nucleiseg.widgets.measure import painting
from napari_nucleiseg.widgets.measure.form import Measured

if TYPE_CHECKING:
    import pandas as pd

#: Kinds of file, for a dialog.
EXPORTS = ";;".join(
    (
        "Table (*.csv *.parquet)",
        "Summary, a row for the image (*.csv *.parquet)",
        "Outlines for QuPath (*.geojson)",
        "Outlines for Fiji (*.zip)",
    )
)


def save_measured(
    path: Path,
    measured: Measured,
    table: pd.DataFrame,
    gates: Sequence[Gate],
    *,
    summary: bool = False,
) -> None:
    """Write the table, or the outlines for ``.geojson`` and ``.zip``.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    measured : Measured
        What is measured.
    table : pandas.DataFrame
        Its table, with gates.
    gates : sequence of Gate
        Those of its columns that are gates.
    summary : bool
        Whether to write one row for the image, not one for each nucleus.

    Raises
    ------
    OSError, ValueError
        If the file cannot be written, or is of another kind.
    """
    layer = measured.layer
    axes = painting.data_axes(layer)
    letters = "".join(x for x in axes if x not in "CYX")
    if path.suffix.lower() in (".geojson", ".zip"):
        labels = np.asarray(layer.data)
        labels = from_image_axes(labels, axes) if axes[0].isalpha() else labels
        if path.suffix.lower() == ".geojson":
            write_geojson(path, labels, table, axes=letters)
        else:
            write_rois(path, labels, axes=letters)
        return
    named = table.copy()
    named.insert(0, "image", layer.name)
    if summary:
        scale = measured.scale
        area = None if scale is None else area_mm2(measured.shape, scale)
        names = [gate.name for gate in gates]
        named = summarise(named, {layer.name: area}, gates=names)
    write_table(path, named)
