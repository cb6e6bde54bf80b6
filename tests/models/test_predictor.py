import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_nucleiseg.core.segment import pipeline
from napari_nucleiseg.core.segment.instances import MAPS
from napari_nucleiseg.models import predictor as module
from napari_nucleiseg.models.predictor import (
    LitePredictor,
    complete_maps,
    load_model,
)
from napari_nucleiseg.models.registry import Model, find_model


@pytest.fixture(scope="module")
def predictor():
    return load_model()


def tile_of(seed, height=96, width=128):
    rng = np.random.default_rng(seed)
    return rng.random((1, height, width, 3), dtype=np.float32)


def test_it_carries_what_its_card_says(predictor):
    card = find_model().card
    spec = predictor.spec
    for name in ("name", "channels", "diameter", "diameter_range", "calibration"):
        assert getattr(spec, name) == getattr(card, name)
    assert spec.settings == card.thresholds
    low, high = spec.diameter_range
    assert low < spec.diameter < high


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("sides", [(1, 1), (1, 5), (3, 2), (8, 8)])
def test_tiles_of_any_size(predictor, sides, count):
    height, width = (side * predictor.spec.multiple for side in sides)
    tiles = np.repeat(tile_of(0, height, width), count, axis=0)
    maps = predictor.predict(tiles)
    assert maps.shape == (count, height, width, 4)  # and the size
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert np.array_equal(maps[0], maps[-1])


def test_a_tile_gives_the_same_whatever_came_before(predictor):
    tile = tile_of(1)
    first = predictor.predict(tile)
    kept = first.copy()
    predictor.predict(tile_of(2, 64, 64))
    predictor.predict(tile_of(3))
    assert np.array_equal(predictor.predict(tile), kept)
    assert np.array_equal(first, kept)  # results are the caller's own


def test_a_batch_is_its_tiles(predictor):
    tiles = np.concatenate([tile_of(seed) for seed in (4, 5, 6)])
    together = predictor.predict(tiles)
    alone = [predictor.predict(tile[None])[0] for tile in tiles]
    assert np.array_equal(together, np.stack(alone))


def test_the_number_of_threads_does_not_matter(predictor):
    tile = tile_of(7)
    single = LitePredictor(find_model(), threads=1).predict(tile)
    assert np.abs(single - predictor.predict(tile)).max() < 1e-4


def test_several_callers_at_once_get_each_their_own(predictor):
    tiles = [tile_of(n, 64, 64 if n % 2 else 96) for n in range(4)]
    wanted = [predictor.predict(tile) for tile in tiles]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(predictor.predict, tiles * 6))
    for index, maps in enumerate(found):
        assert np.array_equal(maps, wanted[index % 4])


def test_it_is_loaded_once(predictor):
    assert load_model() is predictor
    assert load_model("nuclei") is predictor


def test_maps_that_are_complete_are_left_alone():
    maps = np.zeros((1, 4, 4, 3), np.float32)
    assert complete_maps(maps, MAPS) is maps


def test_two_classes_become_the_three_maps():
    nucleus = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4)
    maps = np.stack([1 - nucleus, nucleus], axis=-1)
    found = complete_maps(maps, ("background", "nucleus"))
    assert found.dtype == np.float32
    assert np.array_equal(found[..., 0], nucleus)
    assert np.array_equal(found[..., 1], nucleus)  # the watershed works on it
    assert not found[..., 2].any()


def test_maps_in_another_order_find_their_place():
    maps = np.stack([np.full((2, 2), value, np.float32) for value in (1, 2, 3)], -1)
    found = complete_maps(maps, ("contact", "nucleus", "distance"))
    assert found[0, 0].tolist() == [2, 3, 1]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("background", "cell"), "background, cell"),
        (("nucleus",), "1 maps .*returned 2"),
    ],
)
def test_maps_that_will_not_do_are_named(names, words):
    with pytest.raises(ValueError, match=words):
        complete_maps(np.zeros((1, 4, 4, 2), np.float32), names)


class BrightIsNucleus:
    """An interpreter of a two-class network: background, nucleus."""

    def __init__(self, model_path, num_threads):
        pass

    def allocate_tensors(self):
        pass

    def get_input_details(self):
        return [{"index": 0}]

    get_output_details = get_input_details

    def resize_tensor_input(self, index, shape):
        pass

    def set_tensor(self, index, tile):
        self._tile = tile

    def invoke(self):
        pass

    def get_tensor(self, index):
        nucleus = self._tile[..., :1]
        return np.concatenate([1 - nucleus, nucleus], axis=-1)


def test_a_two_class_model_segments_like_any_other(monkeypatch):
    monkeypatch.setattr("ai_edge_litert.interpreter.Interpreter", BrightIsNucleus)
    found = find_model()
    card = found.card.replace(maps=("background", "nucleus"), multiple=16)
    predictor = LitePredictor(Model(found.folder, card, False))
    y, x = np.mgrid[:80, :100]
    image = np.zeros((80, 100), np.float32)
    for centre in (30, 49):  # two that touch, dimmer towards their edges
        depth = 1 - np.hypot(y - 40, x - centre) / 13
        image = np.maximum(image, np.clip(depth * 2, 0, 1) ** 0.5)
    assert predictor.predict(np.zeros((2, 16, 32, 3), np.float32)).shape[-1] == 3
    result = pipeline.segment(
        image,
        predictor,
        params=pipeline.SegmentParams(diameter=20, separation=0.9, min_confidence=0),
    )
    assert result.count == 2


def test_a_lack_of_memory_is_said_and_passes():
    predictor = LitePredictor(find_model())
    wanted = predictor.predict(tile_of(4, 64, 64))
    network = predictor._network
    real = network._lite

    class Short:
        def __getattr__(self, name):
            return getattr(real, name)

        def allocate_tensors(self):
            raise RuntimeError

    network._lite = Short()
    with pytest.raises(MemoryError, match=r"for a tile of \(96, 128\) pixels"):
        predictor.predict(tile_of(5))
    network._lite = real
    assert np.array_equal(predictor.predict(tile_of(4, 64, 64)), wanted)


def test_models_that_were_used_long_ago_leave_the_memory(tmp_path, monkeypatch):
    """Those used last stay; what is asked for again is loaded again."""
    built_in = find_model()
    monkeypatch.setattr(module, "_loaded", {})
    folders = []
    for number in range(module.MOST_LOADED + 1):
        folders.append(tmp_path / f"m{number}")
        shutil.copytree(built_in.folder, folders[-1])
    first, *_, last = [load_model(folder) for folder in folders]
    assert len(module._loaded) == module.MOST_LOADED
    assert load_model(folders[-1]) is last
    assert load_model(folders[0]) is not first
