"""Measuring nuclei: here what follows every edit at once, in `nuclei` all the rest."""

from __future__ import annotations

import numpy as np


def measure(
    labels: np.ndarray,
    image: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return area, centre, intensity and confidence of each nucleus.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(…, y, x)`` integer labels 1..n without holes in the numbering.
    image : numpy.ndarray, optional
        Same shape, or with a trailing channel axis, whose channels are averaged.
    confidence : numpy.ndarray, optional
        ``(n,)`` in 0-1, passed on.

    Returns
    -------
    dict of str to numpy.ndarray
        Columns of length n: ``label``, ``area`` (pixels), ``centroid_y``,
        ``centroid_x`` (pixels, and ``centroid_0``… for the axes before them),
        ``mean_intensity`` and ``confidence`` where given.

    Raises
    ------
    ValueError
        If the image does not fit the labels.
    """
    n = int(labels.max()) if labels.size else 0
    if image is not None:
        if image.shape[:-1] == labels.shape:
            image = image[..., :3].mean(axis=-1)
        if image.shape != labels.shape:
            raise ValueError(
                f"The image must have the labels' shape {labels.shape}; received "
                f"{image.shape}."
            )
    # Only the pixels of nuclei are visited, and only once.
    inside = np.flatnonzero(labels)
    owner = labels.ravel()[inside]
    areas = np.bincount(owner, minlength=n + 1)[1:]

    def mean(values: np.ndarray) -> np.ndarray:
        total = np.bincount(owner, weights=values, minlength=n + 1)[1:]
        return total / np.maximum(areas, 1)

    table: dict[str, np.ndarray] = {"label": np.arange(1, n + 1), "area": areas}
    names = [f"centroid_{i}" for i in range(labels.ndim - 2)]
    names += ["centroid_y", "centroid_x"]
    places = np.unravel_index(inside, labels.shape)
    for name, place in zip(names, places, strict=True):
        table[name] = mean(place)
    if image is not None:
        table["mean_intensity"] = mean(image.ravel()[inside])
    if confidence is not None:
        table["confidence"] = confidence
    return table
