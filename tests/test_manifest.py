import importlib.metadata
import inspect

import numpy as np
import pytest

import napari_nucleiseg
from napari_nucleiseg.cli.demo import PLUGIN, SAMPLE_NAMES, WIDGET
from napari_nucleiseg.io.sample_data import SAMPLES, load_sample

npe2 = pytest.importorskip("npe2")

#: Menus that napari lets a plugin add to; any other is silently ignored.
MENUS = {
    *(f"napari/file/{name}" for name in ("new_layer", "io_utilities", "acquire")),
    *(
        f"napari/layers/{name}"
        for name in (
            *("visualize", "annotate", "data", "metadata", "layer_type", "transform"),
            *("measure", "filter", "register", "project", "segment", "track"),
            "classify",
        )
    ),
}


@pytest.fixture(scope="module")
def manifest():
    return npe2.PluginManifest.from_distribution("napari-nucleiseg")


def test_it_is_the_one_in_the_package(manifest):
    assert manifest.name == PLUGIN
    assert manifest.package_version == importlib.metadata.version("napari-nucleiseg")
    assert manifest.package_version == napari_nucleiseg.__version__


def test_commands_are_named_for_the_plugin_and_all_are_used(manifest):
    contributions = manifest.contributions
    commands = {command.id for command in contributions.commands}
    assert all(name.startswith("napari-nucleiseg.") for name in commands)
    used = {
        entry.command
        for entries in (
            contributions.widgets,
            contributions.sample_data,
            contributions.readers,
            *contributions.menus.values(),
        )
        for entry in entries
    }
    assert used == commands


def test_menus_are_those_napari_knows_and_their_commands_exist(manifest):
    menus = manifest.contributions.menus
    commands = {command.id for command in manifest.contributions.commands}
    assert menus
    assert set(menus) <= MENUS
    for entries in menus.values():
        assert {entry.command for entry in entries} <= commands


def test_every_widget_can_be_made_and_is_in_a_menu(manifest):
    contributions = manifest.contributions
    titles = {command.id: command.title for command in contributions.commands}
    names = {widget.display_name: widget.command for widget in contributions.widgets}
    assert set(names) == {
        "Segment nuclei",
        "Teach the model",
        "Train a nuclei model",
        "Score nuclei labels",
        "Measure nuclei",
        "Segment a folder",
        "Link nuclei",
    }
    listed = {entry.command for menu in contributions.menus.values() for entry in menu}
    for name, command in names.items():
        assert titles[command] == name
        assert command in listed
        (python_name,) = (
            c.python_name for c in contributions.commands if c.id == command
        )
        widget = npe2.manifest.utils.import_python_name(python_name)
        assert "napari_viewer" in inspect.signature(widget).parameters


def test_the_demo_opens_widgets_and_samples_that_there_are(manifest):
    widgets = [widget.display_name for widget in manifest.contributions.widgets]
    assert WIDGET in widgets
    keys = {sample.key for sample in manifest.contributions.sample_data}
    assert keys == set(SAMPLE_NAMES) == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_open_as_layers(manifest, name):
    contributions = manifest.contributions
    sample = next(s for s in contributions.sample_data if s.key == name)
    command = next(c for c in contributions.commands if c.id == sample.command)
    opened = npe2.manifest.utils.import_python_name(command.python_name)
    assert not inspect.signature(opened).parameters
    layers = opened()
    assert len(layers) == 1
    image, options, kind = layers[0]
    assert kind == "image"
    assert options["name"] == sample.display_name == command.title
    assert options["rgb"] == (image.shape[-1] == 3)
    assert image.dtype == np.uint8
    assert image.max() > image.min()


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_have_true_labels_that_fit(name):
    sample = load_sample(name)
    spatial = sample.image.shape[: sample.image.ndim - ("S" in sample.axes)]
    assert sample.labels.shape == spatial
    assert sample.labels.dtype == np.int32
    for plane in sample.labels.reshape(-1, *spatial[-2:]):
        numbers = np.unique(plane)
        assert np.array_equal(numbers, np.arange(plane.max() + 1))
        assert plane.max() > 5
    assert sample.path.is_file()


def test_an_unknown_sample_lists_what_there_is():
    with pytest.raises(ValueError, match=r"'brain'; there are crowded, small"):
        load_sample("brain")
