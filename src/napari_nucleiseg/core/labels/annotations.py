"""What a user has painted, as pairs to train on: planes and annotation masks."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.labels.pairs import Pair, median_diameter

#: The rim that counts around a painted nucleus if only some are painted: this share of
#: the median diameter, and at least so many pixels. The network has to see where a
#: nucleus ends, so the rim is wider than the pixel or two by which outlines are drawn
#: too tight, and holds the two pixels that make a contact; it is no wider, since an
#: unpainted neighbour may begin there, and would be learnt as background.
RIM_SHARE, LEAST_RIM = 0.1, 2.0

#: Where a model has found the neighbours, the background round a nucleus is known
#: farther out, in shares of the median diameter; but not so close to neighbours that
#: nobody has looked at, whose outlines may be drawn too tight. On dense tissue, of
#: which the model found three quarters, 3 to 8% of the pixels of such a rim were some
#: other nucleus; with a rim as narrow as `RIM_SHARE`, 9 to 20%.
WIDE_RIM_SHARE, GUARD_SHARE = 0.5, 0.1

#: A nucleus that reaches the edge of the region that is complete, with no more than
#: this share of it outside, was cut off there.
CUT_SHARE = 0.05

_EIGHT = np.ones((3, 3), bool)
_PLANE = re.compile(r" \[plane [\d, ]+\]$")


def stack_name(name: str) -> str:
    """Return the name of the image that a pair made by `split_planes` came from."""
    return _PLANE.sub("", name)


def drop_single_axes(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape ``(…, y, x)`` without the axes of length 1 before the last two.

    They make no difference to what lies where: (12, 1, y, x) holds as many planes as
    (12, y, x).
    """
    return (*(n for n in shape[:-2] if n != 1), *shape[-2:])


def to_labels(labels: np.ndarray, name: str = "") -> np.ndarray:
    """Return labels as int32; raise an error if they cannot be labels.

    Parameters
    ----------
    labels : numpy.ndarray
        Bool, whole numbers of any type, or floats that hold whole numbers.
    name : str
        What to call them in messages.

    Returns
    -------
    numpy.ndarray
        int32, same shape. Bool becomes 0 and 1; numbers far beyond the count of
        pixels are replaced by small ones, in the same order.

    Raises
    ------
    ValueError
        If a value is negative, a fraction or no number.
    """
    whose = f"The labels of {name or 'an image'}"
    labels = np.asarray(labels)
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            f"{whose} must be whole numbers; received values of type {labels.dtype}."
        )
    if labels.size == 0:
        raise ValueError(f"{whose} have no pixels: their shape is {labels.shape}.")
    if labels.dtype.kind == "f":
        wrong = ~np.isfinite(labels) | (labels != np.floor(labels))
        if wrong.any():
            raise ValueError(
                f"{whose} must be whole numbers, one for each nucleus; received "
                f"{labels[wrong][0]:g}. Is this an image?"
            )
    if labels.dtype.kind != "b" and labels.min() < 0:
        raise ValueError(
            f"{whose} must be 0 (background) or more; received {labels.min():g}."
        )
    if labels.max() > max(labels.size, 2**16):
        numbers, places = np.unique(labels, return_inverse=True)
        labels = places.reshape(labels.shape) + int(numbers[0] > 0)
    return labels.astype(np.int32)


def split_planes(
    image: np.ndarray,
    labels: np.ndarray,
    *,
    name: str,
    known: np.ndarray | None = None,
    rgb: bool = False,
) -> list[Pair]:
    """Make one pair of each plane of an image and its labels.

    Parameters
    ----------
    image : numpy.ndarray
        ``(…, y, x)``, or ``(…, y, x, 3|4)`` if `rgb` (a fourth value is dropped);
        any real dtype.
    labels : numpy.ndarray
        ``(…, y, x)``; see `to_labels`.
    name : str
        Name of the image. Plane 3 of a stack becomes ``"name [plane 3]"``, counted
        from 0 as napari's slider does.
    known : numpy.ndarray, optional
        ``(…, y, x)`` bool like the labels, or ``(y, x)`` for all planes; see `Pair`.
    rgb : bool
        Whether the last axis of the image is colour.

    Returns
    -------
    list of Pair
        In the order of the planes.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or the labels are none.
    TypeError
        If the image does not hold real numbers.
    """
    image, labels = np.asarray(image), to_labels(labels, name)
    if image.dtype.kind not in "biuf":
        raise TypeError(
            f"The image {name} must hold real numbers; received values of type "
            f"{image.dtype}."
        )
    if rgb:
        if image.ndim < 3 or image.shape[-1] not in (3, 4):
            raise ValueError(
                f"The colour image {name} must have 3 or 4 values per pixel on its "
                f"last axis; received shape {image.shape}."
            )
        image = image[..., :3]
    full = image.shape[:-1] if rgb else image.shape
    planes, painted = drop_single_axes(full), drop_single_axes(labels.shape)
    if planes != painted or len(planes) < 2:
        raise ValueError(
            f"Image and labels of {name} must have one shape (…, y, x); received "
            f"{full} and {labels.shape}."
        )
    image = image.reshape(-1, *planes[-2:], *((3,) if rgb else ()))
    labels = labels.reshape(-1, *planes[-2:])
    masks: list[np.ndarray | None] = [None] * len(labels)
    if known is not None:
        known = np.asarray(known, bool)
        if drop_single_axes(known.shape) not in (planes, planes[-2:]):
            raise ValueError(
                f"The annotation mask of {name} must have the labels' shape {planes} "
                f"or be one plane of it; received {known.shape}."
            )
        known = known.reshape(drop_single_axes(known.shape))
        masks = list(np.broadcast_to(known, planes).reshape(labels.shape))
    return [
        Pair(
            plane,
            numbers,
            f"{name} [plane {', '.join(map(str, index))}]" if index else name,
            known=mask,
        )
        for plane, numbers, mask, index in zip(
            image, labels, masks, np.ndindex(planes[:-2]), strict=True
        )
    ]


def known_from_paint(labels: np.ndarray) -> np.ndarray:
    """Return the annotation mask if only some nuclei are painted: these, with a rim.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integer labels of one plane.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` bool; nowhere True if nothing is painted.
    """
    if not labels.any():
        return np.zeros(labels.shape, bool)
    rim = max(LEAST_RIM, RIM_SHARE * median_diameter(labels))
    return ndi.distance_transform_edt(labels == 0) <= rim


def known_from_corrections(
    labels: np.ndarray, touched: np.ndarray, cleared: np.ndarray | None = None
) -> np.ndarray:
    """Return the annotation mask of labels that a user has corrected in part.

    Known are the nuclei that were accepted, corrected or drawn, the background close
    around them, and where a nucleus was erased. What else the model found is not, nor
    is what lies close to it.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integer labels of one plane, with all that the model found.
    touched : numpy.ndarray
        ``(n,)`` int, the labels that were accepted, corrected or drawn.
    cleared : numpy.ndarray, optional
        ``(y, x)`` bool, where nuclei were erased.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` bool; nowhere True if nothing was touched or erased.
    """
    mine = np.isin(labels, touched) & (labels != 0)
    others = (labels > 0) & ~mine
    known = np.zeros(labels.shape, bool)
    if mine.any():
        width = median_diameter(np.where(mine, labels, 0))
        rim = max(LEAST_RIM, WIDE_RIM_SHARE * width)
        known = ndi.distance_transform_edt(~mine) <= rim
        if others.any():
            guard = max(LEAST_RIM, GUARD_SHARE * width)
            known &= ndi.distance_transform_edt(~others) > guard
    if cleared is not None:
        known |= cleared & ~others
    return known | mine


def known_inside(labels: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Return the annotation mask of a complete region: its pixels, none outside.

    Nuclei outside the region are not used: often they are what a model found and nobody
    has checked. Of a nucleus painted across the region's edge, the part inside counts.
    One that ends at the edge may extend beyond it, so that its true shape is unknown:
    it is left out.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integer labels of one plane.
    region : numpy.ndarray
        ``(y, x)`` bool, of any form and number of parts.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` bool.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    region = np.asarray(region, bool)
    if region.shape != labels.shape:
        raise ValueError(
            f"The region must have the labels' shape {labels.shape}; received "
            f"{region.shape}."
        )
    # The image's own edge is no edge of the region.
    edge = region & ~ndi.binary_erosion(region, _EIGHT, border_value=1)
    area = np.bincount(labels.ravel())
    outside = np.bincount(labels[~region], minlength=area.size)
    at_edge = np.bincount(labels[edge], minlength=area.size) > 0
    cut = at_edge & (outside <= CUT_SHARE * area)
    cut[0] = False
    return region & ~cut[labels]


def known_nuclei(pair: Pair) -> np.ndarray:
    """Return the labels of nuclei at least half of which the annotation mask covers."""
    area = np.bincount(pair.labels.ravel())
    inside = area if pair.known is None else np.bincount(pair.labels[pair.known])
    inside = np.pad(inside, (0, area.size - inside.size))
    counted = (area > 0) & (2 * inside >= area)
    counted[0] = False
    return np.flatnonzero(counted)
