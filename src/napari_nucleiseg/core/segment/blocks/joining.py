"""Which basins are one nucleus, and which nuclei are kept, from all blocks' figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from napari_nucleiseg.core.segment.blocks.basins import Basins, deepest


@dataclass(frozen=True)
class Nuclei:
    """The nuclei that an image's basins make up.

    Parameters
    ----------
    ids : numpy.ndarray
        ``(n,)`` int64, rising: those of all basins.
    numbers : numpy.ndarray
        ``(n,)`` int32: the nucleus that each is part of; 0 if that is too small.
    count : int
        Nuclei are numbered from 1 to this, in the order of their first pixels.
    """

    ids: np.ndarray
    numbers: np.ndarray
    count: int

    def table(self, ids: np.ndarray) -> np.ndarray:
        """Return the nucleus for each label of a block, with 0 first, int32."""
        return np.r_[0, self.numbers[np.searchsorted(self.ids, ids)]].astype(np.int32)


def join_basins(blocks: Iterable[Basins], separation: float, min_area: int) -> Nuclei:
    """Make nuclei of basins.

    Neighbouring basins with hardly a cut between them are joined, deepest pass first:
    if the pass is at least `separation` times as deep as the lower of their peaks.

    Parameters
    ----------
    blocks : iterable of Basins
        All of an image's; each is looked at once.
    separation : float
        See above.
    min_area : int
        Nuclei with fewer pixels are dropped.
    """
    found = [
        (one.ids, one.areas, one.firsts, one.peaks, *_able(one, separation))
        for one in blocks
    ]
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    del found
    each, each_area, each_first, each_peak, pairs, passes = columns
    ids, at = np.unique(each, return_inverse=True)
    areas = np.zeros(ids.size, np.int64)
    np.add.at(areas, at, each_area)
    firsts = np.full(ids.size, np.iinfo(np.int64).max)
    np.minimum.at(firsts, at, each_first)
    peaks = np.zeros(ids.size, np.float32)
    np.maximum.at(peaks, at, each_peak)
    # What is joined is as high as the highest of its peaks: a pass that does not join
    # two basins as they are never will. Most are such.
    low = peaks[np.searchsorted(ids, pairs)].min(axis=1, initial=np.inf)
    able = passes.astype(float) >= separation * low.astype(float)
    pairs, passes = deepest(pairs[able], passes[able])
    some, ends = np.unique(np.searchsorted(ids, pairs), return_inverse=True)
    root = np.arange(ids.size)
    root[some] = some[_join(ends.reshape(-1, 2), passes, peaks[some], separation)]
    area, first = np.zeros_like(areas), np.full_like(firsts, firsts.max(initial=0))
    np.add.at(area, root, areas)
    np.minimum.at(first, root, firsts)
    kept = np.flatnonzero((root == np.arange(ids.size)) & (area >= max(min_area, 1)))
    numbers = np.zeros(ids.size, np.int32)
    numbers[kept[np.argsort(first[kept])]] = np.arange(1, kept.size + 1)
    return Nuclei(ids, numbers[root], int(kept.size))


def _able(block: Basins, separation: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a block's pairs and passes without those that it knows join nothing.

    They are most of all, and need not be kept until all blocks have been looked at.
    """
    pairs, passes = block.pairs, block.passes
    if not len(pairs) or not block.ids.size:
        return pairs, passes
    at = np.searchsorted(block.ids, pairs).clip(max=block.ids.size - 1)
    peaks = np.where(block.ids[at] == pairs, block.peaks[at], 0)
    # A basin whose seed is in another block has no peak here.
    low = peaks.min(axis=1).astype(float)
    able = (low == 0) | (passes.astype(float) >= separation * low)
    return pairs[able], passes[able]


def _join(
    pairs: np.ndarray, passes: np.ndarray, peaks: np.ndarray, separation: float
) -> np.ndarray:
    """Return for each basin the one that stands for all it is joined with."""
    parent = list(range(peaks.size))
    height = peaks.astype(float).tolist()

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    order = np.argsort(-passes, kind="stable")
    for (a, b), depth in zip(
        pairs[order].tolist(), passes[order].astype(float).tolist(), strict=True
    ):
        high, low = root(a), root(b)
        if height[high] < height[low]:
            high, low = low, high
        if high != low and depth >= separation * height[low]:
            parent[low] = high
    return np.array([root(i) for i in range(peaks.size)], np.int64)
