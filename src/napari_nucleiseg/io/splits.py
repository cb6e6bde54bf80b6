"""Data sets with a fixed split: which images to learn from, and which to choose by."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.segment.instances import contact_map


def kind_of(row: Mapping[str, str]) -> str:
    """Return the kind of a row of a data set, by its source where that has a name.

    ``color`` of an image named by a number, ``tnbc_color`` of one named ``tnbc_12``.
    """
    source, separator, _ = row["id"].partition("_")
    return f"{source}_{row['kind']}" if separator else row["kind"]


def read_split(
    data: str | os.PathLike[str] | Sequence[Path],
    split: str,
    shares: Mapping[str, float] | None = None,
) -> list[Pair]:
    """Read one split of a data set, or of several.

    Parameters
    ----------
    data : path or sequence of path
        Folders with ``images/<id>.tif``, ``masks/<id>.tif`` and ``split.csv`` with
        the columns ``id, split`` and, for `shares`, ``kind``.
    split : str
        Which rows to take.
    shares : mapping of str to float, optional
        Kinds of image to take (see `kind_of`), and how much each counts; within a kind
        an image counts by the square root of its area, and more where its nuclei
        touch. None takes every image, and each counts alike.

    Returns
    -------
    list of Pair
        Weighted so that each kind has its share.

    Raises
    ------
    ValueError
        If a folder is no such data set, or has none of these images.
    """
    folders = [Path(data)] if isinstance(data, str | os.PathLike) else data
    found: list[tuple[str, Pair]] = []
    for folder in folders:
        table = folder / "split.csv"
        if not table.is_file():
            raise ValueError(f"{folder} must hold images/, masks/ and split.csv.")
        with table.open(newline="", encoding="utf-8") as file:
            rows = [
                row
                for row in csv.DictReader(file)
                if row.get("split") == split
                and (shares is None or kind_of(row) in shares)
            ]
        if not rows:
            raise ValueError(f"{table} names no image of the split {split!r}.")
        for row in rows:
            pair = Pair(
                tifffile.imread(folder / "images" / f"{row['id']}.tif"),
                tifffile.imread(folder / "masks" / f"{row['id']}.tif"),
                row["id"],
            )
            found.append((kind_of(row) if shares else "", pair))
    if shares is None:
        return [pair for _, pair in found]
    counts = [_interest(pair.labels) for _, pair in found]
    totals = dict.fromkeys(shares, 0.0)
    for (kind, _), count in zip(found, counts, strict=True):
        totals[kind] += count
    return [
        replace(pair, weight=shares[kind] * count / totals[kind])
        for (kind, pair), count in zip(found, counts, strict=True)
    ]


def _interest(labels: np.ndarray) -> float:
    """Return how much an image counts: large ones more, and where nuclei touch."""
    covered = int((labels > 0).sum())
    touching = min(contact_map(labels).sum() / covered, 0.5) if covered else 0.0
    return math.sqrt(labels.size) * (0.5 + 2 * touching)
