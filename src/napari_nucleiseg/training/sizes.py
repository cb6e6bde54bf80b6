"""The nuclear diameters that a network is trained at, and at which it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_nucleiseg.core.segment.size import working_diameter, working_range
from napari_nucleiseg.networks.architectures import KNOWN, find_architecture

if TYPE_CHECKING:
    from napari_nucleiseg.models.card import ModelCard

#: Diameter (pixels) that nuclei are brought to where nothing else is said.
DIAMETER = 20.0


class Sizes(NamedTuple):
    """Nuclear diameters, pixels: what a network is trained at, and how it is used.

    Parameters
    ----------
    diameter : float
        That of its training.
    known : tuple of float
        Those it copes with.
    working : float
        That to which others are brought.
    left : tuple of float
        Those that are left as they are.
    """

    diameter: float
    known: tuple[float, float]
    working: float
    left: tuple[float, float]


def sizes_for(
    architecture: str, diameter: float | None, base: ModelCard | None = None
) -> Sizes:
    """Return the diameters of a network, and of one that goes on from another.

    Parameters
    ----------
    architecture : str
        Name of the network's architecture, which says how they hang together.
    diameter : float or None
        Nuclear diameter it is trained at, pixels; None for the base's, or `DIAMETER`.
    base : ModelCard, optional
        What it goes on from: trained at the same diameter, it is used as that is.
    """
    if base is not None and diameter in (None, base.diameter):
        return Sizes(
            base.diameter,
            base.diameter_range,
            working_diameter(base),
            working_range(base),
        )
    size = diameter or DIAMETER

    def share(of: float) -> float:
        return size if of == 1 else round(of * size, 1)

    design = find_architecture(architecture)
    low, high = KNOWN
    least, most = design.left
    return Sizes(
        diameter=size,
        known=(share(low), share(high)),
        working=share(design.best),
        left=(share(least), share(most)),
    )
