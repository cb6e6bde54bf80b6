"""What a network's maps mean, and how each is made from labels.

Every map is in 0-1:

``nucleus``
    whether a pixel belongs to any nucleus;
``distance``
    how deep inside its nucleus a pixel lies: the Euclidean distance to the outside of
    that nucleus, divided by its largest value there, so that the middle of a small
    nucleus counts as much as that of a large one;
``contact``
    whether two different nuclei are within a few pixels: the borders between
    touching nuclei, and narrow gaps;
``offset_y``, ``offset_x``
    how far it is to the middle of the pixel's nucleus: 0.5 at the middle, 1 at
    `REACH` pixels before it, 0 at so many behind it. On the border of two nuclei
    it turns round, however faint that border is [1]_;
``size``
    the diameter of a disc as large as the pixel's nucleus: 0.5 at `MEDIUM` pixels, a
    sixth more or less for twice or half as much.

A network returns some of them, in an order that its model's card says; the first three
are needed to tell nuclei apart.

References
----------
.. [1] D. Neven et al., "Instance segmentation by jointly optimizing spatial embeddings
   and clustering bandwidth", CVPR 2019.
"""

from __future__ import annotations

import numpy as np

#: Pixels of offset that a map of 0 or 1 stands for.
REACH = 32.0

#: Diameter (pixels) where the size map is 0.5, and the doublings from there to 0 or 1.
MEDIUM, DOUBLINGS = 26.0, 3.0


def encode_offset(pixels: np.ndarray) -> np.ndarray:
    """Return offsets (pixels) as a map in 0-1; longer ones are cut to `REACH`."""
    return np.clip(0.5 + pixels / (2 * REACH), 0, 1)


def encode_size(diameter: np.ndarray) -> np.ndarray:
    """Return diameters (pixels, above 0) as a map in 0-1."""
    doublings = np.log2(np.maximum(diameter, 1.0) / MEDIUM)
    return np.clip(0.5 + doublings / (2 * DOUBLINGS), 0, 1)


def decode_size(size: np.ndarray) -> np.ndarray:
    """Return the diameters (pixels) that a size map in 0-1 stands for."""
    return MEDIUM * 2.0 ** ((np.asarray(size, float) - 0.5) * 2 * DOUBLINGS)


#: Above this value of the nucleus map a pixel's predicted size counts.
SURE = 0.5

#: At least so many such pixels are needed.
ENOUGH = 30


def measure_diameter(nucleus: np.ndarray, size: np.ndarray) -> float | None:
    """Return the median nuclear diameter that a network's maps predict.

    Every pixel predicts the size of its own nucleus, so that nuclei need not be
    separated first: it works as well in a sheet of touching nuclei as where they lie
    apart. Pixels are weighted by the inverse of the area, so that each nucleus counts
    once.

    Parameters
    ----------
    nucleus, size : numpy.ndarray
        Maps ``(y, x)`` in 0-1.

    Returns
    -------
    float or None
        In pixels of the maps; None if fewer than `ENOUGH` pixels count.
    """
    there = nucleus > SURE
    if int(there.sum()) < ENOUGH:
        return None
    weight = ((nucleus[there].astype(np.float64) - SURE) / (1 - SURE)) ** 2
    said, where = np.unique(size[there], return_inverse=True)
    share = np.bincount(where, weight) / decode_size(said) ** 2
    return float(decode_size(np.asarray(_middle(said, share))))


#: A quantised network says sizes in steps of at most twice this.
_HALF_STEP = 0.02


def _middle(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted median of increasing values, which may come in steps.

    What lies between two steps was rounded to one of them: each value's weight is
    spread evenly over what was rounded to it, as for grouped data.
    """
    half = np.minimum(np.diff(values) / 2, _HALF_STEP)
    if not len(half):
        return float(values[0])
    low = values - np.concatenate([half[:1], half])
    high = values + np.concatenate([half, half[-1:]])
    up_to = np.cumsum(weights)
    index = int(np.searchsorted(up_to, up_to[-1] / 2))
    before = up_to[index] - weights[index]
    part = (up_to[-1] / 2 - before) / weights[index]
    return float(low[index] + part * (high[index] - low[index]))
