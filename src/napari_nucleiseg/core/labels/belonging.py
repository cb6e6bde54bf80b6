"""Whether labels can be of the image they lie on, or are rotated, shifted, another's.

Where labels belong, their rims lie on edges of the light, more than the same rims do
that were moved elsewhere in the image. Where that is not so, and a model finds next to
none of the nuclei either, the labels are not of this image. `docs/training.md` says how
often this is right.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.score.matching import find_overlaps, match

#: Fewer nuclei say nothing.
LEAST = 4

#: A nucleus was found if it and a label share so much (IoU), and a model finds next to
#: none if it finds less than this share.
_FOUND_AT, _NEXT_TO_NONE = 0.5, 0.3

#: Rims follow the light if they have more of it than this share of the other places.
_RANK = 0.99

#: How the rims are moved to compare: so many places, drawn with a fixed seed.
_PLACES = 200

#: Of a larger image only so much is looked at, around its nuclei, pixels.
_SIDE = 1024


def found_share(labels: np.ndarray, found: np.ndarray) -> float:
    """Return the share of labels that a model found too, however roughly.

    Parameters
    ----------
    labels, found : numpy.ndarray
        ``(y, x)`` labels: those painted, and those that the model found.
    """
    overlaps = find_overlaps(labels, found)
    if not overlaps.true_ids.size:
        return 1.0
    hits = match(overlaps.iou(), _FOUND_AT)[0].size
    return float(hits / overlaps.true_ids.size)


def follow_light(image: np.ndarray, labels: np.ndarray) -> float:
    """Return how well the rims of labels follow the edges in an image.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x)`` or ``(y, x, channel)``.
    labels : numpy.ndarray
        ``(y, x)`` labels.

    Returns
    -------
    float
        The share of other places in the image, 0-1, in which the same rims would lie
        on weaker edges. About 0.5 for labels of another image.
    """
    light = np.asarray(image).astype(np.float32).reshape(*labels.shape, -1)
    steep = sum(
        ndi.gaussian_gradient_magnitude(light[..., c], 1.0)
        for c in range(light.shape[-1])
    )
    # Ranks: one speck of dust must not outweigh a hundred nuclei.
    values = np.sort(steep, axis=None)
    steep = np.searchsorted(values, steep) / values.size
    rims = (ndi.maximum_filter(labels, 3) != ndi.minimum_filter(labels, 3)).astype(
        np.float32
    )
    if not rims.any():
        return 1.0
    # The sum of edges under the rims, for every shift of them at once.
    spectrum = np.fft.rfft2(steep) * np.conj(np.fft.rfft2(rims))
    sums = np.fft.irfft2(spectrum, labels.shape)
    rng = np.random.default_rng(0)
    shape = np.array(labels.shape)
    far = np.minimum(3 * _width(labels), shape // 4).astype(int)
    shifts = [
        tuple((far + rng.integers(0, np.maximum(shape - 2 * far, 1))) % shape)
        for _ in range(_PLACES)
    ]
    return float(np.mean([sums[0, 0] > sums[shift] for shift in shifts]))


def _width(labels: np.ndarray) -> float:
    areas = np.bincount(labels.ravel())[1:]
    return float(2 * np.sqrt(np.median(areas[areas > 0]) / np.pi))


def belongs(
    image: np.ndarray,
    labels: np.ndarray,
    segment: Callable[[np.ndarray], np.ndarray],
) -> bool:
    """Return whether labels can be of an image.

    Parameters
    ----------
    image, labels : numpy.ndarray
        See `follow_light`.
    segment : callable
        Given the image, returns the labels that a model finds; only called where the
        rims speak against it, for it takes longer.

    Returns
    -------
    bool
        False only where both speak against it: the rims, and the model.
    """
    inside = np.argwhere(labels > 0)
    if not inside.size:
        return True
    room = np.maximum(np.array(labels.shape) - _SIDE, 0)
    low = np.clip(np.median(inside, axis=0).astype(int) - _SIDE // 2, 0, room)
    window = tuple(slice(start, start + _SIDE) for start in low)
    image, labels = image[window], labels[window]
    if np.unique(labels[labels > 0]).size < LEAST:
        return True
    if follow_light(image, labels) > _RANK:
        return True
    return found_share(labels, segment(image)) >= _NEXT_TO_NONE
