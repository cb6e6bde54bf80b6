"""Labels to the maps a network learns, and maps back to labels, side by side.

Nuclei are told apart by three of the maps that `core.segment.maps` describes:
``nucleus``, ``distance`` and ``contact``.

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
        ``(y, x)`` float32 in 0-1, 0 outside. Where a nucleus meets the edge of the
        image it is taken to go on beyond it.
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


#: Peaks of the distance map: highest within a square of this side (pixels), and at
#: least so high, after smoothing by a Gaussian of this sigma (pixels).
PEAK_WINDOW, PEAK_HEIGHT, SMOOTHING = 5, 0.4, 1.0

#: How much of the contact map is taken off the distance map.
CONTACT_SHARE = 0.1


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
        Thresholds; the least area is given apart.
    min_area : int
        Nuclei with fewer pixels are dropped.
    shrunk : float
        How many times smaller the maps are than the network made them, at least 1.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` int32 labels 1..n without holes in the numbering.
    """
    unit = np.float32(255 if maps.dtype == np.uint8 else 1)
    mask = maps[..., 0] > settings.probability * unit
    regions, n_regions = ndi.label(mask)
    if n_regions == 0:
        return np.zeros(mask.shape, np.int32)
    depth = (maps[..., 1] - np.float32(CONTACT_SHARE) * maps[..., 2]) / unit
    depth = ndi.gaussian_filter(depth, SMOOTHING / shrunk, truncate=3)
    window = max(3, int(PEAK_WINDOW / shrunk) // 2 * 2 + 1)
    peaks = (ndi.maximum_filter(depth, window) == depth) & mask
    seeds, _ = ndi.label(peaks & (depth > PEAK_HEIGHT), np.ones((3, 3), bool))
    labels = _grow(seeds, regions, n_regions, depth, mask)
    labels = _merge(labels, depth, seeds, settings.separation)
    return tidy(labels, min_area)


def _merge(
    labels: np.ndarray, depth: np.ndarray, seeds: np.ndarray, separation: float
) -> np.ndarray:
    """Join neighbouring basins with hardly a cut between them, highest pass first."""
    n = int(labels.max())
    first, second, height = [], [], []
    for a, b in (
        (np.s_[1:, :], np.s_[:-1, :]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        here, there = labels[a], labels[b]
        at = np.flatnonzero((here != there) & (here > 0) & (there > 0))
        here, there = here.ravel()[at], there.ravel()[at]
        first.append(np.minimum(here, there))
        second.append(np.maximum(here, there))
        height.append(np.minimum(depth[a].ravel()[at], depth[b].ravel()[at]))
    if not sum(part.size for part in first):
        return labels
    key = np.concatenate(first).astype(np.int64) * (n + 1) + np.concatenate(second)
    pairs, pair = np.unique(key, return_inverse=True)
    passes = np.full(pairs.size, -np.inf)
    np.maximum.at(passes, pair, np.concatenate(height))
    peak = np.zeros(n + 1)
    top = np.flatnonzero(seeds)
    np.maximum.at(peak, labels.ravel()[top], depth.ravel()[top])
    parent = np.arange(n + 1)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i in np.argsort(-passes, kind="stable"):
        high, low = root(pairs[i] // (n + 1)), root(pairs[i] % (n + 1))
        if peak[high] < peak[low]:
            high, low = low, high
        if high != low and passes[i] >= separation * peak[low]:
            parent[low] = high
    return np.array([root(i) for i in range(n + 1)], np.int32)[labels]


def label_confidence(labels: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return how sure the network is of each nucleus: its mean nucleus map.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` int32, 1..n.
    maps : numpy.ndarray
        As for `maps_to_labels`.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` float32 in 0-1.
    """
    flat = labels.ravel()
    n = int(flat.max()) if flat.size else 0
    total = np.bincount(flat, weights=maps[..., 0].ravel(), minlength=n + 1)[1:]
    area = np.bincount(flat, minlength=n + 1)[1:]
    unit = 255.0 if maps.dtype == np.uint8 else 1.0
    return (total / np.maximum(area, 1) / unit).astype(np.float32)


def _grow(
    seeds: np.ndarray,
    regions: np.ndarray,
    n_regions: int,
    depth: np.ndarray,
    mask: np.ndarray,
) -> np.ndarray:
    """Flood from the seeds, but only where a region holds more than one.

    A region with one seed, or none, is one nucleus as it stands: the watershed,
    much the slowest step, need not look at it.
    """
    n_seeds = int(seeds.max())
    at_seed = seeds > 0
    _, first = np.unique(seeds[at_seed], return_index=True)
    region_of_seed = regions[at_seed][first]
    count = np.bincount(region_of_seed, minlength=n_regions + 1)
    # Lone regions get numbers after the seeds'.
    lone_number = np.zeros(n_regions + 1, np.int32)
    lone = np.flatnonzero(count <= 1)
    lone = lone[lone > 0]
    lone_number[lone] = np.arange(1, lone.size + 1) + n_seeds
    labels = lone_number[regions]
    crowded = (count > 1)[regions] & mask
    if crowded.any():
        rows = np.flatnonzero(crowded.any(axis=1))
        cols = np.flatnonzero(crowded.any(axis=0))
        box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
        # Imported when first needed: it takes longer than all else here.
        from skimage.segmentation import watershed

        part = crowded[box]
        markers = np.where(part, seeds[box], 0)
        flooded = watershed(-depth[box], markers, mask=part)
        labels[box][part] = flooded[part]
    return labels


def tidy(labels: np.ndarray, min_area: int) -> np.ndarray:
    """Drop small nuclei, fill their holes, and number the rest 1..n.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integer labels.
    min_area : int
        Smallest area kept, pixels.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` int32; numbers follow the first pixel in reading order.
    """
    areas = np.bincount(labels.ravel())
    keep = areas >= max(min_area, 1)
    keep[0] = False
    labels = np.where(keep[labels], labels, 0).astype(np.int32)
    _fill_holes(labels)
    return renumber(labels)


def _fill_holes(labels: np.ndarray) -> None:
    """Give each hole that lies inside one nucleus to it, in place."""
    pieces, n = ndi.label(labels == 0)
    outside = np.zeros(n + 1, bool)
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        outside[edge] = True
    if outside[1:].all():
        return
    boxes = ndi.find_objects(pieces)
    for piece in np.flatnonzero(~outside):
        if piece == 0:
            continue
        wide = tuple(slice(s.start - 1, s.stop + 1) for s in boxes[piece - 1])
        here = pieces[wide] == piece
        ring = ndi.binary_dilation(here, np.ones((3, 3), bool)) & ~here
        around = np.unique(labels[wide][ring])
        around = around[around > 0]
        if around.size == 1:
            labels[wide][here] = around[0]


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
