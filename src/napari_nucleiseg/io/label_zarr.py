"""Labels as OME-Zarr 0.5: sharded, with smaller levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_nucleiseg.io.atomic import write_whole

if TYPE_CHECKING:
    import zarr

#: Side of a chunk, pixels. Blocks are multiples of it, and so shards.
CHUNK = 256

#: Levels are added until the longest side is at most this, pixels.
SMALLEST = 512

#: The column of a table that says what was touched by hand, and how; None for others.
BY_HAND = "by_hand"

#: What OME-Zarr calls axes; one that is none of them has no type.
_TYPES = {"T": "time", "Z": "space", "Y": "space", "X": "space"}


def check_label_axes(axes: str) -> str:
    """Return the axes of labels, if OME-Zarr can have them.

    Raises
    ------
    ValueError
        If it cannot.
    """
    other = [letter for letter in axes if letter not in _TYPES]
    order = "".join(sorted(axes, key=lambda a: "TZYX".find(a) if a in "TZYX" else 0.5))
    if len(set(axes)) < len(axes) or len(other) > 1 or order != axes:
        raise ValueError(
            "OME-Zarr labels can have the axes T, one of another name, Z, Y and X, in "
            f"this order; received {axes}. The image's axes can be set (--axes)."
        )
    return axes


def image_of(path: Path) -> Path | None:
    """Return the OME-Zarr image that labels at ``IMAGE/labels/NAME`` would be part of.

    Raises
    ------
    ValueError
        If its version is another than that of the labels.
    """
    image = path.parent.parent
    if path.parent.name != "labels" or not image.is_dir():
        return None
    if (image / ".zgroup").exists():
        raise ValueError(
            f"{image} is OME-Zarr 0.4, and labels are written as 0.5, which cannot be "
            "part of it: choose an output that ends in .zarr"
        )
    return image if (image / "zarr.json").exists() else None


def add_to_image(path: Path) -> None:
    """Note labels that are there at ``IMAGE/labels/NAME`` in the image's group."""
    import zarr

    image = image_of(path)
    if image is None:
        return
    group = zarr.open_group(str(image), mode="r+").require_group("labels")
    ome: Any = group.attrs.get("ome", {})
    names = [*dict.fromkeys([*ome.get("labels", []), path.name])]
    group.attrs["ome"] = {**ome, "version": "0.5", "labels": names}
    labels = zarr.open_group(str(path), mode="r+")
    ome = labels.attrs["ome"]
    labels.attrs["ome"] = {**ome, "image-label": {"source": {"image": "../../"}}}


def create_labels(
    path: Path,
    shape: Sequence[int],
    axes: str,
    *,
    name: str,
    block: int,
    scale: Mapping[str, float],
    units: Mapping[str, str],
    record: Mapping[str, Any],
) -> list[zarr.Array]:
    """Make an empty label image, and return its levels, the largest one first.

    Parameters
    ----------
    path : pathlib.Path
        The folder, which is not there yet.
    shape : sequence of int
        Of the labels.
    axes : str
        A letter for each axis; see `check_label_axes`.
    name : str
        What they are called.
    block : int
        Side of what is written at once, pixels, a multiple of `CHUNK`.
    scale : mapping of str to float
        Size of a pixel along each axis, 1 if it is not said.
    units : mapping of str to str
        Of the scale.
    record : mapping
        What made the labels, to be kept with them.
    """
    import zarr

    levels: list[zarr.Array] = []
    root = zarr.create_group(str(path), zarr_format=3)
    y, x = shape[-2:]
    data_sets = []
    while True:
        level = len(levels)
        # A shard is what one block becomes.
        side = max(block >> level, CHUNK)
        levels.append(
            root.create_array(
                f"s{level}",
                shape=(*shape[:-2], y, x),
                chunks=(*(1 for _ in shape[:-2]), CHUNK, CHUNK),
                shards=(*(1 for _ in shape[:-2]), side, side),
                dtype="uint32",
                dimension_names=list(axes.lower()),
            )
        )
        times = {"Y": 2**level, "X": 2**level}
        sizes = [float(scale.get(a, 1.0)) * times.get(a, 1) for a in axes]
        data_sets.append(
            {
                "path": f"s{level}",
                "coordinateTransformations": [{"type": "scale", "scale": sizes}],
            }
        )
        if max(y, x) <= SMALLEST:
            break
        y, x = -(-y // 2), -(-x // 2)
    named = []
    for letter in axes:
        axis = {"name": letter.lower()}
        if letter in _TYPES:
            axis["type"] = _TYPES[letter]
        if letter in units:
            axis["unit"] = units[letter]
        named.append(axis)
    root.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"name": name, "axes": named, "datasets": data_sets}],
        "image-label": {},
    }
    root.attrs["nucleiseg"] = dict(record)
    return levels


def shrink(
    levels: Sequence[zarr.Array],
    plane: tuple[int, ...],
    step: int,
    *,
    window: tuple[slice, slice] | None = None,
    on_part: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fill the smaller levels of a plane from the next larger one, a part at a time.

    Parameters
    ----------
    levels : sequence of zarr.Array
        Of a label image; the first one is filled.
    plane : tuple of int
        Where along the first axes.
    step : int
        Side of a part, pixels of the smaller level: a multiple of its shards' side.
    window : tuple of slice, optional
        Only what this part of the first level changes is filled again.
    on_part : callable
        Called with the number of parts done and of all; may raise, to stop.
    """
    height, width = levels[0].shape[-2:]
    rows, columns = window or (slice(0, height), slice(0, width))
    parts = []
    for level, (larger, smaller) in enumerate(pairwise(levels), start=1):
        height, width = smaller.shape[-2:]
        for y in range((rows.start >> level) // step * step, height, step):
            for x in range((columns.start >> level) // step * step, width, step):
                if y << level < rows.stop and x << level < columns.stop:
                    parts.append((larger, smaller, y, x))
    for done, (larger, smaller, y, x) in enumerate(parts):
        on_part(done, len(parts))
        height, width = smaller.shape[-2:]
        wide = np.s_[
            2 * y : 2 * min(y + step, height), 2 * x : 2 * min(x + step, width)
        ]
        part = np.asarray(larger[(*plane, *wide)])[::2, ::2]
        smaller[(*plane, *np.s_[y : y + step, x : x + step])] = part


def open_labels(path: Path, mode: Literal["r", "r+"] = "r") -> list[zarr.Array]:
    """Open the levels of a label image that `create_labels` made, the largest first."""
    import zarr

    root = zarr.open_group(str(path), mode=mode)
    ome: Any = root.attrs["ome"]
    names = [level["path"] for level in ome["multiscales"][0]["datasets"]]
    return [zarr.open_array(str(path / name), mode=mode) for name in names]


def write_table(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write columns of one length to a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(dict(columns))
    write_whole(path, lambda fresh: pyarrow.parquet.write_table(table, fresh))


def read_table(path: Path) -> dict[str, np.ndarray]:
    """Read the columns of a Parquet file."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}
