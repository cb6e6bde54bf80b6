"""The size of a pixel, and the units of what is measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


class Unit:
    """Size of a pixel, and what lengths are in.

    Parameters
    ----------
    scale : float or (float, float) or None
        Size (along y and x), µm; None for lengths in pixels.

    Raises
    ------
    ValueError
        If it is not above 0.
    """

    def __init__(self, scale: float | Sequence[float] | None) -> None:
        self.known = scale is not None
        sizes = np.broadcast_to(1.0 if scale is None else np.asarray(scale, float), 2)
        if not (np.isfinite(sizes) & (sizes > 0)).all():
            raise ValueError(f"The size of a pixel must be above 0; received {scale}.")
        self.spacing = (float(sizes[0]), float(sizes[1]))
        self.square = self.spacing[0] == self.spacing[1]
        self.name = "um" if self.known else "px"


def area_mm2(shape: Sequence[int], scale: float | Sequence[float]) -> float:
    """Return the area of all planes together, mm².

    Parameters
    ----------
    shape : sequence of int
        ``(…, y, x)`` of the labels.
    scale : float or (float, float)
        Size of a pixel, µm.
    """
    y, x = Unit(scale).spacing
    return math.prod(shape) * y * x / 1e6
