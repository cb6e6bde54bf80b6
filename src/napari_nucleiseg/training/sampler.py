"""Pairs of image and labels, and the patches a network is trained on (NumPy only)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.labels.pairs import Pair, median_diameter
from napari_nucleiseg.core.segment import image as images
from napari_nucleiseg.core.segment.instances import contact_map, distance_map
from napari_nucleiseg.networks.architectures import DIAMETER
from napari_nucleiseg.training.augmentation import slope, vary_colour, vary_grey

#: Channels of a training target: the three maps, and each pixel's weight.
TARGETS = ("nucleus", "distance", "contact", "weight")

#: How much more a pixel counts where two nuclei touch.
CONTACT_WEIGHT = 3.0

#: Share of patches that hold no nucleus at all, only noise or uneven light.
EMPTY_SHARE = 0.015


@dataclass(frozen=True)
class _Prepared:
    """A pair ready to cut from: contrast stretched, distance computed once."""

    image: np.ndarray  # (y, x, c) float32 in 0-1
    labels: np.ndarray  # (y, x) int32
    distance: np.ndarray  # (y, x) float32
    known: np.ndarray | None  # (y, x) float32, 1 where the labels say what is there
    boxes: tuple[tuple[slice, slice], ...]
    diameter: float  # median, px; 0 without nuclei


def _prepare(pair: Pair) -> _Prepared:
    image = pair.image[..., None] if pair.image.ndim == 2 else pair.image[..., :3]
    if image.shape[:2] != pair.labels.shape:
        raise ValueError(
            f"Image and labels of {pair.name or 'a pair'} must have one size; "
            f"received {image.shape[:2]} and {pair.labels.shape}."
        )
    labels = pair.labels.astype(np.int32)
    known, shown = None, labels
    if pair.known is not None and not pair.known.all():
        if pair.known.shape != labels.shape:
            raise ValueError(
                f"The mask of what is known of {pair.name or 'a pair'} must have the "
                f"labels' size {labels.shape}; received {pair.known.shape}."
            )
        known, shown = pair.known.astype(np.float32), np.where(pair.known, labels, 0)
    return _Prepared(
        images.normalise(image),
        labels,
        distance_map(labels),
        known,
        tuple(box for box in ndi.find_objects(shown) if box is not None),
        median_diameter(shown),
    )


class PatchSampler:
    """Draws varied patches, with their targets, from a set of pairs.

    Parameters
    ----------
    pairs : sequence of Pair
        At least one.
    channels : int
        Channels the network takes; grey images are repeated.
    patch_size : int
        Side of a patch, pixels.
    diameter : float
        Diameter that nuclei are brought to, pixels.
    augmentation : float
        Strength, 0 only flips and turns.
    own_scale : float
        The share of patches that keep the image's own scale instead, within limits.

    Raises
    ------
    ValueError
        If there are no pairs, or one whose image and labels differ in size.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        channels: int = 3,
        patch_size: int = 192,
        diameter: float = DIAMETER,
        augmentation: float = 1.0,
        own_scale: float = 0.5,
    ) -> None:
        if not pairs:
            raise ValueError("Training needs at least one image with labels.")
        self._items = [_prepare(pair) for pair in pairs]
        weights = np.array([pair.weight for pair in pairs], float)
        self._shares = weights / weights.sum()
        self._channels = channels
        self._size = patch_size
        self._diameter = diameter
        self._strength = augmentation
        self._own_scale = own_scale

    def batch(
        self, n: int, seed: int | Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw a batch.

        Parameters
        ----------
        n : int
            Number of patches.
        seed : int or sequence of int
            The same seed gives the same batch.

        Returns
        -------
        images : numpy.ndarray
            ``(n, size, size, channels)`` float32 in 0-1.
        targets : numpy.ndarray
            ``(n, size, size, 4)`` float32; see `TARGETS`.
        labels : numpy.ndarray
            ``(n, size, size)`` int32, the true nuclei.
        """
        rng = np.random.default_rng(seed)
        size = self._size
        x = np.empty((n, size, size, self._channels), np.float32)
        y = np.empty((n, size, size, len(TARGETS)), np.float32)
        labels = np.zeros((n, size, size), np.int32)
        for i in range(n):
            if self._strength > 0 and rng.random() < EMPTY_SHARE:
                x[i], y[i] = self._empty(rng)
                continue
            item = self._items[rng.choice(len(self._items), p=self._shares)]
            x[i], y[i], labels[i] = self._patch(item, rng)
        return x, y, labels

    def _empty(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Noise or a slope with nothing in it, as a stretched empty image would be."""
        size = self._size
        noise = rng.normal(size=(size, size))
        noise = ndi.gaussian_filter(noise, rng.choice([0, 0, 0.7, 1.5, 8.0]))
        if rng.random() < 0.4:
            noise = noise / noise.std() + slope(size, rng) * rng.uniform(0, 6)
        low, high = np.percentile(noise, (1, 99.9))
        plane = np.clip((noise - low) / (high - low), 0, 1)
        target = np.zeros((size, size, len(TARGETS)), np.float32)
        target[..., 3] = 1.0
        return np.repeat(plane[..., None], self._channels, -1), target

    def _scale(self, item: _Prepared, rng: np.random.Generator) -> float:
        """How much to enlarge: about the image's own scale, or to the diameter."""
        own = item.diameter or self._diameter
        if rng.random() < self._own_scale:
            wanted = np.clip(own, 0.55 * self._diameter, 1.8 * self._diameter)
            scale = wanted / own * np.exp(rng.uniform(-0.3, 0.3) * self._strength)
        else:
            spread = np.exp(rng.uniform(-0.6, 0.6) * self._strength)
            scale = self._diameter * spread / own
        return float(np.clip(scale, 0.15, 4.0))

    def _patch(
        self, item: _Prepared, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        size = self._size
        scale = self._scale(item, rng)
        image, labels, distance, known = self._cut(item, scale, rng)
        grey = image.shape[-1] == 1
        if self._strength > 0:
            image = (
                vary_grey(image, rng, self._strength)
                if grey
                else vary_colour(image, rng, self._strength)
            )
        contact = contact_map(labels)
        target = np.empty((size, size, len(TARGETS)), np.float32)
        target[..., 0] = labels > 0
        target[..., 1] = distance
        target[..., 2] = contact
        target[..., 3] = 1.0 + CONTACT_WEIGHT * contact
        if known is not None:
            target[..., 3] *= known
        return images.match_channels(image, self._channels), target, labels

    def _cut(
        self, item: _Prepared, scale: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """Cut a turned, flipped and scaled patch; beyond the edge it is mirrored."""
        size = self._size
        if item.boxes and rng.random() < 0.8:
            box = item.boxes[rng.integers(len(item.boxes))]
            centre = np.array([(s.start + s.stop) / 2 for s in box])
            centre += rng.uniform(-0.4, 0.4, 2) * size / scale
        else:
            centre = rng.uniform(0, 1, 2) * item.labels.shape
        shape = np.array(item.labels.shape, float)
        half = np.minimum(0.5 * size / scale, shape / 2)
        centre = np.clip(centre, half, shape - half)
        angle = rng.integers(4) * np.pi / 2
        stretch = np.ones(2)
        if self._strength > 0:
            if rng.random() < 0.4:
                angle += rng.uniform(-np.pi / 4, np.pi / 4)
            stretch = np.exp(rng.uniform(-0.1, 0.1, 2) * self._strength)
        flip = rng.choice([-1.0, 1.0])
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([1.0, flip])
        matrix = turn @ np.diag(stretch / scale)
        offset = centre - 0.5 - matrix @ np.full(2, (size - 1) / 2)
        source = item.image
        if scale < 0.7:
            # Smooth before shrinking, on the part that is needed only.
            reach = int(np.ceil(0.75 * size / scale)) + 8
            low = np.maximum(centre.astype(int) - reach, 0)
            high = np.minimum(centre.astype(int) + reach, item.labels.shape)
            part = (slice(low[0], high[0]), slice(low[1], high[1]))
            sigma = (1 / scale - 1) / 2
            source = ndi.gaussian_filter(source[part], (sigma, sigma, 0), truncate=2)
            offset_image = offset - low
        else:
            offset_image = offset

        def warp(plane: np.ndarray, shift: np.ndarray, order: int) -> np.ndarray:
            return ndi.affine_transform(
                plane,
                matrix,
                shift,
                (size, size),
                order=order,
                mode="mirror",
                prefilter=False,
            )

        image = np.stack(
            [warp(source[..., c], offset_image, 1) for c in range(source.shape[-1])], -1
        )
        return (
            image,
            warp(item.labels, offset, 0),
            warp(item.distance, offset, 1),
            None if item.known is None else warp(item.known, offset, 0),
        )
