"""What a network in training is made for: nuclear diameters, maps and thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.core.segment.predictor import NetworkSpec
from napari_nucleiseg.networks.architectures import KNOWN, find_architecture

if TYPE_CHECKING:
    from napari_nucleiseg.models.card import ModelCard


def spec_for(
    architecture: str, diameter: float | None = None, base: ModelCard | None = None
) -> NetworkSpec:
    """Return what a network is made for, or one that is trained further.

    Parameters
    ----------
    architecture : str
        Name of the network's architecture.
    diameter : float, optional
        Nuclear diameter it is trained at, pixels; by default the base's, or
        its architecture's.
    base : ModelCard, optional
        The model that is trained further: its thresholds and calibration are kept and,
        if it is trained at the same diameter, the diameters it is used at.
    """
    design = find_architecture(architecture)
    if base is not None and diameter in (None, base.diameter):
        return base.spec
    size = diameter or design.diameter
    (working, _) = _times(size, (design.best, 1.0))
    scaled: dict[str, Any] = {
        "diameter": size,
        "diameter_range": _times(size, KNOWN),
        "working_diameter": working,
        "working_range": _times(size, design.left),
    }
    if base is not None:
        return replace(base.spec, **scaled)
    return NetworkSpec(
        name=architecture,
        channels=design.channels,
        multiple=design.multiple,
        tile=design.tile,
        maps=design.maps,
        **scaled,
    )


def _times(diameter: float, shares: tuple[float, float]) -> tuple[float, float]:
    """Return shares of a diameter, to a tenth of a pixel unless they are all of it."""
    low, high = (diameter if s == 1 else round(s * diameter, 1) for s in shares)
    return low, high
