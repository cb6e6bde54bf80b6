"""Parameters of segmenting and training, each said once; see `core.parameter`."""

from __future__ import annotations

from dataclasses import dataclass

from napari_nucleiseg.core.parameter import Checked, parameter


@dataclass(frozen=True)
class SegmentParams(Checked):
    """How to segment an image.

    See each field's metadata for its meaning, limits and unit. None means that the
    value is found out (diameter) or the model's own (the thresholds in its card).
    """

    diameter: float | None = parameter(
        None,
        low=3.0,
        high=1000.0,
        step=1.0,
        unit="px",
        optional=True,
        label="Diameter",
        tip="How wide a typical nucleus is, in pixels of the image. Auto measures it "
        "on the image itself; set it if nuclei come out broken into pieces (too "
        "small a value) or merged (too large a value).",
    )
    probability: float | None = parameter(
        None,
        low=0.05,
        high=0.95,
        step=0.01,
        optional=True,
        label="Probability",
        tip="How sure the model must be that a pixel is nucleus. Lower finds dimmer "
        "nuclei and draws wider outlines; higher keeps only the clear ones.",
    )
    separation: float | None = parameter(
        None,
        low=0.05,
        high=0.95,
        step=0.01,
        optional=True,
        advanced=True,
        label="Separation",
        tip="How readily touching nuclei are split. Higher splits more; lower it if "
        "single nuclei are cut in two.",
    )
    min_area: int | None = parameter(
        None,
        low=0,
        high=1_000_000,
        step=1,
        unit="px²",
        optional=True,
        label="Minimum area",
        tip="Nuclei that cover fewer pixels than this are left out. Auto leaves out "
        "specks much smaller than a typical nucleus.",
    )
    min_confidence: float | None = parameter(
        None,
        low=0.0,
        high=0.95,
        step=0.01,
        optional=True,
        advanced=True,
        label="Minimum confidence",
        tip="Nuclei that are less likely than this to be true ones are left out. "
        "Higher leaves fewer false ones and misses more; 0 keeps them all.",
    )
    accurate: bool = parameter(
        False,
        advanced=True,
        label="Accurate",
        tip="Look at the image four times, flipped each way, and take the mean: two "
        "to three times as slow, and a little more accurate.",
    )


#: How the learning rate may go on from its start.
SCHEDULES = ("plateau", "cosine", "constant")


@dataclass(frozen=True)
class TrainParams(Checked):
    """How to train a network; the defaults suit going on from a trained one.

    See each field's metadata for its meaning, limits and unit.
    """

    epochs: int = parameter(
        8,
        low=1,
        high=10_000,
        label="Epochs",
        tip="How many rounds of training to run at most; after each the model is "
        "checked on the images held out.",
    )
    minutes: float | None = parameter(
        None,
        low=0.1,
        high=100_000,
        step=1.0,
        unit="min",
        optional=True,
        label="Time limit",
        tip="Stop after this many minutes, whatever the epochs. Auto sets no limit.",
    )
    augmentation: float = parameter(
        0.7,
        low=0.0,
        high=2.0,
        step=0.1,
        label="Augmentation",
        tip="How strongly patches are varied in size, contrast, colour and noise. "
        "0 only flips and turns them; more helps with few images.",
        advanced=True,
    )
    own_scale: float = parameter(
        0.5,
        low=0.0,
        high=1.0,
        step=0.1,
        label="Own scale",
        tip="The share of patches that keep about the scale of their image; in the "
        "others nuclei are brought to about the model's diameter.",
        advanced=True,
    )
    learning_rate: float = parameter(
        2e-4,
        low=1e-7,
        high=1.0,
        label="Learning rate",
        tip="How strongly the network corrects itself at the start. From scratch, "
        "ten times as much is usual.",
        advanced=True,
    )
    schedule: str = parameter(
        "cosine",
        choices=SCHEDULES,
        label="Learning rate falls",
        tip="Plateau halves it whenever the held-out loss has not fallen for a few "
        "epochs; cosine lets it fall smoothly to almost nothing at the end; constant "
        "leaves it.",
        advanced=True,
    )
    plateau_patience: int = parameter(
        3,
        low=1,
        high=1000,
        label="Plateau",
        unit="epochs",
        tip="After so many epochs without a lower held-out loss the learning rate is "
        "halved (with the schedule plateau).",
        advanced=True,
    )
    patience: int | None = parameter(
        8,
        low=1,
        high=10_000,
        step=1,
        unit="epochs",
        optional=True,
        label="Patience",
        tip="Stop early after so many epochs without a lower held-out loss. Auto "
        "never stops early.",
        advanced=True,
    )
    steps_per_epoch: int = parameter(
        16,
        low=1,
        high=100_000,
        label="Steps per epoch",
        tip="How many batches of patches make one epoch.",
        advanced=True,
    )
    batch_size: int = parameter(
        8,
        low=1,
        high=256,
        label="Batch size",
        unit="patches",
        tip="How many patches the network sees before it corrects itself. Fewer take "
        "less memory.",
        advanced=True,
    )
    patch_size: int = parameter(
        192,
        low=64,
        high=1024,
        step=32,
        unit="px",
        label="Patch size",
        tip="Side of the square patches cut from the images for training. Smaller "
        "ones take less memory and time.",
        advanced=True,
    )
    validation_share: float = parameter(
        0.2,
        low=0.05,
        high=0.5,
        step=0.05,
        label="Held out",
        tip="The share of your nuclei that is not learnt from, but used to see "
        "whether the model has become better: whole images where there are several, "
        "else part of the one.",
        advanced=True,
    )
    rehearsal: float = parameter(
        0.5,
        low=0.0,
        high=0.9,
        step=0.05,
        label="Rehearsal",
        tip="The share of patches that come from a small set of other nuclei images "
        "that is part of this package, so that the model does not forget them.",
        advanced=True,
    )
    blend: float = parameter(
        0.6,
        low=0.1,
        high=1.0,
        step=0.05,
        label="Blend",
        tip="Where training goes on from a model, what is kept is a blend of that "
        "model and of what was learnt: 1 is all of what was learnt; less of it "
        "forgets less of what the first one knew.",
        advanced=True,
    )
    weight_decay: float = parameter(
        1e-4,
        low=0.0,
        high=1.0,
        label="Weight decay",
        tip="How strongly large weights are held back (AdamW).",
        advanced=True,
    )
    ema_momentum: float = parameter(
        0.98,
        low=0.0,
        high=0.99999,
        label="Averaging of weights",
        tip="The kept network is a running average of the training one; closer to "
        "1 averages over more steps, 0 turns averaging off.",
        advanced=True,
    )
    diameter: float | None = parameter(
        None,
        low=4.0,
        high=200.0,
        unit="px",
        optional=True,
        label="Nuclear diameter",
        tip="The diameter that most nuclei are brought to for training. Auto is that "
        "of the model it goes on from.",
        advanced=True,
    )
    seed: int = parameter(
        1,
        low=0,
        high=2**31 - 1,
        label="Seed",
        tip="The same seed holds out the same images and gives the same patches.",
        advanced=True,
    )
