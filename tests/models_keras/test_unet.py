import numpy as np
import pytest

from napari_nucleiseg.networks.generalist import (
    FILTERS,
    GENERALIST,
    MAPS,
    build_unet,
)
from napari_nucleiseg.networks.unet import build_plain_unet


@pytest.mark.parametrize("filters", [(4,), (4, 8), (4, 4, 8)])
@pytest.mark.parametrize("sides", [(1, 1), (2, 5)])
def test_maps_are_as_large_as_the_image(filters, sides):
    network = build_unet(filters=filters)
    height, width = (2 ** len(filters) * side for side in sides)
    maps = network.predict_on_batch(np.ones((2, height, width, 3), np.float32))
    assert maps.shape == (2, height, width, len(MAPS))
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_other_channels_and_maps():
    network = build_unet(channels=1, maps=2, filters=(4,))
    maps = network.predict_on_batch(np.ones((1, 8, 8, 1), np.float32))
    assert maps.shape == (1, 8, 8, 2)


def test_residual_blocks_change_nothing_before_they_have_learnt():
    plain = build_unet(filters=(4, 8))
    deep = build_unet(filters=(4, 8), inner=(4, 6), down_blocks=(1, 2), up_blocks=(1,))
    for layer in plain.layers:
        deep.get_layer(layer.name).set_weights(layer.get_weights())
    image = np.random.default_rng(0).random((1, 16, 16, 3), dtype=np.float32)
    expected = plain.predict_on_batch(image)
    assert np.allclose(deep.predict_on_batch(image), expected, atol=1e-6)
    assert deep.count_params() > plain.count_params()


def test_the_bundled_network_takes_the_tiles_that_models_are_cut_into():
    network = GENERALIST.builder()
    assert 2 ** len(FILTERS) == 32
    maps = network.predict_on_batch(np.zeros((1, 32, 64, 3), np.float32))
    assert maps.shape == (1, 32, 64, len(MAPS))
    assert network.count_params() < 5_000_000


def test_the_same_place_whatever_the_tile():
    # Away from the edges, what is seen does not depend on where a tile begins.
    network = build_unet(filters=(4, 8))
    rng = np.random.default_rng(0)
    image = rng.random((1, 128, 128, 3), dtype=np.float32)
    whole = network.predict_on_batch(image)
    part = network.predict_on_batch(image[:, 32:, 32:])
    inner = slice(32, 64)
    assert np.allclose(whole[:, 64:96, 64:96], part[:, inner, inner], atol=1e-5)


def test_the_plain_one_is_the_papers():
    network = build_plain_unet()
    # Counted by hand: 3 channels in, 64 to 1024 filters, 2 classes out, with biases.
    assert network.count_params() == 31_031_810
    assert network.get_layer("bottom_drop").output.shape[-1] == 1024
    maps = network.predict_on_batch(np.zeros((1, 32, 48, 3), np.float32))
    assert maps.shape == (1, 32, 48, 2)


def test_the_plain_ones_two_maps_are_one_question():
    network = build_plain_unet(channels=1, filters=(4, 8))
    rng = np.random.default_rng(0)
    maps = network.predict_on_batch(rng.random((2, 6, 10, 1), dtype=np.float32))
    assert maps.shape == (2, 6, 10, 2)
    assert np.allclose(maps.sum(axis=-1), 1, atol=1e-6)
    assert maps.std() > 0
