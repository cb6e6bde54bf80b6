"""An image's channels, each of the shape of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_nucleiseg.core.segment.planes import (
    channel_axis,
    check_axes,
    guess_axes,
    to_planes,
)

_COLOURS = ("red", "green", "blue")


def split_channels(
    image: Any, shape: Sequence[int], *, axes: str | None = None, name: str = ""
) -> dict[str, Any]:
    """Return the channels of an image by name.

    Parameters
    ----------
    image : numpy.ndarray
        An image, whose planes are those of the labels.
    shape : sequence of int
        ``(…, y, x)`` of the labels.
    axes : str, optional
        A letter for each of the image's axes; guessed if it has not as many.
    name : str
        What the image is called. The only channel is called that, several
        ``name_channel_0`` or ``name_red`` and so on; without a name, ``intensity``,
        ``channel_0`` and ``red``.

    Returns
    -------
    dict of str to numpy.ndarray
        Each ``(…, y, x)``, of the image's dtype.

    Raises
    ------
    ValueError
        If the image does not fit the labels.
    """
    wanted = tuple(shape)
    own = axes if axes is not None and len(axes) == len(image.shape) else None
    plain = own is None or (own.upper().endswith("YX") and "C" not in own.upper())
    if tuple(image.shape) == wanted and plain:
        return {name or "intensity": image}
    letters = check_axes(own or guess_axes(image.shape), image.shape)
    at = channel_axis(letters, image.shape)
    parts: dict[str, int | None]
    if "S" in letters:
        parts = dict(zip(_COLOURS, range(3), strict=True))
    elif at is not None:
        letters = f"{letters[:at]}C{letters[at + 1 :]}"
        parts = {f"channel_{i}": i for i in range(image.shape[at])}
    else:
        parts = {"": None}
    channels = {}
    for part, channel in parts.items():
        planes, found = to_planes(image, axes=letters, channel=channel)
        if found != wanted:
            raise ValueError(
                f"{name or 'The image'} must have the labels' planes, "
                f"{' × '.join(map(str, wanted))}; received "
                f"{' × '.join(map(str, image.shape))} (axes {letters})."
            )
        whole = "_".join(filter(None, (name, part))) or "intensity"
        channels[whole] = planes[..., 0].reshape(found)
    return channels
