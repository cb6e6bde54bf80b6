"""How a result was made: saved in the window, and done again through every door."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
import tifffile
from qtpy.QtWidgets import QApplication

from napari_nucleiseg.cli import main
from napari_nucleiseg.core.measure.gates import Gate
from napari_nucleiseg.io.sample_data import load_sample

from .conftest import press, result_layers, wait_until_done


@pytest.fixture
def file(tmp_path):
    """Two channels with the size of a pixel, as a microscope writes them."""
    image = load_sample("small").image[:120, :140]
    path = tmp_path / "cells.tif"
    metadata = {
        "axes": "CYX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeYUnit": "µm",
    }
    data = np.stack([255 - image, image])
    tifffile.imwrite(path, data, ome=True, metadata=metadata)
    return path


def dock(viewer, name):
    return viewer.window.add_plugin_dock_widget("napari-nucleiseg", name)[1]


@pytest.fixture(autouse=True)
def clipboard(monkeypatch):
    """A clipboard that is not shared with other tests on the same screen."""
    found = Clipboard()
    monkeypatch.setattr(QApplication, "clipboard", lambda: found)


class Clipboard:
    """Holds a text."""

    def setText(self, text):
        self._text = text

    def text(self):
        return self._text


def without_image(path):
    """Return a table's lines as they are written, without their first column."""
    lines = path.read_text().splitlines()
    assert lines[0].startswith("image,")
    return [line.partition(",")[2] for line in lines]


def copied(widget, what):
    actions = widget.recipe_button.menu().actions()
    next(x for x in actions if x.text() == f"Copy as {what}").trigger()
    assert "Copied" in widget.result_line.text()
    return QApplication.clipboard().text()


def test_window_shell_and_python_give_the_same_labels_and_tables(
    viewer, qtbot, file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    viewer.open(str(file), plugin="napari")
    segmenting = dock(viewer, "Segment nuclei")
    segmenting.inputs.channel.value = segmenting.inputs.channel.choices[1]
    press(qtbot, segmenting)
    wait_until_done(qtbot, segmenting)
    before = result_layers(viewer)[0].data.copy()
    segmenting.form["probability"].value = 0.6
    segmenting.form["min_area"].value = 20
    qtbot.waitUntil(lambda: not np.array_equal(result_layers(viewer)[0].data, before))
    wait_until_done(qtbot, segmenting)
    (layer,) = result_layers(viewer)
    labels = layer.data
    measuring = dock(viewer, "Measure nuclei")
    measuring.form["around"].value = "ring"
    press(qtbot, measuring)
    wait_until_done(qtbot, measuring)
    panel = measuring.panel
    panel.plots.plot.drawn.emit({"x": "area_um2", "low": 12.3456789012345})
    panel.plots.name_line.setText("not small")
    panel.plots.gate_button.click()
    wanted = panel.model.table
    assert 0 < wanted["not small"].sum() < len(wanted)
    panel.export(tmp_path / "window.csv")
    in_window = without_image(tmp_path / "window.csv")

    # A file, which the shell takes.
    measuring.recipe_button.save(tmp_path / "recipe.json")
    saved = json.loads((tmp_path / "recipe.json").read_text())
    assert saved["model"] == "nuclei"
    assert (saved["axes"], saved["channel"]) == ("CYX", 1)
    assert saved["segment"]["probability"] == 0.6
    assert saved["segment"]["separation"] is None
    command = ["segment", str(file), "--recipe", "recipe.json", "--output", "by recipe"]
    assert main(command) == 0
    # The line that was copied.
    line = shlex.split(copied(measuring, "command"))
    assert main(line[1:]) == 0
    for folder in ("by recipe", "tables"):
        found = tifffile.imread(tmp_path / folder / "cells_labels.tif")
        np.testing.assert_array_equal(found, labels, err_msg=folder)
        assert without_image(tmp_path / folder / "nuclei.csv") == in_window
    # The lines of Python that were copied.
    names = {}
    exec(copied(measuring, "Python"), names)
    np.testing.assert_array_equal(names["result"].labels, labels)
    pd.testing.assert_frame_equal(names["table"], wanted, check_dtype=False)
    # Segment's own, which measure nothing.
    assert main(shlex.split(copied(segmenting, "command"))[1:]) == 0
    found = tifffile.imread(tmp_path / "labels" / "cells_labels.tif")
    np.testing.assert_array_equal(found, labels)
    exec(copied(segmenting, "Python"), names)
    np.testing.assert_array_equal(names["result"].labels, labels)

    # And back into the window, from the recipe that the shell wrote.
    segmenting.reset_button.click()
    segmenting.inputs.channel.value = segmenting.inputs.channel.choices[0]
    measuring.form["around"].value = "nothing"
    written = tmp_path / "tables" / "recipe.json"
    segmenting.recipe_button.load(written)
    measuring.recipe_button.load(written)
    viewer.layers.remove(layer)
    press(qtbot, segmenting)
    wait_until_done(qtbot, segmenting)
    (layer,) = result_layers(viewer)
    np.testing.assert_array_equal(layer.data, labels)
    press(qtbot, measuring)
    wait_until_done(qtbot, measuring)
    pd.testing.assert_frame_equal(measuring.panel.model.table, wanted)


def test_what_cannot_be_copied_or_loaded_is_said(viewer, qtbot, tmp_path, slow):
    widget = dock(viewer, "Segment nuclei")
    sample = load_sample("small").image[:64, :64]
    viewer.add_image(sample, name="not saved")
    button = widget.recipe_button
    (copy,) = (a for a in button.menu().actions() if a.text() == "Copy as command")
    copy.trigger()
    assert "“not saved” is in no file" in widget.result_line.text()
    # Of that, lines for napari's console are made.
    names = {"viewer": viewer}
    exec(copied(widget, "Python"), names)
    assert names["result"].labels.shape == sample.shape
    probability = widget.params().probability
    button.save(tmp_path / "recipe.json")
    saved = json.loads((tmp_path / "recipe.json").read_text())
    for wrong, said in (
        ({"model_hash": "0" * 64}, "another model called nuclei"),
        ({"model": "gone"}, "no model named 'gone'"),
        ({"segment": {"probability": 3}}, "probability must be between 0.05 and 0.95"),
    ):
        (tmp_path / "wrong.json").write_text(json.dumps(saved | wrong))
        button.load(tmp_path / "wrong.json")
        assert said in widget.result_line.text()
    assert widget.params().probability == probability
    measuring = dock(viewer, "Measure nuclei")
    measuring.recipe_button.save(tmp_path / "none.json")
    assert "Press Measure first" in measuring.result_line.text()
    assert not (tmp_path / "none.json").exists()


def test_corrections_by_hand_are_said_not_to_be_in_the_lines(
    viewer, qtbot, tmp_path, file, capsys
):
    viewer.open(str(file), plugin="napari")
    widget = dock(viewer, "Segment nuclei")
    widget.inputs.channel.value = widget.inputs.channel.choices[1]
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    copied(widget, "command")
    assert "by hand" not in widget.result_line.text()
    layer.data_setitem(np.nonzero(layer.data == 1), 0)
    copied(widget, "command")
    assert "corrections made by hand are not in it" in widget.result_line.text()
    # Neither are they in a file, for whoever opens it.
    widget.recipe_button.save(tmp_path / "r.json")
    assert "corrections made by hand are not in it" in widget.result_line.text()
    assert json.loads((tmp_path / "r.json").read_text())["corrected"]
    widget.recipe_button.load(tmp_path / "r.json")
    assert "corrected by hand afterwards" in widget.result_line.text()
    assert "# What was corrected by hand" in copied(widget, "Python")
    how = ["--recipe", str(tmp_path / "r.json"), "--output", str(tmp_path / "out")]
    assert main(["segment", str(file), *how]) == 0
    assert "corrected by hand afterwards" in capsys.readouterr().err
    assert not json.loads((tmp_path / "out" / "recipe.json").read_text())["corrected"]


def test_labels_and_images_in_files_become_a_line_that_measures(
    viewer, qtbot, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    sample = load_sample("small")
    for name, data in (
        ("x_labels", sample.labels[:90, :90].astype(np.uint16)),
        ("DAPI", sample.image[:90, :90]),
        ("GFP", 255 - sample.image[:90, :90]),
    ):
        tifffile.imwrite(tmp_path / f"{name}.tif", data)
        kind = "labels" if "labels" in name else "image"
        viewer.open(str(tmp_path / f"{name}.tif"), plugin="napari", layer_type=kind)
    widget = dock(viewer, "Measure nuclei")
    widget.inputs.images.value = [viewer.layers["DAPI"], viewer.layers["GFP"]]
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    panel = widget.panel
    panel.gates = [Gate(name="dim", x="mean_DAPI", high=40.0)]
    panel._show_table(None)
    wanted = panel.model.table
    assert main(shlex.split(copied(widget, "command"))[1:]) == 0
    table = pd.read_csv(tmp_path / "tables" / "nuclei.csv").drop(columns="image")
    pd.testing.assert_frame_equal(table, wanted, check_dtype=False, rtol=1e-14)
    names = {}
    exec(copied(widget, "Python"), names)
    pd.testing.assert_frame_equal(names["table"], wanted, check_dtype=False)
