"""A network on the graphics card: tried in a process of its own first.

A driver that does not work may end the process that uses it, so that napari's is not
the one to find out. LiteRT reaches graphics cards by WebGPU on Linux and Windows, and
by Metal on macOS.

    python -m napari_nucleiseg.models.graphics NETWORK CHANNELS

runs one tile on the graphics card and on the processor, and ends with 0 if they agree.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucleiseg.models.engines import ProcessorNetwork
from napari_nucleiseg.models.registry import RUN_FILE, Model

#: The maps of one tile may differ by so much; the card may count with 16 bits.
_TOLERANCE = 0.02

#: Side of that tile, pixels, and how long it may take, seconds.
_SIDE, _PATIENCE = 256, 60.0

#: What was found of each network in this process: "" or a sentence.
_found: dict[Path, str] = {}


def accelerators() -> Any:
    """Return what LiteRT may use: what a card cannot do is left to the processor."""
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    return HardwareAccelerator.GPU | HardwareAccelerator.CPU


class GraphicsNetwork:
    """A network on the graphics card.

    Parameters
    ----------
    path : pathlib.Path
        The ``.tflite`` file.

    Raises
    ------
    RuntimeError
        If there is no graphics card that it can use.
    """

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.compiled_model import CompiledModel

        self._model = CompiledModel.from_file(str(path), hardware_accel=accelerators())
        wanted = self._model.get_output_buffer_requirements(0, 0)
        self._maps = int(wanted["buffer_size"]) // np.dtype(np.float32).itemsize
        self._shape: tuple[int, ...] = ()
        self._out = np.empty(0, np.float32)
        self._buffers: tuple[list[Any], list[Any]] = ([], [])

    def run(self, picture: np.ndarray) -> np.ndarray:
        """See `models.engines.Network`."""
        if picture.shape != self._shape:
            self._take(picture.shape)
        inputs, outputs = self._buffers
        inputs[0].write(picture)
        self._model.run_by_index(0, inputs, outputs)
        return outputs[0].read(self._out.size, np.float32).reshape(self._out.shape)

    def _take(self, shape: tuple[int, ...]) -> None:
        from ai_edge_litert.tensor_buffer import TensorBuffer

        self._shape = ()
        self._model.resize_input_tensor(0, list(shape))
        # LiteRT makes room for the maps of one pixel, whatever the size asked for.
        self._out = np.empty((*shape[:3], self._maps), np.float32)
        outputs = [TensorBuffer.create_from_host_memory(self._out)]
        self._buffers = self._model.create_input_buffers(0), outputs
        self._shape = shape


def check_graphics(model: Model) -> str:
    """Return "" if a model runs on the graphics card, or a sentence that says why not.

    It is tried once for each network, on one tile, in a process of its own, and what
    comes out is compared with what the processor finds.
    """
    path = model.folder / RUN_FILE
    if path not in _found:
        _found[path] = _try(path, model.card.channels)
    return _found[path]


def _try(path: Path, channels: int) -> str:
    failed = "The graphics card could not be used, so the processor was"
    command = [sys.executable, "-P", "-m", __name__, str(path), str(channels)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{failed}: it did not answer within {_PATIENCE:.0f} seconds."
    except OSError as e:
        return f"{failed}: {e.strerror or e}."
    if done.returncode == 0:
        return ""
    last = done.stdout.strip().splitlines()[-1:] or ["its driver ended the trial"]
    return f"{failed}: {last[0]}."


def main(path: str, channels: str) -> int:
    """Compare the graphics card with the processor; say on stdout what is wrong."""
    shape = (1, _SIDE, _SIDE, int(channels))
    tile = np.random.default_rng(0).random(shape, np.float32)
    try:
        found = GraphicsNetwork(Path(path)).run(tile)
    except (RuntimeError, ValueError, OSError, ImportError):
        print("LiteRT finds none that it can use")
        return 1
    wanted = ProcessorNetwork(Path(path), shape).run(tile)
    apart = float(np.abs(found - wanted).max())
    if not apart <= _TOLERANCE:
        print(f"its maps differ from the processor's by up to {apart:.2f}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
