"""Read images and write labels, for the command line."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_nucleiseg.core.segment.planes import check_axes
from napari_nucleiseg.io import MAX_MEGAPIXELS
from napari_nucleiseg.io.atomic import make_folder, reason_of, write_whole
from napari_nucleiseg.io.decoding import BadImageFile, decode_picture, decode_tiff

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class ImageFile:
    """An image read from a file.

    Parameters
    ----------
    data : numpy.ndarray
        The image.
    axes : str
        What the file calls its axes, a letter for each; see `core.segment.planes`.
    series : int
        How many series of images the file holds.
    """

    data: np.ndarray
    axes: str
    series: int = 1

    @property
    def rgb(self) -> bool:
        """Whether it is in colour."""
        return "S" in self.axes


def read_image(
    path: Path,
    *,
    series: int = 0,
    max_megapixels: float = MAX_MEGAPIXELS,
    palette: bool = True,
) -> ImageFile:
    """Read a TIFF, OME-TIFF, PNG or JPEG file.

    Parameters
    ----------
    path : pathlib.Path
        Of a multi-resolution TIFF the largest resolution is read.
    series : int
        Which series of a TIFF that has several, counted from 0.
    max_megapixels : float
        The most pixels a plane may have, millions; asked before any is decoded.
    palette : bool
        Whether a picture with a palette is read as its colours, not their numbers.

    Returns
    -------
    ImageFile

    Raises
    ------
    ValueError
        If the file is of another kind, damaged, truncated, too large, or has no such
        series.
    OSError
        If it cannot be read at all.
    MemoryError
        If it does not fit into the memory.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    if suffix not in TIFF_SUFFIXES + PICTURE_SUFFIXES:
        raise ValueError(
            f"must be one of {', '.join(TIFF_SUFFIXES + PICTURE_SUFFIXES)}; received a "
            f"file that ends in {suffix or 'nothing'}"
        )
    if suffix in PICTURE_SUFFIXES and series:
        raise ValueError(f"holds one image, series 0; received series {series}")
    with reading():
        if suffix in TIFF_SUFFIXES:
            found = decode_tiff(
                path, series=series, max_megapixels=max_megapixels, palette=palette
            )
        else:
            found = decode_picture(path, max_megapixels=max_megapixels, palette=palette)
    data, axes, count = found
    return ImageFile(data, own_letters(axes, data.shape), count)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """In this context, whatever a reader makes of a damaged file says that it is so."""
    try:
        yield
    except (MemoryError, BadImageFile):
        raise
    # Readers fail on a damaged file in whatever way it happens to make them.
    except Exception as e:
        if isinstance(e, OSError) and e.strerror:
            raise OSError(f"cannot be read: {e.strerror}") from e
        raise BadImageFile(f"is not a readable image ({reason_of(e)})") from e


def own_letters(axes: str, shape: tuple[int, ...]) -> str:
    """Return what tifffile calls the axes, with S for nothing but colours."""
    if "S" not in axes or shape[axes.index("S")] in (3, 4):
        return axes
    return axes.replace("S", "Q" if "C" in axes else "C")


def read_axes(path: Path, shape: tuple[int, ...]) -> str | None:
    """Return what a TIFF file says of the axes of an image that was read from it.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    shape : tuple of int
        Of the image.

    Returns
    -------
    str or None
        A letter for each axis; None if the file says nothing of an image of this
        shape, or cannot be read.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return None
    try:
        state = path.stat()
    except OSError:
        return None
    return _read_axes(path, shape, (state.st_mtime_ns, state.st_size, state.st_ino))


@functools.lru_cache(maxsize=256)
def _read_axes(
    path: Path, shape: tuple[int, ...], version: tuple[int, ...]
) -> str | None:
    """Read the axes, once for each `version` of the file."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            found, axes = series.shape, series.axes
        return check_axes(own_letters(axes, found), shape) if found == shape else None
    except Exception:  # noqa: BLE001  a damaged file says nothing of its axes
        return None


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write labels as a compressed TIFF: uint16, or uint32 above 65,535 nuclei.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    labels : numpy.ndarray
        ``(…, y, x)`` int32.
    """
    import tifffile

    highest = int(labels.max()) if labels.size else 0
    dtype = np.uint16 if highest <= np.iinfo(np.uint16).max else np.uint32
    write_whole(
        path,
        lambda fresh: tifffile.imwrite(
            fresh,
            labels.astype(dtype),
            compression="zlib",
            photometric="minisblack",
            bigtiff=labels.nbytes > 2**31,
        ),
    )


#: The longer side of a small picture, pixels.
THUMBNAIL = 400


def write_overlay(path: Path, image: np.ndarray, labels: np.ndarray) -> None:
    """Write a PNG of the image with the nuclei's outlines on it.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    image : numpy.ndarray
        One plane, ``(y, x, 1)`` or ``(y, x, 3)``, any dtype.
    labels : numpy.ndarray
        ``(y, x)`` int32.
    """
    _write_outlined(path, _picture_of(image), labels, grey=image.shape[-1] == 1)


def write_thumbnail(path: Path, image: np.ndarray, labels: np.ndarray) -> None:
    """Write a small PNG with outlines that can be seen; `THUMBNAIL` pixels at most.

    Parameters
    ----------
    path, image, labels
        See `write_overlay`.
    """
    from PIL import Image

    picture = Image.fromarray(_picture_of(image))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    # Of the labels, the pixels in the middle of those of the small picture.
    rows, columns = (
        ((np.arange(small) + 0.5) * large / small).astype(int)
        for small, large in zip(picture.size[::-1], labels.shape, strict=True)
    )
    make_folder(path.parent)
    small = labels[np.ix_(rows, columns)]
    _write_outlined(path, np.array(picture), small, grey=image.shape[-1] == 1)


def _picture_of(image: np.ndarray) -> np.ndarray:
    """Return a plane as ``(y, x, 3)`` uint8, in the contrast that the network sees."""
    from napari_nucleiseg.core.segment.image import match_channels, normalise

    picture = match_channels(normalise(image), 3)
    return (picture * 255 + 0.5).astype(np.uint8)


def _write_outlined(
    path: Path, picture: np.ndarray, labels: np.ndarray, *, grey: bool
) -> None:
    from PIL import Image
    from skimage.segmentation import find_boundaries

    colour = (255, 217, 26) if grey else (26, 230, 51)
    picture[find_boundaries(labels, mode="inner")] = colour
    write_whole(path, lambda fresh: Image.fromarray(picture).save(fresh))
