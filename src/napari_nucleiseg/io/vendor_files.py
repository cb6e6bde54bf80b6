"""Open the files of slide scanners and microscopes, each by a library of its own.

They are in the extra ``[formats]``, and imported when such a file is opened.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_nucleiseg.io.lazy_images import LazyImage

_MICROMETER = "micrometer"


def open_vendor_file(path: Path, series: int = 0) -> LazyImage:
    """Open a file of one of `VENDOR_SUFFIXES`; see `lazy_images.open_image`.

    Raises
    ------
    ValueError
        If the library that reads it is not installed, or there is no such series.
    """
    name, opener = _OPENERS[path.suffix.lower()]
    try:
        library = importlib.import_module(name)
    except ImportError as e:
        raise ValueError(
            f"files that end in {path.suffix} are read by {name}, which is not "
            'installed: pip install "napari-nucleiseg[formats]"'
        ) from e
    return opener(library, path, series)


def _open_slide(tiffslide: Any, path: Path, series: int) -> LazyImage:
    _check_series(series, 1)
    slide = tiffslide.TiffSlide(path)
    group = slide.zarr_group
    levels = sorted(
        (group[key] for key in group.array_keys()), key=lambda level: -level.shape[0]
    )
    known = {a: slide.properties.get(f"tiffslide.mpp-{a.lower()}") for a in "YX"}
    scale = {a: float(step) for a, step in known.items() if step}
    units = dict.fromkeys(scale, _MICROMETER)
    return LazyImage(
        levels[0],
        "YXS",
        scale,
        units,
        close=slide.close,
        smaller=tuple(levels[1:]),
    )


def _open_nd2(nd2: Any, path: Path, series: int) -> LazyImage:
    _check_series(series, 1)
    file = nd2.ND2File(path)
    try:
        axes = _letters(file.sizes)
        voxel = file.voxel_size()
        scale = {a: float(getattr(voxel, a.lower())) for a in axes if a in "ZYX"}
        units = dict.fromkeys(scale, _MICROMETER)
        return LazyImage(file.to_dask(), axes, scale, units, close=file.close)
    except BaseException:
        file.close()
        raise


def _open_lif(liffile: Any, path: Path, series: int) -> LazyImage:
    file = liffile.LifFile(path)
    try:
        _check_series(series, len(file.images))
        image = file.images[series]
        axes = _letters(image.dims)
        # Metres, from the first pixel to the last one.
        scale = {
            a: float(places[-1] - places[0]) / (len(places) - 1) * 1e6
            for a in "ZYX"
            if (places := image.coords.get(a)) is not None and len(places) > 1
        }
        units = dict.fromkeys(scale, _MICROMETER)
        return LazyImage(_mapped(image), axes, scale, units, close=file.close)
    except BaseException:
        file.close()
        raise


def _mapped(image: Any) -> Any:
    """Return an image of a LIF file mapped, not read, where its layout lets it be."""
    try:
        return image.asarray(out="memmap")
    except ValueError:
        # Blue comes first, and the library turns that in place, which a map forbids.
        block, shape, dtype = image.memory_block, image.shape, image.dtype
        if math.prod(shape) * dtype.itemsize != block.size:
            return image.asarray()  # rows are padded
        return block.read_array(shape, dtype, out="memmap")[..., ::-1]


def _letters(names: Any) -> str:
    """Return the libraries' names of axes, with Q for those that are no letters."""
    return "".join(a if a.isascii() and a.isalpha() else "Q" for a in map(str, names))


def _check_series(series: int, count: int) -> None:
    if not 0 <= series < count:
        raise ValueError(
            f"holds {count} series of images, number 0 to {count - 1}; received "
            f"series {series}"
        )


_OPENERS: dict[str, tuple[str, Callable[[Any, Path, int], LazyImage]]] = {
    ".svs": ("tiffslide", _open_slide),
    ".ndpi": ("tiffslide", _open_slide),
    ".nd2": ("nd2", _open_nd2),
    ".lif": ("liffile", _open_lif),
}
