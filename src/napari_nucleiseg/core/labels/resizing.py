"""Whole images resized to a square, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_nucleiseg.core.labels.annotations import known_nuclei
from napari_nucleiseg.core.labels.pairs import Pair, image_of
from napari_nucleiseg.core.segment import image as images

#: Nuclei that are narrower than this after resizing cannot be told apart, pixels.
LEAST_RESIZED = 4.0


def resized_area(pair: Pair, side: int) -> float:
    """Return what a pixel's area becomes when a pair is resized to a square."""
    return side * side / pair.labels.size


def resize_pair(pair: Pair, side: int) -> Pair:
    """Return a pair with its contrast stretched, resized to a square.

    Parameters
    ----------
    pair : Pair
        Of any size.
    side : int
        Of the square, pixels; an image that is not square is distorted.

    Returns
    -------
    Pair
        Its image is ``(side, side, c)`` float32 in 0-1, by linear interpolation; its
        labels and annotation mask are the nearest pixel's.
    """
    image = image_of(pair)
    y, x = (
        np.minimum(((np.arange(side) + 0.5) * n / side).astype(int), n - 1)
        for n in pair.labels.shape
    )
    nearest = np.ix_(y, x)
    return replace(
        pair,
        image=images.resize(images.normalise(image), (side, side)),
        labels=pair.labels[nearest],
        known=None if pair.known is None else pair.known[nearest],
    )


def diameter_resized(pairs: Sequence[Pair], side: int) -> float:
    """Return how wide nuclei are after resizing to a square, by area, pixels.

    Half of the nuclear pixels that are learnt from belong to nuclei less wide, half to
    wider ones. (Where images are of several magnifications, half of the nuclei by
    number may be in the few of the lowest.)

    Parameters
    ----------
    pairs : sequence of Pair
        What is learnt from.
    side : int
        Of the square, pixels.

    Raises
    ------
    ValueError
        If so little is left of the nuclei that they cannot be told apart.
    """
    areas = [
        np.bincount(pair.labels.ravel())[known_nuclei(pair)] * resized_area(pair, side)
        for pair in pairs
    ]
    diameter = diameter_by_area(np.concatenate(areas)) if areas else 0.0
    if diameter < LEAST_RESIZED:
        raise ValueError(
            f"Resized to {side} x {side} pixels, a typical nucleus of these images is "
            f"{diameter:.1f} px wide, and {LEAST_RESIZED:g} px is the least that can "
            "be learnt. Choose a larger size, or learn from patches (resize: Auto, "
            "--resize auto)."
        )
    return round(diameter, 1)


def diameter_by_area(areas: np.ndarray) -> float:
    """Return the diameter of the nucleus that the median nuclear pixel is of, pixels.

    Parameters
    ----------
    areas : numpy.ndarray
        ``(n,)`` pixels; 0 is returned of none.
    """
    if not areas.size:
        return 0.0
    ordered = np.sort(areas)
    running = np.cumsum(ordered)
    middle = ordered[np.searchsorted(running, running[-1] / 2)]
    return float(2 * np.sqrt(middle / np.pi))
