"""Images of any shape to planes: which axes are colour, channels and stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def guess_rgb(shape: Sequence[int]) -> bool:
    """Return whether an array of this shape is taken for RGB(A), as napari does."""
    return len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 4


def to_planes(
    image: np.ndarray,
    *,
    rgb: bool | None = None,
    channel: int | None = None,
    channel_axis: int | None = None,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Bring an image to ``(planes, y, x, c)``.

    Parameters
    ----------
    image : numpy.ndarray
        ``(…, y, x)``, ``(…, y, x, 3|4)`` for RGB(A), or either with a channel axis.
    rgb : bool, optional
        Whether the last axis is colour; guessed from the shape if not given.
    channel : int, optional
        The one channel to use: of `channel_axis`, of the colours if `rgb`, else of
        the first axis.
    channel_axis : int, optional
        Axis that holds the channels. Without a `channel`, the first one is used.

    Returns
    -------
    planes : numpy.ndarray
        ``(planes, y, x, c)``, the image's dtype; c is 1, or 3 for colour.
    shape : tuple of int
        Shape of the labels: the image's without channel and colour.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    ValueError
        If the image has no pixels, too few axes, or not that channel.
    """
    image = np.asarray(image)
    if image.dtype.kind not in "biuf":
        raise TypeError(
            f"An image must hold real numbers; received values of type {image.dtype}."
        )
    if rgb is None:
        rgb = channel_axis is None and guess_rgb(image.shape)
    if image.ndim < (3 if rgb else 2):
        raise ValueError(
            f"An image must have at least two axes (y, x); received {image.shape}."
        )
    if rgb and image.shape[-1] not in (3, 4):
        raise ValueError(
            "A colour image must have 3 or 4 values a pixel on its last axis; "
            f"received shape {image.shape}."
        )
    if channel_axis is None and channel is not None:
        channel_axis = image.ndim - 1 if rgb else 0
        if image.ndim == 2 and channel == 0:
            channel_axis = None
    if channel_axis is not None:
        image = _take_channel(image, channel or 0, channel_axis)
        rgb = rgb and channel_axis not in (-1, image.ndim)
    image = image[..., :3] if rgb else image[..., None]
    shape = image.shape[:-1]
    if 0 in shape:
        raise ValueError(f"The image has no pixels: its shape is {shape}.")
    return image.reshape(-1, *image.shape[-3:]), shape


def _take_channel(image: np.ndarray, channel: int, axis: int) -> np.ndarray:
    if image.ndim < 3:
        raise ValueError(
            f"Channel {channel} was asked for, but the image of shape {image.shape} "
            "has one channel only, number 0."
        )
    if not -image.ndim <= axis < image.ndim:
        raise ValueError(
            f"The channel axis must be one of the image's {image.ndim} axes; received "
            f"{axis}."
        )
    have = image.shape[axis]
    if have == 0:
        raise ValueError(f"The image has no pixels: its shape is {image.shape}.")
    if not 0 <= channel < have:
        raise ValueError(
            f"The channel must be between 0 and {have - 1}; received {channel}."
        )
    return np.take(image, channel, axis=axis)
