"""A model's card: what it is, what it takes, how it was made, how good it is."""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_nucleiseg.core.segment.confidence import Calibration
from napari_nucleiseg.core.segment.instances import MAPS, InstanceSettings
from napari_nucleiseg.core.segment.size import working_range
from napari_nucleiseg.models.verdict import Verdict

log = logging.getLogger(__name__)

CARD_FILE = "card.json"

_TEXTS = ("name", "title", "version", "license", "architecture", "normalisation")
_TABLES = ("data", "training", "figures", "files")


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
        What each map that it returns means, such as ``("background", "nucleus")``.
    architecture : str
        Kind of network; a card that does not say so is of the first kind there was.
    diameter : float
        Nuclear diameter it was trained at, pixels.
    diameter_range : tuple of float
        Diameters it copes with as they are, pixels.
    working_diameter, working_range : float and tuple of float, or None
        The diameter that nuclei are brought to, and those that are left as they are,
        pixels; by default `diameter` and `diameter_range`.
    multiple : int
        What a tile's sides must be multiples of.
    normalisation : str
        What is done to the contrast before the network.
    thresholds : InstanceSettings
        Turn maps into labels.
    calibration : Calibration or None
        Turns maps into confidences; None gives the mean nucleus map.
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
    architecture: str = "nuclei"
    multiple: int = 32
    normalisation: str = "each channel from its 1st to its 99.9th percentile to 0-1"
    calibration: Calibration | None = None
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    working_diameter: float | None = None
    working_range: tuple[float, float] | None = None
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
            If the card is missing, is not JSON, or is not as a card must be.
        """
        path = folder / CARD_FILE
        try:
            return cls.from_json(path.read_bytes(), str(path))
        except FileNotFoundError as e:
            raise ValueError(f"{folder} is not a model: it has no {CARD_FILE}.") from e

    @classmethod
    def from_json(cls, text: bytes, where: str) -> ModelCard:
        """Make a card from JSON; `where` it is from is said in messages.

        Raises
        ------
        ValueError
            If it is not JSON, lacks a value, or has one of the wrong kind or unknown.
        """
        try:
            values = json.loads(text)
            known = {spec.name for spec in dataclasses.fields(cls)}
            if unknown := sorted(set(values) - known):
                raise TypeError(
                    f"it has the entry {unknown[0]!r}, which this version of "
                    "napari-nucleiseg does not know"
                )
            values["thresholds"] = InstanceSettings(**values["thresholds"])
            if values.get("calibration") is not None:
                values["calibration"] = Calibration(**values["calibration"])
            for name in ("diameter_range", "maps", "working_range"):
                if values.get(name) is not None:
                    values[name] = tuple(values[name])
            card = cls(**values)
            card._check_kinds()
        except KeyError as e:
            raise ValueError(f"{where} is not a model's card: it lacks {e}.") from e
        except (TypeError, AttributeError, ValueError, RecursionError) as e:
            raise ValueError(f"{where} is not a model's card: {e}.") from e
        return card

    def _check_kinds(self) -> None:
        """Raise TypeError where a card read from a file holds the wrong kind."""
        number = (int, float)
        thresholds = dataclasses.asdict(self.thresholds)
        if thresholds["min_area"] is None:
            del thresholds["min_area"]
        checks: list[tuple[str, Any, type | tuple[type, ...]]] = [
            *((name, getattr(self, name), str) for name in _TEXTS),
            *((name, getattr(self, name), dict) for name in _TABLES),
            *(("maps", value, str) for value in self.maps),
            ("channels", self.channels, int),
            ("multiple", self.multiple, int),
            ("diameter", self.diameter, number),
            *(("diameter_range", value, number) for value in self.diameter_range),
            *(("working_range", value, number) for value in self.working_range or ()),
            ("working_diameter", self.working_diameter or 1.0, number),
            *((name, value, number) for name, value in thresholds.items()),
        ]
        for name, value, kind in checks:
            if not isinstance(value, kind) or isinstance(value, bool):
                raise TypeError(f"{name} cannot be {value!r}")
        for name in ("diameter_range", "working_range"):
            span = getattr(self, name)
            if span is not None and len(span) != 2:
                raise TypeError(f"{name} cannot be {list(span)}")


def format_card(card: ModelCard, folder: str, built_in: bool) -> str:
    """Return a card as text for the reader: what the model is, and how good.

    Parameters
    ----------
    card : ModelCard
        The card.
    folder : str
        Where the model is.
    built_in : bool
        Whether it came with the package.

    Returns
    -------
    str
        Several lines.
    """
    low, high = working_range(card)
    lines = [
        f"{card.name} {card.version} ({'built in' if built_in else 'your own'})",
        f"  {card.title}",
        f"  licence      {card.license}",
        f"  folder       {folder}",
        f"  network      {card.architecture}: {', '.join(card.maps)}",
        f"  nuclei       {low:g} to {high:g} px wide as they are; others are scaled",
        f"  thresholds   probability {card.thresholds.probability:g}, separation "
        f"{card.thresholds.separation:g}, specks below "
        f"{card.thresholds.speck:.0%} of a typical nucleus left out",
    ]
    if source := card.data.get("source"):
        lines.append(f"  trained on   {source}")
    # What others wrote there may be of another form than ours.
    for what, write in (("training", _format_training), ("figures", _format_figures)):
        try:
            lines += write(getattr(card, what))
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            log.warning("The %s of %s cannot be shown: %r", what, folder, e)
            lines.append(f"  {what:13}(of an unknown form)")
    return "\n".join(lines)


def _format_training(training: dict[str, Any]) -> list[str]:
    stages = [*training.get("before", []), training]
    lasts = [stage["history"][-1] for stage in stages if stage.get("history")]
    lines = []
    if lasts:
        minutes = sum(last["minutes"] for last in lasts)
        epochs = sum(int(last["epoch"]) for last in lasts)
        lines.append(f"  training     {epochs} epochs in {minutes:.0f} minutes")
        if len(lasts) > 1:
            lines[-1] += f", in {len(lasts)} stretches"
    if training.get("history"):
        # Epoch 0 is what it started from.
        best = training["best_epoch"] or "none"
        lines.append(f"  best epoch   {best} of {int(lasts[-1]['epoch'])}")
    if training.get("base"):
        lines.append(f"  started from {training['base']}")
    if training.get("verdict"):
        verdict = Verdict.from_dict(training["verdict"])
        lines += ["  verdict", *(f"    {line}" for line in verdict.text.splitlines())]
    return lines


def _format_figures(splits: dict[str, Any]) -> list[str]:
    lines = []
    for split, kinds in splits.items():
        for kind, figures in kinds.items():
            mean = figures["per_image_mean"]
            lines.append(
                f"  {split + ' ' + kind:23}AP@0.5 {mean['AP50']:.3f}  @0.75 "
                f"{mean['AP75']:.3f}  mean {mean['mean_AP']:.3f}  pixel accuracy "
                f"{mean['pixel_accuracy']:.3f}  ({figures['images']} images)"
            )
    return lines
