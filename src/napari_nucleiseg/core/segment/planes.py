"""Which axis of an image is which, and the planes that it is segmented by.

An image's axes are written as one letter for each, such as ``"TCYX"``: Y and X are the
plane's rows and columns, C the channels, S the red, green and blue of a colour image.
Any other letter, such as T (time) or Z (depth), is an axis of planes, each of which is
segmented by itself. I and Q are axes that nobody has named; one of them is taken for
the channels if a channel is asked for.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Letters of axes that nobody has named.
UNNAMED = "IQ"

#: An axis that nobody has named may be the channels if it is no longer than this.
MOST_CHANNELS = 6

#: Sides of at least so many pixels tell an image's plane from its channels.
LEAST_SIDE = 32


@dataclass(frozen=True)
class Reading:
    """How an image is read.

    Parameters
    ----------
    axes : str
        A letter for each axis of the image.
    channel : int or None
        The channel used, counted from 0: of the axis C, else of the colours S; None
        for all colours, and where there are no channels.
    warnings : tuple of str
        What was assumed and may be wrong, a sentence each.
    """

    axes: str
    channel: int | None
    warnings: tuple[str, ...] = ()


def guess_rgb(shape: Sequence[int]) -> bool:
    """Return whether an array of this shape is taken for RGB(A), as napari does."""
    return len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 4


def guess_axes(shape: Sequence[int]) -> str:
    """Return the axes of an image of which only the shape is known.

    Parameters
    ----------
    shape : sequence of int
        A short last axis holds colours (3 or 4) or channels; else the last two are
        Y and X.

    Returns
    -------
    str
        A letter for each axis; Q for those that may be anything.
    """
    if guess_rgb(shape):
        return "Q" * (len(shape) - 3) + "YXS"
    if (
        len(shape) >= 3
        and shape[-1] <= MOST_CHANNELS
        and min(shape[-3:-1]) >= LEAST_SIDE
    ):
        return "Q" * (len(shape) - 3) + "YXC"
    return "Q" * (len(shape) - 2) + "YX"


def check_axes(axes: str, shape: Sequence[int]) -> str:
    """Return the axes in capitals, if an image of this shape can have them.

    Raises
    ------
    ValueError
        If it cannot.
    """
    letters = axes.strip().upper()
    shown = " × ".join(map(str, shape))
    if not letters.isascii() or not letters.isalpha() or len(letters) != len(shape):
        raise ValueError(
            f"The axes must be one letter for each of the image's {len(shape)} axes "
            f"({shown}), such as {guess_axes(shape)}; received {axes!r}."
        )
    for letter in "YX":
        if letters.count(letter) != 1:
            raise ValueError(f"The axes must have one Y and one X; received {axes!r}.")
    for letter, meaning in (("C", "channels"), ("S", "colours")):
        if letters.count(letter) > 1:
            raise ValueError(
                f"The axes must have at most one {letter} ({meaning}); received "
                f"{axes!r}."
            )
    if "S" in letters and shape[letters.index("S")] not in (3, 4):
        raise ValueError(
            "The colour axis S must have 3 or 4 values; received "
            f"{shape[letters.index('S')]} of the image's {shown} (axes {axes})."
        )
    return letters


def channel_axis(axes: str, shape: Sequence[int]) -> int | None:
    """Return which axis holds the channels, or may hold them; None if none can.

    The one that is named so; else the shortest one that nobody has named.

    Parameters
    ----------
    axes : str
        A letter for each axis.
    shape : sequence of int
        Of the image.
    """
    if "C" in axes:
        return axes.index("C")
    if "S" in axes:
        return None
    able = [
        i
        for i, letter in enumerate(axes)
        if letter in UNNAMED and 1 < shape[i] <= MOST_CHANNELS
    ]
    return min(able, key=lambda i: shape[i], default=None)


def read_as(
    shape: Sequence[int], axes: str | None = None, channel: int | None = None
) -> Reading:
    """Return how an image is to be read.

    Parameters
    ----------
    shape : sequence of int
        Of the image.
    axes : str, optional
        A letter for each axis, see `planes`; guessed from the shape if not given.
    channel : int, optional
        The one channel to use, counted from 0; if not given, the first one, or all
        colours of a colour image.

    Returns
    -------
    Reading

    Raises
    ------
    ValueError
        If the image cannot have such axes, or has no such channel.
    """
    if len(shape) < 2:
        raise ValueError(
            f"An image must have at least two axes (y, x); received {tuple(shape)}."
        )
    letters = guess_axes(shape) if axes is None else check_axes(axes, shape)
    if 0 in shape:
        raise ValueError(f"The image has no pixels: its shape is {tuple(shape)}.")
    at = channel_axis(letters, shape)
    if channel is None:
        return _read_without_channel(letters, shape, at)
    channel = operator.index(channel)
    if "S" in letters and at is None:
        at, have = letters.index("S"), 3
    else:
        if at is None:  # a long axis that nobody has named, as it was asked for
            at = next((i for i, a in enumerate(letters) if a in UNNAMED), None)
        have = 1 if at is None else shape[at]
    if not 0 <= channel < have:
        wanted = f"between 0 and {have - 1}" if have > 1 else "0, for there is one only"
        raise ValueError(
            f"The channel must be {wanted}; received {channel} (axes {letters}, shape "
            f"{' × '.join(map(str, shape))})."
        )
    if at is None:
        return Reading(letters, None)
    if letters[at] != "S":
        letters = f"{letters[:at]}C{letters[at + 1 :]}"
    return Reading(letters, channel)


def _read_without_channel(
    letters: str, shape: Sequence[int], at: int | None
) -> Reading:
    if at is None:
        return Reading(letters, None)
    if letters[at] == "C":
        several = (
            f"The image has {shape[at]} channels; channel 0 was used. Choose another "
            "if it does not show the nuclei."
        )
        return Reading(letters, 0, (several,) if shape[at] > 1 else ())
    named = f"{letters[:at]}C{letters[at + 1 :]}"
    return Reading(
        letters,
        None,
        (
            f"Each of the {shape[at]} planes along axis {at} was segmented by itself, "
            "and their nuclei are counted together. If they are channels, choose one, "
            f"or set the axes to {named}.",
        ),
    )


def to_planes(
    image: np.ndarray, *, axes: str | None = None, channel: int | None = None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Bring an image to ``(planes, y, x, c)``.

    Parameters
    ----------
    image : numpy.ndarray
        Two axes or more.
    axes, channel
        See `read_as`.

    Returns
    -------
    planes : numpy.ndarray
        ``(planes, y, x, c)``; c is 1, or 3 for colour. Of the image's dtype.
    shape : tuple of int
        ``(…, y, x)``, that of the labels: the axes of planes in the image's order.

    Raises
    ------
    TypeError
        If the values are not real numbers, or the array is masked.
    ValueError
        If the image has no pixels, or see `read_as`.
    """
    image = _real(image)
    reading = read_as(image.shape, axes, channel)
    letters = reading.axes
    if reading.channel is not None:
        at = letters.index("C" if "C" in letters else "S")
        image = image[(slice(None),) * at + (reading.channel,)]
        letters = letters[:at] + letters[at + 1 :]
    order = [i for i, letter in enumerate(letters) if letter not in "YXS"]
    order += [letters.index("Y"), letters.index("X")]
    colour = "S" in letters
    if colour:
        order.append(letters.index("S"))
    image = image.transpose(order)
    image = image[..., :3] if colour else image[..., None]
    return image.reshape(-1, *image.shape[-3:]), image.shape[:-1]


def _real(image: np.ndarray) -> np.ndarray:
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError(
            "A masked array cannot be segmented, for what is masked would be used; "
            "give image.filled(value) with the value that stands for nothing."
        )
    image = np.asarray(image)
    if image.dtype.kind not in "biuf":
        raise TypeError(
            f"An image must hold real numbers; received values of type {image.dtype}."
        )
    return image


def to_image_axes(labels: np.ndarray, axes: str) -> np.ndarray:
    """Bring labels into the order of their image's axes.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(…, y, x)``, from an image with these axes.
    axes : str
        The image's.

    Returns
    -------
    numpy.ndarray
        An axis of length 1 stands where the image has its channels, so that the others
        keep their places; but where the channels come first there is none. None stands
        for colours.
    """
    letters = [letter for letter in axes if letter not in "CS"]
    canonical = [i for i, letter in enumerate(letters) if letter not in "YX"]
    canonical += [letters.index("Y"), letters.index("X")]
    labels = labels.transpose([int(i) for i in np.argsort(canonical)])
    at = axes.replace("S", "").find("C")
    return labels if at < 1 else np.expand_dims(labels, at)


def from_image_axes(labels: np.ndarray, axes: str) -> np.ndarray:
    """Bring labels in the order of their image's axes to ``(…, y, x)``.

    Parameters
    ----------
    labels : numpy.ndarray
        With an axis of length 1, or none, for the image's channels.
    axes : str
        The image's.

    Returns
    -------
    numpy.ndarray
        ``(…, y, x)``; the labels themselves if their axes are others.
    """
    letters = axes.replace("S", "")
    at = letters.find("C")
    if at >= 0 and labels.ndim == len(letters) and labels.shape[at] == 1:
        labels = labels.squeeze(at)
    letters = letters.replace("C", "")
    if labels.ndim != len(letters):
        return labels
    order = [i for i, letter in enumerate(letters) if letter not in "YX"]
    return labels.transpose([*order, letters.index("Y"), letters.index("X")])
