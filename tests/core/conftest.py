"""What the core's tests share: a network's stand-in, and pictures of discs."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage as ndi

from napari_nucleiseg.core.segment.instances import InstanceSettings
from napari_nucleiseg.core.segment.predictor import NetworkSpec


class BrightIsNucleus:
    """A predictor without a network: what is bright is nucleus."""

    def __init__(self, channels=1):
        self.spec = NetworkSpec(
            name="bright",
            channels=channels,
            diameter=20.0,
            diameter_range=(11.0, 36.0),
            settings=InstanceSettings(probability=0.5, separation=0.5, min_area=12),
        )
        self.seen = []

    def change_spec(self, **changes):
        self.spec = replace(self.spec, **changes)

    def predict(self, tiles):
        assert tiles.dtype == np.float32
        assert np.isfinite(tiles).all()
        assert tiles.min() >= 0
        assert tiles.max() <= 1
        assert tiles.shape[-1] == self.spec.channels
        assert not np.remainder(tiles.shape[1:3], self.spec.multiple).any()
        self.seen.append(tiles.shape)
        bright = tiles.mean(axis=-1)
        blurred = ndi.uniform_filter(bright, (0, 5, 5))
        return np.stack([bright, blurred, np.zeros_like(bright)], axis=-1)


class Recorder:
    """A monitor that keeps what it is told, and stops after so many reports."""

    def __init__(self, stop_when=lambda: False):
        self.reports = []
        self.should_stop = stop_when

    def report(self, progress):
        self.reports.append(progress)


def draw_discs(shape, centres, radius):
    """Return int32 labels, one disc a centre."""
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.int32)
    for number, (cy, cx) in enumerate(centres, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels


@pytest.fixture
def predictor():
    return BrightIsNucleus()


@pytest.fixture(scope="session")
def make_predictor():
    return BrightIsNucleus


@pytest.fixture
def make_monitor():
    return Recorder


@pytest.fixture
def discs():
    return draw_discs


@pytest.fixture
def nuclei():
    """``(96, 128)`` labels of nine well separated discs, 17 px wide."""
    centres = [(y, x) for y in (16, 48, 80) for x in (20, 60, 100)]
    return draw_discs((96, 128), centres, 8)


@pytest.fixture
def same_partition():
    """Return whether two label images hold the same nuclei, whatever the numbers."""

    def same(a, b):
        pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
        return (
            np.array_equal(a > 0, b > 0)
            and len(np.unique(pairs[0])) == pairs.shape[1]
            and len(np.unique(pairs[1])) == pairs.shape[1]
        )

    return same
