"""Planes of an image that is read a window at a time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.core.segment.planes import Reading


class Array(Protocol):
    """What can be cut as NumPy's arrays can be by slices and whole numbers: its own."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sides."""

    @property
    def dtype(self) -> Any:
        """The type of its values."""

    def __getitem__(self, where: Any) -> Any:
        """Return a part of it."""


@dataclass(frozen=True)
class LazyPlane:
    """One plane ``(y, x, c)`` of an image, of which only what is asked for is read.

    Parameters
    ----------
    image : Array
        Dask's, zarr's or NumPy's.
    where : tuple
        For each axis of the image the place of the plane, or None where it is Y, X or
        the colours.
    axes : str
        The image's.
    """

    image: Array
    where: tuple[int | None, ...]
    axes: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns and channels; 3 of a colour image."""
        y, x = (self.image.shape[self.axes.index(letter)] for letter in "YX")
        return y, x, 3 if self._coloured else 1

    @property
    def _coloured(self) -> bool:
        return "S" in self.axes and self.where[self.axes.index("S")] is None

    @property
    def dtype(self) -> Any:
        """The type of the image's values."""
        return self.image.dtype

    def __getitem__(self, window: Window) -> np.ndarray:
        """Read a window, ``(y, x, c)``."""
        wanted = dict(zip("YX", window, strict=True)) | {"S": slice(0, 3)}
        where = tuple(
            wanted[letter] if place is None else place
            for place, letter in zip(self.where, self.axes, strict=True)
        )
        part = _read(self.image[where])
        left = [
            letter
            for place, letter in zip(self.where, self.axes, strict=True)
            if place is None
        ]
        part = part.transpose(
            [left.index(letter) for letter in "YXS" if letter in left]
        )
        return part if self._coloured else part[..., None]


def _read(part: Any) -> np.ndarray:
    """Return a part of an image as NumPy's array.

    Dask calls what is registered globally, from whatever thread: so napari's cache of
    what was shown would keep all that is read meanwhile.
    """
    compute = getattr(part, "compute", None)
    return np.asarray(part if compute is None else compute(callbacks=[]))


class LazyPlanes:
    """All planes of an image, in the order of `planes.to_planes`.

    Parameters
    ----------
    image : Array
        Two axes or more, of real numbers.
    reading : Reading
        How it is read.

    Raises
    ------
    TypeError
        If the values are not real numbers.
    """

    def __init__(self, image: Array, reading: Reading) -> None:
        if np.dtype(image.dtype).kind not in "biuf":
            raise TypeError(
                f"An image must hold real numbers; received values of type "
                f"{image.dtype}."
            )
        self._image, self._axes = image, reading.axes
        self._channel: dict[int, int] = {}
        if reading.channel is not None:
            at = self._axes.index("C" if "C" in self._axes else "S")
            self._channel = {at: reading.channel}
        self._along = [
            i
            for i, letter in enumerate(self._axes)
            if letter not in "YXS" and i not in self._channel
        ]

    @property
    def stack(self) -> tuple[int, ...]:
        """How many planes there are along each axis of planes."""
        return tuple(self._image.shape[i] for i in self._along)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Planes, rows, columns and channels."""
        return len(self), *self[0].shape

    def __len__(self) -> int:
        return int(np.prod(self.stack, dtype=int))

    def __getitem__(self, index: int) -> LazyPlane:
        place = next(
            itertools.islice(itertools.product(*map(range, self.stack)), index, None)
        )
        where: list[int | None] = [None] * len(self._axes)
        for axis, at in [*zip(self._along, place, strict=True), *self._channel.items()]:
            where[axis] = at
        return LazyPlane(self._image, tuple(where), self._axes)


def largest_level(image: Any) -> Any:
    """Return the first level of a pyramid, a list of ever smaller images; else all.

    What lies in a list and is of one size is an image of planes.
    """
    if not isinstance(image, list | tuple) or len(image) < 2:
        return image
    shapes = [getattr(level, "shape", ()) for level in image]
    shrinks = all(
        len(before) == len(after) >= 2
        and np.prod(before) > np.prod(after)
        and all(a >= b for a, b in zip(before, after, strict=True))
        for before, after in itertools.pairwise(shapes)
    )
    return image[0] if shrinks else image
