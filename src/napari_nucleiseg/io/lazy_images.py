"""Open image files without reading them: OME-Zarr, and TIFF of any layout."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucleiseg.core.segment.lazy import Array
from napari_nucleiseg.io.decoding import (
    BadImageFile,
    apply_palette,
    check_size,
    check_whole,
    mix_inks,
    palette_of,
)
from napari_nucleiseg.io.images import (
    TIFF_SUFFIXES,
    own_letters,
    read_image,
    reading,
)

#: Endings of the files that `io.vendor_files` opens.
VENDOR_SUFFIXES = (".svs", ".ndpi", ".nd2", ".lif")


@dataclass(frozen=True)
class LazyImage:
    """An image of which only what is asked for is read.

    Parameters
    ----------
    data : Array
        The image, at its largest resolution.
    axes : str or None
        What the file calls its axes, if it does; see `core.segment.planes`.
    scale : mapping of str to float
        Size of a pixel along an axis, as far as the file says.
    units : mapping of str to str
        Of the scale, as OME calls them.
    state : str
        Another one where the file has been changed; empty if it cannot tell.
    close : callable
        Closes the file.
    smaller : tuple of Array
        Ever smaller levels of it, to be looked at, as far as the file has them.
    """

    data: Array
    axes: str | None
    scale: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    state: str = ""
    close: Callable[[], None] = lambda: None
    smaller: tuple[Array, ...] = ()


def open_image(path: Path, *, series: int = 0) -> LazyImage:
    """Open an image file, or a folder of OME-Zarr 0.4 or 0.5.

    Parameters
    ----------
    path : pathlib.Path
        PNG and JPEG are read whole. What ends in `VENDOR_SUFFIXES` needs the extra
        ``[formats]``.
    series : int
        Which series of a TIFF that has several, counted from 0.

    Raises
    ------
    ValueError
        If it is of another kind, or has no such series.
    OSError
        If it cannot be read.
    """
    if path.is_dir():
        image = _open_zarr(path)
    elif path.is_file() and path.suffix.lower() in TIFF_SUFFIXES:
        with reading():
            image = _open_tiff(path, series)
    elif path.is_file() and path.suffix.lower() in VENDOR_SUFFIXES:
        from napari_nucleiseg.io.vendor_files import open_vendor_file

        image = open_vendor_file(path, series)
    else:
        found = read_image(path, series=series)
        image = LazyImage(found.data, found.axes)
    return replace(image, state=_state_of(path))


def _state_of(path: Path) -> str:
    """Return what tells that a file, or a file of a folder, was written to."""
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        name = file.relative_to(path).as_posix()
        if name.startswith("labels/"):  # which are no part of the image itself
            continue
        found = file.stat()
        digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _open_zarr(path: Path) -> LazyImage:
    import zarr

    try:
        root = zarr.open(str(path), mode="r")
    except (FileNotFoundError, KeyError, ValueError) as e:
        raise ValueError("is a folder, but no OME-Zarr image") from e
    if isinstance(root, zarr.Array):
        return LazyImage(root, None)
    attributes: Any = root.attrs.asdict()
    scales = attributes.get("ome", attributes).get("multiscales")
    if not scales:
        raise ValueError("is a Zarr group, but not an OME-Zarr image (no multiscales)")
    first, axes = scales[0]["datasets"][0], scales[0].get("axes", [])
    data = root[first["path"]]
    letters = "".join(str(axis.get("name", "q"))[:1].upper() for axis in axes)
    steps = [1.0] * len(letters)
    for change in first.get("coordinateTransformations", []):
        if change.get("type") == "scale":
            steps = [float(step) for step in change["scale"]]
    return LazyImage(
        data,
        letters or None,
        dict(zip(letters, steps, strict=True)),
        {
            a: axis["unit"]
            for a, axis in zip(letters, axes, strict=True)
            if "unit" in axis
        },
        smaller=tuple(root[level["path"]] for level in scales[0]["datasets"][1:]),
    )


def _open_tiff(path: Path, series: int) -> LazyImage:
    import tifffile
    import zarr

    tiff = tifffile.TiffFile(path)
    try:
        if not 0 <= series < len(tiff.series):
            raise BadImageFile(
                f"holds {len(tiff.series)} series of images, number 0 to "
                f"{len(tiff.series) - 1}; received series {series}"
            )
        chosen = tiff.series[series]
        check_size(chosen.shape, chosen.axes, 0, math.inf)
        check_whole(tiff, chosen)
        scale, units = _ome_scale(tiff, series)
        levels: list[Array] = [
            zarr.open_array(chosen.aszarr(level=level), mode="r")
            for level in range(len(chosen.levels))
        ]
        axes, page = own_letters(chosen.axes, chosen.shape), chosen.keyframe
        if (table := palette_of(page)) is not None:
            given = axes
            axes = _with_palette(levels[0], table, given)[1]
            levels = [_with_palette(level, table, given)[0] for level in levels]
        elif page.photometric == tifffile.PHOTOMETRIC.SEPARATED and axes[-1] == "S":
            levels = [
                _Converted(level, mix_inks, (*level.shape[:-1], 3), mixed=True)
                for level in levels
            ]
    except BaseException:
        tiff.close()
        raise
    first, *smaller = levels
    return LazyImage(
        first, axes, scale, units, close=tiff.close, smaller=tuple(smaller)
    )


def _with_palette(data: Array, table: np.ndarray, axes: str) -> tuple[Array, str]:
    """Return an image with the colours of a palette, or grey, and its axes."""

    def convert(numbers: np.ndarray) -> np.ndarray:
        return apply_palette(numbers, table)

    if convert(np.zeros(1, np.uint8)).ndim == 1:
        return _Converted(data, convert, data.shape), axes
    return _Converted(data, convert, (*data.shape, 3)), axes + "S"


class _Converted:
    """An array whose values are converted as they are read.

    Parameters
    ----------
    data : Array
        The values.
    convert : callable
        Converts a part of them; may add an axis of colours, the last one.
    shape : tuple of int
        After that.
    mixed : bool
        Whether each colour is made of all that the last axis holds.
    """

    def __init__(
        self,
        data: Array,
        convert: Callable[[np.ndarray], np.ndarray],
        shape: tuple[int, ...],
        *,
        mixed: bool = False,
    ) -> None:
        self._data, self._convert, self.shape = data, convert, shape
        self._mixed = mixed
        self.ndim = len(shape)
        # A palette's numbers may have more bits than its colours.
        self.dtype = data.dtype if mixed else np.dtype(np.uint8)

    def __getitem__(self, where: tuple[Any, ...]) -> np.ndarray:
        """Return a part; there is a slice or number for each axis."""
        if len(self.shape) == len(self._data.shape) and not self._mixed:
            return self._convert(np.asarray(self._data[where]))
        *places, colours = where
        if self._mixed:
            places.append(slice(None))
        return self._convert(np.asarray(self._data[tuple(places)]))[..., colours]


def _ome_scale(tiff: Any, series: int) -> tuple[dict[str, float], dict[str, str]]:
    """Return the size of a pixel that OME metadata say, and its units."""
    import tifffile

    if not tiff.is_ome:
        return {}, {}
    found = tifffile.xml2dict(tiff.ome_metadata)["OME"].get("Image", {})
    images = found if isinstance(found, list) else [found]
    pixels = images[min(series, len(images) - 1)].get("Pixels", {})
    scale = {
        letter: float(pixels[f"PhysicalSize{letter}"])
        for letter in "ZYX"
        if f"PhysicalSize{letter}" in pixels
    }
    known = {"µm": "micrometer", "nm": "nanometer", "mm": "millimeter"}
    named = {a: known.get(pixels.get(f"PhysicalSize{a}Unit", "µm")) for a in scale}
    return scale, {a: unit for a, unit in named.items() if unit}
