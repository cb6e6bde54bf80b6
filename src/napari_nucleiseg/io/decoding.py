"""From TIFF, PNG and JPEG files to arrays: whole files of a sensible size, or an error.

Reading goes in this order: what the file says of its size, then whether all of it is
there, and only then the pixels.
"""

from __future__ import annotations

import math
import os
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_nucleiseg.io import MAX_MEGAPIXELS

if TYPE_CHECKING:
    import tifffile

#: Bytes that a value has by the number of its type in a TIFF file; the others have 1.
_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


class Decoded(NamedTuple):
    """What a file held: the pixels, a letter for each axis, and how many series."""

    data: np.ndarray
    axes: str
    series: int = 1


class BadImageFile(ValueError):
    """A file that cannot be read as an image: damaged, truncated, of another kind."""


class TooLarge(BadImageFile):
    """An image has more pixels than may be read."""


def decode_tiff(
    path: Path,
    *,
    series: int = 0,
    max_megapixels: float = MAX_MEGAPIXELS,
    palette: bool = True,
) -> Decoded:
    """Read one series of a TIFF file, of a multi-resolution one the largest level.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    series : int
        Which of its series, counted from 0.
    max_megapixels : float
        The most pixels a plane may have, millions.
    palette : bool
        Whether the colours of a palette are put in the place of their numbers.

    Returns
    -------
    Decoded
        Colours are on the last axis, called S.

    Raises
    ------
    BadImageFile
        If the file is damaged, truncated, too large or has no such series.
    MemoryError
        If the image does not fit into this computer's memory.
    """
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        found = tiff.series
        if not found:
            raise BadImageFile("is not a readable image (it holds no pages)")
        if not 0 <= series < len(found):
            raise BadImageFile(
                f"holds {len(found)} series of images, number 0 to {len(found) - 1}; "
                f"received series {series}"
            )
        chosen = found[series]
        check_size(chosen.shape, chosen.axes, chosen.nbytes, max_megapixels)
        check_whole(tiff, chosen)
        data, axes, page = chosen.asarray(), chosen.axes, chosen.keyframe
        if data.shape != chosen.shape:
            raise BadImageFile(
                f"is damaged: it should hold an image of shape {chosen.shape}, and "
                f"has {data.shape}"
            )
        if "S" in axes:
            data = np.moveaxis(data, axes.index("S"), -1)
            axes = axes.replace("S", "") + "S"
        kinds = tifffile.PHOTOMETRIC
        if palette and (table := palette_of(page)) is not None:
            data = apply_palette(data, table)
        elif page.photometric == kinds.SEPARATED and axes.endswith("S"):
            data = mix_inks(data)
        if data.ndim > len(axes):
            axes += "S"
        return Decoded(data, axes, len(found))


def check_size(
    shape: tuple[int, ...], axes: str, nbytes: int, max_megapixels: float
) -> None:
    """Refuse what is no image, too large a plane, and more than the memory holds."""
    if len(shape) < 2 or 0 in shape:
        raise BadImageFile(f"holds no image (y, x): but values of the shape {shape}")
    sides = dict(zip(axes, shape, strict=False))
    y, x = (sides.get(axis, shape[i]) for axis, i in (("Y", -2), ("X", -1)))
    if x * y > max_megapixels * 1e6:
        raise TooLarge(
            f"is an image of {x} x {y} = {x * y / 1e6:.3g} megapixels; at most "
            f"{max_megapixels:g} are read"
        )
    if nbytes > (most := _memory()):
        raise MemoryError(
            f"the image of shape {shape} takes {nbytes / 2**30:.1f} GB, and this "
            f"computer has {most / 2**30:.1f}"
        )


def _memory() -> float:
    """Return how many bytes of memory this computer has, infinity if it is unknown."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # Windows has none of it
        return math.inf


def check_whole(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Raise BadImageFile if something of a series lies beyond the file's end.

    tifffile reads what is there, and fills up with zeros.
    """
    promised = _imagej_planes(tiff, series)
    held = series.size // series.keyframe.size
    if promised > held:
        raise BadImageFile(
            f"is truncated: it should hold {promised} planes, and has {held}"
        )
    if series.dataoffset is not None:
        ends = [(series.dataoffset + series.nbytes, tiff.filehandle.size)]
    else:
        ends = []
        for page in series:
            if page is None:
                raise BadImageFile("lacks images that its metadata name")
            offsets, counts = page.dataoffsets, page.databytecounts
            segments = 1 if page.is_contiguous else math.prod(page.chunked)
            if len(offsets) < segments or len(offsets) != len(counts):
                raise BadImageFile("is damaged: it does not say where its pixels are")
            size = page.parent.filehandle.size
            ends += [(o + n, size) for o, n in zip(offsets, counts, strict=True)]
    if any(end > size for end, size in ends) or _is_cut_short(tiff):
        raise BadImageFile("is truncated: not all of it is there")


def _is_cut_short(tiff: tifffile.TiffFile) -> bool:
    """Return whether values of the first page, or whole pages, are beyond the end."""
    form, file = tiff.tiff, tiff.filehandle
    if tiff.is_ndpi or tiff.is_scanimage:
        return False  # they have their own ways to be larger than 4 GB
    # The last page of a whole file says that no other follows.
    place = tiff.pages.next_page_offset
    file.seek(0 if place is None else place)
    follows = file.read(form.offsetsize)
    if place is not None and (len(follows) < form.offsetsize or any(follows)):
        return True
    file.seek(tiff.pages.first.offset)
    (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
    for _ in range(count):
        _, kind, number, value = struct.unpack(
            form.tagheaderformat, file.read(form.tagsize)
        )
        size = number * _SIZES.get(kind, 1)
        if size > form.tagoffsetthreshold:
            (offset,) = struct.unpack(form.offsetformat, value)
            if offset + size > file.size:
                return True
    return False


def _imagej_planes(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> int:
    """Return how many planes ImageJ says a file has, 0 if it is none of its files."""
    meta = tiff.imagej_metadata
    if not tiff.is_imagej or meta is None:
        return 0
    channels = int(meta.get("channels", 1))
    if channels == series.keyframe.samplesperpixel:
        channels = 1  # they lie in one page
    return int(meta.get("frames", 1)) * int(meta.get("slices", 1)) * channels


def palette_of(page: tifffile.TiffPage | tifffile.TiffFrame) -> np.ndarray | None:
    """Return the colours ``(n, 3)`` uint8 that a page's numbers stand for, if so."""
    import tifffile

    if page.photometric != tifffile.PHOTOMETRIC.PALETTE or page.colormap is None:
        return None
    return (page.colormap >> 8).astype(np.uint8).T


def apply_palette(numbers: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return the colours ``(…, 3)`` uint8 of a palette's numbers, or grey ``(…)``."""
    grey = bool((table == table[:, :1]).all())
    return (table[:, 0] if grey else table)[numbers]


def mix_inks(inks: np.ndarray) -> np.ndarray:
    """Return the colours ``(…, 3)`` of cyan, magenta, yellow and black ``(…, 4)``."""
    if inks.shape[-1] < 4 or inks.dtype.kind != "u":
        raise BadImageFile(
            "must hold inks as cyan, magenta, yellow and black; received "
            f"{inks.shape[-1]} values per pixel of type {inks.dtype}"
        )
    full = float(np.iinfo(inks.dtype).max)
    paper = full - inks[..., :4].astype(np.float32)
    return (paper[..., :3] * paper[..., 3:] / full + 0.5).astype(inks.dtype)


def decode_picture(
    path: Path, *, max_megapixels: float = MAX_MEGAPIXELS, palette: bool = True
) -> Decoded:
    """Read a PNG or JPEG file; see `decode_tiff`."""
    from PIL import Image

    with warnings.catch_warnings():
        # Large images are what microscopes make; the limit is our own.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            picture = Image.open(path)
        except Image.DecompressionBombError as e:
            most = 2e-6 * (Image.MAX_IMAGE_PIXELS or 0)
            raise TooLarge(
                f"is too large for a PNG or JPEG (more than {most:.0f} megapixels); "
                "save it as TIFF"
            ) from e
    with picture:
        width, height = picture.size
        # As colour, it has three bytes a pixel.
        check_size((height, width), "YX", 3 * width * height, max_megapixels)
        if picture.mode == "P":
            data = np.asarray(picture)
            if palette:
                colours = np.asarray(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
                table = np.zeros((256, 3), np.uint8)
                table[: len(colours)] = colours
                data = apply_palette(data, table)
        elif picture.mode in ("PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
            data = np.asarray(picture.convert("RGB"))
        elif picture.mode in ("LA", "La"):
            data = np.asarray(picture.convert("L"))
        else:
            data = np.asarray(picture)
    return Decoded(data, "YXS" if data.ndim == 3 else "YX")
