"""A hostile network file of each known kind is refused, and nothing of it runs."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from napari_nucleiseg.models.keras_file import MEMBERS, check_keras_file
from napari_nucleiseg.models.library import export_model, import_model
from napari_nucleiseg.models.registry import (
    RUN_FILE,
    TRAIN_FILE,
    find_model,
    list_models,
    save_model,
)

LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wEAAAA=", None, None]}}


def layer(class_name="Conv2D", module="keras.layers", registered_name=None, **config):
    return {
        "class_name": class_name,
        "module": module,
        "registered_name": registered_name,
        "config": config,
    }


#: How a file can be hostile: the layer in its configuration, and the refusal.
HOSTILE_LAYERS = {
    "lambda": (layer("Lambda", function=LAMBDA), "'Lambda'"),
    "lambda-nested": (layer(activation=LAMBDA), "'__lambda__'"),
    "function": (
        layer(activation=layer("function", "builtins", "function", value="exec")),
        "'function' of 'builtins'",
    ),
    "module": (layer("system", "os"), "'system' of 'os'"),
    "look-alike": (layer("Conv2D", "kerasx.layers"), "'kerasx.layers'"),
    "registered": (layer("Conv2D", "keras.layers", "evil>Layer"), "'Conv2D'"),
    "custom": (layer("Layer", None, "evil>Layer"), "'evil>Layer'"),
    "saved-model": (layer("TFSMLayer", filepath="/evil"), "'TFSMLayer'"),
    "pickle": (layer("TorchModuleWrapper", module="gASV"), "'TorchModuleWrapper'"),
}

HOSTILE_FILES = {
    "path-traversal": ({"../../evil.py": b"x"}, r"the file '../../evil\.py'"),
    "absolute": ({"/etc/evil": b"x"}, "the file '/etc/evil'"),
    "assets": ({"assets/layers/lookup/vocabulary.txt": b"x"}, "the file 'assets/"),
    "pickled": ({"model.weights.npz": b"x"}, r"the file 'model\.weights\.npz'"),
    "huge": ({"metadata.json": bytes(MEMBERS["metadata.json"] + 1)}, "65537 bytes"),
    "config": ({"config.json": b"{"}, "refused as a network"),
    "deep": ({"config.json": b"[" * 100_000}, "no network to train further"),
}


def weights_of(fill=lambda file: None):
    """Return a file of weights, with something more in it."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["layers/conv/vars/0"] = np.zeros((3, 3))
        fill(file)
    return content.getvalue()


def elsewhere(file):
    file.create_dataset("0", (8,), "u1", external=[("/etc/passwd", 0, 8)])


def virtual(file):
    layout = h5py.VirtualLayout((8,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd.h5", "0", (8,))
    file.create_virtual_dataset("0", layout)


#: How weights can lead out of their file, and the refusal.
HOSTILE_WEIGHTS = {
    "external-link": (
        lambda file: file.update({"out": h5py.ExternalLink("/evil.h5", "/")}),
        "a link, 'out'",
    ),
    "soft-link": (lambda file: file.update({"on": h5py.SoftLink("/on")}), "a link"),
    "external-array": (elsewhere, "'0' are in another file"),
    "virtual-array": (virtual, "'0' are in another file"),
    "type": (lambda file: file.update({"t": np.dtype("f8")}), "'t', which is no array"),
}


def write(path, layers=(), changed=()):
    config = {"module": "keras", "class_name": "Functional", "config": {}}
    config["config"]["layers"] = list(layers)
    members = {
        "metadata.json": b"{}",
        "config.json": json.dumps(config).encode(),
        "model.weights.h5": weights_of(),
    } | dict(changed)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_what_we_write_is_taken(tmp_path):
    check_keras_file(find_model().folder / TRAIN_FILE)
    write(tmp_path / "a.keras", [layer()])
    check_keras_file(tmp_path / "a.keras")


@pytest.mark.parametrize("kind", HOSTILE_LAYERS)
def test_a_configuration_that_leads_to_code_is_refused(tmp_path, kind):
    hostile, message = HOSTILE_LAYERS[kind]
    write(tmp_path / "a.keras", [layer(), hostile])
    with pytest.raises(ValueError, match=f"refused as a network: .*{message}"):
        check_keras_file(tmp_path / "a.keras")


@pytest.mark.parametrize("kind", HOSTILE_FILES)
def test_a_file_that_holds_something_else_is_refused(tmp_path, kind):
    changed, message = HOSTILE_FILES[kind]
    write(tmp_path / "a.keras", changed=changed)
    with pytest.raises(ValueError, match=message):
        check_keras_file(tmp_path / "a.keras")


@pytest.mark.parametrize("kind", HOSTILE_WEIGHTS)
def test_weights_that_lead_out_of_their_file_are_refused(tmp_path, kind):
    fill, message = HOSTILE_WEIGHTS[kind]
    write(tmp_path / "a.keras", changed={"model.weights.h5": weights_of(fill)})
    with pytest.raises(ValueError, match=f"refused as a network: .*{message}"):
        check_keras_file(tmp_path / "a.keras")


def test_weights_that_are_none_are_refused(tmp_path):
    write(tmp_path / "a.keras", changed={"model.weights.h5": b"weights"})
    with pytest.raises(ValueError, match="no network to train further"):
        check_keras_file(tmp_path / "a.keras")


def test_what_is_no_archive_or_lacks_a_part_is_refused(tmp_path):
    path = tmp_path / "a.keras"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError, match="no network to train further"):
        check_keras_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match=r"it holds config\.json"):
        check_keras_file(path)


def test_a_hostile_network_is_not_imported(tmp_path, own_models):
    write(tmp_path / "a.keras", [HOSTILE_LAYERS["lambda"][0]])
    card = find_model().card.replace(name="evil")
    files = {RUN_FILE: b"run", TRAIN_FILE: (tmp_path / "a.keras").read_bytes()}
    model = save_model(tmp_path / "evil", card, files)
    archive = export_model(model, tmp_path / "evil.nucleiseg")
    with pytest.raises(ValueError, match=r"cannot be imported.*'Lambda'"):
        import_model(archive)
    assert all(model.built_in for model in list_models())
    assert not list(own_models.iterdir())
