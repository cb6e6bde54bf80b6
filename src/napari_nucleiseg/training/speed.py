"""How long a training will take, from how fast this computer was before."""

from __future__ import annotations

import os
from dataclasses import dataclass

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.cache import recall, remember
from napari_nucleiseg.networks.architectures import ARCHITECTURES

#: Checking after an epoch takes about as long as training on so many pixels, where it
#: was never seen: up to twice as many are run through the network.
_CHECKING = 800_000

#: Seconds for a million pixels on one core, of a network that nothing is known of.
_GUESS = 10.0

#: What a training takes besides its epochs, where it was never seen, seconds.
_AROUND = 15.0

#: An epoch of fewer pixels says nothing: it is all overhead.
_LEAST_PIXELS = 1_000_000

#: Where figures are remembered.
_MEMORY = "speed.json"

#: A training that takes longer is begun only if the user says so again, minutes.
LONG = 60.0


@dataclass(frozen=True)
class Speed:
    """How fast trainings were on this computer.

    Parameters
    ----------
    per_megapixel : float
        Seconds that training takes for a million pixels.
    checking : float
        Seconds from the end of one epoch to the beginning of the next.
    around : float
        Seconds that a training takes besides its epochs and the checks after them:
        starting Keras, building the network, judging and saving the model.
    """

    per_megapixel: float
    checking: float
    around: float = _AROUND


def _remembered() -> dict[str, list[float]]:
    """Return the figures of `Speed`, by architecture; the last one may be missing."""
    try:
        known = recall(_MEMORY)
        found = {name: [float(x) for x in pair] for name, pair in known.items()}
    except (ValueError, TypeError):
        return {}  # not as we left it
    return {
        name: pair
        for name, pair in found.items()
        if len(pair) in (2, 3) and all(0 < x < float("inf") for x in pair)
    }


def find_speed(architecture: str) -> Speed:
    """Return how fast an architecture is trained here, as far as can be told."""
    known = _remembered().get(architecture)
    if known is not None:
        return Speed(*known)
    design = ARCHITECTURES.get(architecture)
    guess = design.seconds_per_megapixel if design else _GUESS
    each = guess / (os.cpu_count() or 1)
    return Speed(each, each * _CHECKING / 1e6)


def remember_speed(architecture: str, speed: Speed, pixels: float) -> None:
    """Note how fast an epoch was trained here.

    It is for the next estimate only: that it cannot be written is no error.

    Parameters
    ----------
    architecture : str
        The network's.
    speed : Speed
        How fast it was.
    pixels : float
        How many pixels the epoch had; of few, nothing is learnt.
    """
    if pixels < _LEAST_PIXELS:
        return
    known = _remembered()
    around = known.get(architecture, [])[2:]
    pair = [round(speed.per_megapixel, 3), round(speed.checking, 3)]
    remember(_MEMORY, {**known, architecture: [*pair, *around]})


def remember_around(architecture: str, seconds: float) -> None:
    """Note how long a training took here besides its epochs; see `Speed`."""
    known = _remembered()
    if architecture in known and seconds > 0:
        figures = [*known[architecture][:2], round(seconds, 3)]
        remember(_MEMORY, {**known, architecture: figures})


def pixels_per_epoch(params: TrainParams) -> int:
    """Return how many pixels are trained on in an epoch."""
    return params.steps_per_epoch * params.batch_size * params.side**2


def estimate_minutes(params: TrainParams, architecture: str) -> float:
    """Return how long a training of an architecture will take at most, minutes."""
    speed = find_speed(architecture)
    an_epoch = pixels_per_epoch(params) / 1e6 * speed.per_megapixel + speed.checking
    minutes = params.epochs * an_epoch / 60
    if params.minutes is not None:
        # The epoch under way is checked all the same.
        minutes = min(minutes, params.minutes + speed.checking / 60)
    # What it starts from is checked too.
    return minutes + (speed.around + speed.checking) / 60
