"""How a patch may look otherwise: contrast, stain, blur, noise, light (NumPy only)."""

from __future__ import annotations

import numpy as np
import scipy.ndimage as ndi


def slope(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a smooth light-to-dark field, ``(size, size)`` in about -1 to 1."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    field = np.cos(angle) * x + np.sin(angle) * y
    if rng.random() < 0.5:
        cy, cx = rng.uniform(-1, 1, 2)
        field = 1 - (y - cy) ** 2 - (x - cx) ** 2
    return field.astype(np.float32)


def _finish(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Blur, noise, uneven light: what happens to any image."""
    size = image.shape[0]
    if rng.random() < 0.25:
        sigma = rng.uniform(0.3, 1.5) * strength
        image = ndi.gaussian_filter(image, (sigma, sigma, 0), truncate=3)
    if rng.random() < 0.2:
        image = image * (1 + 0.35 * strength * slope(size, rng)[..., None])
    if rng.random() < 0.4:
        sigma = strength * 10 ** rng.uniform(-2.5, -1.0)
        noise = rng.normal(0, sigma, image.shape)
        if rng.random() < 0.5:
            noise *= np.sqrt(np.clip(image, 0.02, 1))
        image = image + noise
    return np.clip(image, 0, 1).astype(np.float32)


def _stretch_otherwise(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    brightest: tuple[float, float],
) -> np.ndarray:
    """As if the percentiles had fallen elsewhere, or there were a haze."""
    low = rng.uniform(-0.15, 0.15) * strength
    high = 1 + rng.uniform(*brightest) * strength
    return (image - low) / max(high - low, 0.3)


def vary_grey(
    image: np.ndarray,
    rng: np.random.Generator,
    strength: float,
    *,
    inverted: float = 0.0,
) -> np.ndarray:
    """Vary a grey patch's contrast, blur, noise and light; now and then invert it.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x, 1)`` float32 in 0-1.
    rng : numpy.random.Generator
        Draws how.
    strength : float
        0 leaves contrast and light almost as they are; 1 is much.
    inverted : float
        How often to invert it, 0-1.

    Returns
    -------
    numpy.ndarray
        ``(y, x, 1)`` float32 in 0-1.
    """
    if rng.random() < 0.6:
        image = np.clip(image, 0, 1) ** np.exp(rng.uniform(-0.7, 0.7) * strength)
    if rng.random() < 0.5:
        image = _stretch_otherwise(image, rng, strength, (-0.3, 0.5))
    if rng.random() < inverted:
        image = 1 - image
    return _finish(image, rng, strength)


#: Rows: optical density of haematoxylin, eosin and a residual in red, green, blue
#: (A. C. Ruifrok, D. A. Johnston, Anal. Quant. Cytol. Histol. 23, 2001).
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])


def as_fluorescence(
    image: np.ndarray, nuclei: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Turn stained tissue into what looks like fluorescence.

    The amount of haematoxylin, or darkness, becomes light; what is not nucleus is
    dimmed, the nuclei are made unlike each other in brightness patch by patch, and haze
    and blur are added.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x, 3)`` float32 in 0-1.
    nuclei : numpy.ndarray
        ``(y, x)`` bool.
    rng : numpy.random.Generator
        Draws how.

    Returns
    -------
    numpy.ndarray
        ``(y, x, 1)`` float32 in 0-1.
    """
    way = rng.integers(3)
    if way == 0:
        density = -np.log(np.clip(image, 0.02, 1)) @ np.linalg.inv(STAINS)
        light = density[..., 0]
    else:
        light = 1 - (image[..., 0] if way == 1 else image.mean(axis=-1))
    low, high = np.percentile(light, (rng.uniform(5, 50), 99.8))
    light = np.clip((light - low) / max(high - low, 1e-3), 0, 1.2)
    light = light ** np.exp(rng.uniform(-0.3, 0.5))
    soft = ndi.gaussian_filter(nuclei.astype(np.float32), rng.uniform(0.5, 1.2))
    dimmed = rng.uniform(0.15, 1)
    light = light * (dimmed + (1 - dimmed) * soft)
    uneven = ndi.gaussian_filter(rng.normal(size=light.shape), 10)
    light = light * np.exp(rng.uniform(0, 0.5) * uneven / (uneven.std() + 1e-9))
    if rng.random() < 0.5:
        haze = ndi.gaussian_filter(light, rng.uniform(4, 14))
        light = light + rng.uniform(0.1, 0.6) * haze
    light = ndi.gaussian_filter(light, rng.uniform(0.3, 1.5))
    low, high = np.percentile(light, (1, 99.9))
    light = np.clip((light - low) / max(high - low, 1e-6), 0, 1)
    return light[..., None].astype(np.float32)


def vary_colour(
    image: np.ndarray, rng: np.random.Generator, strength: float
) -> np.ndarray:
    """Vary a colour patch's stains, colours, contrast, blur, noise and light.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x, 3)`` float32 in 0-1.
    rng, strength
        See `vary_grey`.

    Returns
    -------
    numpy.ndarray
        ``(y, x, 3)`` float32 in 0-1.
    """
    if rng.random() < 0.5:
        # Vary the amount of each stain, then how each colour is recorded.
        density = -np.log(np.clip(image, 0.02, 1)) @ np.linalg.inv(STAINS)
        density = density * (1 + rng.uniform(-0.3, 0.3, 3) * strength)
        density = density + rng.uniform(-0.08, 0.08, 3) * strength
        image = np.exp(-np.clip(density @ STAINS, 0, 6))
    if rng.random() < 0.5:
        mix = np.eye(3) + rng.uniform(-0.25, 0.25, (3, 3)) * strength
        image = image @ (mix / mix.sum(0, keepdims=True))
    if rng.random() < 0.5:
        image = np.clip(image, 0, 1) ** np.exp(
            rng.uniform(-0.5, 0.5) * strength + rng.uniform(-0.2, 0.2, 3) * strength
        )
    if rng.random() < 0.05 * strength:
        image = image[..., rng.permutation(3)]
    if rng.random() < 0.15 * strength:
        shares = rng.dirichlet((2, 2, 2))
        image = np.repeat((image @ shares)[..., None], 3, -1)
    if rng.random() < 0.5:
        image = _stretch_otherwise(image, rng, strength, (-0.2, 0.3))
    return _finish(image.astype(np.float32), rng, strength)
