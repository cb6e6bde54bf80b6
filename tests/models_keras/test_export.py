import json

import numpy as np
import pytest

from napari_nucleiseg import segment
from napari_nucleiseg.core.image import match_channels, normalise, to_finite_float
from napari_nucleiseg.models import export
from napari_nucleiseg.models.export import load_network, save_network, train
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.models.training import TrainResult
from napari_nucleiseg.models.unet import build_unet
from napari_nucleiseg.sample_data import SAMPLES, load_sample


def tile_of(name):
    """Return a packaged image as the network sees it."""
    image = load_sample(name).image
    image = image[0] if name == "fields" else image
    image = image[..., None] if image.ndim == 2 else image
    prepared = match_channels(normalise(to_finite_float(image)), 3)
    return prepared[None, :256, :256]


def paths_in(folder):
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def tiny_model(tiny, quick, tmp_path):
    """Save an untrained tiny network."""
    folder = tmp_path / "tiny"
    return save_network(folder, TrainResult(tiny), title="Tiny", params=quick)


def test_what_runs_is_what_was_trained(record_property):
    network, predictor = load_network("nuclei"), load_model("nuclei")
    largest = {}
    for name in SAMPLES:
        tile = tile_of(name)
        difference = network.predict_on_batch(tile) - predictor.predict(tile)
        largest[name] = float(np.abs(difference).max())
    record_property("largest difference", largest)
    assert max(largest.values()) <= 1e-3, largest


def test_a_saved_network_runs_as_it_was(tiny, tiny_model, tile):
    predictor = load_model(tiny_model.folder)
    assert predictor.multiple == 4
    for part in (tile, tile[:, :32, :64]):
        assert np.abs(tiny.predict_on_batch(part) - predictor.predict(part)).max() < (
            1e-3
        )
    again = load_network(tiny_model.folder)
    assert np.array_equal(tiny.predict_on_batch(tile), again.predict_on_batch(tile))


def test_training_writes_a_model_that_segments(
    tiny_model, quick, pairs, validation, tmp_path, make_monitor
):
    monitor = make_monitor()
    model = train(
        pairs,
        validation,
        tmp_path / "mine",
        title="Nuclei of mine",
        base=tiny_model.folder,
        params=quick,
        data={"where": "layers"},
        monitor=monitor,
    )
    assert paths_in(tmp_path) == {"tiny", "mine"}
    card = find_model(tmp_path / "mine").card
    assert card == model.card
    assert card.title == "Nuclei of mine"
    assert card.data == {"pairs": 1, "validation_pairs": 1, "where": "layers"}
    assert card.training["base"] == "tiny"
    assert card.training["params"] == quick.to_dict()
    assert len(card.training["history"]) == 2
    json.loads(card.to_json())
    result = segment(pairs[0].image, tmp_path / "mine")
    assert result.labels.shape == pairs[0].labels.shape
    assert result.model == "mine"
    assert monitor.reports[-1].stage == "Saving the model"


def test_going_on_from_the_bundled_model_starts_where_it_is(
    quick, pairs, validation, tmp_path
):
    params = quick.replace(epochs=1, steps_per_epoch=1, learning_rate=1e-7)
    train(pairs, validation, tmp_path / "mine", base="nuclei", params=params)
    base, mine = load_model("nuclei"), load_model(tmp_path / "mine")
    tile = tile_of("small")
    # Hardly anything was learnt: it is still the same network.
    assert np.abs(base.predict(tile) - mine.predict(tile)).mean() < 0.02
    card = find_model(tmp_path / "mine").card
    assert card.training["base"] == "nuclei"
    assert card.thresholds == base.settings
    assert card.multiple == 32


def test_without_a_base_it_starts_from_scratch(
    tiny, quick, pairs, validation, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_nucleiseg.models.training.build_unet", lambda: tiny)
    params = quick.replace(epochs=1, steps_per_epoch=1)
    model = train(pairs, validation, tmp_path / "mine", params=params)
    assert model.card.training["base"] is None
    assert model.card.title
    assert load_network(model.folder).count_params() == tiny.count_params()


def test_the_bundled_network_is_the_one_that_is_built():
    built, bundled = build_unet(), load_network("nuclei")
    assert [w.shape for w in built.weights] == [w.shape for w in bundled.weights]


def test_stopping_saves_what_there_is(
    tiny_model, quick, pairs, validation, tmp_path, make_monitor
):
    monitor = make_monitor(lambda reports: any(r.stage == "Training" for r in reports))
    model = train(
        pairs,
        validation,
        tmp_path / "mine",
        base=tiny_model.folder,
        params=quick,
        monitor=monitor,
    )
    assert len(monitor.of("Training")) == 1
    assert model.card.training["stopped_early"]
    assert segment(pairs[0].image, model.folder).labels.shape == pairs[0].image.shape


@pytest.mark.parametrize("step", ["to_lite", "to_keras_file"])
def test_a_failed_export_leaves_no_half_model(
    tiny_model, quick, pairs, validation, tmp_path, monkeypatch, step
):
    def fail(network):
        raise OSError("No space left on device")

    monkeypatch.setattr(export, step, fail)
    with pytest.raises(OSError, match="No space left"):
        train(
            pairs,
            validation,
            tmp_path / "mine",
            base=tiny_model.folder,
            params=quick,
        )
    # The weights learnt are kept: hours of training are not lost with them.
    assert paths_in(tmp_path) == {"tiny", "mine.training.weights.h5"}


def test_a_failed_retraining_leaves_the_old_model(
    tiny_model, quick, pairs, validation, tmp_path, monkeypatch
):
    def fail(network):
        raise OSError("No space left on device")

    monkeypatch.setattr(export, "to_lite", fail)
    with pytest.raises(OSError, match="No space left"):
        train(
            pairs,
            validation,
            tiny_model.folder,
            base=tiny_model.folder,
            params=quick,
        )
    assert find_model(tiny_model.folder).card == tiny_model.card


def test_a_name_that_will_not_do_is_refused_before_training(
    tiny_model, quick, pairs, validation, tmp_path, make_monitor
):
    monitor = make_monitor()
    with pytest.raises(ValueError, match="1 to 64 letters"):
        train(
            pairs,
            validation,
            tmp_path / "my model",
            base=tiny_model.folder,
            params=quick,
            monitor=monitor,
        )
    assert not monitor.of("Training")
    assert paths_in(tmp_path) == {"tiny"}


def test_a_folder_with_something_else_is_refused_before_training(
    tiny_model, quick, pairs, validation, tmp_path, make_monitor
):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("Once upon a time")
    monitor = make_monitor()
    with pytest.raises(ValueError, match="exists and is not a model"):
        train(
            pairs,
            validation,
            tmp_path / "thesis",
            base=tiny_model.folder,
            params=quick,
            monitor=monitor,
        )
    assert not monitor.of("Training")
    assert paths_in(tmp_path / "thesis") == {"chapter1.txt"}


def test_an_unknown_base_is_refused_before_training(pairs, validation, tmp_path):
    with pytest.raises(ValueError, match="no model named 'nuclear'"):
        train(pairs, validation, tmp_path / "mine", base="nuclear")
    assert not paths_in(tmp_path)
