"""From whatever napari shows to what a network takes: channels, contrast, size."""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi

#: Percentiles of a whole image that become 0 and 1.
LOW_PERCENTILE, HIGH_PERCENTILE = 1.0, 99.9

#: Up to here float32 holds every whole number.
LARGEST_EXACT = 2**24

#: A channel whose range is below this share of the widest one is not stretched further.
CHANNEL_FLOOR = 0.25


def to_finite_float(image: np.ndarray) -> np.ndarray:
    """Return an image as float32 without NaN or infinities.

    NaN becomes the smallest finite value, +inf the largest, -inf the smallest, so
    that a few bad pixels do not decide the contrast.

    Parameters
    ----------
    image : numpy.ndarray
        Any shape; bool, integer or float of any width.

    Returns
    -------
    numpy.ndarray
        float32, same shape. Values are divided by the largest magnitude where they
        would not fit (float64 beyond float32).
    """
    if image.dtype == np.float32 and np.abs(image).max(initial=0) <= LARGEST_EXACT:
        return image  # NaN and infinities compare as False
    values = np.asarray(image, dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        if not finite.any():
            return np.zeros(image.shape, np.float32)
        low, high = values[finite].min(), values[finite].max()
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    if values.size:
        # Work relative to the middle of the range: 64-bit values such as
        # 1e12 + [0..100] would otherwise lose all their contrast in float32.
        low, high = values.min(), values.max()
        peak = max(abs(low), abs(high))
        if peak > LARGEST_EXACT:
            half = high / 2 - low / 2
            middle = low / 2 + high / 2
            values = (values - middle) / half if half > 0 else values * 0
    return values.astype(np.float32)


def normalise(image: np.ndarray) -> np.ndarray:
    """Stretch the contrast of one plane by percentiles over the whole of it.

    Each channel runs from its 1st to its 99.9th percentile, except that a channel
    with hardly any contrast of its own is stretched only as far as `CHANNEL_FLOOR`
    of the strongest one, so that its noise does not become signal.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x, c)`` float32, finite.

    Returns
    -------
    numpy.ndarray
        ``(y, x, c)`` float32 in 0-1. A constant channel is 0 throughout.
    """
    if image.size == 0:
        return image.astype(np.float32)
    flat = image.reshape(-1, image.shape[-1])
    low, high = np.percentile(flat, (LOW_PERCENTILE, HIGH_PERCENTILE), axis=0)
    # A few bright nuclei on a black ground can lie above the upper percentile.
    flat_channel = high <= low
    if flat_channel.any():
        high = np.where(flat_channel, flat.max(axis=0), high)
        low = np.where(flat_channel, flat.min(axis=0), low)
    span = (high - low).astype(np.float64)
    span = np.maximum(span, CHANNEL_FLOOR * span.max())
    span[span <= 0] = 1.0
    # Clipped first, lest a lone huge value over a tiny span overflow.
    scaled = np.clip(image, low, high).astype(np.float64) - low
    return np.clip(scaled / span, 0.0, 1.0).astype(np.float32)


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


def resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize ``(y, x, c)`` to `shape` by linear interpolation, smoothed to shrink.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x, c)`` float32.
    shape : tuple of int
        Wanted ``(y, x)``.

    Returns
    -------
    numpy.ndarray
        ``(*shape, c)`` float32.
    """
    if image.shape[:2] == tuple(shape):
        return image
    out = np.empty((*shape, image.shape[-1]), np.float32)
    factors = [old / new for old, new in zip(image.shape[:2], shape, strict=True)]
    for channel in range(image.shape[-1]):
        plane = image[..., channel]
        sigma = [max(0.0, (factor - 1) / 2) for factor in factors]
        if any(sigma):
            plane = ndi.gaussian_filter(plane, sigma, mode="mirror", truncate=3)
        # Pixel centres: output i lies at (i + 0.5) * factor - 0.5 of the input.
        out[..., channel] = ndi.affine_transform(
            plane,
            factors,
            offset=[(factor - 1) / 2 for factor in factors],
            output_shape=shape,
            order=1,
            mode="nearest",
            prefilter=False,
        )
    return out
