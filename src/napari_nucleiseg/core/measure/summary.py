"""A row for each image from a row for each nucleus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def summarise(
    nuclei: pd.DataFrame,
    images: Mapping[str, float | None],
    *,
    columns: Sequence[str] | None = None,
    gates: Sequence[str] = (),
    conditions: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Summarise the nuclei of each image.

    Parameters
    ----------
    nuclei : pandas.DataFrame
        From `core.measure.nuclei.measure`, with a column ``image``.
    images : mapping of str to float or None
        Every image, those without nuclei too, and its area, mm²; None if unknown.
    columns : sequence of str, optional
        Whose mean and median to give; the areas and the mean intensities if not
        given.
    gates : sequence of str
        Columns that are true or false, whose share of true ones to give.
    conditions : mapping of str to str, optional
        Each image's condition, for a column ``condition``.

    Returns
    -------
    pandas.DataFrame
        ``image``, ``nuclei``, ``area_mm2`` and ``nuclei_per_mm2`` (NaN where the area
        is unknown), ``mean(area_um2)``, ``median(area_um2)`` and so on, and
        ``share(gate)``.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    import pandas as pd

    if columns is None:
        columns = [x for x in nuclei if x.startswith(("area_", "mean_"))]
    if missing := [x for x in (*columns, *gates) if x not in nuclei]:
        raise ValueError(
            f"The table has no column {missing[0]!r}; it has {', '.join(nuclei)}."
        )
    groups = dict(tuple(nuclei.groupby("image", sort=False)))
    rows = []
    for image, area in images.items():
        of_image = groups.get(image, nuclei.iloc[:0])
        row: dict[str, Any] = {"image": image}
        if conditions is not None:
            row["condition"] = conditions.get(image, "")
        row["nuclei"] = len(of_image)
        row["area_mm2"] = float("nan") if area is None else area
        row["nuclei_per_mm2"] = row["nuclei"] / row["area_mm2"]
        for column in columns:
            row[f"mean({column})"] = of_image[column].mean()
            row[f"median({column})"] = of_image[column].median()
        for gate in gates:
            row[f"share({gate})"] = of_image[gate].astype(float).mean()
        rows.append(row)
    return pd.DataFrame(rows)
