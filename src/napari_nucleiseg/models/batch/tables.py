"""The tables of many images: a row for each nucleus, and one for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.core.measure.gates import add_gates
from napari_nucleiseg.core.measure.nuclei import measure, plane_names
from napari_nucleiseg.core.measure.summary import summarise
from napari_nucleiseg.core.measure.units import area_mm2
from napari_nucleiseg.core.params import MeasureParams
from napari_nucleiseg.io.pixel_size import read_pixel_size
from napari_nucleiseg.io.tables import write_geojson, write_rois, write_table
from napari_nucleiseg.models.recipe import SavedRecipe

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from napari_nucleiseg.core.monitor import Monitor


class Tables:
    """The nuclei of the images measured so far.

    Parameters
    ----------
    folder : pathlib.Path
        Where tables and outlines are written.
    recipe : SavedRecipe
        How to measure, and the gates, each of which becomes a column.
    suffix : str
        ``"csv"`` or ``"parquet"``.
    outlines : sequence of str
        ``"geojson"`` and ``"roi"``: what else is written of each image.
    """

    def __init__(
        self,
        folder: Path,
        recipe: SavedRecipe,
        *,
        suffix: str = "csv",
        outlines: Sequence[str] = (),
    ) -> None:
        self._folder, self._recipe = folder, recipe
        self._suffix, self._outlines = suffix, outlines
        self._tables: list[pd.DataFrame] = []
        self._areas: dict[str, float | None] = {}
        #: Of each image by name, for a column of both tables; None for no such column.
        self.conditions: Mapping[str, str] | None = None

    def measure(
        self,
        name: str,
        labels: np.ndarray,
        images: dict[str, Any],
        source: Path | tuple[float, float] | None,
        *,
        axes: str | None,
        confidence: Any = None,
        monitor: Monitor | None = None,
    ) -> pd.DataFrame:
        """Measure the nuclei of an image, add them, and write their outlines.

        Parameters
        ----------
        name : str
            What the image is called in the tables.
        labels, images, axes, confidence, monitor
            See `core.measure.nuclei.measure`.
        source : pathlib.Path, (float, float) or None
            How large a pixel is along y and x, µm, or the file that says so; if the
            recipe does not.
        """
        known = read_pixel_size(source) if isinstance(source, Path) else source
        scale = self._recipe.pixel_size or known
        params = (self._recipe.measure or MeasureParams()).model_dump()
        table = measure(
            labels,
            images,
            scale=scale,
            axes=axes,
            confidence=confidence,
            monitor=monitor,
            **params,
        )
        table = add_gates(table, self._recipe.gates)
        letters = "".join(plane_names(labels.ndim - 2, axes))
        for kind, path in self._outline_files(name).items():
            if kind == "geojson":
                write_geojson(path, labels, table, axes=letters)
            else:
                write_rois(path, labels, axes=letters)
        table.insert(0, "image", name)
        self.add(name, table, None if scale is None else area_mm2(labels.shape, scale))
        return table

    def _outline_files(self, name: str) -> dict[str, Path]:
        files = {"geojson": f"{name}.geojson", "roi": f"{name}_rois.zip"}
        return {kind: self._folder / files[kind] for kind in self._outlines}

    def has_outlines(self, name: str) -> bool:
        """Return whether the outlines of an image are there, as far as wanted."""
        return all(path.is_file() for path in self._outline_files(name).values())

    def add(self, name: str, table: pd.DataFrame, area: float | None) -> None:
        """Add an image that was measured before.

        Parameters
        ----------
        name : str
            What the image is called in the tables.
        table : pandas.DataFrame
            From `measure`.
        area : float or None
            Of the image, mm².
        """
        self._tables.append(table)
        self._areas[name] = area

    def area_of(self, name: str) -> float | None:
        """Return the area of an image that was added, mm²; None if it is unknown."""
        return self._areas[name]

    def collect(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the tables: a row for each nucleus, and a row for each image.

        Raises
        ------
        ValueError
            If no image was measured.
        """
        import pandas as pd

        if not self._tables:
            raise ValueError("no image was measured, so there are no tables")
        # An empty table would make the columns of the others ones of any type.
        full = [table for table in self._tables if len(table)] or self._tables[:1]
        nuclei = pd.concat(full, ignore_index=True)
        if self.conditions is not None:
            nuclei.insert(1, "condition", nuclei["image"].map(self.conditions))
        gates = [gate.name for gate in self._recipe.gates]
        images = summarise(nuclei, self._areas, gates=gates, conditions=self.conditions)
        return nuclei, images

    def write(self) -> str:
        """Write ``nuclei`` and ``images``, and return the latter as text."""
        nuclei, images = self.collect()
        write_table(self._folder / f"nuclei.{self._suffix}", nuclei)
        write_table(self._folder / f"images.{self._suffix}", images)
        areas = [name for name in images if name.startswith("median(area")]
        known = ["area_mm2", "nuclei_per_mm2"] if any(self._areas.values()) else []
        shares = [name for name in images if name.startswith("share(")]
        first = ["image", *(["condition"] if self.conditions else []), "nuclei"]
        shown = images[[*first, *known, *areas, *shares]]
        return shown.to_string(index=False, na_rep="–", float_format="{:.4g}".format)
