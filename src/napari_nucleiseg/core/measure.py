"""One row of figures per nucleus."""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi


def measure(
    labels: np.ndarray,
    image: np.ndarray | None = None,
    confidence: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Measure each nucleus.

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
    numbers = np.arange(1, n + 1)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    table: dict[str, np.ndarray] = {"label": numbers, "area": areas}
    leading = labels.ndim - 2
    names = [f"centroid_{i}" for i in range(leading)] + ["centroid_y", "centroid_x"]
    for axis, name in enumerate(names):
        shape = [1] * labels.ndim
        shape[axis] = labels.shape[axis]
        ruler = np.broadcast_to(
            np.arange(labels.shape[axis], dtype=float).reshape(shape), labels.shape
        )
        table[name] = _mean(ruler, labels, numbers)
    if image is not None:
        if image.shape == (*labels.shape, image.shape[-1]):
            image = image[..., :3].mean(axis=-1)
        if image.shape != labels.shape:
            raise ValueError(
                f"The image must have the labels' shape {labels.shape}; received "
                f"{image.shape}."
            )
        table["mean_intensity"] = _mean(image, labels, numbers)
    if confidence is not None:
        table["confidence"] = confidence
    return table


def _mean(values: np.ndarray, labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Mean of the values in each label; an empty array where there are none."""
    if numbers.size == 0:
        return np.zeros(0)
    return np.asarray(ndi.mean(values, labels, numbers), dtype=float)
