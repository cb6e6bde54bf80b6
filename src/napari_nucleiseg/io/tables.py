"""Write tables and outlines for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleiseg.core.measure.outlines import Outline, outlines
from napari_nucleiseg.io.atomic import write_whole

if TYPE_CHECKING:
    import pandas as pd

TABLE_SUFFIXES = (".csv", ".parquet")


def check_table_name(path: Path) -> None:
    """Raise ValueError if a table cannot be written under this name."""
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise ValueError(
            f"A table's name must end in {' or '.join(TABLE_SUFFIXES)}; received "
            f"{path.name}."
        )


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV or Parquet, as the file's name says.

    Raises
    ------
    ValueError
        If the name ends in something else.
    NotWritten
        If the file cannot be written.
    """
    check_table_name(path)
    if path.suffix.lower() == ".csv":
        write_whole(path, lambda fresh: table.to_csv(fresh, index=False))
    else:
        write_whole(path, lambda fresh: table.to_parquet(fresh, index=False))


def write_rois(path: Path, labels: np.ndarray, *, axes: str = "") -> None:
    """Write the outlines as a ``.zip`` of ROIs, which Fiji's ROI manager opens.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    labels : numpy.ndarray
        ``(…, y, x)`` integers.
    axes : str
        A letter for each axis of the labels; T and Z are those of Fiji's stacks.

    Notes
    -----
    A ROI is named by its label; a nucleus in several pieces has one for each, as
    ``12-2``. An ROI has no holes: they are filled.
    """
    import roifile

    rois = []
    seen: dict[tuple[tuple[int, ...], int], int] = {}
    for outline in outlines(labels):
        key = (outline.plane, outline.label)
        seen[key] = seen.get(key, 0) + 1
        name = f"{outline.label:05d}" + (f"-{seen[key]}" if seen[key] > 1 else "")
        if outline.plane:
            name = "-".join([*(f"{i:04d}" for i in outline.plane), name])
        rois.append(
            roifile.ImagejRoi.frompoints(
                outline.outer[:, ::-1], name=name, **_position(outline, labels, axes)
            )
        )

    def write(fresh: Path) -> None:
        fresh.unlink(missing_ok=True)
        if rois:
            roifile.roiwrite(fresh, rois, mode="w")
        else:  # an archive of nothing
            fresh.write_bytes(b"PK\x05\x06" + bytes(18))

    write_whole(path, write)


def _position(outline: Outline, labels: np.ndarray, axes: str) -> dict[str, int]:
    if not outline.plane:
        return {}
    letters = axes.upper()[: len(outline.plane)]
    if len(set(letters)) == len(outline.plane) and set(letters) <= set("TZ"):
        at = dict(zip(letters.lower(), outline.plane, strict=True))
        return {"c": 0, "z": 0, "t": 0} | at
    return {"position": int(np.ravel_multi_index(outline.plane, labels.shape[:-2]))}


def write_geojson(
    path: Path,
    labels: np.ndarray,
    table: pd.DataFrame | None = None,
    *,
    axes: str = "",
) -> None:
    """Write the outlines as GeoJSON, which QuPath opens as detections.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    labels : numpy.ndarray
        ``(…, y, x)`` integers.
    table : pandas.DataFrame, optional
        From `core.measure.nuclei.measure`; its numbers become QuPath's measurements.
    axes : str
        A letter for each axis of the labels; T and Z are QuPath's.
    """
    pieces: dict[tuple[tuple[int, ...], int], list[list[list[list[int]]]]] = {}
    for outline in outlines(labels):
        rings = [_closed(ring) for ring in (outline.outer, *outline.holes)]
        pieces.setdefault((outline.plane, outline.label), []).append(rings)
    measured = {} if table is None else _measurements(table, labels.ndim - 2)
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon" if len(polygons) == 1 else "MultiPolygon",
                "coordinates": polygons[0] if len(polygons) == 1 else polygons,
                "plane": _plane(plane, axes),
            },
            "properties": {
                "objectType": "detection",
                "name": str(label),
                "measurements": measured.get((plane, label), {}),
            },
        }
        for (plane, label), polygons in pieces.items()
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features})
    write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))


def _closed(ring: np.ndarray) -> list[list[int]]:
    """Return x and y of the corners, the first one again at the end."""
    corners = ring[:, ::-1].tolist()
    return [*corners, corners[0]]


def _plane(plane: tuple[int, ...], axes: str) -> dict[str, int]:
    at = dict(zip(axes.upper(), plane, strict=False)) if axes else {}
    if plane and not set(at) & {"T", "Z"}:
        at = {"Z": plane[-1]}
    return {"c": -1, "z": at.get("Z", 0), "t": at.get("T", 0)}


def _measurements(
    table: pd.DataFrame, planes: int
) -> dict[tuple[tuple[int, ...], int], dict[str, Any]]:
    """Return the numbers of each nucleus, by plane and label."""
    numbers = table.select_dtypes(["number", "bool"]).astype(float)
    names = [name for name in numbers if name not in ("label", *table.columns[:planes])]
    keys = table[[*table.columns[:planes], "label"]].astype(int).to_numpy().tolist()
    rows = numbers[names].to_numpy().tolist()
    return {
        (tuple(key[:-1]), key[-1]): {
            name: value
            for name, value in zip(names, row, strict=True)
            if value == value
        }
        for key, row in zip(keys, rows, strict=True)
    }
