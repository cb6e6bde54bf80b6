"""Sums over the pixels of each nucleus, which may be added up block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from napari_nucleiseg.core.segment.image import Window


@dataclass
class NucleusFigures:
    """What is known of each of n nuclei, from its pixels and the maps there.

    Parameters
    ----------
    area : numpy.ndarray
        ``(n,)`` int64: pixels.
    rim : numpy.ndarray
        ``(n,)`` int64: those of them with something else on one of four sides.
    nucleus, distance, contact, rim_distance : numpy.ndarray
        ``(n,)`` float64: sums of the maps; the last one is of the distance on the rim.
    unit : float
        The value of the maps that stands for 1.
    """

    area: np.ndarray
    rim: np.ndarray
    nucleus: np.ndarray
    distance: np.ndarray
    contact: np.ndarray
    rim_distance: np.ndarray
    unit: float = 1.0

    @classmethod
    def none(cls, count: int) -> Self:
        """Return sums over nothing for so many nuclei."""
        return cls(
            area=np.zeros(count, np.int64),
            rim=np.zeros(count, np.int64),
            nucleus=np.zeros(count),
            distance=np.zeros(count),
            contact=np.zeros(count),
            rim_distance=np.zeros(count),
        )

    @classmethod
    def of(cls, labels: np.ndarray, maps: np.ndarray) -> Self:
        """Sum over a whole image: labels ``(y, x)`` 1..n, maps ``(y, x, 3 or more)``.

        Maps are nucleus, distance and contact first, float32 in 0-1, or uint8 with 255
        for 1.
        """
        found = cls.none(int(labels.max(initial=0)))
        found.add(labels, maps, (slice(None), slice(None)))
        return found

    def __len__(self) -> int:
        return self.area.size

    def mean(self, name: str) -> np.ndarray:
        """Return the mean of a map in each nucleus, ``(n,)`` float64 in 0-1."""
        return getattr(self, name) / np.maximum(self.area, 1) / self.unit

    def add(self, labels: np.ndarray, maps: np.ndarray, window: Window) -> None:
        """Add the pixels of a window.

        Parameters
        ----------
        labels : numpy.ndarray
            ``(y, x)`` int32, with a row and a column more than the window on each side
            where the image has one.
        maps : numpy.ndarray
            Of the window; see `of`.
        window : tuple of slice
            In the labels.
        """
        self.unit = 255.0 if maps.dtype == np.uint8 else 1.0
        own = labels[window].ravel()
        at = np.flatnonzero(own)
        if not at.size:
            return
        number = own[at]
        low, high = int(number.min()), int(number.max())
        number = number - low
        at_rim = np.flatnonzero(_rim(labels)[window].ravel()[at])
        nucleus, distance, contact = maps.reshape(-1, maps.shape[-1])[at, :3].T
        part, size = slice(low - 1, high), high - low + 1
        self.area[part] += np.bincount(number, minlength=size)
        self.rim[part] += np.bincount(number[at_rim], minlength=size)
        for sums, values in (
            (self.nucleus, nucleus),
            (self.distance, distance),
            (self.contact, contact),
        ):
            sums[part] += np.bincount(number, values, minlength=size)
        self.rim_distance[part] += np.bincount(
            number[at_rim], distance[at_rim], minlength=size
        )


def _rim(labels: np.ndarray) -> np.ndarray:
    """Return the pixels with a different label on one of four sides."""
    rim = np.zeros(labels.shape, bool)
    for a, b in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = labels[a] != labels[b]
        rim[a] |= differs
        rim[b] |= differs
    return rim
