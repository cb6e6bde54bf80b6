"""How large the nuclei of an image are, measured at several scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from napari_nucleiseg.core.segment.confidence import label_confidence
from napari_nucleiseg.core.segment.figures import NucleusFigures
from napari_nucleiseg.core.segment.instances import InstanceSettings, maps_to_labels
from napari_nucleiseg.core.segment.maps import measure_diameter

#: Sizes to look at, as shares of the image's own; the larger ones only where the
#: nuclei are smaller than the network knows.
LOOKS, LARGER_LOOKS = (1.0, 0.5, 0.25, 0.125), (2.0, 4.0)

#: Side of the window that is segmented at each size (pixels there). An image of at most
#: `WHOLE` times its area is segmented whole, so that the result can be kept.
WINDOW, WHOLE = 512, 2.0

#: One size is enough to decide if it shows at least `ENOUGH` nuclei, with a mean of
#: confidence times depth (weighted by area) of `SURE`, of which a share of `KNOWN` (by
#: area) has a diameter that the network was trained on.
ENOUGH, SURE, KNOWN = 6, 0.6, 0.7

#: Otherwise the size whose nuclei cover most of the image wins; few nuclei, and coarse
#: sizes, count less.
FEW, PREFER_FINER = 4, 1.15


class _Diameters(Protocol):
    @property
    def diameter(self) -> float: ...
    @property
    def diameter_range(self) -> tuple[float, float]: ...


class _Sized(_Diameters, Protocol):
    @property
    def maps(self) -> tuple[str, ...]: ...
    @property
    def settings(self) -> InstanceSettings: ...


def estimate_scale(
    look: Callable[[float, tuple[slice, slice] | None], np.ndarray],
    shape: tuple[int, int],
    predictor: _Sized,
) -> tuple[float, float] | None:
    """Find the scale at which a network should see an image.

    The image is segmented at its own size and then at smaller ones, until there are
    enough confident nuclei of a diameter that the network was trained on. Larger nuclei
    fall into uncertain pieces, so the search goes on; it ends before the image is so
    small that a cell or a piece of tissue passes for a nucleus. Where the nuclei at the
    image's own size are too small, larger sizes are tried first. If no size is
    convincing by itself, the one whose nuclei cover most of the image wins.

    A network with a size map predicts the diameters directly, on windows spread over
    the image; only where they are far from those of its training is another size
    tried.

    Parameters
    ----------
    look : callable
        ``look(scale, window)`` gives the maps of the image, or of a window of it
        (slices in the image's own pixels), its sides times ``scale``.
    shape : tuple of int
        ``(y, x)`` of the image.
    predictor : NetworkSpec
        Its diameters and thresholds are used.

    Returns
    -------
    scale, diameter : float
        What to multiply the image's sides by, and the median nuclear diameter in
        the image's own pixels; or None if no size shows any nuclei.
    """
    if "size" in predictor.maps:
        return _scale_said(look, shape, predictor)
    best: tuple[float, float] | None = None
    waiting = list(LOOKS)
    while waiting:
        scale = waiting.pop(0)
        if scale < 1 and min(shape) * scale < 32:
            break
        view = _view(look(scale, _centre_window(shape, scale)), predictor)
        if view is None:
            continue
        diameter = view.diameter / scale
        if view.good:
            return scale_for(diameter, predictor), diameter
        if scale == 1 and view.diameter < predictor.diameter_range[0]:
            waiting[:0] = LARGER_LOOKS
        covered = view.covered * view.count / (view.count + FEW)
        covered *= PREFER_FINER ** np.log2(scale)
        if covered > 0 and (best is None or covered > best[0]):
            best = (covered, diameter)
    if best is None:
        return None
    return scale_for(best[1], predictor), best[1]


#: Diameters that a size map predicts reliably, as multiples of the one in training.
#: Nuclei outside of it are measured again, at a scale that should bring them inside.
TOLD = (0.4, 1.85)

#: Windows that are measured in a large image, along each axis.
SPREAD = 2


def _scale_said(
    look: Callable[[float, tuple[slice, slice] | None], np.ndarray],
    shape: tuple[int, int],
    predictor: _Sized,
) -> tuple[float, float] | None:
    """Find the scale and the diameter as `estimate_scale` does, from the size map."""
    low, high = (share * predictor.diameter for share in TOLD)
    waiting, nearest = list(LOOKS), None
    while waiting:
        scale = waiting.pop(0)
        if scale < 1 and min(shape) * scale < 32:
            break
        views = [look(scale, window) for window in _windows(shape, scale)]
        flat = np.concatenate([view.reshape(-1, view.shape[-1]) for view in views])
        seen = measure_diameter(flat[:, 0], flat[:, -1])
        if seen is None:
            continue
        diameter = seen / scale
        if low <= seen <= high:
            return scale_for(diameter, predictor), diameter
        if nearest is None or abs(np.log(seen / predictor.diameter)) < nearest[0]:
            nearest = abs(np.log(seen / predictor.diameter)), diameter
        if scale == 1 and seen < low:
            # Before smaller sizes, at which groups of nuclei pass for one.
            waiting[:0] = LARGER_LOOKS
        if seen > high:
            waiting = [s for s in waiting if s * diameter <= high] or waiting
    if nearest is None:
        return None
    return scale_for(nearest[1], predictor), nearest[1]


def _windows(shape: tuple[int, int], scale: float) -> list[tuple[slice, slice] | None]:
    """Return windows spread over the image, or None where all of it is looked at."""
    side = int(WINDOW / scale)
    if shape[0] * shape[1] <= WHOLE * side**2:
        return [None]
    side = min(side * 3 // 4, *shape)
    starts = [
        sorted({round((i + 0.5) * n / SPREAD - side / 2) for i in range(SPREAD)})
        if n >= SPREAD * side
        else [(n - side) // 2]
        for n in shape
    ]
    return [
        (slice(y, y + side), slice(x, x + side)) for y in starts[0] for x in starts[1]
    ]


def scale_for(diameter: float, model: _Diameters) -> float:
    """Return the scale at which a network should see nuclei of a diameter (pixels).

    1 for those of its working range; others are brought to the diameter at which it
    does best.
    """
    low, high = working_range(model)
    return 1.0 if low <= diameter <= high else working_diameter(model) / diameter


def working_diameter(model: _Diameters) -> float:
    """Return the diameter (pixels) that a network's nuclei are brought to.

    That at which it does best, if its model says so; else that of its training.

    Parameters
    ----------
    model : NetworkSpec or ModelCard
        Whose.
    """
    return getattr(model, "working_diameter", None) or model.diameter


def working_range(model: _Diameters) -> tuple[float, float]:
    """Return the diameters (pixels) of nuclei that are left at their own scale.

    Those that the model says; else all that it copes with. See `working_diameter`.
    """
    return getattr(model, "working_range", None) or model.diameter_range


def _centre_window(shape: tuple[int, int], scale: float) -> tuple[slice, slice] | None:
    """Return the middle of the image, or None where all of it is to be looked at."""
    side = int(WINDOW / scale)
    if shape[0] * shape[1] <= WHOLE * side**2:
        return None
    starts = [max(0, (n - side) // 2) for n in shape]
    y, x = (
        slice(start, min(n, start + side))
        for start, n in zip(starts, shape, strict=True)
    )
    return y, x


@dataclass(frozen=True)
class _View:
    """What one look showed: lengths and areas are in its own pixels."""

    covered: float  # share of the image under nuclei of a known size, by confidence
    count: int  # of nuclei of a known size
    diameter: float  # median over the area of the nuclei
    good: bool  # enough to go by


def _view(maps: np.ndarray, predictor: _Sized) -> _View | None:
    """Return what a network's maps show, or None if there are no nuclei on them."""
    labels = maps_to_labels(maps, predictor.settings)
    if not labels.any():
        return None
    areas = np.bincount(labels.ravel())[1:]
    confidence = label_confidence(NucleusFigures.of(labels, maps))
    depth = np.zeros(areas.size + 1, maps.dtype)
    np.maximum.at(depth, labels.ravel(), maps[..., 1].ravel())
    diameters = 2 * np.sqrt(areas / np.pi)
    low, high = predictor.diameter_range
    known = (diameters >= low) & (diameters <= high)
    weight = areas * np.clip(2 * confidence - 1, 0, 1) ** 2
    if not weight.any():
        return None
    # By area, so that specks beside large nuclei do not decide.
    order = np.argsort(diameters)
    running = np.cumsum(weight[order])
    middle = np.searchsorted(running, running[-1] / 2)
    share = areas / areas.sum()
    return _View(
        covered=float(weight[known].sum() / labels.size),
        count=int(known.sum()),
        diameter=float(diameters[order][middle]),
        good=bool(
            known.sum() >= ENOUGH
            and (share * confidence * depth[1:]).sum() >= SURE
            and share[known].sum() >= KNOWN
        ),
    )
