"""What is known of each block of a large image while that is being segmented.

Beside the result that is to be, ``NAME.zarr``, is a folder ``NAME.zarr.part``. It holds
what all blocks have in common, and a file for each block that is finished, written
whole or not at all: so the files are the ledger. Any number of processes may write to
the folder at once; what two of them write for one block is the same.
"""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from napari_nucleiseg.core.segment.blocks.basins import Basins
from napari_nucleiseg.core.segment.blocks.grid import within
from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.io.atomic import NotWritten, make_folder, write_whole

_PLAN = "plan.json"
_NOTHING = np.zeros((0, 0), np.int32)


class BlockFiles:
    """The files of one result's blocks.

    Parameters
    ----------
    result : pathlib.Path
        The result that is to be.
    """

    def __init__(self, result: Path) -> None:
        self.folder = result.with_name(f"{result.name}.part")

    def read_plan(self) -> str | None:
        """Return what all blocks have in common, as it was written, if it was."""
        path = self.folder / _PLAN
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def write_plan(self, text: str) -> None:
        """Note what all blocks have in common."""
        make_folder(self.folder)
        write_whole(
            self.folder / _PLAN, lambda fresh: fresh.write_text(text, encoding="utf-8")
        )

    def begin(self, text: str) -> str:
        """Note what all blocks have in common, or return what another process has."""
        make_folder(self.folder)
        with FileLock(self.folder / "plan.lock"):
            known = self.read_plan()
            if known is None:
                self.write_plan(text)
            return known or text

    def finished(self, index: int, probability: float | None = None) -> bool:
        """Return whether a block is finished; if it is said, by that probability."""
        path = self._path(index)
        if probability is None or not path.is_file():
            return path.is_file()
        with np.load(path) as file:
            return bool(file["probability"] == probability)

    def count(self) -> int:
        """Return how many blocks are finished."""
        return sum(1 for _ in self.folder.glob("block-*.npz"))

    def write(self, index: int, basins: Basins, **others: np.ndarray) -> None:
        """Note what was found in a block, and other arrays by name.

        Those are its ``maps`` ``(y, x, maps)`` uint8, the ``probability`` it was found
        by, and a hash of the image's ``pixels`` there.
        """
        arrays: dict[str, Any] = others | {
            field.name: getattr(basins, field.name)
            for field in dataclasses.fields(basins)
            if field.name != "window"
        }

        def save(fresh: Path) -> None:
            np.savez_compressed(fresh, **arrays)

        write_whole(self._path(index), save)

    def read_basins(self, index: int, window: Window) -> Basins:
        """Return what was found in a block, but for its pixels."""
        with np.load(self._path(index)) as file:
            arrays = {
                field.name: file[field.name]
                for field in dataclasses.fields(Basins)
                if field.name not in ("window", "labels")
            }
        return Basins(window=window, labels=_NOTHING, **arrays)

    def read(self, index: int, *names: str) -> tuple[np.ndarray, ...]:
        """Return some of what was noted of a block, by name."""
        with np.load(self._path(index)) as file:
            return tuple(file[name] for name in names)

    def fresh_result(self) -> Path:
        """Return where the result may be written, to be moved when it is whole."""
        return self.folder / f"result-{uuid.uuid4().hex[:12]}.zarr"

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder)

    def discard(self) -> None:
        """Remove all of it, if it is there.

        Raises
        ------
        ValueError
            If the folder holds something else.
        NotWritten
            If it cannot be removed.
        """
        if not self.folder.is_dir():
            return
        if self.read_plan() is None and any(self.folder.iterdir()):
            raise ValueError(f"{self.folder} holds no blocks, and was left as it is")
        try:
            self.remove()
        except OSError as e:
            raise NotWritten(self.folder, e) from e

    def tidy(self) -> None:
        """Remove all but the blocks and what they have in common."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix != ".npz" and path.name != _PLAN:
                path.unlink()

    @property
    def nbytes(self) -> int:
        """How much room they take."""
        return sum(path.stat().st_size for path in self.folder.glob("*.npz"))

    def _path(self, index: int) -> Path:
        return self.folder / f"block-{index:06d}.npz"


def reader_of_blocks(
    load: Callable[[int, Window], np.ndarray], side: int, shape: tuple[int, int]
) -> Callable[[Window], np.ndarray]:
    """Return what reads any window of an image that is kept by block.

    Parameters
    ----------
    load : callable
        Gives a part ``(y, x)`` or ``(y, x, maps)`` of one block, by the block's number
        in reading order and the window of the part in the image.
    side : int
        Of the blocks, pixels.
    shape : tuple of int
        ``(y, x)`` of the image.
    """
    columns = -(-shape[1] // side)

    def read(window: Window) -> np.ndarray:
        out: np.ndarray | None = None
        rows, across = (
            range(part.start // side, -(-part.stop // side)) for part in window
        )
        for row in rows:
            for column in across:
                y, x = (
                    slice(max(part.start, at * side), min(part.stop, (at + 1) * side))
                    for part, at in zip(window, (row, column), strict=True)
                )
                part = load(row * columns + column, (y, x))
                if out is None:
                    sides = [size.stop - size.start for size in window]
                    out = np.zeros((*sides, *part.shape[2:]), part.dtype)
                out[within((y, x), window)] = part
        assert out is not None  # a window holds a pixel, and each lies in a block
        return out

    return read
