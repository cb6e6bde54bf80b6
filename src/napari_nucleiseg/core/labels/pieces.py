"""Labels that hold several separate pieces, and how to number each by itself."""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.labels.annotations import to_labels

#: A piece smaller than this share of the largest with its number is a slip of the
#: brush.
SPECK_SHARE = 0.05

_EIGHT = np.ones((3, 3), bool)


def find_pieces(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the connected pieces of every label of one plane.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integer labels.

    Returns
    -------
    pieces : numpy.ndarray
        ``(y, x)`` integer, 0 background, pieces 1..n. Pixels of one number that meet
        at a corner are one piece.
    numbers : numpy.ndarray
        ``(n + 1,)`` the label each piece has.
    main : numpy.ndarray
        ``(n + 1,)`` bool: false for slips of the brush (see `SPECK_SHARE`) and for
        the background.
    """
    from skimage.measure import label

    pieces = label(labels, background=0, connectivity=2)
    numbers = np.zeros(int(pieces.max()) + 1, np.int64)
    numbers[pieces.ravel()] = labels.ravel()
    areas = np.bincount(pieces.ravel(), minlength=numbers.size)
    largest = np.zeros(int(numbers.max()) + 1, np.int64)
    np.maximum.at(largest, numbers, np.where(numbers > 0, areas, 0))
    return pieces, numbers, (numbers > 0) & (areas >= SPECK_SHARE * largest[numbers])


def separate_pieces(labels: np.ndarray) -> np.ndarray:
    """Give each separate piece of a label a number of its own.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integer labels.

    Returns
    -------
    numpy.ndarray
        int32, same shape. The largest piece keeps the number, the others get new
        ones above the highest; slips of the brush become background (see
        `SPECK_SHARE`), and whole labels are left alone.
    """
    labels = to_labels(labels)
    pieces, numbers, main = find_pieces(labels)
    areas = np.bincount(pieces.ravel(), minlength=numbers.size)
    table = np.zeros(numbers.size, np.int32)
    order = np.flatnonzero(main)
    # Largest first, so that the first of each number is the one that keeps it.
    order = order[np.argsort(-areas[order], kind="stable")]
    _, first = np.unique(numbers[order], return_index=True)
    keeps = np.zeros(order.size, bool)
    keeps[first] = True
    table[order[keeps]] = numbers[order[keeps]]
    others = np.sort(order[~keeps])
    table[others] = int(labels.max()) + 1 + np.arange(others.size)
    return table[pieces]


def split_labels(labels: np.ndarray) -> np.ndarray:
    """Give nuclei that share a number numbers of their own.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(…, y, x)`` integer labels, taken plane by plane.

    Returns
    -------
    numpy.ndarray
        int32, same shape. A plane with one number only is a mask: its connected
        components become 1..n, however small. Another is split by
        `separate_pieces`.
    """
    labels = to_labels(labels)
    out = np.empty(labels.shape, np.int32)
    size = labels.shape[-2:]
    for plane, result in zip(
        labels.reshape(-1, *size), out.reshape(-1, *size), strict=True
    ):
        if np.count_nonzero(np.unique(plane)) > 1:
            result[...] = separate_pieces(plane)
        else:
            ndi.label(plane, _EIGHT, output=result)
    return out
