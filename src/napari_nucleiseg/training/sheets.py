"""Made-up dense tissue: sheets of nuclei side by side, with their labels (NumPy only).

Open images of dense fluorescence tissue that may be learnt from are rare, and in the
others nuclei lie apart. Here ellipses are packed along a field of directions, as in
an epithelium: they overlap, their light adds up, some are out of focus, and nothing but
a faint line, or none, is between neighbours. Microscopes are imitated by blur, haze
and the noise of counted photons; some sheets are coloured like haematoxylin and eosin.

A nucleus's own part of an overlap is where its ellipse is the nearer one, relative to
the ellipses' axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.training.augmentation import STAINS

#: Mean nuclear diameter of a sheet, px; sheets vary by a factor of 1.5 either way.
DIAMETER = 26.0

#: Largest ratio of a nucleus's axes.
LONGEST = 3.2

#: Share of sheets that are coloured, and of those seen as by a confocal microscope.
COLOURED, CONFOCAL = 0.13, 0.45


@dataclass(frozen=True)
class _Ellipses:
    """Where nuclei lie: arrays ``(n,)``; lengths in pixels, angles in radians."""

    y: np.ndarray
    x: np.ndarray
    angle: np.ndarray
    long: np.ndarray  # semi-axes
    short: np.ndarray


def make_sheets(count: int, size: int, seed: int) -> list[Pair]:
    """Make images of dense tissue with their labels.

    Parameters
    ----------
    count : int
        How many.
    size : int
        Side of each, pixels.
    seed : int
        The same seed gives the same sheets.

    Returns
    -------
    list of Pair
        Images ``(y, x)`` or ``(y, x, 3)`` float32 in 0-1, labels int32.
    """
    return [
        make_sheet(size, np.random.default_rng((seed, i)), name=f"sheet {i}")
        for i in range(count)
    ]


def make_sheet(size: int, rng: np.random.Generator, *, name: str = "") -> Pair:
    """Make one image of dense tissue; see `make_sheets`."""
    diameter = DIAMETER * np.exp(rng.uniform(-0.45, 0.4))
    # Nuclei may reach in from beyond the edge.
    margin = int(1.2 * diameter)
    side = size + 2 * margin
    ellipses = _pack(side, diameter, rng)
    light, labels = _draw(side, ellipses, rng)
    areas = np.bincount(labels.ravel())
    labels[(areas < 0.06 * diameter**2)[labels]] = 0
    light = _look_at(light, diameter, rng)
    cut = (slice(margin, -margin),) * 2
    image = light[cut]
    return Pair(
        _stain(image, rng) if rng.random() < COLOURED else image, labels[cut], name
    )


def _noise(side: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of mean 0 and standard deviation 1."""
    field = ndi.gaussian_filter(rng.normal(size=(side, side)), sigma, mode="wrap")
    return field / (field.std() + 1e-9)


def _directions(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return the long axis's angle everywhere: round a lumen, or wandering."""
    if rng.random() < 0.55:
        y, x = np.mgrid[:side, :side]
        cy, cx = rng.uniform(-0.3 * side, 1.3 * side, 2)
        around = np.arctan2(y - cy, x - cx)
        return around + rng.uniform(0, 0.35) * _noise(side, 12, rng)
    sigma = rng.uniform(15, 70)
    return 0.5 * np.arctan2(_noise(side, sigma, rng), _noise(side, sigma, rng))


def _pack(side: int, diameter: float, rng: np.random.Generator) -> _Ellipses:
    """Throw ellipses until hardly another one fits, closer than touching."""
    angles = _directions(side, rng)
    ratio, closeness = rng.uniform(1, 2.5), rng.uniform(0.62, 0.98)
    spread = np.clip(_noise(side, rng.uniform(15, 40), rng), -1.6, 1.6)
    sizes = diameter * np.exp(rng.uniform(0, 0.4) * spread)
    ratios = ratio * np.exp(rng.uniform(0, 0.35) * _noise(side, 25, rng))
    vary = rng.uniform(0.05, 0.3)
    tissue = np.ones((side, side), bool)
    if rng.random() < 0.75:
        tissue = _noise(side, rng.uniform(12, 40), rng) > rng.uniform(-1.2, 0.4)
    kept = np.zeros((0, 5))
    for y, x in rng.uniform(0, side, (int(6 * side**2 / diameter**2), 2)):
        at = int(y), int(x)
        if not tissue[at]:
            continue
        astray = rng.random() < 0.02
        angle = rng.uniform(0, np.pi) if astray else angles[at] + rng.normal(0, 0.12)
        stretch = np.sqrt(np.clip(ratios[at] * np.exp(rng.normal(0, 0.18)), 1, LONGEST))
        radius = sizes[at] * np.exp(rng.normal(0, vary)) / 2
        long, short = radius * stretch, radius / stretch
        dy, dx = kept[:, 0] - y, kept[:, 1] - x
        u = (dx * np.cos(angle) + dy * np.sin(angle)) / (long + kept[:, 3])
        v = (dy * np.cos(angle) - dx * np.sin(angle)) / (short + kept[:, 4])
        if not (np.hypot(u, v) < closeness).any():
            kept = np.vstack([kept, (y, x, angle, long, short)])
    return _Ellipses(*kept.T)


def _draw(
    side: int, ellipses: _Ellipses, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the light ``(y, x)`` float32 and the labels ``(y, x)`` int32."""
    nearest = np.full((side, side), 9, np.float32)
    second, light = nearest.copy(), np.zeros((side, side), np.float32)
    labels = np.zeros((side, side), np.int32)
    blend = np.maximum if rng.random() < 0.3 else np.add
    softness, dome = rng.uniform(0.03, 0.14), rng.uniform(0, 0.6)
    unlike = rng.uniform(0.1, 0.75)
    texture = _chromatin(side, rng)
    rows, cols = np.mgrid[:side, :side].astype(np.float32)
    each = zip(
        ellipses.y, ellipses.x, ellipses.angle, ellipses.long, ellipses.short,
        strict=True,
    )  # fmt: skip
    for number, (y, x, angle, long, short) in enumerate(each, start=1):
        reach = int(1.5 * long) + 3
        window = tuple(slice(max(int(c) - reach, 0), int(c) + reach) for c in (y, x))
        dy, dx = rows[window] - y, cols[window] - x
        u = (dx * np.cos(angle) + dy * np.sin(angle)) / long
        v = (dy * np.cos(angle) - dx * np.sin(angle)) / short
        # A superellipse with a bulge or two: 1 on the outline.
        power = rng.uniform(1.8, 2.7)
        rho = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
        lobes, phase = rng.integers(1, 4), rng.uniform(0, 2 * np.pi)
        bulge = rng.uniform(0, 0.12) * np.sin(lobes * np.arctan2(v, u) + phase)
        rho = (rho * (1 + bulge)).astype(np.float32)
        before = nearest[window]
        closer = rho < before
        second[window] = np.where(closer, before, np.minimum(second[window], rho))
        labels[window] = np.where(closer & (rho < 1), number, labels[window])
        nearest[window] = np.minimum(before, rho)
        shine = 1 / (1 + np.exp(np.clip((rho - 1) / softness, -30, 30)))
        shine *= (1 - dome * np.clip(rho, 0, 1) ** 2) * texture[window]
        light[window] = blend(light[window], shine * np.exp(rng.normal(0, unlike)))
    if rng.random() < 0.5:  # a faint dark line between neighbours
        gap = (second - nearest) / rng.uniform(0.06, 0.2)
        line = np.exp(-(gap**2)) * (nearest < 1.1)
        light = light * (1 - rng.uniform(0.05, 0.5) * line)
    return light.astype(np.float32), labels


def _chromatin(side: int, rng: np.random.Generator) -> np.ndarray:
    """Uneven light inside nuclei, around 1, now and then with bright spots."""
    texture = 1 + rng.uniform(0, 0.35) * _noise(side, rng.uniform(1, 3), rng)
    if rng.random() < 0.55:
        spots = np.clip(_noise(side, rng.uniform(0.7, 1.9), rng) - 1.3, 0, None)
        texture += rng.uniform(0.3, 3.0) * spots
    return np.clip(texture, 0.2, None)


def _look_at(
    light: np.ndarray, diameter: float, rng: np.random.Generator
) -> np.ndarray:
    """Haze, nuclei out of focus, the microscope's blur and noise; stretched to 0-1."""
    if rng.random() < 0.6:  # the tissue above and below
        other = light[::-1, ::-1] if rng.random() < 0.5 else light.T
        out_of_focus = ndi.gaussian_filter(other, rng.uniform(0.15, 0.4) * diameter)
        light = light + rng.uniform(0.1, 0.7) * out_of_focus
    if rng.random() < 0.6:
        haze = ndi.gaussian_filter(light, 0.6 * diameter)
        light = light + rng.uniform(0.1, 0.6) * haze
    confocal = rng.random() < CONFOCAL
    light = ndi.gaussian_filter(
        light, rng.uniform(0.2, 0.9) if confocal else rng.uniform(0.5, 2.0)
    )
    if confocal:
        photons = 10 ** rng.uniform(0.8, 2.2)
        unit = (np.percentile(light, 90) + 1e-6) / photons
        light = rng.poisson(np.clip(light / unit, 0, 20 * photons)) / photons
        if rng.random() < 0.5:
            light = ndi.gaussian_filter(light, rng.uniform(0.3, 0.8))
        light = np.clip(light - rng.uniform(0, 0.12), 0, None)
    low, high = np.percentile(light, (1, 99.9))
    return np.clip((light - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def _stain(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a sheet as haematoxylin, among eosin: ``(y, x, 3)`` float32 in 0-1."""
    haematoxylin = light / (np.percentile(light, 99) + 1e-6) * rng.uniform(0.6, 1.5)
    around = 0.15 + 0.3 * np.clip(ndi.gaussian_filter(light, 6), 0, 2)
    fibres = 0.1 * np.abs(_noise(len(light), 2.5, rng))
    eosin = around * rng.uniform(0.3, 1.2) + fibres
    density = [
        amount[..., None] * (stain + rng.normal(0, 0.05, 3))
        for amount, stain in zip((haematoxylin, eosin), STAINS, strict=False)
    ]
    return np.exp(-np.clip(sum(density), 0, 5)).astype(np.float32)
