"""A part of an image: what is in view, or inside drawn outlines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_nucleiseg.core.segment.blocks.grid import widen
from napari_nucleiseg.core.segment.image import Window


@dataclass(frozen=True, eq=False)
class Region:
    """Where nuclei are looked for. A nucleus is where its centroid is.

    Parameters
    ----------
    outlines : tuple of (int or None, numpy.ndarray)
        The plane, None for all of them, and ``(n, 2)`` corners (y, x) in pixels of a
        polygon there.
    """

    outlines: tuple[tuple[int | None, np.ndarray], ...]

    def covers(self, plane: int, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return which of these places (pixels) of a plane lie in it, ``(n,)`` bool."""
        from skimage.measure import points_in_poly

        points = np.stack([y, x], axis=-1).reshape(-1, 2)
        inside = np.zeros(len(points), bool)
        for at, corners in self.outlines:
            if at is None or at == plane:
                inside |= points_in_poly(points, corners)
        return inside

    def boxes(self, plane: int, shape: tuple[int, int], margin: int) -> list[Window]:
        """Return the boxes of its parts in a plane ``(y, x)``, with a margin (pixels).

        Parts that lie outside of the image have none.
        """
        found = []
        for at, corners in self.outlines:
            if at is None or at == plane:
                low = np.floor(corners.min(axis=0)).astype(int)
                high = np.ceil(corners.max(axis=0)).astype(int) + 1
                y, x = widen(
                    (slice(low[0], high[0]), slice(low[1], high[1])), shape, margin
                )
                if y.start < y.stop and x.start < x.stop:
                    found.append((y, x))
        return found


def everywhere(shape: tuple[int, int]) -> Region:
    """Return all of an image ``(y, x)``, in all of its planes."""
    height, width = shape
    corners = [[-1, -1], [-1, width], [height, width], [height, -1]]
    return Region(((None, np.array(corners, float)),))


def touch(first: Window, second: Window) -> bool:
    """Return whether two windows have a pixel in common."""
    return all(
        a.start < b.stop and b.start < a.stop
        for a, b in zip(first, second, strict=True)
    )
