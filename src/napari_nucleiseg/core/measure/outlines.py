"""Outlines along the edges of pixels: what is inside is the nucleus, to the pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Directions in the order of right turns: right, down, left, up, as (y, x).
_STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True)
class Outline:
    """A connected piece of a nucleus.

    Parameters
    ----------
    label : int
        The nucleus.
    plane : tuple of int
        Where it lies along the axes of planes.
    outer : numpy.ndarray
        ``(n, 2)`` int, y and x of the corners, clockwise; pixel (0, 0) reaches from 0
        to 1.
    holes : tuple of numpy.ndarray
        The outlines of its holes, anticlockwise.
    """

    label: int
    plane: tuple[int, ...]
    outer: np.ndarray
    holes: tuple[np.ndarray, ...] = ()


def outlines(labels: Any) -> Iterator[Outline]:
    """Trace every nucleus, plane by plane.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(…, y, x)`` integers.

    Yields
    ------
    Outline
        One for each piece; pixels that touch at a corner only are two pieces.
    """
    import scipy.ndimage as ndi

    for plane in np.ndindex(*labels.shape[:-2]):
        here = np.asarray(labels[plane])
        for label, box in enumerate(ndi.find_objects(here), start=1):
            if box is None:
                continue
            pieces, count = ndi.label(here[box] == label)
            corner = np.array([side.start for side in box])
            for piece in range(1, count + 1):
                rings = [ring + corner for ring in _trace(pieces == piece)]
                outer = max(rings, key=_signed_area)
                holes = tuple(ring for ring in rings if ring is not outer)
                yield Outline(label, plane, outer, holes)


def _signed_area(ring: np.ndarray) -> float:
    y, x = ring.T.astype(float)
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _trace(mask: np.ndarray) -> list[np.ndarray]:
    """Return the corners of every ring, the mask being on its right."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    # An edge begins at a corner and goes a pixel's side: (y, x, direction).
    edges: set[tuple[int, int, int]] = set()
    for direction, (beside, corner) in enumerate(
        (
            (padded[:-2, 1:-1], (0, 0)),
            (padded[1:-1, 2:], (0, 1)),
            (padded[2:, 1:-1], (1, 1)),
            (padded[1:-1, :-2], (1, 0)),
        )
    ):
        at = np.argwhere(inside & ~beside) + corner
        edges.update((y, x, direction) for y, x in at.tolist())
    rings = []
    while edges:
        start = edge = min(edges)
        ring = []
        while edge in edges:
            edges.remove(edge)
            y, x, direction = edge
            y, x = y + _STEPS[direction][0], x + _STEPS[direction][1]
            # To the right first: where two pixels touch at a corner, stay with this.
            edge = next(
                (
                    (y, x, (direction + turn) % 4)
                    for turn in (1, 0, 3)
                    if (y, x, (direction + turn) % 4) in edges
                ),
                start,
            )
            if edge[2] != direction:
                ring.append((y, x))
        rings.append(np.array(ring))
    return rings
