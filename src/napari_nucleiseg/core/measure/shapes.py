"""Shapes of many nuclei at once, to the last digit those of scikit-image."""

from __future__ import annotations

import math

import numpy as np

from napari_nucleiseg.core.measure.regions import Plane, Regions

#: What the pixels of a border add to its length, by how many of their neighbours, and
#: which, belong to the border too; see `skimage.measure.perimeter`.
_WEIGHTS = np.zeros(50)
_WEIGHTS[[5, 7, 15, 17, 25, 27]] = 1
_WEIGHTS[[21, 33]] = math.sqrt(2)
_WEIGHTS[[13, 23]] = (1 + math.sqrt(2)) / 2

#: Neighbours of a pixel, and what a border pixel there counts.
_BESIDE = ((-1, 0), (1, 0), (0, -1), (0, 1))
_NEIGHBOURS = (
    *((step, 2) for step in _BESIDE),
    *(((y, x), 10) for y in (-1, 1) for x in (-1, 1)),
)

_ORDERS = np.arange(4, dtype=float)

#: NumPy 2.4 multiplies matrices elsewise in `einsum`, with other rounding.
_BY_MATMUL = tuple(map(int, np.__version__.split(".")[:2])) >= (2, 4)


def borders(plane: Plane) -> np.ndarray:
    """Return where the pixels are that have another label, or none, beside them."""
    padded = np.pad(plane.labels, 1)
    inner = padded[1:-1, 1:-1]
    found = np.zeros(inner.shape, bool)
    height, width = inner.shape
    for y, x in _BESIDE:
        found |= inner != padded[1 + y : 1 + y + height, 1 + x : 1 + x + width]
    return found & (inner > 0)


def perimeters(regions: Regions, border: np.ndarray) -> np.ndarray:
    """Return the length of each border, in pixels; see `skimage.measure.perimeter`.

    Parameters
    ----------
    regions : Regions
        The nuclei.
    border : numpy.ndarray
        From `borders`.
    """
    height, width = border.shape
    labels, marked = regions.plane.ravel(), border.ravel()
    on = marked[regions.pixels]
    pixels, of = regions.pixels[on], regions.of[on]
    y, x = np.divmod(pixels, width)
    own = labels[pixels]
    codes = np.ones(len(pixels), np.int64)
    for (down, right), weight in _NEIGHBOURS:
        there = (y + down >= 0) & (y + down < height)
        there &= (x + right >= 0) & (x + right < width)
        beside = np.where(there, pixels + down * width + right, 0)
        codes += weight * (there & marked[beside] & (labels[beside] == own))
    size = len(_WEIGHTS)
    counts = np.bincount(of * size + codes, minlength=len(regions.labels) * size)
    rows = counts.reshape(-1, size).astype(float)
    return np.array([row @ _WEIGHTS for row in rows])


def centroids(regions: Regions, spacing: tuple[float, float]) -> list[np.ndarray]:
    """Return the centres along y and x."""
    found = []
    for places, size in zip(regions.yx, spacing, strict=True):
        parts = np.split(places * size, regions.starts[1:])
        sums = np.array([np.add.reduce(part) for part in parts])
        found.append(sums / regions.counts)
    return found


def ellipses(regions: Regions, spacing: tuple[float, float]) -> dict[str, np.ndarray]:
    """Return eccentricity and orientation of the ellipses with the same moments."""
    nuclei = zip(regions.labels.tolist(), regions.boxes, strict=True)
    moments = np.array([_moments(*x, regions.plane, spacing) for x in nuclei])
    zeroth, across = moments[:, 0, 0], moments[:, 1, 1]
    down, right = moments[:, 2, 0], moments[:, 0, 2]
    tensors = np.empty((len(moments), 2, 2))
    tensors[:, 0, 0] = ((down + right) - down) / zeroth
    tensors[:, 1, 1] = ((down + right) - right) / zeroth
    tensors[:, 0, 1] = tensors[:, 1, 0] = -across / zeroth
    small, large = np.clip(np.linalg.eigvalsh(tensors), 0, None).T
    with np.errstate(invalid="ignore"):
        eccentricity = np.where(large == 0, 0.0, np.sqrt(1 - small / large))
    turns = [
        _orientation(a, b, c)
        for a, b, c in zip(
            tensors[:, 0, 0].tolist(),
            tensors[:, 0, 1].tolist(),
            tensors[:, 1, 1].tolist(),
            strict=True,
        )
    ]
    return {"eccentricity": eccentricity, "orientation": np.array(turns)}


def _orientation(a: float, b: float, c: float) -> float:
    if a - c == 0:
        return math.pi / 4 if b < 0 else -math.pi / 4
    return 0.5 * math.atan2(-2 * b, c - a)


def _moments(
    label: int,
    box: tuple[slice, slice],
    plane: np.ndarray,
    spacing: tuple[float, float],
) -> np.ndarray:
    """Return the central moments of one nucleus up to the third order."""
    inside = (plane[box] == label).astype(float)
    places = [
        np.arange(length, dtype=float) * size
        for length, size in zip(inside.shape, spacing, strict=True)
    ]
    raw = _sum_powers(inside, *places)
    centre = (raw[1, 0] / raw[0, 0], raw[0, 1] / raw[0, 0])
    return _sum_powers(inside, *(x - at for x, at in zip(places, centre, strict=True)))


def _sum_powers(inside: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    down, right = y[:, np.newaxis] ** _ORDERS, x[:, np.newaxis] ** _ORDERS
    if _BY_MATMUL:
        return np.matmul(down.T, inside) @ right
    first = np.tensordot(inside, down, axes=((0,), (0,))).T
    return np.tensordot(first, right, axes=((1,), (0,)))
