import io
import zipfile

import h5py
import numpy as np
import pytest

from napari_nucleiseg.models.registry import (
    RUN_FILE,
    TRAIN_FILE,
    find_model,
    save_model,
)


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    folder = tmp_path / "own models"
    monkeypatch.setenv("NUCLEISEG_MODELS", str(folder))
    return folder


@pytest.fixture
def report(tmp_path):
    folder = tmp_path / "report of a run"
    (folder / "tensorboard").mkdir(parents=True)
    (folder / "curves.csv").write_text("epoch,loss\n1,0.5\n")
    (folder / "tensorboard" / "events.out").write_bytes(bytes(1000))
    return folder


def keras_file():
    """Return a network to train further, as far as one can see without Keras."""
    file, weights = io.BytesIO(), io.BytesIO()
    with h5py.File(weights, "w") as inside:
        inside["layers/conv/vars/0"] = np.arange(5000.0)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", '{"class_name": "Functional"}')
        archive.writestr("model.weights.h5", weights.getvalue())
    return file.getvalue()


@pytest.fixture
def mine(own_models, report):
    """A model of the user's own, with small files and a report."""
    card = find_model().card.replace(name="mine", title="For mine")
    files = {RUN_FILE: b"run" * 5000, TRAIN_FILE: keras_file()}
    return save_model(own_models / "mine", card, files, report=report)
