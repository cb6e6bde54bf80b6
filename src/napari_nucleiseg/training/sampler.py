"""Pairs of image and labels, and the patches a network is trained on (NumPy only)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.labels.pairs import Pair, image_of, median_diameter
from napari_nucleiseg.core.segment import image as images
from napari_nucleiseg.core.segment.instances import contact_map, distance_map
from napari_nucleiseg.core.segment.maps import encode_offset, encode_size
from napari_nucleiseg.training.augmentation import (
    as_fluorescence,
    slope,
    vary_colour,
    vary_grey,
)

#: What a network can be taught; see `core.segment.maps`. A pixel's weight comes after
#: what it is taught.
TARGETS = ("nucleus", "distance", "contact", "offset_y", "offset_x", "size")

#: In a patch, a part of a nucleus that is so many of its diameters away from its middle
#: is a reflection: its offsets are wrong, and are marked by -1.
ASTRAY = 1.3

#: How much more a pixel counts where two nuclei touch.
CONTACT_WEIGHT = 3.0

#: Share of patches that hold no nucleus at all, only noise or uneven light.
EMPTY_SHARE = 0.015


@dataclass(frozen=True)
class Prepared:
    """A pair ready to cut from: contrast stretched, distance computed once."""

    image: np.ndarray  # (y, x, c) float32 in 0-1
    labels: np.ndarray  # (y, x) int32
    distance: np.ndarray  # (y, x) float32
    known: np.ndarray | None  # (y, x) float32, 1 where the labels say what is there
    boxes: tuple[tuple[slice, slice], ...]
    diameter: float  # median, px; 0 without nuclei
    middles: np.ndarray  # (n + 1, 2) y and x of each number's middle, px
    diameters: np.ndarray  # (n + 1,) of discs as large, px
    inverted: float  # share of patches that may be inverted


def prepare_pair(pair: Pair) -> Prepared:
    """Return a pair ready to cut from; sizes that differ are an error."""
    image = image_of(pair)
    labels = pair.labels.astype(np.int32)
    known, shown = None, labels
    if pair.known is not None and not pair.known.all():
        if pair.known.shape != labels.shape:
            raise ValueError(
                f"The annotation mask of {pair.name or 'a pair'} must have the labels' "
                f"size {labels.shape}; received {pair.known.shape}."
            )
        known, shown = pair.known.astype(np.float32), np.where(pair.known, labels, 0)
    stretched = images.normalise(image)
    middles, areas = _middles(labels)
    return Prepared(
        stretched,
        labels,
        distance_map(labels),
        known,
        tuple(box for box in ndi.find_objects(shown) if box is not None),
        median_diameter(shown),
        middles,
        2 * np.sqrt(areas / np.pi),
        _share_inverted(stretched, labels > 0),
    )


class Cut(NamedTuple):
    """A part of a pair, with all lengths in the patch's own pixels."""

    image: np.ndarray  # (y, x, c)
    labels: np.ndarray  # (y, x)
    distance: np.ndarray
    known: np.ndarray | None
    middles: np.ndarray  # (n + 1, 2)
    diameters: np.ndarray  # (n + 1,)


def _middles(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the centroid ``(n + 1, 2)`` and the area ``(n + 1,)`` of every number."""
    at = np.flatnonzero(labels)
    number = labels.ravel()[at]
    y, x = np.divmod(at, labels.shape[1])
    count = int(labels.max(initial=0)) + 1
    areas = np.maximum(np.bincount(number, minlength=count), 1)
    sums = [np.bincount(number, along, count) for along in (y, x)]
    return np.stack(sums, axis=1) / areas[:, None], areas


def _share_inverted(image: np.ndarray, nuclei: np.ndarray) -> float:
    """Return how many of an image's patches may be shown inverted.

    None of stained tissue, where nuclei are always darker than what is around them, and
    none where nuclei cover so much that bright gaps would pass for nuclei.
    """
    if image.shape[-1] > 1 or not nuclei.any() or nuclei.all():
        return 0.0
    if image[nuclei].mean() < image[~nuclei].mean():
        return INVERTED_DARK
    return INVERTED if nuclei.mean() < SPARSE else 0.0


#: Share of patches that are inverted, of images with bright and with dark nuclei; the
#: former only if they cover less than `SPARSE` of the image.
INVERTED, INVERTED_DARK, SPARSE = 0.05, 0.10, 0.35


#: A network that says how large nuclei are is shown so many patches with nuclei of any
#: size within these shares of its diameter.
ANY_SIZE, ANY_DIAMETER = 0.25, (0.35, 2.5)


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
    targets : tuple of str
        What the network is taught, of `TARGETS`.
    fluorescence : float
        The share of patches of stained tissue that are turned into fluorescence.

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
        diameter: float = 20.0,
        augmentation: float = 1.0,
        own_scale: float = 0.5,
        targets: Sequence[str] = TARGETS[:3],
        fluorescence: float = 0.0,
    ) -> None:
        if not pairs:
            raise ValueError("Training needs at least one image with labels.")
        weights = np.array([pair.weight for pair in pairs], float)
        self._shares = weights / weights.sum()
        self._channels = channels
        self._size = patch_size
        self._diameter = diameter
        self._strength = augmentation
        self._own_scale = own_scale
        self._targets = tuple(targets)
        self._fluorescence = fluorescence
        self._items = [self._prepare(pair) for pair in pairs]

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
            ``(n, size, size, targets + 1)`` float32: what is taught, then each
            pixel's weight. Offsets of -1 are not known.
        labels : numpy.ndarray
            ``(n, size, size)`` int32, the true nuclei.
        """
        rng = np.random.default_rng(seed)
        size = self._size
        x = np.empty((n, size, size, self._channels), np.float32)
        y = np.empty((n, size, size, len(self._targets) + 1), np.float32)
        labels = np.zeros((n, size, size), np.int32)
        for i in range(n):
            if self._strength > 0 and rng.random() < EMPTY_SHARE:
                x[i], y[i] = self._empty(rng)
                continue
            item = self._items[self._pick(i, n, seed, rng)]
            x[i], y[i], labels[i] = self._patch(item, rng)
        return x, y, labels

    def _prepare(self, pair: Pair) -> Prepared:
        return prepare_pair(pair)

    def _pick(
        self, i: int, n: int, seed: int | Sequence[int], rng: np.random.Generator
    ) -> int:
        """Return which image the i-th of a batch of n is made of."""
        return int(rng.choice(len(self._items), p=self._shares))

    def _empty(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Noise or a slope with nothing in it, as a stretched empty image would be."""
        size = self._size
        noise = rng.normal(size=(size, size))
        noise = ndi.gaussian_filter(noise, rng.choice([0, 0, 0.7, 1.5, 8.0]))
        if rng.random() < 0.4:
            noise = noise / noise.std() + slope(size, rng) * rng.uniform(0, 6)
        low, high = np.percentile(noise, (1, 99.9))
        plane = np.clip((noise - low) / (high - low), 0, 1)
        nothing = np.zeros((size, size), np.int32)
        target = self._teach(nothing, np.zeros(nothing.shape), np.zeros((1, 2)), [1.0])
        return np.repeat(plane[..., None], self._channels, -1), target

    def _scale(self, item: Prepared, rng: np.random.Generator) -> float:
        """How much to enlarge: about the image's own scale, or to the diameter."""
        own = item.diameter or self._diameter
        draw = rng.random()
        if "size" in self._targets and draw > 1 - ANY_SIZE:
            low, high = np.log(ANY_DIAMETER)
            scale = self._diameter * np.exp(rng.uniform(low, high)) / own
        elif draw < self._own_scale:
            wanted = np.clip(own, 0.55 * self._diameter, 1.8 * self._diameter)
            scale = wanted / own * np.exp(rng.uniform(-0.3, 0.3) * self._strength)
        else:
            spread = np.exp(rng.uniform(-0.6, 0.6) * self._strength)
            scale = self._diameter * spread / own
        return float(np.clip(scale, 0.15, 4.0))

    def _patch(
        self, item: Prepared, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cut = self._cut(item, self._scale(item, rng), rng)
        image = cut.image
        if self._strength > 0:
            image = self._vary(image, cut.labels, item, rng)
        return (
            images.match_channels(image, self._channels),
            self._targets_of(cut),
            cut.labels,
        )

    def _targets_of(self, cut: Cut) -> np.ndarray:
        """Return the targets of a part, and each pixel's weight: 0 if not known."""
        target = self._teach(cut.labels, cut.distance, cut.middles, cut.diameters)
        if cut.known is not None:
            target[..., -1] *= cut.known
        return target

    def _vary(
        self,
        image: np.ndarray,
        labels: np.ndarray,
        item: Prepared,
        rng: np.random.Generator,
    ) -> np.ndarray:
        if image.shape[-1] > 1:
            if rng.random() >= self._fluorescence:
                return vary_colour(image, rng, self._strength)
            image = as_fluorescence(image, labels > 0, rng)
        inverted = item.inverted * self._strength
        return vary_grey(image, rng, self._strength, inverted=inverted)

    def _teach(
        self,
        labels: np.ndarray,
        distance: np.ndarray,
        middles: np.ndarray,
        diameters: Sequence[float] | np.ndarray,
    ) -> np.ndarray:
        """Return the targets of a patch, and each pixel's weight."""
        contact = contact_map(labels)
        maps = {"nucleus": labels > 0, "distance": distance, "contact": contact}
        if {"offset_y", "offset_x", "size"} & set(self._targets):
            diameter = np.asarray(diameters)[labels]
            away = [
                middles[labels, axis] - along
                for axis, along in enumerate(np.indices(labels.shape))
            ]
            astray = np.hypot(*away) > ASTRAY * diameter + 2
            for name, pixels in zip(("offset_y", "offset_x"), away, strict=True):
                offset = np.where(labels > 0, encode_offset(pixels), 0.5)
                maps[name] = np.where(astray & (labels > 0), -1, offset)
            maps["size"] = encode_size(diameter)
        weight = 1.0 + CONTACT_WEIGHT * contact
        return np.stack([*(maps[name] for name in self._targets), weight], -1).astype(
            np.float32
        )

    def _cut(self, item: Prepared, scale: float, rng: np.random.Generator) -> Cut:
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
        return Cut(
            image,
            warp(item.labels, offset, 0),
            warp(item.distance, offset, 1),
            None if item.known is None else warp(item.known, offset, 0),
            np.linalg.solve(matrix, (item.middles - offset).T).T,
            item.diameters * scale / np.sqrt(stretch.prod()),
        )
