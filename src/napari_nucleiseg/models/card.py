"""A model's card: what it is, what it takes, how it was made, how good it is."""

from __future__ import annotations

import logging
import re
import stat
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StringConstraints

from napari_nucleiseg.core.params import InstanceSettings
from napari_nucleiseg.core.record import JsonTable, Record, printable
from napari_nucleiseg.core.segment.confidence import Calibration
from napari_nucleiseg.core.segment.instances import MAPS
from napari_nucleiseg.core.segment.predictor import NetworkSpec
from napari_nucleiseg.core.segment.size import working_range
from napari_nucleiseg.core.segment.tiling import TILE
from napari_nucleiseg.models.verdict import Verdict
from napari_nucleiseg.networks.architectures import ARCHITECTURES

log = logging.getLogger(__name__)

CARD_FILE = "card.json"

#: Bytes of a card, at most. The bundled model's has 30,000.
MOST_CARD_BYTES = 2**24

#: Characters in a model's name, at most.
LONGEST_NAME = 64

#: Names that mean a device on Windows, whatever stands behind a dot: a folder cannot
#: have them there, and models go from one system to another.
_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in range(10)
}


def check_name(name: str) -> str:
    """Return a model's name; raise ValueError if a model cannot have it."""
    if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST_NAME - 1}}}", name):
        raise ValueError(
            f"A model's name must be 1 to {LONGEST_NAME} letters, digits, - or _; "
            f"received {name!a}."
        )
    if name.casefold() in _DEVICES:
        raise ValueError(
            f"{name!r} is the name of a device on Windows, and cannot be a model's; "
            "choose another."
        )
    return name


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"A text of one line is wanted; received {text!a}.")
    return text


def _in_order(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError(f"The lesser diameter must come first; received {span}.")
    return span


Name = Annotated[str, AfterValidator(check_name)]
Line = Annotated[str, AfterValidator(_one_line), Field(max_length=1000)]
#: Of a nucleus, pixels. No image has nuclei outside.
Diameter = Annotated[float, Field(ge=1, le=1000)]
# JSON has no tuples: a list will do.
Diameters = Annotated[
    tuple[Diameter, Diameter], Field(strict=False), AfterValidator(_in_order)
]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class ModelCard(Record):
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
    notes : str
        What its owner has written about it.
    """

    name: Name
    title: Line
    version: Line
    license: Line
    channels: int = Field(ge=1, le=64)
    diameter: Diameter
    diameter_range: Diameters
    thresholds: InstanceSettings
    maps: Annotated[tuple[Line, ...], Field(strict=False, min_length=1)] = MAPS
    architecture: Line = "nuclei"
    multiple: int = Field(default=32, ge=1, le=1024)
    normalisation: Line = "each channel from its 1st to its 99.9th percentile to 0-1"
    calibration: Calibration | None = None
    data: JsonTable = Field(default_factory=dict)
    training: JsonTable = Field(default_factory=dict)
    working_diameter: Diameter | None = None
    working_range: Diameters | None = None
    figures: JsonTable = Field(default_factory=dict)
    files: dict[str, Sha256] = Field(default_factory=dict)
    notes: str = Field(default="", max_length=20_000)

    @property
    def spec(self) -> NetworkSpec:
        """What the pipeline has to know of the model's network."""
        known = ARCHITECTURES.get(self.architecture)
        return NetworkSpec(
            name=self.name,
            channels=self.channels,
            diameter=self.diameter,
            diameter_range=self.diameter_range,
            working_diameter=self.working_diameter,
            working_range=self.working_range,
            multiple=self.multiple,
            tile=known.tile if known else TILE,
            maps=self.maps,
            settings=self.thresholds,
            calibration=self.calibration,
        )

    @property
    def verdict(self) -> Verdict | None:
        """How it compares with the model it started from, if that is known."""
        try:
            return Verdict(**self.training["verdict"])
        except (KeyError, TypeError, ValueError):
            return None  # none, or of another form than ours

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
            state = path.stat()
            # A pipe would keep us waiting for ever.
            if not stat.S_ISREG(state.st_mode) or state.st_size > MOST_CARD_BYTES:
                raise ValueError(
                    f"{path} must be a regular file of at most "
                    f"{MOST_CARD_BYTES >> 20} MB."
                )
            return cls.parse(path.read_bytes(), str(path))
        except FileNotFoundError as e:
            raise ValueError(f"{folder} is not a model: it has no {CARD_FILE}.") from e

    @classmethod
    def parse(cls, text: bytes, where: str) -> Self:
        """Make a card from JSON; `where` it is from is said in messages.

        Raises
        ------
        ValueError
            If it is not JSON, lacks a value, or has one that is refused or unknown.
        """
        try:
            return cls.from_json(text)
        except ValueError as e:
            raise ValueError(f"{where} is not a model's card: {e}") from e


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
    thresholds = ", ".join(
        f"{name.replace('_', ' ')} {'auto' if value is None else f'{value:g}'}"
        for name, value in card.thresholds
    )
    lines = [
        f"{card.name} {card.version} ({'built in' if built_in else 'your own'})",
        f"  {card.title}",
        f"  licence      {card.license}",
        f"  folder       {folder}",
        f"  network      {card.architecture}: {', '.join(card.maps)}",
        f"  nuclei       {low:g} to {high:g} px wide as they are; others are scaled",
        f"  thresholds   {thresholds}",
    ]
    lines += [f"  {what:13}{text}" for what, text in _learnt_from(card.data)]
    # What others wrote there may be of another form than ours.
    training = _format_training if built_in else _format_own_training
    for what, write in (("training", training), ("figures", _format_figures)):
        try:
            lines += write(getattr(card, what))
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            log.warning("The %s of %s cannot be shown: %r", what, folder, e)
            lines.append(f"  {what:13}(of an unknown form)")
    if card.notes:
        lines += ["  notes", *(f"    {line}" for line in card.notes.splitlines())]
    return "\n".join(map(printable, lines))


def _learnt_from(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a model itself learnt from, what else it was judged by, and when."""
    lines = []
    if source := data.get("source"):
        lines.append(("trained on", str(source)))
    if "nuclei" in data:
        held = f"{data.get('validation_nuclei', 0)} more held out"
        lines.append(("learnt from", f"{data['nuclei']} nuclei; {held}"))
    if isinstance(names := data.get("images"), list) and names:
        lines.append(("images", ", ".join(dict.fromkeys(map(str, names)))))
    if "test_nuclei" in data:
        where = f" in {data['test_folder']}" if "test_folder" in data else ""
        lines.append(("tested on", f"{data['test_nuclei']} nuclei{where}"))
    if date := data.get("date"):
        lines.append(("trained", str(date)))
    return lines


def _format_own_training(training: dict[str, Any]) -> list[str]:
    """Return how a model itself was trained; its base has a card of its own."""
    own = {name: value for name, value in training.items() if name != "before"}
    return _format_training(own)


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
        verdict = Verdict(**training["verdict"])
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
