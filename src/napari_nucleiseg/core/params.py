"""Parameters of segmenting and training, each said once; see `core.parameter`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal, Optional

from pydantic import ConfigDict, Field, create_model

from napari_nucleiseg.core.parameter import parameter
from napari_nucleiseg.core.record import Record, limits


class Settings(Record):
    """A record of parameters; the text below each is its tooltip and its help."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class InstanceSettings(Settings):
    """Thresholds that turn maps into labels; a model's card holds its own.

    To add one, add a field here: those of `SegmentParams` are made from these, and
    from them the forms, the shell's options, the saved record and the site's table.
    """

    probability: float = parameter(0.5, "Probability", 0.05, 0.95, step=0.01)
    """How sure the model must be that a pixel is nucleus. Lower finds dimmer nuclei and
    draws wider outlines; higher keeps only the clear ones."""

    separation: float = parameter(
        0.6, "Separation", 0.05, 0.95, step=0.01, advanced=True
    )
    """How readily touching nuclei are split. Higher splits more; lower it if single
    nuclei are cut in two."""

    min_area: int | None = parameter(
        None, "Minimum area", 0, 1_000_000, unit="px²", step=1, start=30
    )
    """Nuclei that cover fewer pixels than this are left out. Auto leaves out specks
    much smaller than a typical nucleus."""

    speck: float = parameter(0.06, "Speck", 0, 1)
    """Without a minimum area, nuclei that cover less than this share of a typical one
    are left out."""

    min_confidence: float = parameter(
        0.0, "Minimum confidence", 0, 0.95, step=0.01, advanced=True
    )
    """Nuclei that are less likely than this to be true ones are left out. Higher leaves
    fewer false ones and misses more; 0 keeps them all."""

    def smallest(self, diameter: float) -> int:
        """Return the least area kept (pixels), for nuclei of a diameter (pixels)."""
        if self.min_area is not None:
            return self.min_area
        return round(self.speck * math.pi / 4 * diameter**2)


def as_asked(
    kind: type[Record], base: type[Record], leave_out: Collection[str] = ()
) -> type[Record]:
    """Return a class with the same fields, each of which may be None.

    Parameters
    ----------
    kind : type
        Whose fields; None stands for a value of an instance of it.
    base : type
        What the new class is derived from; its fields come first.
    leave_out : collection of str
        Fields that are not taken over.
    """
    fields: dict[str, Any] = {}
    for name, field in kind.model_fields.items():
        if name in leave_out:
            continue
        low, high = limits(kind, name)
        extra = field.json_schema_extra
        about: Any = dict(extra) if isinstance(extra, dict) else {}
        if field.default is not None:
            about["auto"] = "the model's own"
        fields[name] = (
            Optional[field.annotation],  # noqa: UP045
            Field(
                default=None,
                ge=low,
                le=high,
                title=field.title,
                description=field.description,
                json_schema_extra=about,
            ),
        )
    return create_model(f"{kind.__name__}Asked", __base__=base, **fields)


class _Sized(Settings):
    diameter: float | None = parameter(
        None, "Diameter", 3.0, 1000.0, unit="px", step=1, auto="measured", start=20
    )
    """How wide a typical nucleus is, in pixels of the image. Auto measures it on the
    image itself; set it if nuclei come out broken into pieces (too small a value) or
    merged (too large a value)."""


if TYPE_CHECKING:
    _Thresholds = InstanceSettings
else:
    _Thresholds = as_asked(InstanceSettings, _Sized, leave_out=("speck",))


#: What a network may run on, and in which arithmetic.
Engine = Literal["auto", "float32", "int8", "gpu"]


class SegmentParams(_Thresholds):
    """How to segment an image.

    Its parameters are the diameter, the thresholds of `InstanceSettings`, whether to be
    accurate, and what the network runs on. None means that the value is measured
    (diameter) or the model's own (the thresholds in its card).
    """

    if TYPE_CHECKING:
        diameter: float | None = None

    accurate: bool = parameter(False, "Accurate", advanced=True)
    """Test-time augmentation: run the network on the image flipped four ways and
    average. Two to three times as slow, and a little more accurate."""

    engine: Engine = parameter(
        "auto",
        "Engine",
        advanced=True,
        shown=("Auto", "float32", "int8", "Graphics card"),
    )
    """What the network runs on: the processor with numbers of 32 bits (float32) or of 8
    (int8, up to three times as fast on newer processors, where the model has it), or
    the graphics card (gpu). Auto times float32 and int8 once on this computer and takes
    the faster one."""


#: The parameters that need another run of the network; others only need its maps.
NEEDS_RUN = ("diameter", "accurate", "engine")


def needs_run(made: Mapping[str, Any], asked: SegmentParams) -> list[str]:
    """Return which of `NEEDS_RUN` are not as they were.

    Parameters
    ----------
    made : mapping of str to value
        The parameters that maps were made with.
    asked : SegmentParams
        Those asked for now; an engine of "auto" is content with any.
    """
    return [
        name
        for name in NEEDS_RUN
        if made.get(name) != getattr(asked, name)
        and (name, getattr(asked, name)) != ("engine", "auto")
    ]


#: What intensities are measured in beside the nucleus itself.
Around = Literal["nothing", "ring", "cell"]


class MeasureParams(Settings):
    """What to measure of each nucleus; see `core.measure.nuclei`."""

    shape: bool = parameter(True, "Shape")
    """Equivalent diameter, perimeter, form factor, eccentricity, solidity, orientation
    and Feret diameter. The area is always there."""

    neighbours: bool = parameter(True, "Neighbours")
    """The distance from the centre to the nearest other one, and the local density: how
    many other centres there are, by area, within a circle."""

    subtract_background: bool = parameter(False, "Subtract background")
    """Take off intensities the median of the pixels outside nuclei, in each plane and
    channel."""

    around: Around = parameter("nothing", "Around it")
    """Measure intensities round each nucleus too: in a ring, for the cytoplasm, or in
    the nucleus and the ring together, for the cell. It ends halfway to the next
    nucleus."""

    around_width: float = parameter(
        3.0, "Ring width", 0.01, 10_000, unit="µm", step=0.5
    )
    """How wide the ring is: µm, or pixels without a scale."""

    density_radius: float | None = parameter(
        None, "Density radius", 0.01, 1_000_000, unit="µm", step=10.0, start=50.0
    )
    """Radius of the circle for the local density: µm, or pixels without a scale. Auto
    is five typical diameters."""


#: How the learning rate may change.
Schedule = Literal["plateau", "cosine", "constant"]

Judging = Literal["auto", "part", "all"]


class TrainParams(Settings):
    """How to train a network; the defaults suit training a model further."""

    epochs: int = parameter(8, "Epochs", 1, 10_000)
    """How many epochs to train for at most; after each, the model is scored on the
    validation set."""

    minutes: float | None = parameter(
        None, "Time limit", 0.1, 100_000, unit="min", step=1.0, start=10.0
    )
    """Stop after this many minutes, whatever the epochs. Auto sets no limit."""

    learning_rate: float = parameter(2e-4, "Learning rate", 1e-7, 1.0, advanced=True)
    """How large the optimizer's steps are at the start. From scratch, ten times as much
    is usual."""

    schedule: Schedule = parameter("cosine", "Schedule", advanced=True)
    """How the learning rate changes: plateau halves it whenever the validation loss has
    not fallen for a few epochs; cosine lowers it smoothly to almost nothing at the end;
    constant keeps it."""

    plateau_patience: int = parameter(
        3, "Plateau", 1, 1000, unit="epochs", advanced=True
    )
    """After so many epochs without a lower validation loss the learning rate is halved
    (with the schedule plateau)."""

    patience: int | None = parameter(
        8, "Patience", 1, 10_000, unit="epochs", step=1, advanced=True
    )
    """Stop early after so many epochs without a lower validation loss. Auto never stops
    early."""

    steps_per_epoch: int = parameter(16, "Steps per epoch", 1, 100_000, advanced=True)
    """How many batches of patches make one epoch."""

    batch_size: int = parameter(8, "Batch size", 1, 256, advanced=True)
    """How many patches the network sees in one step. Fewer take less memory."""

    patch_size: int = parameter(
        192, "Patch size", 64, 1024, unit="px", step=32, advanced=True
    )
    """Side of the square patches cut from the images for training. Smaller ones take
    less memory and time."""

    resize: int | None = parameter(
        None,
        "Resize",
        32,
        1024,
        unit="px",
        step=32,
        auto="patches",
        start=128,
        advanced=True,
    )
    """Instead of patches, learn from whole images, resized to a square of this side and
    flipped at random. Auto learns from patches cut from the images at their own
    size."""

    augmentation: float = parameter(
        0.7, "Augmentation", 0.0, 2.0, step=0.1, advanced=True
    )
    """How strongly patches are varied in size, contrast, colour and noise. 0 only flips
    and rotates them; more helps with few images."""

    fluorescence: float = parameter(
        0.0, "As fluorescence", 0.0, 1.0, step=0.05, advanced=True
    )
    """The share of patches of stained tissue that are turned into what looks like
    fluorescence: where the model is to work on both."""

    own_scale: float = parameter(0.5, "Own scale", 0.0, 1.0, step=0.1, advanced=True)
    """The share of patches that keep about the scale of their image; in the others
    nuclei are scaled to about the model's diameter."""

    diameter: float | None = parameter(
        None, "Nuclear diameter", 4.0, 200.0, unit="px", advanced=True
    )
    """The diameter that most nuclei are scaled to for training. Auto is that of the
    model it starts from."""

    validation_share: float = parameter(
        0.2, "Validation share", 0.05, 0.5, step=0.05, advanced=True
    )
    """The share of your nuclei that is held out as the validation set, to see whether
    the model has become better: whole images where there are several, else part of the
    one."""

    judging: Judging = parameter(
        "auto",
        "Judge by",
        advanced=True,
        shown=("Auto", "The part held out", "All, part by part"),
    )
    """Which of your nuclei the new model is judged by: the part that was held out, or
    all, part by part, which trains once more without each other part, and so takes a
    few times as long. Auto takes all where the part held out is small and cannot tell,
    and training is quick."""

    rehearsal: float = parameter(0.5, "Rehearsal", 0.0, 0.9, step=0.05, advanced=True)
    """The share of patches that come from a small set of other images of nuclei in this
    package, so that the model does not forget them."""

    blend: float = parameter(0.6, "Blend", 0.1, 1.0, step=0.05, advanced=True)
    """When a model is trained further, the weights kept are a mix of the old and the
    new ones. 1 keeps only the new ones; less of them forgets less of what the old model
    knew."""

    weight_decay: float = parameter(1e-4, "Weight decay", 0.0, 1.0, advanced=True)
    """How strongly large weights are penalised (AdamW)."""

    ema_momentum: float = parameter(0.98, "Moving average", 0.0, 0.99999, advanced=True)
    """The weights kept are an exponential moving average of the trained ones; closer to
    1 averages over more steps, 0 turns it off."""

    seed: int = parameter(1, "Seed", 0, 2**31 - 1, advanced=True)
    """The same seed holds out the same images and gives the same patches."""

    @property
    def side(self) -> int:
        """Side of what the network is shown in training, pixels."""
        return self.resize or self.patch_size


class LinkParams(Settings):
    """How to link the nuclei of planes."""

    through: Literal["depth", "time"] = parameter("depth", "Through")
    """What the planes are: depths of one volume, whose outlines are joined to nuclei,
    or moments in time, through which nuclei are followed."""

    min_overlap: float = parameter(0.5, "Overlap", 0.05, 1.0, step=0.05)
    """Through depth: two outlines in neighbouring planes are one nucleus if they share
    at least this part of the smaller one."""

    max_distance: float | None = parameter(
        None, "Distance", 0.1, 10_000, unit="px", step=1, start=20, auto="measured"
    )
    """Through time: how far a nucleus may move from one frame to the next. Auto is the
    diameter of the median nucleus."""

    divisions: bool = parameter(True, "Divisions")
    """Through time: a nucleus may divide into two."""
