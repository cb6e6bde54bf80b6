"""Tests that train: Keras on TensorFlow.

Run them in a pytest process of their own: TensorFlow and a napari window do not
share one.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.registry import RUN_FILE, find_model

#: From Keras saving a TensorFlow variable under NumPy 2; not ours to mend.
FOREIGN = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(FOREIGN))


class Recorder:
    """A monitor that keeps what it is told, and stops when it is to."""

    def __init__(self, stop_when=lambda reports: False):
        self.reports, self._stop_when = [], stop_when

    def report(self, progress):
        self.reports.append(progress)

    def should_stop(self):
        return self._stop_when(self.reports)

    def of(self, stage):
        return [report for report in self.reports if report.stage == stage]


@pytest.fixture(autouse=True)
def few_validation_patches(monkeypatch):
    monkeypatch.setattr("napari_nucleiseg.training.loop.VALIDATION_PATCHES", (6, 6))


@pytest.fixture(autouse=True)
def own_models(monkeypatch, tmp_path_factory):
    """Keep what is remembered between trainings out of the user's folder."""
    folder = tmp_path_factory.mktemp("models")
    monkeypatch.setenv("NUCLEISEG_MODELS", str(folder))
    monkeypatch.setenv("NUCLEISEG_CACHE", str(folder / "cache"))
    return folder


@pytest.fixture
def int8():
    """In tests that use this, models are saved as int8 too, which takes seconds."""


@pytest.fixture(autouse=True)
def no_int8(request, monkeypatch):
    if "int8" not in request.fixturenames:
        name = "napari_nucleiseg.training.run._typical_tiles"
        monkeypatch.setattr(name, lambda *_: None)


@pytest.fixture
def make_monitor():
    return Recorder


@pytest.fixture
def tiny():
    """Return a network small enough to train in a test."""
    import keras

    from napari_nucleiseg.networks.generalist import build_unet

    keras.utils.set_random_seed(0)
    return build_unet(filters=(4, 8))


@pytest.fixture(scope="session")
def saved_tiny(tmp_path_factory):
    """Save an untrained tiny network, once: to export it takes seconds."""
    import keras

    from napari_nucleiseg.networks.generalist import build_unet
    from napari_nucleiseg.training.run_folder import Order
    from napari_nucleiseg.training.saving import save_network

    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("saved") / "tiny"
    network = build_unet(filters=(4, 8))
    save_network(folder, network, Order(name="tiny", title="Tiny"))
    return folder


@pytest.fixture
def tiny_model(saved_tiny, tmp_path):
    """Return a model with an untrained tiny network."""
    return find_model(shutil.copytree(saved_tiny, tmp_path / "tiny"))


@pytest.fixture
def no_export(saved_tiny, monkeypatch):
    """Write the tiny network as exported once, in tests of something else."""
    from napari_nucleiseg.training import saving

    content = (saved_tiny / RUN_FILE).read_bytes()
    monkeypatch.setattr(saving, "to_lite", lambda network: content)


@pytest.fixture
def quick():
    return TrainParams(
        epochs=2,
        steps_per_epoch=6,
        batch_size=2,
        patch_size=64,
        learning_rate=0.01,
        ema_momentum=0.5,
        augmentation=0.5,
        rehearsal=0.0,
        blend=1.0,
        schedule="plateau",
        patience=None,
        seed=3,
    )


@pytest.fixture(scope="session")
def pairs():
    sample = load_sample("small")
    half = sample.image.shape[0] // 2
    return [Pair(sample.image[:half], sample.labels[:half], "upper half")]


@pytest.fixture(scope="session")
def validation():
    sample = load_sample("small")
    half = sample.image.shape[0] // 2
    # Small: an untrained network finds much to sort out, at many sizes.
    part = np.s_[half:, :half]
    return [Pair(sample.image[part], sample.labels[part], "lower left")]


@pytest.fixture
def tile():
    rng = np.random.default_rng(0)
    return rng.random((1, 64, 96, 3), dtype=np.float32)


@pytest.fixture
def tile_of():
    """Return what gives the first tile of a packaged image."""
    from napari_nucleiseg.core.segment.image import (
        match_channels,
        normalise,
    )

    def cut(name):
        """Return a packaged image as the network sees it."""
        image = load_sample(name).image
        image = image[0] if name == "fields" else image
        image = image[..., None] if image.ndim == 2 else image
        prepared = match_channels(normalise(image), 3)
        return prepared[None, :256, :256]

    return cut
