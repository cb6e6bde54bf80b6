"""Gates: nuclei that lie in a range of one measurement, or in an area of two."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, model_validator

from napari_nucleiseg.core.record import Record

if TYPE_CHECKING:
    import pandas as pd


class Gate(Record):
    """Which nuclei are positive.

    Parameters
    ----------
    name : str
        The gate's, and of the column that it becomes.
    x : str
        The column measured.
    low, high : float or None
        The least and the largest value, both included; None for no limit.
    y : str or None
        The second column, of a lasso.
    corners : list of [float, float]
        Of a lasso: x and y of its corners, three or more.
    """

    name: str = Field(min_length=1, max_length=80)
    x: str
    low: float | None = None
    high: float | None = None
    y: str | None = None
    corners: list[list[float]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _is_whole(self) -> Gate:
        lasso = self.y is not None
        if lasso != bool(self.corners):
            raise ValueError("A lasso needs a second column, y, and corners.")
        if lasso and (len(self.corners) < 3 or any(len(c) != 2 for c in self.corners)):
            raise ValueError("A lasso needs three corners or more, of x and y each.")
        if not lasso and self.low is None and self.high is None:
            raise ValueError("A range needs a least or a largest value.")
        return self

    def in_words(self) -> str:
        """Return which nuclei are positive, for a reader."""
        if self.y is not None:
            return f"{self.x} and {self.y} in an area of {len(self.corners)} corners"
        low = "" if self.low is None else f"{self.low:.4g} ≤ "
        high = "" if self.high is None else f" ≤ {self.high:.4g}"
        return f"{low}{self.x}{high}"

    def positive(self, table: pd.DataFrame) -> np.ndarray:
        """Return which rows are positive, ``(n,)`` bool; NaN is not.

        Raises
        ------
        ValueError
            If the table lacks a column.
        """
        for column in filter(None, (self.x, self.y)):
            if column not in table:
                raise ValueError(
                    f"The gate {self.name!r} is of {column!r}, which the table does "
                    f"not have; it has {', '.join(map(str, table))}."
                )
        x = table[self.x].to_numpy(float)
        if self.y is None:
            low = -np.inf if self.low is None else self.low
            high = np.inf if self.high is None else self.high
            return (x >= low) & (x <= high)
        y = table[self.y].to_numpy(float)
        return _inside(np.stack([x, y], axis=1), np.array(self.corners))


def add_gates(table: pd.DataFrame, gates: Iterable[Gate]) -> pd.DataFrame:
    """Return the table with a column for each gate: True for the positive nuclei.

    Raises
    ------
    ValueError
        If a gate is called as a measurement is, or the table lacks its columns.
    """
    gates = list(gates)
    for gate in gates:
        if gate.name in table:
            raise ValueError(
                f"The gate {gate.name!r} has the name of a column of the table; give "
                "it another name."
            )
    return table.assign(**{gate.name: gate.positive(table) for gate in gates})


def _inside(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return which points ``(n, 2)`` lie in a polygon, by the crossings of a ray."""
    inside = np.zeros(len(points), bool)
    x, y = points.T
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside
