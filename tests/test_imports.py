"""What is loaded when: heavy packages only where they are used."""

import subprocess
import sys

import pytest

from napari_nucleiseg.io.sample_data import load_sample

HEAVY = ("qtpy", "napari", "keras", "tensorflow", "ai_edge_litert", "magicgui")


def loaded_after(code, *watched):
    """Run code in a fresh interpreter; return which packages it has loaded."""
    report = (
        f"\nimport sys\nfound = [n for n in {watched!r} if n in sys.modules]"
        "\nprint('LOADED', *found)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + report],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rsplit("LOADED", 1)[1].split()


@pytest.mark.parametrize(
    "module",
    [
        "napari_nucleiseg",
        "napari_nucleiseg.cli",
        "napari_nucleiseg.cli.demo",
        "napari_nucleiseg.io.images",
        "napari_nucleiseg.io.sample_data",
        "napari_nucleiseg.training.sampler",
        "napari_nucleiseg.training.recipes",
        "napari_nucleiseg.models.segmenting",
        "napari_nucleiseg.networks.architectures",
        "napari_nucleiseg.training.batches",
        "napari_nucleiseg.training.run",
        "napari_nucleiseg.training.process",
        "napari_nucleiseg.training.rehearsal",
        "napari_nucleiseg.training.report",
        "napari_nucleiseg.io.pairs",
        "napari_nucleiseg.io.splits",
    ],
)
def test_importing_loads_nothing_heavy(module):
    assert not loaded_after(f"import {module}", *HEAVY)


def test_the_core_loads_nothing_heavy():
    code = """
import importlib, pkgutil
import napari_nucleiseg.core as core
names = [m.name for m in pkgutil.walk_packages(core.__path__, "napari_nucleiseg.core.")]
assert len(names) > 5
for name in names:
    importlib.import_module(name)
"""
    assert not loaded_after(code, *HEAVY, "tifffile", "PIL", "tqdm")


def test_the_core_works_where_nothing_heavy_is_installed():
    code = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None  # an import of it fails
import numpy as np
from napari_nucleiseg.core import measure
from napari_nucleiseg.core.segment import pipeline
from napari_nucleiseg.core.score import matching as score
from napari_nucleiseg.core.segment.predictor import NetworkSpec
class Bright:
    spec = NetworkSpec(
        name="bright", channels=1, diameter=20.0, diameter_range=(11.0, 36.0)
    )
    def predict(self, tiles):
        return np.repeat(tiles, 3, axis=-1) * np.array([1, 1, 0], np.float32)
image = np.zeros((60, 60)); image[20:40, 20:40] = 1
assert pipeline.segment(image, Bright()).count == 1
"""
    loaded_after(code)


def test_the_package_itself_and_help_load_not_even_numpy():
    assert not loaded_after("import napari_nucleiseg", "numpy", "scipy")
    code = """
import contextlib, io
from napari_nucleiseg.cli import main
for argv in (["--help"], ["--version"], ["segment", "--help"], ["demo", "--help"]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main(argv)
        except SystemExit as e:
            assert e.code == 0
    assert out.getvalue()
"""
    assert not loaded_after(code, "numpy", "scipy", "skimage", "tifffile", *HEAVY)
    code = code.replace(', ["segment", "--help"], ["demo", "--help"]', "")
    assert not loaded_after(code, "pydantic")


def test_segmenting_in_the_shell_loads_no_tensorflow(tmp_path):
    path = load_sample("small").path
    code = f"""
from napari_nucleiseg.cli import main
assert main(["segment", {str(path)!r}, "--output", {str(tmp_path)!r}]) == 0
"""
    watched = ("tensorflow", "keras", "napari", "qtpy")
    assert not loaded_after(code, *watched)
    assert (tmp_path / "small_labels.tif").is_file()


def test_the_headless_demo_without_a_display_loads_no_napari(tmp_path):
    code = f"""
import os
os.environ.pop("DISPLAY", None); os.environ.pop("WAYLAND_DISPLAY", None)
from napari_nucleiseg.cli import main
argv = ["demo", "--headless", "--sample", "small", "--output", {str(tmp_path)!r}]
assert main(argv) == 0
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux can be without a display")
    assert not loaded_after(code, "tensorflow", "keras", "napari", "qtpy")
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"small_labels.tif", "small_overlay.png"}
