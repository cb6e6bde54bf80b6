"""The images of a batch, and what their results are called."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os.path import realpath  # unlike Path.resolve, at ease with a loop of links
from pathlib import Path

import numpy as np

from napari_nucleiseg.io.conditions import conditions_of
from napari_nucleiseg.io.images import ImageFile, read_image
from napari_nucleiseg.io.inputs import OVERLAY_ENDING


@dataclass(frozen=True, eq=False)
class Item:
    """An image of a batch.

    Parameters
    ----------
    name : str
        What its results are called: ``<name>_labels.tif``.
    title : str
        What it is called to the user: its path, or a layer's name.
    path : pathlib.Path or None
        The file; None for an image in memory.
    condition : str
        Under which it was taken; empty if none is known.
    problem : str
        Why its results cannot be written; empty if they can.
    load : callable or None
        Returns an image in memory.
    pixel_size : (float, float) or None
        Of an image in memory, along y and x, µm.
    """

    name: str
    title: str
    path: Path | None = None
    condition: str = ""
    problem: str = ""
    load: Callable[[], ImageFile] | None = None
    pixel_size: tuple[float, float] | None = None

    def read(self, *, series: int = 0, max_megapixels: float) -> ImageFile:
        """Return the image; see `io.images.read_image`."""
        if self.path is None:
            assert self.load is not None
            return self.load()
        return read_image(self.path, series=series, max_megapixels=max_megapixels)

    def state(self) -> list[int]:
        """Return numbers that change with the image; none if it is not there."""
        if self.path is not None:
            return file_state(self.path)
        assert self.load is not None
        data = np.ascontiguousarray(self.load().data)
        return [*data.shape, zlib.crc32(data.view(np.uint8).data)]

    def labels_in(self, folder: Path) -> Path:
        """Return the file of its labels."""
        return folder / f"{self.name}_labels.tif"

    def overlay_in(self, folder: Path) -> Path:
        """Return the file of its picture with outlines."""
        return folder / f"{self.name}{OVERLAY_ENDING}.png"


def file_state(path: Path) -> list[int]:
    """Return numbers that change when a file is written anew; none without a file."""
    try:
        state = path.stat()
    except OSError:
        return []
    return [state.st_size, state.st_mtime_ns]


def plan_files(
    paths: Sequence[Path], folder: Path, *, condition: str = ""
) -> list[Item]:
    """Return the items for image files.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        The files. Results have the names of the files; where those of several folders
        have one name, that of the folder stands in front.
    folder : pathlib.Path
        Where results go.
    condition : str
        See `io.conditions.conditions_of`.

    Raises
    ------
    ValueError, OSError
        If that rule is none, or its table cannot be read.
    """
    conditions = conditions_of(paths, condition)
    sources = {realpath(path) for path in paths}
    taken: dict[str, Path] = {}
    items = []
    for path, name, where in zip(paths, _names(paths), conditions, strict=True):
        item = Item(name, str(path), path, where)
        results = (item.labels_in(folder), item.overlay_in(folder))
        problem = ""
        if any(realpath(result) in sources for result in results):
            problem = f"its result would overwrite the input {results[0].name}"
        elif name in taken and realpath(taken[name]) != realpath(path):
            problem = f"{taken[name]} has the same name, and so the same result"
        else:
            taken[name] = path
        items.append(Item(name, str(path), path, where, problem))
    return items


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the files' names without endings, with their folders' where they clash."""
    folders = Counter(
        stem for stem, _ in {(x.stem, x.parent.absolute()) for x in paths}
    )
    return [
        f"{x.absolute().parent.name}_{x.stem}" if folders[x.stem] > 1 else x.stem
        for x in paths
    ]


def file_name(text: str) -> str:
    """Return what a file may be called after a layer."""
    return re.sub(r"[^\w\-. ()]+", "_", text).strip(" .") or "image"
