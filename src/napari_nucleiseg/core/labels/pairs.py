"""An image with its labels and annotation mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pair:
    """An image and its labels.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x)`` or ``(y, x, c)``, any real dtype.
    labels : numpy.ndarray
        ``(y, x)`` integer, one number for each nucleus, 0 background.
    name : str
        What to call it in messages.
    weight : float
        How often its patches are drawn, relative to the others.
    known : numpy.ndarray or None
        ``(y, x)`` bool: where the labels say what is there. Elsewhere neither
        training nor scoring looks. None if they do so everywhere.
    """

    image: np.ndarray
    labels: np.ndarray
    name: str = ""
    weight: float = 1.0
    known: np.ndarray | None = None


def image_of(pair: Pair) -> np.ndarray:
    """Return a pair's image ``(y, x, c)``; labels of another size are an error."""
    image = pair.image[..., None] if pair.image.ndim == 2 else pair.image[..., :3]
    if image.shape[:2] != pair.labels.shape:
        raise ValueError(
            f"Image and labels of {pair.name or 'a pair'} must have one size; "
            f"received {image.shape[:2]} and {pair.labels.shape}."
        )
    return image


def median_diameter(labels: np.ndarray) -> float:
    """Return the nuclei's median equivalent-circle diameter in pixels; 0 if none."""
    areas = np.bincount(labels.ravel())[1:]
    return diameter_of(areas[areas > 0])


def diameter_of(areas: np.ndarray) -> float:
    """Return the equivalent-circle diameter (px) of the median area; 0 if none."""
    return float(2 * np.sqrt(np.median(areas) / np.pi)) if areas.size else 0.0
