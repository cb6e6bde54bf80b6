"""Blocks that cover an image, and the windows around them."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from napari_nucleiseg.core.segment.image import Window

#: Side of a block where nothing else is said, pixels.
BLOCK = 1024

#: Blocks are gone through in bands of so many columns: what two neighbours have in
#: common, such as tiles of the network, need not be kept for the width of the image.
BAND = 16


class MapSource(Protocol):
    """Maps of an image, of which any part can be read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns come first."""

    def read(self, window: Window) -> np.ndarray:
        """Return ``(y, x, 3 or more)``: nucleus, distance, contact, uint8 or float32.

        A pixel's maps are the same in whatever window it is read.
        """


class ArrayMaps:
    """Maps that are there as an array ``(y, x, maps)``."""

    def __init__(self, maps: np.ndarray) -> None:
        self._maps, self.shape = maps, maps.shape

    def read(self, window: Window) -> np.ndarray:
        """Return a part of them."""
        return self._maps[window]


def plan_blocks(shape: tuple[int, int], side: int = BLOCK) -> list[Window]:
    """Cover an image with blocks of a side (pixels), in reading order."""
    return [
        (slice(y, min(y + side, shape[0])), slice(x, min(x + side, shape[1])))
        for y in range(0, shape[0], side)
        for x in range(0, shape[1], side)
    ]


def order_blocks(rows: int, columns: int) -> list[int]:
    """Return in which order to go through blocks that are numbered in reading order."""
    return [
        row * columns + column
        for band in range(0, columns, BAND)
        for row in range(rows)
        for column in range(band, min(band + BAND, columns))
    ]


def widen(
    window: Window, shape: tuple[int, ...], before: int, after: int | None = None
) -> Window:
    """Return a window with so many pixels more on each side, as far as there are."""
    after = before if after is None else after
    y, x = (
        slice(max(0, part.start - before), min(size, part.stop + after))
        for part, size in zip(window, shape[:2], strict=True)
    )
    return y, x


def within(inner: Window, outer: Window) -> Window:
    """Return where in `outer` a window lies that is part of it."""
    y, x = (
        slice(part.start - around.start, part.stop - around.start)
        for part, around in zip(inner, outer, strict=True)
    )
    return y, x


def positions(window: Window, shape: tuple[int, ...]) -> np.ndarray:
    """Return each pixel's place in the image's reading order, ``(y, x)`` int64."""
    y, x = window
    rows = np.arange(y.start, y.stop, dtype=np.int64) * shape[1]
    return rows[:, None] + np.arange(x.start, x.stop)
