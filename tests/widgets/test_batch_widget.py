"""The Batch widget in a real napari window, used as a biologist would."""

import threading
import time

import numpy as np
import pandas as pd
import pytest
import tifffile
from qtpy.QtCore import QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QEnterEvent

from napari_nucleiseg import segment
from napari_nucleiseg.io.inputs import find_images_in
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.widgets.batch import form as batch_form
from napari_nucleiseg.widgets.batch import widget as batch_widget

from .conftest import press, result_layers, wait_until_done


@pytest.fixture
def folder(tmp_path):
    """Eight files of two conditions in two folders, one of them broken."""
    small, large = load_sample("small").image, load_sample("large").image
    for i in range(4):
        for name, image in (("control", small), ("drug", large)):
            path = tmp_path / "plate" / name / f"f{i}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, image[20 * i : 20 * i + 96, 10 * i : 10 * i + 96])
    (tmp_path / "plate" / "drug" / "f2.tif").write_bytes(b"II*\0 broken")
    return tmp_path / "plate"


@pytest.fixture
def widget(viewer, qtbot):
    found = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Segment a folder"
    )[1]
    wait_until_done(qtbot, found)
    return found


def choose(qtbot, widget, folder):
    form = widget.form
    form.folder.value = folder
    form.pattern.value = "**/*.tif"
    form.conditions.value = "folder"
    wait_until_done(qtbot, widget)
    return widget.panel


def column(panel, name):
    model = panel.model
    names = [model.headerData(i, Qt.Orientation.Horizontal) for i in range(6)]
    at = names.index(name)
    return [model.data(model.index(i, at)) for i in range(model.rowCount())]


def test_eight_files_one_broken_stopped_resumed_and_looked_at(
    viewer, qtbot, widget, folder
):
    assert not widget.run_button.isEnabled()
    assert "Choose a folder of images" in widget.reason_line.text()
    panel = choose(qtbot, widget, folder)
    assert column(panel, "Condition") == ["control"] * 4 + ["drug"] * 4
    assert set(column(panel, "State")) == {"to do"}
    assert widget.run_button.text() == "Run"

    # Stopped after the second image.
    press(qtbot, widget)
    assert widget.run_button.text() == "Stop"
    qtbot.waitUntil(lambda: column(panel, "State").count("done") >= 2, timeout=60_000)
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert widget.result_line.text().startswith("Stopped. What is done stays")
    out = folder / "nuclei"
    done = column(panel, "State").count("done")
    assert 2 <= done < 7
    assert len(pd.read_csv(out / "images.csv")) == done
    assert widget.run_button.text() == "Resume"
    written = {path: path.stat().st_mtime_ns for path in out.glob("*_labels.tif")}
    assert len(written) == done

    # Resumed: the broken one is named, the others are done, and none is done twice.
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert column(panel, "State") == ["done"] * 6 + ["failed"] + ["done"]
    assert "is not a readable image" in column(panel, "Message")[6]
    assert "1 could not be done" in widget.result_line.text()
    images = pd.read_csv(out / "images.csv")
    assert images["condition"].tolist() == ["control"] * 4 + ["drug"] * 3
    counts = [int(x) for i, x in enumerate(column(panel, "Nuclei")) if i != 6]
    assert images["nuclei"].tolist() == counts
    assert len(pd.read_csv(out / "nuclei.csv")) == sum(counts)
    assert {"contact_sheet.png", "report.html", "recipe.json"} <= {
        path.name for path in out.iterdir()
    }
    assert widget.report_button.isEnabled()
    report = (out / "report.html").read_text()
    assert "is not a readable image" in report

    # A row brings up the picture, and a double click the image with its labels.
    panel.view.selectRow(6)
    assert not panel.thumbnail.has_picture
    assert "not a readable image" in panel.thumbnail.text()
    assert not panel.open_button.isEnabled()
    place = panel.view.visualRect(panel.model.index(4, 0)).center()
    qtbot.mouseClick(
        panel.view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place)
    )
    assert panel.thumbnail.has_picture
    panel.open_button.click()
    (layer,) = result_layers(viewer)
    wanted = segment(tifffile.imread(folder / "drug" / "f0.tif"))
    np.testing.assert_array_equal(layer.data, wanted.labels)
    np.testing.assert_allclose(layer.features["confidence"], wanted.confidence)


def test_settings_are_those_of_the_segment_widget_or_of_a_recipe(
    viewer, qtbot, folder, tmp_path
):
    segmenting = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Segment nuclei"
    )[1]
    segmenting.form["diameter"].value = 33.0
    segmenting.form["probability"].value = 0.7
    widget = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Segment a folder"
    )[1]
    choose(qtbot, widget, folder)
    recipe = widget.form.chosen_recipe()
    assert (recipe.segment.diameter, recipe.segment.probability) == (33.0, 0.7)
    assert recipe.segment.separation is None
    assert "Diameter 33.0, probability 0.7" in widget.settings_line.text()
    recipe.replace(axes="YX", condition="").write(tmp_path / "r.json")
    segmenting.reset_button.click()
    widget._on_list_changed()
    wait_until_done(qtbot, widget)
    assert "Diameter measured" in widget.settings_line.text()
    widget.form.settings.value = "recipe"
    assert widget.result_line.text() == ""
    widget.form.recipe.value = tmp_path / "r.json"
    wait_until_done(qtbot, widget)
    assert widget.form.chosen_recipe() == recipe.replace(axes="YX")
    (tmp_path / "r.json").write_text("{")
    widget._on_list_changed()
    wait_until_done(qtbot, widget)
    assert "is no recipe" in widget.reason_line.text()
    assert not widget.run_button.isEnabled()


def test_open_layers_and_conditions_of_a_table(viewer, qtbot, widget, tmp_path):
    image = load_sample("small").image
    for name in ("well A1", "well B1"):
        viewer.add_image(image[:64, :64], name=name, scale=(0.5, 0.5))
    form = widget.form
    form.source.value = "layers"
    form.output.value = tmp_path / "out"
    (tmp_path / "plate.csv").write_text("well,dose,treatment\nA01,1,drug\nB01,0,\n")
    form.conditions.value = "table"
    form.condition_table.value = tmp_path / "plate.csv"
    wait_until_done(qtbot, widget)
    assert form.condition_column.value == "treatment"
    assert column(widget.panel, "Condition") == ["drug", ""]
    form.condition_column.value = "dose"
    wait_until_done(qtbot, widget)
    assert column(widget.panel, "Condition") == ["1", "0"]
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    nuclei = pd.read_csv(tmp_path / "out" / "nuclei.csv")
    assert set(nuclei["image"]) == {"well A1", "well B1"}
    assert "area_um2" in nuclei
    widget.panel.view.selectRow(1)
    widget.panel.open_button.click()
    (layer,) = result_layers(viewer)
    assert layer.scale.tolist() == [0.5, 0.5]
    assert widget.run_button.text() == "Run"


def test_a_large_folder_is_looked_through_beside_the_window(
    viewer, qtbot, widget, tmp_path, monkeypatch
):
    for i in range(5000):
        (tmp_path / f"drug{i % 7}_{i:04d}.tif").touch()
    threads = []

    def find(folder, pattern):
        threads.append(threading.current_thread())
        return find_images_in(folder, pattern)

    monkeypatch.setattr(batch_form, "find_images_in", find)
    ticks = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(5)
    widget.form.folder.value = tmp_path
    widget.form.conditions.value = "pattern"
    wait_until_done(qtbot, widget)
    timer.stop()
    assert widget.panel.model.rowCount() == 5000
    assert column(widget.panel, "Condition")[:2] == ["drug0", "drug0"]
    assert threads
    assert threading.main_thread() not in threads
    print(f"longest stall {1000 * np.diff(ticks).max():.0f} ms")
    # The list of so many is not made anew whenever the mouse comes by.
    monkeypatch.setattr(batch_widget, "_LONG", 0)
    threads.clear()
    widget.enterEvent(QEnterEvent(QPointF(), QPointF(), QPointF()))
    wait_until_done(qtbot, widget)
    assert not threads
    # But it is for something else, and what is wrong with it is said.
    widget.form.condition_pattern.value = "without braces"
    wait_until_done(qtbot, widget)
    assert "needs braces" in widget.reason_line.text()
    assert not widget.run_button.isEnabled()
    assert widget.panel.model.rowCount() == 0
