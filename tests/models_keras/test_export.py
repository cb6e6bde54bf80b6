import numpy as np

from napari_nucleiseg.core.segment.confidence import Calibration
from napari_nucleiseg.io.sample_data import SAMPLES
from napari_nucleiseg.models.predictor import complete_maps, load_model
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.networks.generalist import build_unet
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
    built, bundled = build_unet(), load_network("nuclei")
    assert [w.shape for w in built.weights] == [w.shape for w in bundled.weights]
