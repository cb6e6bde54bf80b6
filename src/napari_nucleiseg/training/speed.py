"""How long a training will take, from how fast this computer was before."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.atomic import write_whole
from napari_nucleiseg.models.registry import models_folder

#: Seconds to train on a million pixels, on one processor core, measured on two cores
#: of a 2.5 GHz server with nothing else to do; a first guess elsewhere.
_GUESS = {"nuclei": 3.7, "unet": 110.0, "unet-mobilenetv2": 22.0}

#: Checking after an epoch takes about as long as training on so many pixels.
_CHECKING = 700_000

#: Starting Keras, and saving the model, seconds.
_AROUND = 20.0


def _memory() -> Path:
    return models_folder() / "speed.json"


def _known_speeds() -> dict[str, Any]:
    """Read what was noted, whatever has become of the file meanwhile."""
    try:
        known = json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def seconds_per_megapixel(architecture: str) -> float:
    """Return how long training on a million pixels takes here, seconds.

    Parameters
    ----------
    architecture : str
        See `networks.architectures.ARCHITECTURES`.
    """
    seconds = _known_speeds().get(architecture)
    if isinstance(seconds, int | float) and 0 < seconds < math.inf:
        return float(seconds)
    return _GUESS.get(architecture, _GUESS["nuclei"]) / (os.cpu_count() or 1)


def remember_speed(architecture: str, seconds: float) -> None:
    """Note how long training on a million pixels took here, seconds.

    It is for the next estimate only: that it cannot be written is no error.
    """
    path = _memory()
    known = {**_known_speeds(), architecture: round(seconds, 3)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(known)
        write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))
    except OSError:
        return


def estimate_minutes(params: TrainParams, architecture: str) -> float:
    """Return how long a training will take at most.

    Parameters
    ----------
    params : TrainParams
        How it is to be done.
    architecture : str
        What is trained.

    Returns
    -------
    float
        Minutes.
    """
    a_step = params.batch_size * params.patch_size**2
    pixels = params.epochs * (params.steps_per_epoch * a_step + _CHECKING)
    minutes = pixels / 1e6 * seconds_per_megapixel(architecture) / 60
    if params.minutes is not None:
        minutes = min(minutes, params.minutes)
    return minutes + _AROUND / 60
