"""Read images and write labels, for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_nucleiseg.io.atomic import write_whole

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class ImageFile:
    """An image read from a file.

    Parameters
    ----------
    data : numpy.ndarray
        ``(…, y, x)``, or ``(…, y, x, 3|4)`` if `rgb`.
    rgb : bool
        Whether the last axis is colour.
    channel_axis : int or None
        Axis of the channels, if the file speaks of one.
    axes : str
        What the file calls its axes, such as ``"TCYX"``.
    """

    data: np.ndarray
    rgb: bool
    channel_axis: int | None
    axes: str

    @property
    def channels(self) -> int:
        """Number of channels to choose from."""
        return 1 if self.channel_axis is None else self.data.shape[self.channel_axis]


def read_image(path: Path) -> ImageFile:
    """Read a TIFF, OME-TIFF, PNG or JPEG file.

    Parameters
    ----------
    path : pathlib.Path
        Of a multi-resolution TIFF the largest resolution is read; of one with
        several series the first.

    Returns
    -------
    ImageFile

    Raises
    ------
    ValueError
        If the file is of another kind, or damaged.
    OSError
        If it cannot be read at all.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    if suffix in TIFF_SUFFIXES:
        return _read_tiff(path)
    if suffix in PICTURE_SUFFIXES:
        return _read_picture(path)
    raise ValueError(
        f"must be one of {', '.join(TIFF_SUFFIXES + PICTURE_SUFFIXES)}; received a "
        f"file that ends in {suffix or 'nothing'}"
    )


def _read_tiff(path: Path) -> ImageFile:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            data, axes = series.asarray(), series.axes
    except (
        tifffile.TiffFileError,
        ArithmeticError,
        LookupError,
        RuntimeError,
        TypeError,
    ) as e:
        raise ValueError(f"is not a readable TIFF file ({e})") from e
    if "S" in axes and data.shape[axes.index("S")] in (3, 4):
        data = np.moveaxis(data, axes.index("S"), -1)
        return ImageFile(data, True, None, axes.replace("S", "") + "S")
    axis = next((axes.index(letter) for letter in "CS" if letter in axes), None)
    return ImageFile(data, False, axis, axes)


def _read_picture(path: Path) -> ImageFile:
    import warnings

    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Large images are what microscopes make.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path)
        with picture:
            if picture.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
                data = np.asarray(picture.convert("RGB"))
            elif picture.mode in ("LA", "La"):
                data = np.asarray(picture.convert("L"))
            else:
                data = np.asarray(picture)
    except Image.DecompressionBombError as e:
        raise ValueError("is too large for a PNG or JPEG; save it as TIFF") from e
    except (UnidentifiedImageError, SyntaxError, ValueError) as e:
        raise ValueError(f"is not a readable picture ({e})") from e
    return ImageFile(data, data.ndim == 3, None, "YXS" if data.ndim == 3 else "YX")


def read_labels(path: Path) -> np.ndarray:
    """Read a label image of whole numbers, ``(…, y, x)``.

    Raises
    ------
    ValueError
        If the file does not hold labels.
    """
    found = read_image(path)
    if found.rgb or found.data.dtype.kind not in "biu":
        raise ValueError(
            "must hold one whole number a pixel; received "
            f"{found.data.dtype} of shape {found.data.shape}"
        )
    return found.data.astype(np.int64)


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
    from PIL import Image
    from skimage.segmentation import find_boundaries

    from napari_nucleiseg.core.segment.image import (
        match_channels,
        normalise,
        to_finite_float,
    )

    picture = match_channels(normalise(to_finite_float(image)), 3).copy()
    colour = (1.0, 0.85, 0.1) if image.shape[-1] == 1 else (0.1, 0.9, 0.2)
    picture[find_boundaries(labels, mode="inner")] = colour
    pixels = (picture * 255 + 0.5).astype(np.uint8)
    write_whole(path, lambda fresh: Image.fromarray(pixels).save(fresh))
