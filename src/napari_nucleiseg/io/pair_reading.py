"""An image file and its labels, each read to train on or to score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_nucleiseg.core.segment.planes import UNNAMED, read_as, to_planes
from napari_nucleiseg.io import MAX_MEGAPIXELS
from napari_nucleiseg.io.images import TIFF_SUFFIXES, ImageFile, read_image


def list_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files in a folder that end in one of these, but no hidden ones."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes
        and not path.name.startswith(".")
        and path.is_file()
    )


def read_channel(
    path: Path,
    shape: tuple[int, ...],
    channel: int | None,
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
) -> tuple[np.ndarray, bool, list[str]]:
    """Read an image to train on.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    shape : tuple of int
        Of its labels; tells which axis is channels where the file does not.
    channel : int or None
        The channel to use; None for all colours of a colour image and the first
        channel of any other.
    max_megapixels : float
        The most pixels a plane may have, millions.

    Returns
    -------
    image : numpy.ndarray
        ``(…, y, x)``, or ``(…, y, x, 3)`` if `rgb`.
    rgb : bool
        Whether the last axis is colour.
    firsts : list of str
        Of what the first was used, though there were several: "channels", "series".

    Raises
    ------
    ValueError
        If the file is damaged or does not have that channel.
    OSError
        If it cannot be read at all.
    """
    found = read_image(path, max_megapixels=max_megapixels)
    axes = _name_channels(found, shape)
    reading = read_as(found.data.shape, axes, channel)
    planes, rest = to_planes(found.data, axes=axes, channel=reading.channel)
    firsts = ["series"] if found.series > 1 else []
    if channel is None and "C" in axes and found.data.shape[axes.index("C")] > 1:
        firsts.append("channels")
    colour = planes.shape[-1] == 3
    if colour and _is_grey(planes):
        planes, colour = planes[..., :1], False
    return planes.reshape(*rest, 3) if colour else planes.reshape(rest), colour, firsts


def _name_channels(found: ImageFile, shape: tuple[int, ...]) -> str:
    """Return the axes as the file has them, with C for the one that the labels lack."""
    axes, sizes = found.axes, found.data.shape
    if "C" in axes or "S" in axes or len(sizes) != len(shape) + 1:
        return axes
    for axis in range(len(sizes) - 2):
        # One that is depth or time is no channel: the labels are of something else.
        if axes[axis] in UNNAMED and sizes[:axis] + sizes[axis + 1 :] == shape:
            return f"{axes[:axis]}C{axes[axis + 1 :]}"
    return axes


def read_labels(path: Path, *, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """Read labels, to train on or to score.

    Parameters
    ----------
    path : pathlib.Path
        The file, or a folder with a mask for each nucleus.
    max_megapixels : float
        The most pixels a plane may have, millions.

    Returns
    -------
    numpy.ndarray
        ``(…, y, x)``, of any type; see `core.labels.annotations.to_labels`.

    Raises
    ------
    ValueError
        If the file is damaged or cannot hold labels.
    OSError
        If it cannot be read at all.
    """
    if path.is_dir():
        return _join_masks(path, max_megapixels)
    if path.suffix.lower() in (".jpg", ".jpeg"):
        raise ValueError(
            "must not be JPEG, which changes the numbers; save labels as TIFF or PNG"
        )
    # A palette gives numbers their colours on a screen; labels are the numbers.
    found = read_image(path, palette=False, max_megapixels=max_megapixels)
    if found.series > 1:
        raise ValueError(f"must hold one image of labels; it holds {found.series}")
    axis = max(found.axes.find("S"), found.axes.find("C"))
    if axis < 0:
        return found.data
    if found.data.shape[axis] > 1 and not (found.rgb and _is_grey(found.data)):
        raise ValueError(
            "must hold one number per pixel, another for each nucleus; received "
            f"{found.data.shape[axis]} channels or colours"
        )
    return found.data.take(0, axis)


def _is_grey(colours: np.ndarray) -> bool:
    """Return whether this is a grey picture saved as colour, as many programs do."""
    return bool((colours[..., :3] == colours[..., :1]).all())


def _join_masks(folder: Path, max_megapixels: float) -> np.ndarray:
    """Return labels from a folder of masks, numbered in the order of their names."""
    labels: np.ndarray | None = None
    for number, path in enumerate(
        list_files(folder, (*TIFF_SUFFIXES, ".png")), start=1
    ):
        mask = read_labels(path, max_megapixels=max_megapixels)
        if labels is None:
            labels = np.zeros(mask.shape, np.int32)
        if mask.shape != labels.shape:
            raise ValueError(
                f"must hold masks of one size; received {labels.shape} and "
                f"{mask.shape} ({path.name})"
            )
        labels[mask > 0] = number
    if labels is None:
        raise ValueError("must hold one mask for each nucleus; it holds none")
    return labels
