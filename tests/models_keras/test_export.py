import subprocess
import sys

import keras
import numpy as np
import pytest

from napari_nucleiseg.core.segment.confidence import Calibration
from napari_nucleiseg.io.sample_data import SAMPLES
from napari_nucleiseg.models.engines import ProcessorNetwork
from napari_nucleiseg.models.predictor import complete_maps, load_model
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.networks.export import to_lite
from napari_nucleiseg.networks.generalist import GENERALIST
from napari_nucleiseg.training.run_folder import Order
from napari_nucleiseg.training.saving import load_network, save_network


def test_what_runs_is_what_was_trained(record_property, tile_of):
    network, predictor = load_network("nuclei"), load_model("nuclei", "float32")
    largest = {}
    for name in SAMPLES:
        tile = tile_of(name)
        maps = complete_maps(network.predict_on_batch(tile), predictor.spec.maps)
        difference = maps - predictor.predict(tile)
        largest[name] = float(np.abs(difference).max())
    record_property("largest difference", largest)
    assert max(largest.values()) <= 1e-3, largest


def test_a_saved_network_runs_as_it_was(tiny, tmp_path, tile):
    folder = tmp_path / "tiny"
    save_network(folder, tiny, Order(name="tiny", title="Tiny"))
    predictor = load_model(folder)
    assert predictor.spec.multiple == 32
    for part in (tile, tile[:, :32, :64]):
        maps = complete_maps(tiny.predict_on_batch(part), predictor.spec.maps)
        assert np.abs(maps - predictor.predict(part)).max() < 1e-3
    again = load_network(folder)
    assert np.array_equal(tiny.predict_on_batch(tile), again.predict_on_batch(tile))


def test_a_model_that_goes_on_from_another_takes_its_calibration(tiny, tmp_path):
    weights = {"sureness": 1.0, "contact": -2.0, "shallowness": -3.0, "excess": 0.0}
    base = find_model().card.replace(
        calibration=Calibration(intercept=2.0, weights=weights)
    )
    order = Order(name="mine", title="Mine")
    saved = save_network(tmp_path / "mine", tiny, order, base=base)
    assert find_model(saved.folder).card.calibration == base.calibration


def test_the_bundled_network_is_the_one_that_is_built():
    built, bundled = GENERALIST.builder(), load_network("nuclei")
    assert [w.shape for w in built.weights] == [w.shape for w in bundled.weights]


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
def test_what_doubles_the_resolution_runs_as_it_was_trained(kernel):
    image = keras.Input((None, None, 2))
    grown = keras.layers.Conv2DTranspose(
        3,
        kernel,
        strides=2,
        padding="same",
        activation="sigmoid",
        bias_initializer="normal",
    )(image)
    network = keras.Model(image, grown)
    lite = ProcessorNetwork(to_lite(network), (1, 6, 10, 2), threads=1)
    tile = np.random.default_rng(0).random((1, 6, 10, 2), np.float32)
    wanted = network.predict_on_batch(tile)
    assert np.abs(lite.run(tile) - wanted).max() < 2e-3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_tile_takes_little_memory_beside_its_maps():
    # What makes room for a whole picture of intermediate sums takes ten times as much.
    bundled = find_model().folder / "network.tflite"
    code = (
        "import re, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from napari_nucleiseg.models.engines import ProcessorNetwork\n"
        "def peak():\n"
        "    text = Path('/proc/self/status').read_text()\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', text)[1]) / 1024\n"
        "network = ProcessorNetwork(Path(sys.argv[1]), (1, 64, 64, 3), threads=1)\n"
        "before = peak()\n"
        "network.run(np.zeros((1, 768, 768, 3), np.float32))\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundled)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 220  # megabytes; with transposed convolutions 290
