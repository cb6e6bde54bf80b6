"""Corrections by hand, as operations on arrays: merge, split, draw, and keep them."""

from __future__ import annotations

import itertools

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.params import InstanceSettings
from napari_nucleiseg.core.segment.instances import maps_to_labels

#: A gap between two nuclei that are merged is closed if no wider than twice this, px.
BRIDGE = 3

#: A part of a nucleus smaller than this share of it is no part, but a rough edge.
LEAST_PART = 0.03

#: How separation is raised until a nucleus falls apart.
_SEPARATIONS = np.linspace(0.05, 0.95, 19)

#: Where nothing was found, the threshold is lowered to this share of what the map has.
_FAINT = 0.5

#: A map below this has nothing to show, 0-1.
_NOTHING = 0.02

_EIGHT = np.ones((3, 3), bool)


def merge(first: np.ndarray, second: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Join two nuclei, and close a narrow gap between them.

    Parameters
    ----------
    first, second : numpy.ndarray
        ``(y, x)`` bool, the pixels of each.
    free : numpy.ndarray
        ``(y, x)`` bool, pixels that belong to no nucleus.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` bool: both nuclei, and what lies between them.
    """
    both = first | second
    box = _around(both, BRIDGE + 1)
    reach = ndi.generate_binary_structure(2, 1)
    near = [
        ndi.binary_dilation(part[box], reach, iterations=BRIDGE)
        for part in (first, second)
    ]
    closed = ndi.binary_closing(both[box], reach, iterations=BRIDGE)
    both[box] |= closed & near[0] & near[1] & free[box]
    return both


def split_along(nucleus: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Cut a nucleus in two or more parts along a drawn line.

    Parameters
    ----------
    nucleus : numpy.ndarray
        ``(y, x)`` bool.
    line : numpy.ndarray
        ``(n, 2)`` points (y, x), pixels. One that ends inside the nucleus is extended
        in its own direction.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` int32: 0 outside, 1 for the largest part, 2 for the next, and so on.

    Raises
    ------
    ValueError
        If the line does not cross the nucleus from edge to edge.
    """
    line = np.asarray(line, float)
    parts = _parts(nucleus, line)
    if parts.max() < 2 and len(line) > 1 and np.any(line[0] != line[-1]):
        way = line[-1] - line[0]
        far = way / np.hypot(*way) * max(np.ptp(np.nonzero(nucleus), axis=1) + 2)
        parts = _parts(nucleus, np.vstack([line[0] - far, line, line[-1] + far]))
    if parts.max() < 2:
        raise ValueError("The line must cross the nucleus from edge to edge.")
    return parts


def _parts(nucleus: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the parts a line leaves, each of its pixels given to the nearest."""
    from skimage.draw import line as draw_line

    wall = np.zeros(nucleus.shape, bool)
    height, width = nucleus.shape
    ends = np.rint(line).astype(int).tolist()
    for (y0, x0), (y1, x1) in itertools.pairwise(ends):
        y, x = draw_line(y0, x0, y1, x1)
        inside = (y >= 0) & (x >= 0) & (y < height) & (x < width)
        wall[y[inside], x[inside]] = True
    return _settle(ndi.label(nucleus & ~wall)[0], nucleus)


def _settle(parts: np.ndarray, nucleus: np.ndarray) -> np.ndarray:
    """Give every pixel of a nucleus to the nearest true part, the largest being 1."""
    areas = np.bincount(parts[nucleus], minlength=1)
    areas[0] = 0
    order = np.argsort(-areas, kind="stable")
    order = order[areas[order] >= max(LEAST_PART * nucleus.sum(), 1)]
    number = np.zeros(areas.size, np.int32)
    number[order] = np.arange(1, order.size + 1)
    parts = number[parts]
    if not order.size:
        return nucleus.astype(np.int32)
    nearest = ndi.distance_transform_edt(
        parts == 0, return_distances=False, return_indices=True
    )
    return np.where(nucleus, parts[tuple(nearest)], 0)


def split_by_maps(
    nucleus: np.ndarray,
    maps: np.ndarray,
    settings: InstanceSettings,
    *,
    shrunk: float = 1.0,
) -> np.ndarray:
    """Split a nucleus where the network's maps do, with a higher separation.

    Separation is raised inside this nucleus alone until it falls apart.

    Parameters
    ----------
    nucleus : numpy.ndarray
        ``(y, x)`` bool.
    maps : numpy.ndarray
        ``(y, x, maps)`` as for `core.segment.instances.maps_to_labels`.
    settings : InstanceSettings
        Those that the nucleus was found with.
    shrunk : float
        How many times smaller the maps are than the network made them, at least 1.

    Returns
    -------
    numpy.ndarray
        As for `split_along`.

    Raises
    ------
    ValueError
        If the maps show a single nucleus there.
    """
    box = _around(nucleus, 2)
    here = nucleus[box]
    inside = np.array(maps[box])
    full = 255 if inside.dtype == np.uint8 else 1
    inside[..., 0] = np.where(here, full, 0)
    inside[..., 1] = np.where(here, inside[..., 1], 0)
    for separation in _SEPARATIONS[settings.separation < _SEPARATIONS]:
        raised = settings.replace(separation=round(float(separation), 2))
        found = maps_to_labels(inside, raised, 1, shrunk=shrunk)
        parts = _settle(found, here)
        if parts.max() > 1:
            out = np.zeros(nucleus.shape, np.int32)
            out[box] = parts
            return out
    raise ValueError(
        "The network's maps show a single nucleus here. Draw a line to split it."
    )


def basin(
    maps: np.ndarray,
    point: tuple[int, int],
    free: np.ndarray,
    settings: InstanceSettings,
    *,
    diameter: float,
    shrunk: float = 1.0,
) -> np.ndarray:
    """Return the nucleus that the network's maps have at a point.

    Parameters
    ----------
    maps : numpy.ndarray
        ``(y, x, maps)`` as for `core.segment.instances.maps_to_labels`.
    point : (int, int)
        y and x, pixels.
    free : numpy.ndarray
        ``(y, x)`` bool, pixels that belong to no other nucleus.
    settings : InstanceSettings
        Where the map at the point is below the probability in these, that is lowered.
    diameter : float
        Of a typical nucleus, pixels: the basin lies within two of them.
    shrunk : float
        See `split_by_maps`.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` bool.

    Raises
    ------
    ValueError
        If the maps show nothing there.
    """
    spot = np.zeros(free.shape, bool)
    spot[point] = True
    box = _around(spot, int(np.ceil(2 * diameter)))
    inside = np.array(maps[box])
    inside[..., 0] = np.where(free[box], inside[..., 0], 0)
    at = tuple(i - part.start for i, part in zip(point, box, strict=True))
    value = float(inside[at][0]) / (255 if inside.dtype == np.uint8 else 1)
    out = np.zeros(free.shape, bool)
    low = min(settings.probability, _FAINT * value)
    for probability in (settings.probability, low):
        if value >= _NOTHING and probability < value:
            lowered = settings.model_copy(update={"probability": probability})
            found = maps_to_labels(inside, lowered, 1, shrunk=shrunk)
            if found[at]:
                out[box] = found == found[at]
                return out
    raise ValueError(
        "The network's maps show no nucleus here. Draw its outline instead."
    )


def inside_outline(points: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Return the pixels inside a drawn outline that belong to no other nucleus.

    Parameters
    ----------
    points : numpy.ndarray
        ``(n, 2)`` corners (y, x), pixels; the last is joined to the first.
    free : numpy.ndarray
        ``(y, x)`` bool.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` bool.

    Raises
    ------
    ValueError
        If no such pixel is inside.
    """
    from skimage.draw import polygon2mask

    inside = polygon2mask(free.shape, np.asarray(points, float)) & free
    if not inside.any():
        raise ValueError(
            "The outline must enclose pixels that belong to no other nucleus."
        )
    return inside


def keep_corrections(
    fresh: np.ndarray,
    current: np.ndarray,
    kept: np.ndarray,
    cleared: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Put nuclei corrected by hand back into labels that were made anew.

    Parameters
    ----------
    fresh : numpy.ndarray
        ``(…, y, x)`` int32, the new labels 1..n.
    current : numpy.ndarray
        ``(…, y, x)`` integer, the labels with the corrections.
    kept : numpy.ndarray
        ``(m,)`` int, the labels in `current` that stay as they are.
    cleared : numpy.ndarray, optional
        ``(…, y, x)`` bool, where a nucleus was erased by hand.

    Returns
    -------
    labels : numpy.ndarray
        ``(…, y, x)``. The kept nuclei have their pixels and numbers; a new one has
        what is left of its own, its largest piece, and is dropped where that is less
        than half of it.
    number : numpy.ndarray
        ``(n + 1,)`` int, the number there of each of `fresh`; 0 if it was dropped. It
        keeps its own, unless a kept nucleus has it.
    """
    held = np.isin(current, kept) & (current != 0)
    taken = held if cleared is None else held | cleared
    count = int(fresh.max(initial=0)) + 1
    area = np.bincount(fresh.ravel(), minlength=count)
    left = np.bincount(fresh[~taken], minlength=count)
    stays = (2 * left >= area) & (area > 0)
    stays[0] = False
    number = np.where(stays, np.arange(count), 0)
    clash = np.flatnonzero(stays & np.isin(number, kept))
    highest = max(count - 1, int(np.max(kept, initial=0)))
    number[clash] = highest + 1 + np.arange(clash.size)
    labels = np.where(taken, 0, number[fresh])
    clipped = np.flatnonzero(stays & (left < area))
    boxes = ndi.find_objects(fresh) if clipped.size else []
    for label in clipped:
        box = boxes[label - 1]
        pieces, n = ndi.label(labels[box] == number[label])
        if n > 1:
            largest = np.argmax(np.bincount(pieces.ravel())[1:]) + 1
            labels[box][(pieces > 0) & (pieces != largest)] = 0
    return np.where(held, current, labels).astype(np.int32), number


def _around(mask: np.ndarray, margin: int) -> tuple[slice, ...]:
    """Return the box of a mask with a margin, inside the array."""
    return tuple(
        slice(max(int(at.min()) - margin, 0), int(at.max()) + margin + 1)
        for at in np.nonzero(mask)
    )
