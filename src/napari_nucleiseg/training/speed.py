"""How long a training will take, from how fast this computer was before."""

from __future__ import annotations

import json
import os
from pathlib import Path

import platformdirs

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.atomic import write_whole
from napari_nucleiseg.networks.architectures import ARCHITECTURES

#: Checking after an epoch takes about as long as training on so many pixels.
_CHECKING = 700_000

#: Seconds for a million pixels on one core, of a network that nothing is known of.
_GUESS = 10.0

#: Starting Keras, and saving the model, seconds.
_AROUND = 20.0


def _memory() -> Path:
    """Return the file of what is remembered."""
    folder = os.environ.get("NUCLEISEG_CACHE")
    folder = folder or platformdirs.user_cache_dir("napari-nucleiseg", False)
    return Path(folder) / "speed.json"


def _remembered() -> dict[str, float]:
    """Return the seconds for a million pixels, by architecture."""
    try:
        known = json.loads(_memory().read_text(encoding="utf-8"))
        return {str(name): float(seconds) for name, seconds in known.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}  # none yet, or not as we left it


def seconds_per_megapixel(architecture: str) -> float:
    """Return how long training on a million pixels takes here, seconds."""
    known = _remembered().get(architecture, 0.0)
    if 0 < known < float("inf"):
        return known
    design = ARCHITECTURES.get(architecture)
    guess = design.seconds_per_megapixel if design else _GUESS
    return guess / (os.cpu_count() or 1)


def remember_speed(architecture: str, seconds: float) -> None:
    """Note how long training on a million pixels took here, seconds.

    It is for the next estimate only: that it cannot be written is no error.
    """
    path = _memory()
    known = {**_remembered(), architecture: round(seconds, 3)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(known)
        write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))
    except OSError:
        return


def estimate_minutes(params: TrainParams, architecture: str) -> float:
    """Return how long a training of an architecture will take at most, minutes."""
    a_step = params.batch_size * params.patch_size**2
    pixels = params.epochs * (params.steps_per_epoch * a_step + _CHECKING)
    minutes = pixels / 1e6 * seconds_per_megapixel(architecture) / 60
    if params.minutes is not None:
        minutes = min(minutes, params.minutes)
    return minutes + _AROUND / 60
