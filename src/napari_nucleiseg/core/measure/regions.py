"""The pixels of many nuclei at once, one after another in one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.ndimage as ndi

Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Regions:
    """Some of the nuclei of a plane.

    Parameters
    ----------
    plane : numpy.ndarray
        ``(y, x)`` labels.
    labels : numpy.ndarray
        ``(n,)`` of these nuclei; each has a pixel or more.
    boxes : list of (slice, slice)
        The smallest boxes round them.
    pixels : numpy.ndarray
        ``(k,)`` places of their pixels in the flat plane, those of the first nucleus
        first, line by line.
    starts : numpy.ndarray
        ``(n,)`` where each one's begin.
    """

    plane: np.ndarray
    labels: np.ndarray
    boxes: list[Box]
    pixels: np.ndarray
    starts: np.ndarray

    @cached_property
    def counts(self) -> np.ndarray:
        """``(n,)`` how many pixels each has."""
        return np.diff(self.starts, append=len(self.pixels))

    @cached_property
    def of(self) -> np.ndarray:
        """``(k,)`` the place among these nuclei of the one that each pixel is of."""
        return np.repeat(np.arange(len(self.labels)), self.counts)

    @cached_property
    def yx(self) -> tuple[np.ndarray, np.ndarray]:
        """``(k,)`` lines and columns of the pixels."""
        y, x = np.divmod(self.pixels, self.plane.shape[1])
        return y, x


class Plane:
    """A plane of labels, and where each of its nuclei lies.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integers; only those above 0 are nuclei.

    Attributes
    ----------
    ids : numpy.ndarray
        ``(n,)`` labels that there are, ascending.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = np.ascontiguousarray(labels)
        self._numbers = self.labels  # no sparser than pixels
        top = int(self.labels.max(initial=0))
        if top > max(1_000_000, 4 * self.labels.size):
            known, numbers = np.unique(self.labels, return_inverse=True)
            numbers = numbers.reshape(self.labels.shape)
            below = np.searchsorted(known, 0, side="right")
            self._numbers = np.maximum(numbers - (below - 1), 0)
            self.ids = known[below:]
            boxes = ndi.find_objects(self._numbers)
        else:
            boxes = ndi.find_objects(self.labels)
            found = [i for i, box in enumerate(boxes, start=1) if box is not None]
            self.ids = np.array(found, dtype=np.int64)
        self._boxes: list[Box] = [box for box in boxes if box is not None]

    def __len__(self) -> int:
        """Return how many nuclei there are."""
        return len(self.ids)

    def regions(self, which: Sequence[int] | range) -> Regions:
        """Return some nuclei, by their places in `ids`."""
        plane, width = self.labels, self.labels.shape[1]
        boxes = [self._boxes[i] for i in which]
        ids = self.ids[np.asarray(which, dtype=np.intp)]
        pixels = []
        for label, (rows, columns) in zip(ids.tolist(), boxes, strict=True):
            y, x = np.nonzero(plane[rows, columns] == label)
            pixels.append((y + rows.start) * width + (x + columns.start))
        counts = np.array([len(x) for x in pixels], dtype=np.intp)
        flat = np.concatenate(pixels) if pixels else np.zeros(0, np.intp)
        return Regions(plane, ids, boxes, flat, np.cumsum(counts) - counts)

    def places_of(self, labels: np.ndarray) -> np.ndarray:
        """Return the places in `ids` of labels; -1 for those that are not there."""
        if not len(self.ids):
            return np.full(len(labels), -1)
        at = np.searchsorted(self.ids, labels).clip(max=len(self.ids) - 1)
        return np.where(self.ids[at] == labels, at, -1)
