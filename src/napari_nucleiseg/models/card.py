"""A model's card: what it is, what it takes, how it was made, how good it is."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_nucleiseg.core.instances import MAPS, InstanceSettings

CARD_FILE = "card.json"


@dataclass(frozen=True)
class ModelCard:
    """What is written in a model folder's ``card.json``.

    Parameters
    ----------
    name : str
        Short name, letters, digits, ``-`` and ``_``.
    title : str
        One line for the user: what the model is for.
    version, license : str
        Version of the model and licence of its weights.
    channels : int
        Channels the network takes.
    maps : tuple of str
        What each map that it returns means.
    diameter : float
        Nuclear diameter it was trained at, pixels.
    diameter_range : tuple of float
        Diameters it copes with as they are, pixels.
    multiple : int
        What a tile's sides must be multiples of.
    normalisation : str
        What is done to the contrast before the network.
    thresholds : InstanceSettings
        Turn maps into labels.
    data, training, figures : dict
        What it was trained on, how, and its figures on images kept apart.
    files : dict
        File name to SHA-256, hexadecimal.
    """

    name: str
    title: str
    version: str
    license: str
    channels: int
    diameter: float
    diameter_range: tuple[float, float]
    thresholds: InstanceSettings
    maps: tuple[str, ...] = MAPS
    multiple: int = 32
    normalisation: str = "each channel from its 1st to its 99.9th percentile to 0-1"
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the card as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, folder: Path) -> ModelCard:
        """Read the card of a model folder.

        Raises
        ------
        ValueError
            If the card is missing, is not JSON, or lacks a value.
        """
        path = folder / CARD_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            values["thresholds"] = InstanceSettings(**values["thresholds"])
            for name in ("diameter_range", "maps"):
                values[name] = tuple(values[name])
            return cls(**values)
        except FileNotFoundError as e:
            raise ValueError(f"{folder} is not a model: it has no {CARD_FILE}.") from e
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as e:
            raise ValueError(f"{path} is not a model's card: {e}") from e
