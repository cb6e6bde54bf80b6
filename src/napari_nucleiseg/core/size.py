"""How large the nuclei of an image are, found by looking at it at several sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from napari_nucleiseg.core.instances import (
    InstanceSettings,
    label_confidence,
    maps_to_labels,
)

#: Sizes to look at, as shares of the image's own.
LOOKS = (1.0, 0.5, 0.25, 0.125)

#: At each size at most a window of this side is looked at (pixels there).
WINDOW = 512

#: The image's own size is kept unless another explains this much more.
PREFER_OWN = 1.15


class _Sized(Protocol):
    diameter: float
    diameter_range: tuple[float, float]
    settings: InstanceSettings


def estimate_scale(
    look: Callable[[float, tuple[slice, slice] | None], np.ndarray],
    shape: tuple[int, int],
    predictor: _Sized,
) -> tuple[float, float] | None:
    """Find the scale at which a network should see an image.

    The network looks at the image at its own size and at smaller ones. The size at
    which most of the image is covered by nuclei that the network is sure of, and
    that have a diameter it was trained on, tells how large they are: nuclei too
    large for it come out in uncertain pieces, nuclei too small not at all.

    Parameters
    ----------
    look : callable
        ``look(scale, window)`` gives the maps of the image, or of a window of it
        (slices in the image's own pixels), shrunk by ``scale``.
    shape : tuple of int
        ``(y, x)`` of the image.
    predictor : Predictor
        Its diameters and thresholds are used.

    Returns
    -------
    scale, diameter : float
        What to multiply the image's sides by, and the median nuclear diameter in
        the image's own pixels; or None if no size shows any nuclei.
    """
    best: tuple[float, float, float] | None = None
    for scale in LOOKS:
        if scale < 1 and min(shape) * scale < 32:
            break
        window = _centre_window(shape, scale)
        maps = look(scale, window)
        found = _evidence(maps, predictor)
        if found is None:
            continue
        covered, diameter = found
        if scale == 1.0:
            covered *= PREFER_OWN
        if best is None or covered > best[0]:
            best = (covered, scale, diameter / scale)
    if best is None:
        return None
    diameter = best[2]
    low, high = predictor.diameter_range
    if low <= diameter <= high:
        return 1.0, diameter
    return predictor.diameter / diameter, diameter


def _centre_window(shape: tuple[int, int], scale: float) -> tuple[slice, slice] | None:
    """Return the middle of the image, or None where all of it fits the window."""
    side = int(WINDOW / scale)
    if max(shape) <= side:
        return None
    starts = [max(0, (n - side) // 2) for n in shape]
    y, x = (
        slice(start, min(n, start + side))
        for start, n in zip(starts, shape, strict=True)
    )
    return y, x


def _evidence(maps: np.ndarray, predictor: _Sized) -> tuple[float, float] | None:
    """Return how much known nuclei cover of the maps, and their diameter there (px).

    Each nucleus counts by its confidence; None if there is none of a known size.
    """
    labels = maps_to_labels(maps, predictor.settings)
    if not labels.any():
        return None
    areas = np.bincount(labels.ravel())[1:]
    confidence = label_confidence(labels, maps)
    diameters = 2 * np.sqrt(areas / np.pi)
    low, high = predictor.diameter_range
    known = (diameters >= low) & (diameters <= high)
    weight = areas * np.clip(2 * confidence - 1, 0, 1) ** 2
    # By area, so that specks beside large nuclei do not decide.
    order = np.argsort(diameters)
    running = np.cumsum(weight[order])
    if running[-1] <= 0:
        return None
    diameter = diameters[order][np.searchsorted(running, running[-1] / 2)]
    covered = float((weight * known).sum() / labels.size)
    return (covered, float(diameter)) if covered > 0 else None
