"""Which basin of the watershed each pixel of a block belongs to.

The watershed floods from the peaks of the distance map, limited to where the nucleus
map is high enough. Pixels are flooded in the order of their depth, and of their place
where they are equally deep: so it is settled for each pixel which seed reaches it
first, by the lowest pass, and not by how the flood came there. That makes it possible
to know the basins of a block without the rest of the image. Around the block a margin
is read, and its edge is flooded too, before all else, as if it were one large seed.
What that flood does not get, no flood from beyond could have got: there the basins are
those of the image. Where it does reach into the block, more of the image is read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.params import InstanceSettings
from napari_nucleiseg.core.segment.blocks.grid import (
    MapSource,
    positions,
    widen,
    within,
)
from napari_nucleiseg.core.segment.image import Window

#: Peaks of the distance map: highest within a square of this side (pixels), and at
#: least so high, after smoothing by a Gaussian of this sigma (pixels).
PEAK_WINDOW, PEAK_HEIGHT, SMOOTHING = 5, 0.4, 1.0

#: How much of the contact map is taken off the distance map.
CONTACT_SHARE = 0.1

#: The margin that is read around a block at first, pixels of what the network saw: a
#: little more than the nuclei that it sees at its best.
MARGIN = 48

#: A pixel's place decides among equally deep ones within a square of this side, which
#: is as much as numbers of 64 bits hold besides the depth.
_PLACES = 4096

#: Steps of depth that are told apart: those of float32 between 0.5 and 1.
_STEPS = 2.0**24


@dataclass(frozen=True)
class Basins:
    """The basins of one block, and what is known of each.

    Parameters
    ----------
    window : tuple of slice
        The block in its image.
    labels : numpy.ndarray
        ``(y, x)`` int32: 0 or 1 + the basin's place in `ids`.
    ids : numpy.ndarray
        ``(n,)`` int64, rising: the place in the image's reading order of the first
        pixel of each basin's seed, or of a region without one.
    areas : numpy.ndarray
        ``(n,)`` int64: pixels in the block.
    firsts : numpy.ndarray
        ``(n,)`` int64: place of the first of them.
    peaks : numpy.ndarray
        ``(n,)`` float32: how deep the seed lies; 0 without one.
    pairs : numpy.ndarray
        ``(m, 2)`` int64: `ids` of basins that touch, one of the pixels in the block.
    passes : numpy.ndarray
        ``(m,)`` float32: how deep the pass between them is.
    """

    window: Window
    labels: np.ndarray
    ids: np.ndarray
    areas: np.ndarray
    firsts: np.ndarray
    peaks: np.ndarray
    pairs: np.ndarray
    passes: np.ndarray


def find_basins(
    maps: MapSource,
    window: Window,
    settings: InstanceSettings,
    *,
    scale: float = 1.0,
) -> Basins:
    """Find the basins of one block.

    Parameters
    ----------
    maps : MapSource
        The image's.
    window : tuple of slice
        The block.
    settings : InstanceSettings
        Its probability is used.
    scale : float
        Size of what the network saw over that of the maps.

    Returns
    -------
    Basins
    """
    flood = _Flood(maps, settings, scale)
    # Pairs are noted by the block of their upper or left pixel.
    wide = widen(window, maps.shape, 0, 1)
    ids = flood.ids(wide, round(MARGIN / min(scale, 1.0)))
    own = ids[within(window, wide)]
    flat = own.ravel()
    at = np.flatnonzero(flat >= 0)
    names, first, number, areas = np.unique(
        flat[at], return_index=True, return_inverse=True, return_counts=True
    )
    labels = np.zeros(flat.size, np.int32)
    labels[at] = number + 1
    places = positions(window, maps.shape).ravel()
    pairs, passes = flood.passes(ids, wide, own.shape)
    return Basins(
        window=window,
        labels=labels.reshape(own.shape),
        ids=names,
        areas=areas,
        firsts=places[at[first]],
        peaks=flood.peaks(names),
        pairs=pairs,
        passes=passes,
    )


#: What stands for no basin, and for one that is not known yet, among ids.
_NONE, _UNKNOWN = -1, -2


class _Flood:
    """Floods windows of one image, and remembers the seeds that it saw."""

    def __init__(
        self, maps: MapSource, settings: InstanceSettings, scale: float
    ) -> None:
        self._maps, self._probability = maps, settings.probability
        # Of maps that are smaller than the network made them, all is smaller.
        shrunk = max(scale, 1.0)
        self._sigma = SMOOTHING / shrunk
        self._window = max(3, int(PEAK_WINDOW / shrunk) // 2 * 2 + 1)
        self._seeds: list[np.ndarray] = [np.zeros(0, np.int64)]
        self._heights: list[np.ndarray] = [np.zeros(0, np.float32)]

    def ids(self, window: Window, margin: int) -> np.ndarray:
        """Return the id of each pixel's basin, ``(y, x)`` int64."""
        outer = widen(window, self._maps.shape, margin)
        found = self._flood(outer)[within(window, outer)]
        left = found == _UNKNOWN
        if left.any():
            # Once more, with more around, but only what is left.
            rows, columns = (np.flatnonzero(left.any(axis=axis)) for axis in (1, 0))
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            y, x = (
                slice(int(part.start + side.start), int(part.start + side.stop))
                for part, side in zip(window, box, strict=True)
            )
            found[left] = self.ids((y, x), 2 * margin)[left[box]]
        return found

    def peaks(self, ids: np.ndarray) -> np.ndarray:
        """Return how deep the seeds of basins lie; 0 for regions without one."""
        seeds, first = np.unique(np.concatenate(self._seeds), return_index=True)
        heights = np.concatenate(self._heights)[first]
        found = np.zeros(ids.size, np.float32)
        at = np.searchsorted(seeds, ids)
        known = at < seeds.size
        known[known] = seeds[at[known]] == ids[known]
        found[known] = heights[at[known]]
        return found

    def passes(
        self, ids: np.ndarray, window: Window, size: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return which basins touch, and how deep the deepest pass between them is.

        At pixels of a window's first rows and columns, so many, and those below them
        and to their right.
        """
        _, depth = self._look(window)
        first, second, heights = [], [], []
        for axis in (0, 1):
            here = tuple(
                slice(min(side, whole - (i == axis)))
                for i, (side, whole) in enumerate(zip(size, ids.shape, strict=True))
            )
            there = tuple(
                slice(int(i == axis), part.stop + (i == axis))
                for i, part in enumerate(here)
            )
            a, b = ids[here], ids[there]
            at = (a != b) & (a >= 0) & (b >= 0)
            first.append(np.minimum(a[at], b[at]))
            second.append(np.maximum(a[at], b[at]))
            heights.append(np.minimum(depth[here][at], depth[there][at]))
        pairs = np.stack([np.concatenate(first), np.concatenate(second)], axis=1)
        return deepest(pairs, np.concatenate(heights))

    def _look(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Return where nuclei are, and how deep it is there."""
        wide = widen(window, self._maps.shape, int(3 * self._sigma + 0.5))
        maps = self._maps.read(wide)
        unit = np.float32(255 if maps.dtype == np.uint8 else 1)
        depth = (maps[..., 1] - np.float32(CONTACT_SHARE) * maps[..., 2]) / unit
        depth = ndi.gaussian_filter(depth, self._sigma, truncate=3)
        inside = within(window, wide)
        return maps[inside][..., 0] > self._probability * unit, depth[inside]

    def _flood(self, window: Window) -> np.ndarray:
        """Return ids as far as they are certain within a window."""
        wide = widen(window, self._maps.shape, self._window // 2)
        inside = within(window, wide)
        mask, depth = self._look(wide)
        high = (ndi.maximum_filter(depth, self._window) == depth) & mask
        high &= depth > PEAK_HEIGHT
        mask, depth, high = mask[inside], depth[inside], high[inside]
        places = positions(window, self._maps.shape)
        regions, n_regions = ndi.label(mask)
        seeds, n_seeds = ndi.label(high)
        seed_at = _first(seeds, n_seeds)
        self._seeds.append(places.ravel()[seed_at])
        self._heights.append(depth.ravel()[seed_at])
        rim = self._rim(window) & mask
        # Seeds that reach the edge may be larger than they look.
        known = np.ones(n_seeds + 1, bool)
        known[seeds[rim]] = False
        known[0] = False
        beyond = n_seeds + 1
        numbers = np.where(known, np.arange(n_seeds + 1), beyond).astype(np.int32)
        numbers[0] = 0
        markers = numbers[seeds]
        markers[rim] = beyond
        ids = np.r_[_NONE, self._seeds[-1], _UNKNOWN]
        # A region with one seed, or none, is one basin as it stands: the watershed,
        # much the slowest step, need not look at it.
        region = regions.ravel()[seed_at[known[1:]]]
        count = np.bincount(region, minlength=n_regions + 1)
        at_rim = np.zeros(n_regions + 1, bool)
        at_rim[regions[rim]] = True
        of_region = np.r_[_NONE, places.ravel()[_first(regions, n_regions)]]
        of_region[region] = ids[1:-1][known[1:]]
        of_region[at_rim] = _UNKNOWN
        found = of_region[regions]
        crowded = (count + at_rim > 1)[regions] & mask
        if crowded.any():
            rows, columns = (np.flatnonzero(crowded.any(axis=i)) for i in (1, 0))
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            order = _order(depth[box], places[box], self._maps.shape)
            order[rim[box]] = -np.inf
            # Imported when first needed: it takes longer than all else here.
            from skimage.segmentation import watershed

            part = crowded[box]
            flooded = watershed(order, np.where(part, markers[box], 0), mask=part)
            found[box][part] = ids[flooded[part]]
        return found

    def _rim(self, window: Window) -> np.ndarray:
        """Return the edge of a window, where it is not that of the image."""
        shape = [part.stop - part.start for part in window]
        rim = np.zeros(shape, bool)
        for axis, (part, size) in enumerate(
            zip(window, self._maps.shape, strict=False)
        ):
            sides = np.moveaxis(rim, axis, 0)
            sides[0] |= part.start > 0
            sides[-1] |= part.stop < size
        return rim


def _first(labels: np.ndarray, n: int) -> np.ndarray:
    """Return where in reading order each of the labels 1..n comes first."""
    at = np.flatnonzero(labels)
    first = np.zeros(n + 1, np.int64)
    # Written backwards, so that the first pixel is the one that stays.
    first[labels.ravel()[at[::-1]]] = at[::-1]
    return first[1:]


def _order(depth: np.ndarray, places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return float64 that rise as pixels are flooded, no two alike."""
    y, x = np.divmod(places, shape[1])
    place = y % _PLACES * _PLACES + x % _PLACES
    return np.round(depth * -_STEPS).astype(np.float64) * _PLACES**2 + place


def deepest(pairs: np.ndarray, passes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each pair of ids once, in order, with the deepest of its passes.

    Parameters
    ----------
    pairs : numpy.ndarray
        ``(m, 2)`` int64.
    passes : numpy.ndarray
        ``(m,)`` float32.
    """
    if not len(pairs):
        return pairs, passes
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs, passes = pairs[order], passes[order]
    new = np.r_[True, (pairs[1:] != pairs[:-1]).any(axis=1)]
    return pairs[new], np.maximum.reduceat(passes, np.flatnonzero(new))
