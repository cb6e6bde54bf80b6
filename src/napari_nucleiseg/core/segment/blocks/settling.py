"""Holes filled, a block at a time, when it is known which nuclei there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.segment.blocks.grid import widen, within
from napari_nucleiseg.core.segment.image import Window

#: What is wider than this is no hole of a nucleus, pixels of what the network saw:
#: more than a nucleus is at which it does well.
WIDEST_HOLE = 64


def widest_hole(scale: float) -> int:
    """Return `WIDEST_HOLE` in pixels of an image that the network saw at a scale."""
    return round(WIDEST_HOLE / min(scale, 1.0))


def settle(
    read: Callable[[Window], np.ndarray],
    window: Window,
    shape: tuple[int, ...],
    widest: int,
) -> tuple[np.ndarray, Window]:
    """Return the labels of a block with its holes filled.

    Parameters
    ----------
    read : callable
        Gives the labels of a window, ``(y, x)`` int32.
    window : tuple of slice
        The block.
    shape : tuple of int
        Of the image.
    widest : int
        No hole is wider, pixels.

    Returns
    -------
    labels : numpy.ndarray
        ``(y, x)`` int32, with one more row and column on each side where there is one.
    window : tuple of slice
        Where that is.
    """
    frame = widen(window, shape, 1)
    # What reaches from the frame to the edge of this is wider than a hole.
    outer = widen(frame, shape, widest + 1)
    labels = read(outer).copy()
    fill_holes(labels, widest)
    return labels[within(frame, outer)], frame


def fill_holes(labels: np.ndarray, widest: int) -> None:
    """Give each hole that lies inside one nucleus to it, in place.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` integer labels, 0 is background.
    widest : int
        What is wider or higher, or reaches the edge, is no hole, pixels.
    """
    pieces, n = ndi.label(labels == 0)
    outside = np.zeros(n + 1, bool)
    outside[0] = True
    for edge in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        outside[edge] = True
    if outside.all():
        return
    boxes = ndi.find_objects(pieces)
    for piece in np.flatnonzero(~outside):
        box = boxes[piece - 1]
        if max(side.stop - side.start for side in box) > widest:
            continue
        wide = tuple(slice(side.start - 1, side.stop + 1) for side in box)
        here = pieces[wide] == piece
        ring = ndi.binary_dilation(here, np.ones((3, 3), bool)) & ~here
        around = np.unique(labels[wide][ring])
        around = around[around > 0]
        if around.size == 1:
            labels[wide][here] = around[0]
