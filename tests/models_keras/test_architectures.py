import gc
import http.server
import threading
import time
import warnings
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest

from napari_nucleiseg import segment
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.networks import mobilenet
from napari_nucleiseg.networks.architectures import (
    ARCHITECTURES,
    TWO_CLASSES,
    PretrainedWeightsError,
    find_architecture,
)
from napari_nucleiseg.networks.export import round_weights, to_lite
from napari_nucleiseg.networks.losses import two_class_loss
from napari_nucleiseg.networks.unet import build_plain_unet
from napari_nucleiseg.training.run_folder import Order
from napari_nucleiseg.training.saving import load_network, save_network

MOBILE = ARCHITECTURES["unet-mobilenetv2"]


def parameters(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


@pytest.fixture(scope="module")
def frozen():
    """Return the network with a frozen encoder, whose weights nobody has fetched."""
    return MOBILE.build(fetch=False)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keep Keras's own files in a folder of this test."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path / "models" / mobilenet.WEIGHTS_FILE


# --- the U-Net on MobileNetV2, as the student project had it


def test_from_scratch_its_normalisations_soon_know_the_images():
    # Else it would see nothing but background for hundreds of steps when it is used.
    layers = MOBILE.build(pretrained=False).layers
    norms = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) > 50
    assert all(layer.trainable and layer.momentum**100 < 0.05 for layer in norms)


def test_its_parameters_layer_by_layer(frozen):
    upwards = ("up1", "up2", "up3", "up4", "maps")
    counts = {
        part: sum(
            layer.count_params()
            for layer in frozen.layers
            if layer.name.startswith(part)
        )
        for part in upwards
    }
    assert counts == {
        "up1": 1_476_608,
        "up2": 2_507_776,
        "up3": 516_608,
        "up4": 156_928,
        "maps": 2_882,
    }
    encoder = [x for x in frozen.layers if not x.name.startswith(upwards)]
    assert sum(layer.count_params() for layer in encoder) == 1_841_984
    assert frozen.count_params() == 6_502_786
    assert parameters(frozen.trainable_weights) == 4_658_882
    assert not any(layer.trainable_weights for layer in encoder)


def test_its_skip_connections(frozen):
    taps = [frozen.get_layer(name).output for name in mobilenet.SKIPS]
    shapes = keras.Model(frozen.input, taps).compute_output_shape((1, 128, 128, 3))
    assert dict(zip(mobilenet.SKIPS, [shape[1:] for shape in shapes], strict=True)) == {
        "block_1_expand_relu": (64, 64, 96),
        "block_3_expand_relu": (32, 32, 144),
        "block_6_expand_relu": (16, 16, 192),
        "block_13_expand_relu": (8, 8, 576),
        "block_16_project": (4, 4, 320),
    }
    for level, name in enumerate(reversed(mobilenet.SKIPS[:-1]), start=1):
        joined = frozen.get_layer(f"up{level}_join").input
        assert joined[1] is frozen.get_layer(name).output


@pytest.mark.parametrize("sides", [(32, 32), (64, 96)])
def test_any_tile_of_its_multiple(frozen, sides):
    maps = frozen.predict_on_batch(np.ones((2, *sides, 3), np.float32))
    assert maps.shape == (2, *sides, 2)
    assert np.allclose(maps.sum(axis=-1), 1, atol=1e-6)


def test_a_frozen_encoder_stays_as_it_is(frozen):
    frozen.compile(
        MOBILE.optimizer(1e-3, 0.0),
        loss=MOBILE.loss,
        run_eagerly=True,
        jit_compile=False,
    )
    before = {x.name: x.get_weights() for x in frozen.layers}
    rng = np.random.default_rng(0)
    y = np.ones((2, 64, 64, 2), np.float32)
    frozen.train_on_batch(rng.random((2, 64, 64, 3), dtype=np.float32), y)
    for layer in frozen.layers:
        same = all(map(np.array_equal, before[layer.name], layer.get_weights()))
        # Statistics of normalisations count: they too are the encoder's.
        assert same == (not layer.name.startswith(("up", "maps"))) or not layer.weights


def test_without_pretrained_weights_all_of_it_learns(server):
    network = MOBILE.build(pretrained=False)
    assert not server.asked
    assert network.count_params() == 6_502_786
    assert parameters(network.trainable_weights) > 6_400_000


# --- where its weights come from


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve a folder in the place where the weights are; counts what is asked."""
    folder = tmp_path / "served"
    folder.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def do_GET(self):
            asked.append(self.path)
            if (path := folder / "half").exists():  # less than was promised
                self.send_response(200)
                self.send_header("Content-Length", "200")
                self.end_headers()
                self.wfile.write(path.read_bytes())
            elif (folder / "silence").exists():
                time.sleep(1)
            else:
                super().do_GET()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(mobilenet, "WEIGHTS_FOLDER", address)
        yield SimpleNamespace(folder=folder, address=address, asked=asked)
        server.shutdown()


def write_published(path, source):
    """Write weights in the form in which Keras publishes them: layer by layer."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in source.layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.1.6"
        for layer in source.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name, data=value)


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("missing", "404"),
        ("half", "100 bytes read, 100 more expected"),
        ("silence", "timed out"),
        ("nobody", "refused"),
    ],
)
def test_weights_that_do_not_come_are_said_and_what_to_do(
    cache, server, monkeypatch, trouble, said
):
    monkeypatch.setattr(mobilenet, "PATIENCE", 0.3 if trouble == "silence" else 30)
    if trouble == "nobody":
        server.address = "http://127.0.0.1:9/"
        monkeypatch.setattr(mobilenet, "WEIGHTS_FOLDER", server.address)
    elif trouble != "missing":
        (server.folder / trouble).write_bytes(b"x" * 100)
    with pytest.raises(PretrainedWeightsError, match="--no-pretrained") as caught:
        MOBILE.build()
    for part in (server.address, str(cache.parent), said):
        assert part in str(caught.value)
    assert not any(cache.parent.glob("*"))  # nor half a file
    del caught
    with warnings.catch_warnings():
        # pooch leaves the connection of a broken answer to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_damaged_file_is_named(cache):
    cache.parent.mkdir()
    cache.write_bytes(b"this is no network")
    with pytest.raises(PretrainedWeightsError, match="Delete it") as caught:
        MOBILE.build()
    assert str(cache) in str(caught.value)


def test_weights_of_another_network_are_refused(cache):
    other = keras.applications.MobileNetV2(
        input_shape=(96, 96, 3), alpha=0.35, include_top=False, weights=None
    )
    cache.parent.mkdir()
    other.save(cache)
    with pytest.raises(PretrainedWeightsError, match="Delete it"):
        MOBILE.build()


def test_weights_are_fetched_once_and_go_into_the_encoder(cache, server):
    source = keras.applications.MobileNetV2(
        input_shape=(128, 128, 3), include_top=False, weights=None
    )
    write_published(server.folder / cache.name, source)
    network = MOBILE.build()
    mobilenet.fetch_weights()
    assert server.asked == ["/" + mobilenet.WEIGHTS_FILE]
    for name in ("Conv1", "block_1_expand_BN", "block_16_project"):
        for a, b in zip(
            source.get_layer(name).get_weights(),
            network.get_layer(name).get_weights(),
            strict=True,
        ):
            assert np.array_equal(a, b)
    assert parameters(network.trainable_weights) == 4_658_882


# --- what they learn by


def test_the_loss_is_what_both_projects_used():
    rng = np.random.default_rng(0)
    y = rng.random((2, 8, 8, 2), dtype=np.float32)
    y[..., 0] = y[..., 0] > 0.5
    nucleus = rng.uniform(0.01, 0.99, (2, 8, 8)).astype(np.float32)
    maps = np.stack([1 - nucleus, nucleus], axis=-1)
    found = float(two_class_loss(y, maps))
    binary = keras.losses.BinaryCrossentropy()(y[..., :1], maps[..., 1:])
    sparse = keras.losses.SparseCategoricalCrossentropy()(y[..., :1], maps)
    assert found == pytest.approx(float(binary), rel=1e-4)
    assert found == pytest.approx(float(sparse), rel=1e-4)


def test_pixels_of_weight_0_are_left_out_and_the_others_count_alike():
    y = np.zeros((1, 4, 4, 2), np.float32)
    y[..., 1] = 1
    y[:, :, 2:, 1] = 0
    maps = np.full((1, 4, 4, 2), 0.5, np.float32)
    before = float(two_class_loss(y, maps))
    maps[:, :, 2:] = (0.1, 0.9)
    assert float(two_class_loss(y, maps)) == pytest.approx(before)
    maps[:, 0, 0] = (0.9, 0.1)
    lighter = float(two_class_loss(y, maps))
    assert lighter < before
    y[:, 0, 0, 1] = 4
    assert float(two_class_loss(y, maps)) == pytest.approx(lighter)
    y[..., 1] = 0
    assert np.isfinite(float(two_class_loss(y, maps)))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_certain_maps_have_a_finite_loss(value):
    y = np.ones((1, 4, 4, 2), np.float32)
    maps = np.full((1, 4, 4, 2), (1 - value, value), np.float32)
    assert np.isfinite(float(two_class_loss(y, maps)))


def test_each_has_its_optimizer():
    assert type(find_architecture("nuclei").optimizer(1e-3, 1e-4)).__name__ == "AdamW"
    adam = find_architecture("unet").optimizer(3e-3, 0.0)
    assert type(adam).__name__ == "Adam"
    assert float(adam.learning_rate) == pytest.approx(3e-3)


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(ValueError, match=r"'vnet'; there are generalist, nuclei, unet"):
        find_architecture("vnet")


# --- from training to the segment widget


def stir(network):
    """Give normalisations figures as if they had been trained."""
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape
            gamma, variance = rng.uniform(0.5, 1.5, n), rng.uniform(0.02, 0.3, n)
            layer.set_weights([gamma, rng.normal(0, 0.2, n), 0 * gamma, variance])


def run_lite(content, tile):
    from ai_edge_litert.interpreter import Interpreter

    lite = Interpreter(model_content=content)
    lite.resize_tensor_input(lite.get_input_details()[0]["index"], tile.shape)
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], tile)
    lite.invoke()
    return lite.get_tensor(lite.get_output_details()[0]["index"])


@pytest.mark.parametrize("name", ["unet", "unet-mobilenetv2"])
def test_what_runs_is_what_was_trained(name, frozen, tile):
    keras.utils.set_random_seed(0)
    network = build_plain_unet(filters=(4, 8, 16)) if name == "unet" else frozen
    stir(network)
    round_weights(network)
    maps = network.predict_on_batch(tile)
    assert maps.std() > 0.05
    # Rounding to half precision is over before, so that it costs nothing here.
    assert np.abs(run_lite(to_lite(network), tile) - maps).max() <= 1e-4


def test_a_saved_mobilenet_runs_at_any_size(tmp_path):
    network = MOBILE.build(pretrained=False)
    model = save_network(
        tmp_path / "mobile",
        network,
        Order(name="mobile", title="On MobileNetV2", architecture=MOBILE.name),
    )
    predictor = load_model(model.folder)
    for side in (32, 96):
        tile = np.random.default_rng(0).random((1, side, side, 3), np.float32)
        found = predictor.predict(tile)[..., 0]
        assert np.allclose(found, network.predict_on_batch(tile)[..., 1], atol=1e-3)


def test_a_two_class_model_segments_and_can_be_trained_on(tmp_path, pairs, tile):
    network = build_plain_unet(filters=(4, 8))
    # Dark is background, bright is nucleus: a network that needs no training.
    for layer in network.layers:
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    for name in ("down0a", "down0b", "up0a", "up0b"):
        layer = network.get_layer(name)
        kernel, bias = layer.get_weights()
        kernel[1, 1, 0, 0] = 1.0
        layer.set_weights([kernel, bias])
    head = network.get_layer("maps")
    kernel, bias = head.get_weights()
    kernel[0, 0, 0] = (-10, 10)
    head.set_weights([kernel, np.array([5.0, -5.0])])
    model = save_network(
        tmp_path / "two",
        network,
        Order(name="two", title="Two classes", architecture="unet"),
    )
    assert model.card.maps == TWO_CLASSES
    assert model.card.multiple == 16
    maps = load_model(model.folder).predict(tile)
    assert maps.shape == (*tile.shape[:3], 3)
    wanted = network.predict_on_batch(tile)[..., 1]
    assert np.abs(maps[..., 0] - wanted).max() <= 1e-3
    assert segment(pairs[0].image, model.folder, diameter=20).count > 5
    again = load_network(model.folder)
    assert np.array_equal(again.predict_on_batch(tile), network.predict_on_batch(tile))


def test_the_frozen_encoder_is_still_frozen_when_loaded(frozen):
    again = keras.Model.from_config(frozen.get_config())
    assert parameters(again.trainable_weights) == 4_658_882
