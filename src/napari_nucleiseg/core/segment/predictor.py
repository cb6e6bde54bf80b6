"""What the pipeline asks of a network: tiles in, maps out, and what it is made for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from napari_nucleiseg.core.params import Engine
from napari_nucleiseg.core.segment.confidence import Calibration
from napari_nucleiseg.core.segment.instances import MAPS, InstanceSettings
from napari_nucleiseg.core.segment.tiling import TILE


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """What the pipeline has to know of a network.

    Parameters
    ----------
    name : str
        What the model is called, for the record.
    channels : int
        Channels of a tile.
    diameter : float
        Diameter of the nuclei it was trained on, pixels.
    diameter_range : tuple of float
        Least and largest diameter it copes with, pixels.
    working_diameter : float or None
        Diameter at which it does best, to which nuclei are brought, pixels; None for
        `diameter`.
    working_range : tuple of float or None
        Diameters that are left at their own scale, pixels; None for `diameter_range`.
    multiple : int
        What a tile's sides must be multiples of, pixels.
    tile : int
        Longest side of a tile, pixels.
    maps : tuple of str
        What each map that the network itself returns means.
    settings : InstanceSettings
        Its own thresholds.
    calibration : Calibration or None
        Turns what is known of a nucleus into its confidence; None for the mean of its
        nucleus map.
    engine : str
        What it runs on; see `core.params.SegmentParams`. Never "auto".
    note : str
        What the user should know of that; with a result's warnings.
    """

    name: str
    channels: int
    diameter: float
    diameter_range: tuple[float, float]
    working_diameter: float | None = None
    working_range: tuple[float, float] | None = None
    multiple: int = 32
    tile: int = TILE
    maps: tuple[str, ...] = MAPS
    settings: InstanceSettings = field(default_factory=InstanceSettings)
    calibration: Calibration | None = None
    engine: Engine = "float32"
    note: str = ""


class Predictor(Protocol):
    """A loaded network."""

    @property
    def spec(self) -> NetworkSpec:
        """What it is made for."""

    def predict(self, tiles: np.ndarray) -> np.ndarray:
        """Turn ``(n, y, x, channels)`` float32 in 0-1 into ``(n, y, x, maps)``."""
