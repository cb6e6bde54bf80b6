"""Convex hulls of many nuclei at once: their areas and greatest diameters.

As in scikit-image, the hull is that of the middles of the pixels' edges, and its area
the number of pixels whose middles lie in it or on it. All is counted in half pixels,
which are integers, so that nothing is rounded.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.distance import pdist

from napari_nucleiseg.core.measure.regions import Regions

#: Farther out than any pixel, in half pixels.
_FAR = np.int64(1) << 40


def hulls(
    regions: Regions, spacing: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels in each hull, and its greatest diameter.

    Parameters
    ----------
    regions : Regions
        The nuclei.
    spacing : (float, float)
        Size of a pixel, for the diameter.

    Returns
    -------
    areas, diameters : numpy.ndarray
        ``(n,)`` each; areas in pixels.
    """
    top = np.array([box[0].start for box in regions.boxes])
    left = np.array([box[1].start for box in regions.boxes])
    heights = np.array([box[0].stop - box[0].start for box in regions.boxes])
    of, first, last = _lines(regions, top, left)
    lines = _Lines(heights)
    low, high = lines.fill(of, first, last)
    inside = high >= low
    counts = np.where(inside, high - low + 1, 0)
    areas = np.add.reduceat(counts, lines.starts)
    of = (lines.of[inside], lines.y[inside])
    chains = lines.corners(of, low[inside], high[inside])
    return areas, _diameters(*chains, len(heights), spacing)


def _lines(
    regions: Regions, top: np.ndarray, left: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Return first and last pixel of each line of each nucleus, within its box.

    Returns
    -------
    of : (numpy.ndarray, numpy.ndarray)
        Nucleus and line.
    first, last : numpy.ndarray
        Columns.
    """
    y, x = regions.yx
    nucleus = regions.of
    new = np.ones(len(y), bool)
    new[1:] = (y[1:] != y[:-1]) | (nucleus[1:] != nucleus[:-1])
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(y)) - 1
    which = nucleus[begins]
    return (
        (which, y[begins] - top[which]),
        x[begins] - left[which],
        x[ends] - left[which],
    )


class _Lines:
    """The lines of the boxes of nuclei, one box after another.

    Parameters
    ----------
    heights : numpy.ndarray
        ``(n,)`` of the boxes.
    """

    def __init__(self, heights: np.ndarray) -> None:
        self.starts = np.cumsum(heights) - heights
        self.of = np.repeat(np.arange(len(heights)), heights)
        self.y = np.arange(len(self.of)) - self.starts[self.of]
        # In half lines, with half a line above and below.
        halves = 2 * heights + 1
        self._starts = np.cumsum(halves) - halves
        self._of = np.repeat(np.arange(len(heights)), halves)
        self._half = np.arange(len(self._of)) - self._starts[self._of] - 1

    def corners(
        self, of: tuple[np.ndarray, np.ndarray], first: np.ndarray, last: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the corners of the hulls of lines, in half pixels.

        Parameters
        ----------
        of : (numpy.ndarray, numpy.ndarray)
            Nucleus and line of each.
        first, last : numpy.ndarray
            Its first and last pixel.

        Returns
        -------
        chain : numpy.ndarray
            Twice the nucleus for the left side, and one more for the right.
        y, x : numpy.ndarray
            Where; x of the right side is negative. Ascending in chain and y.
        """
        nucleus, y = of
        at = self._starts[nucleus] + 2 * y + 1
        parts = []
        for side, x in enumerate((first, -last)):
            outmost = np.full(len(self._of), _FAR)
            outmost[at] = 2 * x - 1
            for beside in (at - 1, at + 1):
                outmost[beside] = np.minimum(outmost[beside], 2 * x)
            there = outmost < _FAR
            parts.append(
                (2 * self._of[there] + side, self._half[there], outmost[there])
            )
        chain, half, outmost = (np.concatenate(x) for x in zip(*parts, strict=True))
        order = np.argsort(chain, kind="stable")
        return _convex(chain[order], half[order], outmost[order])

    def fill(
        self, of: tuple[np.ndarray, np.ndarray], first: np.ndarray, last: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and the last pixel in the hull, for each line of each box.

        See `corners`; the last is before the first where there is none.
        """
        chain, half, outmost = self.corners(of, first, last)
        span = int(self._half.max()) + 3
        keys = chain * span + half + 1
        found = []
        for side in (0, 1):
            wanted = (2 * self.of + side) * span + 2 * self.y + 1
            # The corner after a line, and the one before it or on it.
            after = np.searchsorted(keys, wanted, side="right")
            before = after - 1
            depth = half[after] - half[before]
            across = outmost[after] - outmost[before]
            place = outmost[before] * depth + across * (2 * self.y - half[before])
            found.append(-(-place // (2 * depth)))  # rounded up
        return found[0], -found[1]


def _convex(
    chain: np.ndarray, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leave out the points of chains that lie on or right of a line between others."""
    while True:
        inner = (chain[2:] == chain[:-2]).copy()
        turn = (x[1:-1] - x[:-2]) * (y[2:] - y[:-2])
        inner &= turn >= (x[2:] - x[:-2]) * (y[1:-1] - y[:-2])
        if not inner.any():
            return chain, y, x
        keep = np.ones(len(chain), bool)
        keep[1:-1] = ~inner
        chain, y, x = chain[keep], y[keep], x[keep]


def _diameters(
    chain: np.ndarray,
    y: np.ndarray,
    x: np.ndarray,
    count: int,
    spacing: tuple[float, float],
) -> np.ndarray:
    """Return the greatest distance between corners of each hull."""
    x = np.where(chain % 2 == 1, -x, x)
    # Within the box, with two pixels round it, as scikit-image has them.
    points = np.stack([y / 2 + 2, x / 2 + 2], axis=1) * np.array(spacing)
    ends = np.searchsorted(chain, 2 * np.arange(1, count + 1)).tolist()
    found, start = [], 0
    for end in ends:
        found.append(math.sqrt(pdist(points[start:end], "sqeuclidean").max()))
        start = end
    return np.array(found)
