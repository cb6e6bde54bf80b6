from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_nucleiseg.models.predictor import LitePredictor, load_model
from napari_nucleiseg.models.registry import find_model


@pytest.fixture(scope="module")
def predictor():
    return load_model()


def tile_of(seed, height=96, width=128):
    rng = np.random.default_rng(seed)
    return rng.random((1, height, width, 3), dtype=np.float32)


def test_it_carries_what_its_card_says(predictor):
    card = find_model().card
    assert predictor.name == card.name
    assert predictor.channels == card.channels
    assert predictor.diameter == card.diameter
    assert predictor.diameter_range == card.diameter_range
    assert predictor.settings == card.thresholds
    low, high = predictor.diameter_range
    assert low < predictor.diameter < high


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("sides", [(1, 1), (1, 5), (3, 2), (8, 8)])
def test_tiles_of_any_size(predictor, sides, count):
    height, width = (side * predictor.multiple for side in sides)
    tiles = np.repeat(tile_of(0, height, width), count, axis=0)
    maps = predictor.predict(tiles)
    assert maps.shape == (count, height, width, 3)
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
