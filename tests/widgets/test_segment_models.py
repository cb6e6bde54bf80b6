"""The choice of a model while models come and go, in a real napari window."""

import shutil

import numpy as np
import pytest

from napari_nucleiseg.core.segment.instances import InstanceSettings
from napari_nucleiseg.models.registry import (
    RUN_FILE,
    find_model,
    models_folder,
    save_model,
)

from .conftest import press, result_layers, squares, wait_until_done


def make_model(name, probability):
    card = find_model().card.replace(
        name=name,
        thresholds=InstanceSettings(probability=probability),
    )
    return save_model(models_folder() / name, card, {RUN_FILE: name.encode()})


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    """A model of the user's own, beside the built-in one."""
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path / "models"))
    return make_model("mine", 0.6)


def test_a_new_model_leaves_choice_and_values_alone(docked):
    widget = docked.widget
    widget.inputs.model.native.setCurrentText("mine")
    assert widget.params().probability == 0.6
    widget.form["probability"].value = 0.3
    widget.form["diameter"].value = 25
    make_model("a-new-one", 0.7)
    widget.refresh_models()
    assert widget.inputs.model.native.findText("a-new-one") >= 0
    assert widget.chosen_model().card.name == "mine"
    assert widget.params().probability == 0.3
    assert widget.params().diameter == 25


def test_a_model_trained_anew_brings_its_own_values(docked):
    widget = docked.widget
    widget.inputs.model.native.setCurrentText("mine")
    widget.form["diameter"].value = 25
    make_model("mine", 0.7)
    widget.refresh_models()
    assert widget.chosen_model().card.name == "mine"
    assert widget.params().probability == 0.7
    assert widget.params().diameter == 25


def test_segmenting_with_a_model_deleted_meanwhile(docked, qtbot, slow, mine, told):
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(squares((200, 240)), name="a")
    widget.inputs.model.native.setCurrentText("mine")
    widget.form["diameter"].value = 25
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    before, tiles = layer.data.copy(), slow.tiles
    shutil.rmtree(mine.folder)
    press(qtbot, widget)
    (message,) = told
    assert "“mine” no longer exists" in message
    assert "“nuclei” is chosen" in message
    assert "“mine” no longer exists" in widget.result_line.text()
    assert widget.inputs.model.native.findText("mine") == -1
    assert not widget.is_running  # what is there is not made anew either
    assert slow.tiles == tiles
    np.testing.assert_array_equal(layer.data, before)
    own = find_model().card.thresholds
    assert widget.params().probability == own.probability
    assert widget.params().diameter == 25
    press(qtbot, widget)
    assert widget.run_button.text() == "Cancel"
    wait_until_done(qtbot, widget)
    assert result_layers(viewer) == [layer]
    assert told == [message]
