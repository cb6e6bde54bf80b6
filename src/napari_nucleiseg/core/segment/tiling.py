"""Plan overlapping tiles that cover an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Longest side of a tile where nothing else is said, pixels.
TILE = 512


@dataclass(frozen=True)
class Tile:
    """One tile: where it starts in the padded image, and its side lengths.

    Parameters
    ----------
    y, x : int
        First row and column.
    height, width : int
        Side lengths, pixels.
    """

    y: int
    x: int
    height: int
    width: int

    @property
    def window(self) -> tuple[slice, slice]:
        """The tile as slices."""
        return (
            slice(self.y, self.y + self.height),
            slice(self.x, self.x + self.width),
        )


@dataclass(frozen=True)
class TilePlan:
    """Equal tiles that cover an image.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` of the image.
    padded : tuple of int
        ``(y, x)`` after padding: what the tiles cover.
    tiles : tuple of Tile
        In reading order.
    """

    shape: tuple[int, int]
    padded: tuple[int, int]
    tiles: tuple[Tile, ...]


def _plan_axis(
    length: int, largest: int, overlap: int, multiple: int
) -> tuple[int, list[int]]:
    """Return the tile side and the starts along one axis."""

    def up(n: int) -> int:
        return -(-n // multiple) * multiple

    if up(length) <= largest:
        return up(length), [0]
    count = -(-(length - overlap) // (largest - overlap))
    side = min(largest, up(-(-(length + (count - 1) * overlap) // count)))
    last = max(length - side, 0)
    return side, [round(i * last / (count - 1)) for i in range(count)]


def plan_tiles(
    shape: tuple[int, int],
    *,
    largest: int = TILE,
    overlap: int = 64,
    multiple: int = 32,
) -> TilePlan:
    """Cover an image with as few equal tiles as will do.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` of the image, each at least 1.
    largest : int
        Longest side of a tile, a multiple of `multiple`.
    overlap : int
        Least overlap of neighbours, pixels.
    multiple : int
        What a tile's sides must be multiples of.

    Returns
    -------
    TilePlan

    Raises
    ------
    ValueError
        If the overlap leaves no room, or the sizes do not fit together.
    """
    if largest % multiple or not 0 <= overlap < largest:
        raise ValueError(
            f"The largest tile must be a multiple of {multiple} and longer than the "
            f"overlap; received {largest} and {overlap}."
        )
    height, ys = _plan_axis(shape[0], largest, overlap, multiple)
    width, xs = _plan_axis(shape[1], largest, overlap, multiple)
    padded = (max(shape[0], height), max(shape[1], width))
    tiles = tuple(Tile(y, x, height, width) for y in ys for x in xs)
    return TilePlan(tuple(shape), padded, tiles)  # type: ignore[arg-type]


def mirror_pad(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Extend ``(y, x, c)`` to `shape` at the lower right by mirroring it."""
    extra = [(0, new - old) for old, new in zip(image.shape[:2], shape, strict=True)]
    if not any(after for _, after in extra):
        return image
    # "symmetric" repeats the edge pixel, and so works for a single row or column.
    return np.pad(image, [*extra, (0, 0)], mode="symmetric")
