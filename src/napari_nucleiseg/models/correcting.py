"""A part of the labels of a large image: read to be corrected, and written back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucleiseg.core.labels.numbering import numbers_before
from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.io.label_zarr import (
    BY_HAND,
    open_labels,
    read_table,
    shrink,
    write_table,
)
from napari_nucleiseg.models.block_plan import BlockPlan

#: A longer side of a part cannot be corrected at once, pixels.
LONGEST = 4096


@dataclass(frozen=True, eq=False)
class LabelPart:
    """Labels in one window of one plane, as they were when it was read.

    Parameters
    ----------
    result : pathlib.Path
        The OME-Zarr that holds the labels.
    plan : BlockPlan
        What they were found with.
    plane : int
        Number of the plane.
    window : tuple of slice
        Of the plane.
    file_labels : numpy.ndarray
        ``(y, x)`` int64, with the numbers of the file.
    names : numpy.ndarray
        ``(n + 1,)`` int64: the number in the file of each of `labels`; 0 first.
    """

    result: Path
    plan: BlockPlan
    plane: int
    window: Window
    file_labels: np.ndarray
    names: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """``(y, x)`` int32, numbered from 1 without holes."""
        return np.searchsorted(self.names, self.file_labels).astype(np.int32)

    @property
    def place(self) -> tuple[int, ...]:
        """Where the plane lies along the axes of planes."""
        stack = self.plan.stack
        at = np.unravel_index(self.plane, stack or (1,))
        return tuple(int(i) for i in at)[: len(stack)]

    def at_edge(self, labels: np.ndarray) -> np.ndarray:
        """Return which of its labels ``(y, x)`` reach its edge, where it is cut."""
        rim: list[np.ndarray] = []
        for axis, (side, size) in enumerate(
            zip(self.window, self.plan.plane_shape, strict=True)
        ):
            rows = np.moveaxis(labels, axis, 0)
            rim += [rows[0]] if side.start > 0 else []
            rim += [rows[-1]] if side.stop < size else []
        found = np.unique(np.concatenate([np.zeros(1, labels.dtype), *rim]))
        return found[found > 0]

    def known(self, name: str, empty: Any) -> np.ndarray:
        """Return a column of the table for nuclei 1..n; `empty` where it has none."""
        table = read_table(self.result.with_suffix(".parquet"))
        if name not in table:
            return np.full(self.names.size - 1, empty)
        rows = {int(label): row for row, label in enumerate(table["label"])}
        column = table[name]
        return np.array(
            [
                column[rows[label]] if label in rows else empty
                for label in self.names[1:].tolist()
            ],
            column.dtype,
        )


def is_corrected(result: Path) -> bool:
    """Return whether there are labels of which some were touched by hand."""
    table = result.with_suffix(".parquet")
    return result.exists() and table.exists() and BY_HAND in read_table(table)


def read_part(result: Path, plan: BlockPlan, plane: int, window: Window) -> LabelPart:
    """Read the labels in a window of a plane.

    Raises
    ------
    ValueError
        If it is too large to be corrected at once.
    """
    if max(side.stop - side.start for side in window) > LONGEST:
        raise ValueError(
            f"Zoom in: no more than {LONGEST} × {LONGEST} pixels can be corrected at "
            "once."
        )
    part = LabelPart(result, plan, plane, window, np.zeros((0, 0)), np.zeros(0))
    level = open_labels(result)[0]
    labels = np.asarray(level[(*part.place, *window)]).astype(np.int64)
    names = np.unique(np.r_[0, labels.ravel()])
    return LabelPart(result, plan, plane, window, labels, names)


def write_part(
    part: LabelPart, labels: np.ndarray, about: Mapping[int, Mapping[str, Any]]
) -> dict[str, np.ndarray]:
    """Write corrected labels of a part into their file, all levels, and its table.

    Nuclei that reach over the edge of the part stay as they are.

    Parameters
    ----------
    part : LabelPart
        As it was read.
    labels : numpy.ndarray
        ``(y, x)`` integers. What is the same nucleus as before keeps its number in the
        file.
    about : mapping of int to mapping
        By label, its ``confidence`` (NaN if the model has none) and `BY_HAND`, None
        where it was not touched.

    Returns
    -------
    dict of str to numpy.ndarray
        The table as it is now.

    Raises
    ------
    ValueError
        If the labels have been changed in the file since.
    """
    levels = open_labels(part.result, "r+")
    path = part.result.with_suffix(".parquet")
    where = (*part.place, *part.window)
    if not np.array_equal(np.asarray(levels[0][where]), part.file_labels):
        raise ValueError(
            "These labels were made anew since they were opened for correction. Open "
            "them again."
        )
    table = read_table(path)
    highest = int(table["label"].max(initial=0))
    names = numbers_before(labels, part.file_labels, highest)
    cut = part.at_edge(part.file_labels)
    at_edge = part.at_edge(labels)
    names[np.isin(names, cut)] = 0
    names[at_edge[names[at_edge] > highest]] = 0
    stays = np.isin(part.file_labels, cut)
    new = np.where(stays, part.file_labels, names[labels])
    levels[0][where] = new.astype(np.uint32)
    shrink(levels, part.place, part.plan.block, window=part.window)
    fresh = _rows(part, np.where(stays, 0, new))
    number = {int(name): label for label, name in enumerate(names) if name}
    fresh |= _said([about.get(number[label], {}) for label in fresh["label"].tolist()])
    table.setdefault(BY_HAND, np.full(table["label"].size, None, object))
    gone = np.setdiff1d(part.names, cut)
    left = ~np.isin(table["label"], gone)
    joined = {
        name: np.concatenate([table[name][left], fresh[name]])
        if name in fresh
        else np.concatenate([table[name][left], np.full(fresh["label"].size, np.nan)])
        for name in table
    }
    order = np.argsort(joined["label"], kind="stable")
    joined = {name: column[order] for name, column in joined.items()}
    if not any(joined[BY_HAND]):
        del joined[BY_HAND]
    write_table(path, joined)
    return joined


def _rows(part: LabelPart, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rows of a part's nuclei: label, place, area and centroid."""
    at = np.flatnonzero(labels)
    found, flat, areas = np.unique(
        labels.ravel()[at], return_inverse=True, return_counts=True
    )
    y, x = (np.bincount(flat, places) for places in np.divmod(at, labels.shape[1]))
    rows = {
        "label": found,
        "area": areas,
        "centroid_y": y / np.maximum(areas, 1) + part.window[0].start,
        "centroid_x": x / np.maximum(areas, 1) + part.window[1].start,
    }
    for letter, place in zip(part.plan.label_axes[:-2], part.place, strict=True):
        rows[letter.lower()] = np.full(found.size, place)
    return rows


def _said(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return as columns what is said of nuclei."""
    hand = np.full(len(rows), None, object)
    # pandas has NaN where nothing is.
    ways = [row.get(BY_HAND) for row in rows]
    hand[:] = [how if isinstance(how, str) else None for how in ways]
    sure = [float(row.get("confidence", np.nan)) for row in rows]
    return {"confidence": np.array(sure, np.float32), BY_HAND: hand}
