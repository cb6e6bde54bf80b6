"""Image files as layers that are read window by window, for napari's Open."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucleiseg.core.segment.lazy import Array
from napari_nucleiseg.io.label_zarr import read_table
from napari_nucleiseg.io.lazy_images import VENDOR_SUFFIXES, LazyImage, open_image

#: A layer as napari's readers give it: data, arguments, and kind.
LayerData = tuple[Any, dict[str, Any], str]

#: Labels of no more bytes are read at once, so that they can be painted on.
_SMALL = 2**26

#: Side of what is read at once where a file does not say it, pixels.
_CHUNK = 1024


def get_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return what reads a file or folder; None if it is of another kind.

    Parameters
    ----------
    path : str or sequence of str
        An OME-Zarr folder, or a file of one of `lazy_images.VENDOR_SUFFIXES`; several
        are no stack.
    """
    if not isinstance(path, str):
        return None
    file = Path(path)
    marks = ("zarr.json", ".zgroup", ".zarray")
    is_zarr = any((file / name).is_file() for name in marks)
    if not is_zarr and file.suffix.lower() not in VENDOR_SUFFIXES:
        return None
    return lambda path: read_layers(Path(str(path)))


def read_layers(path: Path) -> list[LayerData]:
    """Open an image, or labels, as layers; an OME-Zarr image with its labels.

    Parameters
    ----------
    path : pathlib.Path
        See `lazy_images.open_image`.

    Raises
    ------
    ValueError, OSError
        See `lazy_images.open_image`.
    """
    image = open_image(path)
    about = _attributes(path)
    if "image-label" in about:
        return [_labels_layer(path, image)]
    layers = [_image_layer(path, image, about)]
    for name in _attributes(path / "labels").get("labels", []):
        labels = path / "labels" / name
        layers.append(_labels_layer(labels, open_image(labels)))
    return layers


def _attributes(path: Path) -> dict[str, Any]:
    """Return what a Zarr group says of itself in the words of OME-Zarr."""
    import zarr

    if not any((path / name).is_file() for name in ("zarr.json", ".zgroup")):
        return {}
    found: Any = zarr.open(str(path), mode="r").attrs.asdict()
    return dict(found.get("ome", found))


def _image_layer(path: Path, image: LazyImage, about: dict[str, Any]) -> LayerData:
    levels = _levels(image)
    how = _placement(image, levels) | {"name": path.name.partition(".")[0]}
    axes = image.axes or ""
    how["rgb"] = axes.endswith("S") and levels[0].shape[-1] in (3, 4)
    at = axes.find("C")
    if at >= 0:
        how["channel_axis"] = at
        channels = about.get("omero", {}).get("channels", [])
        names = [str(each.get("label", "")) for each in channels]
        if len(names) == levels[0].shape[at] and all(names):
            how["name"] = names
        for name in ("scale", "units", "axis_labels"):
            if name in how:
                how[name] = [x for i, x in enumerate(how[name]) if i != at]
    return levels if how["multiscale"] else levels[0], how, "image"


def _labels_layer(path: Path, image: LazyImage) -> LayerData:
    levels = _levels(image)
    how = _placement(image, levels) | {"name": path.stem}
    table = path.with_suffix(".parquet")
    if table.is_file():
        columns = read_table(table)
        if "label" in columns:
            how["features"] = {"index": columns.pop("label"), **columns}
    if levels[0].nbytes <= _SMALL:
        return np.asarray(levels[0]), how | {"multiscale": False}, "labels"
    return levels if how["multiscale"] else levels[0], how, "labels"


def _levels(image: LazyImage) -> list[Any]:
    """Return the levels of an image as dask arrays, the largest one first."""
    import dask.array as da

    def lazy(level: Array) -> Any:
        if isinstance(level, da.Array):
            return level
        axes = image.axes or "YX".rjust(len(level.shape), "Q")
        sides = {"Y": _CHUNK, "X": _CHUNK, "S": 4}
        chunks: Any = getattr(level, "chunks", None) or tuple(
            min(size, sides.get(letter, 1))
            for size, letter in zip(level.shape, axes, strict=True)
        )
        return da.from_array(level, chunks=chunks, name=False)

    with contextlib.suppress(TypeError):  # what cannot be followed stays open
        weakref.finalize(image.data, image.close)
    return [lazy(level) for level in (image.data, *image.smaller)]


def _placement(image: LazyImage, levels: Sequence[Any]) -> dict[str, Any]:
    """Return scale, units and names of axes, as far as the file says them."""
    axes = image.axes
    how: dict[str, Any] = {"multiscale": len(levels) > 1}
    if axes is None:
        return how
    letters = axes.replace("S", "")
    how["scale"] = [image.scale.get(letter, 1.0) for letter in letters]
    how["axis_labels"] = [letter.lower() for letter in letters]
    how["units"] = [image.units.get(letter, "pixel") for letter in letters]
    return how
