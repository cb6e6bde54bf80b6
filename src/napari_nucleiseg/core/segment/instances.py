"""Labels to the maps a network learns, and maps back to labels, side by side.

Nuclei are separated on three of the maps that `core.segment.maps` describes:
``nucleus``, ``distance`` and ``contact``; see `core.segment.blocks`.

Nuclei are the basins of a watershed [1]_ on ``distance`` less some ``contact``,
flooded from its peaks and limited to where ``nucleus`` is. Two basins are one nucleus
if the pass between them is almost as high as the lower of their peaks: what counts is
how deep a cut is relative to the peak (its dynamics [2]_), so that a nucleus that the
network is unsure of, all of whose distances are low, does not fall to pieces.

References
----------
.. [1] S. Beucher, F. Meyer, "The morphological approach to segmentation: the
   watershed transformation", in Mathematical Morphology in Image Processing, 1993.
.. [2] M. Grimaud, "A new measure of contrast: the dynamics", SPIE Image Algebra and
   Morphological Image Processing III, 1992.
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.params import InstanceSettings
from napari_nucleiseg.core.segment.blocks.grid import ArrayMaps
from napari_nucleiseg.core.segment.blocks.separating import separate

#: The order of the maps along the last axis of what a network returns.
MAPS = ("nucleus", "distance", "contact")

#: Two nuclei within a square of this side (pixels) are in contact.
CONTACT_WINDOW = 5


def distance_map(labels: np.ndarray) -> np.ndarray:
    """Return each pixel's depth inside its own nucleus, largest depth 1.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integer labels, 0 is background.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` float32 in 0-1, 0 outside. A nucleus at the edge of the image is
        assumed to continue beyond it.
    """
    out = np.zeros(labels.shape, np.float32)
    for value, box in enumerate(ndi.find_objects(labels), start=1):
        if box is None:
            continue
        # One pixel of margin, so that the outside is there to measure from; the
        # image's own edge is no outside.
        wide = tuple(
            slice(max(s.start - 1, 0), min(s.stop + 1, size))
            for s, size in zip(box, labels.shape, strict=True)
        )
        inside = labels[wide] == value
        if inside.all():
            out[wide][inside] = 1.0
            continue
        depth = ndi.distance_transform_edt(inside)
        out[wide][inside] = (depth[inside] / depth.max()).astype(np.float32)
    return out


def contact_map(labels: np.ndarray, window: int = CONTACT_WINDOW) -> np.ndarray:
    """Return where two different nuclei lie within one small window.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integer labels, 0 is background.
    window : int
        Side of the square window, pixels.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` bool.
    """
    if not labels.any():
        return np.zeros(labels.shape, bool)
    numbers = labels.astype(np.int32)
    top = np.int32(numbers.max() + 1)
    highest = ndi.maximum_filter(numbers, window, mode="nearest")
    lowest = ndi.minimum_filter(
        np.where(numbers == 0, top, numbers), window, mode="nearest"
    )
    return (lowest != top) & (highest != lowest)


def maps_to_labels(
    maps: np.ndarray,
    settings: InstanceSettings,
    min_area: int = 1,
    *,
    shrunk: float = 1.0,
) -> np.ndarray:
    """Separate nuclei on a network's maps by a seeded watershed.

    Parameters
    ----------
    maps : numpy.ndarray
        ``(y, x, 3)``: nucleus, distance, contact; float32 in 0-1, or uint8 with 255
        for 1.
    settings : InstanceSettings
        Thresholds; its minimum area is replaced by `min_area`.
    min_area : int
        Nuclei with fewer pixels are dropped.
    shrunk : float
        How many times smaller the maps are than the network made them, at least 1.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` int32 labels 1..n without holes in the numbering.
    """
    settings = settings.replace(min_area=min_area)
    return separate(ArrayMaps(maps), settings, scale=shrunk)[0]


def renumber(labels: np.ndarray) -> np.ndarray:
    """Return int32 labels 1..n in order of each one's first pixel.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integer labels with any gaps.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` int32.
    """
    flat = labels.ravel()
    at = np.flatnonzero(flat)
    if at.size == 0:
        return np.zeros(labels.shape, np.int32)
    highest = int(flat.max())
    first = np.full(highest + 1, flat.size, np.int64)
    # Written backwards, so that the first pixel's position is the one that stays.
    first[flat[at[::-1]]] = at[::-1]
    present = np.flatnonzero(first < flat.size)
    order = present[np.argsort(first[present], kind="stable")]
    table = np.zeros(highest + 1, np.int32)
    table[order] = np.arange(1, order.size + 1, dtype=np.int32)
    return table[labels]
