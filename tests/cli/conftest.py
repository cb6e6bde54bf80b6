import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_nucleiseg import segment
from napari_nucleiseg.cli import main
from napari_nucleiseg.io.sample_data import load_sample


def run(*argv):
    """Run the command in this process; returns status, output and complaints."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main([str(argument) for argument in argv])
        except SystemExit as e:
            status = e.code
    return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


def shell(*argv):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "napari_nucleiseg", *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def names_in(folder):
    """Return what is in a folder, but for recipe and ledger, which are always there."""
    return sorted(
        x.name
        for x in folder.iterdir()
        if not x.name.endswith("recipe.json") and x.name != ".nucleiseg"
    )


@pytest.fixture(autouse=True)
def own_models(tmp_path, monkeypatch):
    """Keep the user's own models out of the tests, and the tests' out of theirs."""
    folder = tmp_path / "own models"
    monkeypatch.setenv("NUCLEISEG_MODELS", str(folder))
    return folder


@pytest.fixture(scope="module")
def grey():
    return load_sample("small").image[:128, :160]


@pytest.fixture(scope="module")
def expected(grey):
    return segment(grey).labels


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def folder(tmp_path):
    """Two images and their labels, side by side."""
    place = tmp_path / "painted"
    place.mkdir()
    for name in ("small", "crowded"):
        sample = load_sample(name)
        tifffile.imwrite(place / f"{name}.tif", sample.image)
        labels = sample.labels.astype(np.uint16)
        tifffile.imwrite(place / f"{name}_labels.tif", labels)
    return place


@pytest.fixture
def engine(monkeypatch):
    """Put a stand-in where the engine that trains would be."""
    from napari_nucleiseg.training import run as fine_tuning
    from napari_nucleiseg.training.recipes import Recipe

    from .engine import Engine

    made = Engine()
    monkeypatch.setattr(fine_tuning, "train", made.train)
    monkeypatch.setattr(Recipe, "run", lambda *a, **k: made.run_recipe(*a, **k))
    return made
