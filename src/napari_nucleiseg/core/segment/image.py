"""From whatever napari shows to what a network takes: channels, contrast, size."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

#: Rows and columns.
Window = tuple[slice, slice]

#: Percentiles of a whole image that become 0 and 1.
LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.9

#: A channel whose range is below this share of the widest one is not stretched further.
CHANNEL_FLOOR = 0.25

#: What programs write where there are no data, besides NaN: the largest numbers.
NO_DATA = [float(np.finfo(kind).max) for kind in (np.float32, np.float64)]

#: Up to here differences of two numbers can be reckoned with in float32 and float64.
SAFE, LARGEST = 1e38, 1e300

#: A pixel that lies this many times the stretched range outside of it is extreme.
EXTREME = 1000.0

#: The contrast of a plane of more pixels is measured on windows spread over it: so many
#: along each axis, of this side (pixels).
LARGE, SAMPLES, SAMPLE = 2**24, 8, 512

#: Rows that are stretched at a time: few enough for the processor's cache.
_ROWS = 64


class Plane(Protocol):
    """A plane ``(y, x, c)`` of real numbers, an array or not yet read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, columns and channels."""

    def __getitem__(self, window: Window) -> np.ndarray:
        """Return a window of it."""


def sample_plane(plane: Plane) -> np.ndarray:
    """Return a plane ``(y, x, c)``; of a large one windows, one below the other."""
    y, x = plane.shape[:2]
    if y * x <= LARGE:
        return plane[slice(0, y), slice(0, x)]
    sides = [min(SAMPLE, n) for n in (y, x)]
    starts = [
        sorted({round(at) for at in np.linspace(0, n - side, SAMPLES)})
        for n, side in zip((y, x), sides, strict=True)
    ]
    return np.concatenate(
        [
            plane[slice(row, row + sides[0]), slice(column, column + sides[1])]
            for row in starts[0]
            for column in starts[1]
        ]
    )


@dataclass(frozen=True)
class Contrast:
    """How the contrast of one plane is stretched: each channel by its own percentiles.

    Each channel runs from its 1st to its 99.9th percentile, except that a channel
    with hardly any contrast of its own is stretched only as far as `CHANNEL_FLOOR`
    of the strongest one, so that its noise does not become signal.

    Parameters
    ----------
    low, high : numpy.ndarray
        ``(c,)`` float64: what becomes 0 and, at most, 1.
    span : numpy.ndarray
        ``(c,)`` float64: the range that becomes 0 to 1.
    missing : int
        How many values are NaN, infinite, or what programs write for "no data".
    extreme : int
        How many finite values lie far outside the range.
    """

    low: np.ndarray
    high: np.ndarray
    span: np.ndarray
    missing: int = 0
    extreme: int = 0

    @classmethod
    def of(cls, plane: np.ndarray) -> Contrast:
        """Measure a plane ``(y, x, c)`` of real numbers."""
        channels = plane.shape[-1]
        low, high = np.zeros(channels), np.zeros(channels)
        missing = extreme = 0
        for channel in range(channels):
            values = _numbers(plane[..., channel])
            missing += plane[..., channel].size - values.size
            if not values.size:
                continue
            least, most = float(values.min()), float(values.max())
            low[channel], high[channel] = np.percentile(
                values, (LOW_PERCENTILE, HIGH_PERCENTILE)
            )
            if high[channel] <= low[channel]:
                low[channel], high[channel] = _range_of_few(
                    plane[..., channel], float(low[channel])
                )
            far = EXTREME * (high[channel] - low[channel])
            if most - high[channel] > far or low[channel] - least > far:
                outside = (values > high[channel] + far) | (values < low[channel] - far)
                extreme += int(outside.sum())
        span = high - low
        span = np.maximum(span, CHANNEL_FLOOR * span.max(initial=0))
        span[span <= 0] = 1.0
        return cls(low, high, span, missing, extreme)

    @property
    def constant(self) -> bool:
        """Whether the plane has one value only."""
        return bool((self.high <= self.low).all())

    def stretch(self, image: np.ndarray) -> np.ndarray:
        """Return the plane, or a window of it, stretched.

        Parameters
        ----------
        image : numpy.ndarray
            ``(y, x, c)``, of the plane's dtype.

        Returns
        -------
        numpy.ndarray
            ``(y, x, c)`` float32 in 0-1; 0 where there are no data, and throughout a
            constant channel.
        """
        out = np.empty(image.shape, np.float32)
        for start in range(0, len(image), _ROWS):
            rows = slice(start, start + _ROWS)
            values = image[rows].astype(np.float64)
            if image.dtype.kind == "f":
                values[_no_data(values)] = -np.inf
            # Clipped first, lest a lone huge value over a tiny span overflow.
            np.clip(values, self.low, self.high, out=values)
            out[rows] = (values - self.low) / self.span
        return out


def _range_of_few(channel: np.ndarray, ground: float) -> tuple[float, float]:
    """Return the range of a channel ``(y, x)`` of which nearly all is one value.

    A few nuclei can lie above the upper percentile. Single pixels do not count: there
    are defective ones in many a camera.
    """
    # Seldom needed, and slow to import.
    from scipy import ndimage as ndi

    values = channel.astype(np.float64)
    values[~(np.abs(values) <= LARGEST) | _no_data(values)] = ground
    smooth = ndi.median_filter(values, 3, mode="reflect")
    return float(smooth.min()), float(smooth.max())


def _no_data(values: np.ndarray) -> np.ndarray:
    """Return where float64 values are NaN, or what programs write instead."""
    return np.isnan(values) | np.isin(np.abs(values), NO_DATA)


def _numbers(channel: np.ndarray) -> np.ndarray:
    """Return the finite values of a channel, in a type that holds their differences."""
    kind, size = channel.dtype.kind, channel.dtype.itemsize
    if kind == "b":
        return channel.astype(np.uint8).ravel()
    if kind == "u" and size <= 2:
        return channel.ravel()
    if kind in "iu":
        return channel.astype(np.float32 if size <= 2 else np.float64).ravel()
    values = channel.astype(np.float32 if size <= 4 else np.float64, copy=False).ravel()
    # NaN, if one is.
    if max(-values.min(initial=0), values.max(initial=0)) <= SAFE:
        return values
    values = values.astype(np.float64, copy=False)
    return values[(np.abs(values) <= LARGEST) & ~_no_data(values)]


def normalise(image: np.ndarray) -> np.ndarray:
    """Return one plane ``(y, x, c)`` with its contrast stretched; see `Contrast`."""
    return Contrast.of(image).stretch(image)


def match_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Return ``(…, y, x, channels)``: grey is repeated, colour averaged to grey.

    Raises
    ------
    ValueError
        If the image has neither one channel nor as many as wanted.
    """
    have = image.shape[-1]
    if have == channels:
        return image
    if have == 1:
        return np.repeat(image, channels, axis=-1)
    if channels == 1:
        return image.mean(axis=-1, keepdims=True, dtype=np.float32)
    raise ValueError(
        f"The model takes {channels} channels; received an image with {have}."
    )


@dataclass(frozen=True)
class Resizing:
    """Bringing ``(y, x, c)`` from one size to another, window by window.

    By linear interpolation, smoothed to shrink. A window comes out as it would if the
    whole were resized.

    Parameters
    ----------
    old, new : tuple of int
        ``(y, x)`` before and after.
    """

    old: tuple[int, int]
    new: tuple[int, int]

    @property
    def factors(self) -> tuple[float, float]:
        """Pixels before for each pixel after, along y and x."""
        y, x = (old / new for old, new in zip(self.old, self.new, strict=True))
        return y, x

    def needs(self, window: Window) -> Window:
        """Return the part before that a window after is made from."""
        if self.old == self.new:
            return window
        y, x = (
            slice(
                max(0, int(place(wanted.start, factor)) - _reach(factor)),
                min(size, int(place(wanted.stop - 1, factor)) + 2 + _reach(factor)),
            )
            for wanted, factor, size in zip(window, self.factors, self.old, strict=True)
        )
        return y, x

    def __call__(self, part: np.ndarray, window: Window) -> np.ndarray:
        """Return a window.

        Parameters
        ----------
        part : numpy.ndarray
            ``(y, x, c)`` float32: what the window needs, see `needs`.
        window : tuple of slice
            In the pixels after.

        Returns
        -------
        numpy.ndarray
            ``(y, x, c)`` float32, of the window's size.
        """
        if self.old == self.new:
            return part
        first = [
            place(wanted.start, factor) - needed.start
            for wanted, factor, needed in zip(
                window, self.factors, self.needs(window), strict=True
            )
        ]
        y, x = (wanted.stop - wanted.start for wanted in window)
        return resample(part, self.factors, first, (y, x))


def resample(
    image: np.ndarray,
    step: Sequence[float],
    first: Sequence[float],
    shape: tuple[int, int],
) -> np.ndarray:
    """Read an image at evenly spaced places, smoothed where they are far apart.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x, c)`` float32.
    step, first : sequence of float
        Along y and x: from place to place, and where the first one is, pixels.
    shape : tuple of int
        ``(y, x)``: how many places.

    Returns
    -------
    numpy.ndarray
        ``(*shape, c)`` float32.
    """
    down, across = (
        _weights(size, float(along), float(start), count)
        for size, along, start, count in zip(
            image.shape, step, first, shape, strict=False
        )
    )
    height, width, channels = len(image), image.shape[1], image.shape[-1]
    rows = down @ np.asarray(image, np.float32).reshape(height, width * channels)
    turned = rows.reshape(shape[0], width, channels).swapaxes(0, 1)
    columns = across @ turned.reshape(width, shape[0] * channels)
    out = columns.reshape(shape[1], shape[0], channels).swapaxes(0, 1)
    return np.ascontiguousarray(out)


@functools.lru_cache(maxsize=64)
def _weights(size: int, step: float, first: float, count: int) -> Any:
    """Return what each pixel of a line gives to each of the places to be read there.

    Both linear interpolation and the Gaussian that smooths before it are such weights:
    ``(count, size)`` float32, sparse.
    """
    from scipy.sparse import csr_array

    at = np.clip(first + step * np.arange(count), 0, size - 1)
    left = np.minimum(at.astype(int), max(size - 2, 0))
    part = at - left
    right = np.minimum(left + 1, size - 1)
    index = np.stack([left, right], axis=1).ravel()
    share = np.stack([1 - part, part], axis=1).ravel()
    starts = np.arange(count + 1) * 2
    weights = csr_array((share, index, starts), shape=(count, size))
    sigma = _sigma(step)
    if sigma:
        reach = int(3 * sigma + 0.5)
        away = np.arange(-reach, reach + 1)
        kernel = np.exp(-0.5 * (away / sigma) ** 2)
        near = np.arange(size)[:, None] + away
        # Beyond the edge, mirrored about the last pixel.
        turn = max(2 * (size - 1), 1)
        near = np.minimum(near % turn, -near % turn)
        values = np.broadcast_to(kernel / kernel.sum(), near.shape)
        ends = np.arange(size + 1) * away.size
        weights = weights @ csr_array(
            (values.ravel(), near.ravel(), ends), shape=(size, size)
        )
    return weights.astype(np.float32)


def place(pixel: int, factor: float) -> float:
    """Return where the centre of a pixel lies in an image `factor` times as large."""
    return (pixel + 0.5) * factor - 0.5


def _sigma(factor: float) -> float:
    return max(0.0, (factor - 1) / 2)


def _reach(factor: float) -> int:
    """Return how many pixels smoothing looks to each side."""
    return int(3 * _sigma(factor) + 0.5) + 1


def resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the whole of an image ``(y, x, c)`` float32 resized; see `Resizing`."""
    resizing = Resizing((image.shape[0], image.shape[1]), (shape[0], shape[1]))
    return resizing(image, (slice(0, shape[0]), slice(0, shape[1])))
