"""Whole images resized to a square, which a network may be trained on (NumPy only)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.labels.resizing import resize_pair
from napari_nucleiseg.core.segment import image as images
from napari_nucleiseg.training.sampler import (
    Cut,
    PatchSampler,
    Prepared,
    prepare_pair,
)


class WholeImageSampler(PatchSampler):
    """Draws whole images resized to a square, with their targets.

    They are flipped up-down and left-right at random; with an augmentation above 0
    contrast, colours, noise and light vary too. Where all images count alike each is
    drawn once before any is drawn again.

    Parameters
    ----------
    pairs : sequence of Pair
        At least one.
    side : int
        Side of the square, pixels.
    **how
        ``channels, augmentation, targets, fluorescence``: see `PatchSampler`.
    """

    def __init__(self, pairs: Sequence[Pair], *, side: int, **how: Any) -> None:
        super().__init__(pairs, patch_size=side, **how)
        self._alike = len({pair.weight for pair in pairs}) == 1

    def all(self) -> tuple[np.ndarray, np.ndarray]:
        """Return every image as it is, and its targets; see `batch`."""
        parts = [
            (images.match_channels(item.image, self._channels), self._targets_of(cut))
            for item in self._items
            for cut in [_flip(item, 1, 1)]
        ]
        return np.stack([x for x, _ in parts]), np.stack([y for _, y in parts])

    def _prepare(self, pair: Pair) -> Prepared:
        resized = resize_pair(pair, self._size)
        return replace(prepare_pair(resized), image=resized.image)

    def _pick(
        self, i: int, n: int, seed: int | Sequence[int], rng: np.random.Generator
    ) -> int:
        if not self._alike or isinstance(seed, int):
            return super()._pick(i, n, seed, rng)
        *start, step = seed
        done, place = divmod(step * n + i, len(self._items))
        order = np.random.default_rng((*start, done)).permutation(len(self._items))
        return int(order[place])

    def _scale(self, item: Prepared, rng: np.random.Generator) -> float:
        return 1.0  # resizing has set it

    def _cut(self, item: Prepared, scale: float, rng: np.random.Generator) -> Cut:
        up_down, left_right = rng.choice([-1, 1], 2)
        return _flip(item, int(up_down), int(left_right))


def _flip(item: Prepared, up_down: int, left_right: int) -> Cut:
    """Return the whole of an image, along each axis as it is (1) or mirrored (-1)."""
    way = np.s_[::up_down, ::left_right]
    last = np.array(item.labels.shape) - 1
    mirrored = np.array([up_down, left_right]) < 0
    return Cut(
        item.image[way],
        item.labels[way],
        item.distance[way],
        None if item.known is None else item.known[way],
        np.where(mirrored, last - item.middles, item.middles),
        item.diameters,
    )
