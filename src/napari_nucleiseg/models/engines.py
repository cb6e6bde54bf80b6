"""What a network runs on: float32 or int8 on the processor, or the graphics card."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Protocol, cast, get_args

import numpy as np

from napari_nucleiseg.core.params import Engine
from napari_nucleiseg.io.cache import recall, remember
from napari_nucleiseg.models.registry import INT8_FILE, RUN_FILE, Model

#: Set this to choose the engine where "auto" is asked for.
ENGINE_VARIABLE = "NUCLEISEG_ENGINE"

#: int8 is taken if it needs at most this share of the time of float32.
_WORTH = 0.8

#: Side of the tile that both are timed on, pixels, and how often.
_SIDE, _TIMES = 256, 3

#: Where that is remembered.
_MEMORY = "engines.json"

#: What was timed or read in this process.
_shares: dict[str, float] = {}


def choose_engine(model: Model, asked: Engine = "auto") -> Engine:
    """Return what a model will run on.

    Parameters
    ----------
    model : Model
        Which one.
    asked : str
        See `core.params.SegmentParams`. For "auto" the environment variable
        `ENGINE_VARIABLE` decides; where it says nothing, the faster one of those for
        the processor, which are timed once and remembered, by processor, version of
        LiteRT and kind of network.

    Returns
    -------
    str
        "float32", "int8" or "gpu".

    Raises
    ------
    ValueError
        If "int8" is asked for and the model has no such network, or the environment
        variable says something else.
    """
    if asked == "auto":
        wanted = _preferred()
        return wanted if wanted == "gpu" else choose_on_processor(model)
    if asked == "int8" and INT8_FILE not in model.card.files:
        raise ValueError(
            f"The model {model.card.name} has no int8 network: choose float32 or auto "
            "as its engine."
        )
    return asked


def choose_on_processor(model: Model) -> Engine:
    """Return "float32" or "int8", as `choose_engine` does for "auto"."""
    wanted = _preferred()
    if INT8_FILE not in model.card.files:
        return "float32"
    return wanted if wanted in ("float32", "int8") else _faster(model)


def _preferred() -> Engine:
    """Return what the environment variable says."""
    wanted = os.environ.get(ENGINE_VARIABLE, "").strip() or "auto"
    if wanted not in get_args(Engine):
        raise ValueError(
            f"{ENGINE_VARIABLE} must be one of {', '.join(get_args(Engine))}; "
            f"received {wanted!r}."
        )
    return cast(Engine, wanted)


class Network(Protocol):
    """A network that runs on something."""

    def run(self, picture: np.ndarray) -> np.ndarray:
        """Turn ``(1, y, x, channels)`` float32 into ``(1, y, x, maps)`` float32."""


class ProcessorNetwork:
    """A network on the processor, by LiteRT.

    Parameters
    ----------
    network : pathlib.Path or bytes
        The ``.tflite`` file, or its content.
    shape : tuple of int
        ``(1, y, x, channels)`` of the first picture that is to come.
    threads : int, optional
        Processor threads to use; all there are if not given.
    """

    def __init__(
        self,
        network: Path | bytes,
        shape: tuple[int, ...],
        threads: int | None = None,
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter

        held = isinstance(network, bytes)
        source = {"model_content": network} if held else {"model_path": str(network)}
        self._lite = Interpreter(**source, num_threads=threads or os.cpu_count() or 1)
        self._shape: tuple[int, ...] = ()
        self._take(shape)

    def run(self, picture: np.ndarray) -> np.ndarray:
        """See `Network`; raises RuntimeError without words where memory is short."""
        if picture.shape != self._shape:
            self._take(picture.shape)
        self._lite.set_tensor(self._lite.get_input_details()[0]["index"], picture)
        self._lite.invoke()
        return self._lite.get_tensor(self._lite.get_output_details()[0]["index"])

    def _take(self, shape: tuple[int, ...]) -> None:
        self._shape = ()  # as long as it is not known to have succeeded
        source = self._lite.get_input_details()[0]["index"]
        self._lite.resize_tensor_input(source, shape)
        self._lite.allocate_tensors()
        self._shape = shape


def _faster(model: Model) -> Engine:
    """Return "int8" if that is faster here; timed once."""
    key = " | ".join(
        (
            processor_name(),
            f"{os.cpu_count()} threads",
            f"LiteRT {metadata.version('ai-edge-litert')}",
            model.card.architecture,
        )
    )
    if key not in _shares:
        _shares[key] = _remembered_share(key, model)
    return "int8" if _shares[key] <= _WORTH else "float32"


def _remembered_share(key: str, model: Model) -> float:
    """Return what `time_share` found on this computer, or finds now."""
    known = recall(_MEMORY)
    try:
        return float(known[key])
    except (ValueError, TypeError, KeyError):
        pass  # not timed yet, or not as we left it
    share = time_share(model)
    remember(_MEMORY, {**known, key: round(share, 3)})
    return share


def time_share(model: Model) -> float:
    """Return the time that int8 takes here, as a share of that of float32.

    Of the processor, on one thread: what else the computer does should not matter.
    """
    shape = (1, _SIDE, _SIDE, model.card.channels)
    tile = np.random.default_rng(0).random(shape, np.float32)
    seconds: dict[str, float] = {}
    running = {
        name: ProcessorNetwork(model.folder / name, shape, threads=1)
        for name in (RUN_FILE, INT8_FILE)
    }
    for _ in range(_TIMES):
        for name, network in running.items():
            start = time.process_time()
            network.run(tile)
            taken = time.process_time() - start
            seconds[name] = min(taken, seconds.get(name, taken))
    return seconds[INT8_FILE] / seconds[RUN_FILE]


def processor_name() -> str:
    """Return what this computer's processor calls itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except (OSError, UnicodeDecodeError):
        pass  # not Linux
    return platform.processor() or platform.machine()
