"""Labels of large images, corrected by hand where they are in view."""

import numpy as np
import pandas as pd
import pytest

from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.widgets.segment import large
from napari_nucleiseg.widgets.segment.edits import watched_labels

from .conftest import press, result_layers, squares, wait_until_done

SIDE = 700


@pytest.fixture(autouse=True)
def low_limits(monkeypatch, slow):
    """Take a small image for a large one, of many blocks."""
    monkeypatch.setattr(large, "LARGE", 300 * 300)
    monkeypatch.setattr(large, "BLOCK", 256)
    slow.seconds, slow.model, slow.threads = 0.0, find_model(), 2


def look_at(viewer, qtbot, y, x):
    viewer.scene.camera.zoom = 4.0
    viewer.scene.camera.center = (0, y, x)
    qtbot.wait(100)


def open_part(viewer, widget, qtbot):
    widget.correct_button.click()
    wait_until_done(qtbot, widget)
    (part,) = (layer for layer in viewer.layers if layer.name == "a (part)")
    assert widget.chosen_layer() is part
    return part, watched_labels(viewer, part)


def test_what_is_in_view_is_corrected_and_written_back(docked, qtbot, slow, tmp_path):
    viewer, widget = docked.viewer, docked.widget
    image = viewer.add_image(squares((SIDE, SIDE)), name="a", translate=(9, 5))
    path = widget.inputs.output.value = tmp_path / "out.zarr"
    assert not widget.correct_button.isVisible()
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (whole,) = result_layers(viewer)
    before = np.asarray(whole.data[0])
    look_at(viewer, qtbot, 330, 330)
    part, labels = open_part(viewer, widget, qtbot)
    assert not whole.visible
    assert labels.data.shape == part.data.shape
    # It lies where the image lies.
    y, x = (round(float(at)) for at in image.world_to_data(part.data_to_world((0, 0))))
    height, width = part.data.shape
    inside = np.s_[y : y + height, x : x + width]
    np.testing.assert_array_equal(part.data, image.data[inside])
    np.testing.assert_array_equal(labels.data > 0, before[inside] > 0)
    # All the tools of a small image are there: one is deleted, one accepted.
    review = widget.review
    assert review.isVisible()
    first = labels.data[310 - y, 310 - x]
    second = labels.data[310 - y, 350 - x]
    assert first > 0
    assert second > 0
    review.tools.chosen.emit(int(first))
    review.tools.delete()
    review.tools.chosen.emit(int(second))
    review.tools.accept()
    assert widget.write_button.isVisible()
    widget.write_button.click()
    wait_until_done(qtbot, widget)
    assert part not in viewer.layers
    assert labels not in viewer.layers
    assert whole.visible
    assert widget.chosen_layer() is image
    assert str(path) in widget.result_line.text()
    after = np.asarray(whole.data[0])
    assert before[310, 310] > 0
    assert after[310, 310] == 0
    same = before != before[310, 310]
    np.testing.assert_array_equal(after[same], before[same])
    table = pd.read_parquet(path.with_suffix(".parquet")).set_index("label")
    assert before[310, 310] not in table.index
    assert table.loc[before[310, 350], "by_hand"] == "accepted"
    assert len(whole.features) == len(table) == before.max() - 1
    # A slider that would drop it does not, since it was accepted.
    widget.form["min_area"].value = 500
    wait_until_done(qtbot, widget)
    widget.apply_button.click()
    wait_until_done(qtbot, widget)
    numbers = np.unique(np.asarray(whole.data[0]))
    np.testing.assert_array_equal(numbers, [0, before[310, 350]])


def test_sliders_and_outlines_work_on_a_part(docked, qtbot, slow, tmp_path):
    viewer, widget = docked.viewer, docked.widget
    stack = np.stack([squares((400, 400)), np.zeros((400, 400), np.uint8)])[:, None]
    stack[0, 0, 100:105, 100:105] = 0  # a smaller one
    viewer.add_image(stack, name="a", axis_labels=("t", "c", "y", "x"))
    path = widget.inputs.output.value = tmp_path / "out.zarr"
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (whole,) = result_layers(viewer)
    viewer.dims.set_current_step(0, 0)
    look_at(viewer, qtbot, 110, 110)
    part, labels = open_part(viewer, widget, qtbot)
    assert part.ndim == 4
    before = np.asarray(whole.data)[:, 0]
    count, tiles = len(labels.features), slow.tiles
    widget.form["min_area"].value = 390
    wait_until_done(qtbot, widget)
    assert slow.tiles == tiles
    assert len(labels.features) < count
    widget.write_button.click()
    wait_until_done(qtbot, widget)
    labels = np.asarray(whole.data)[:, 0]
    # The smaller one is gone; those that the part cuts are as they were.
    assert before[0, 110, 110] > 0
    gone = before == before[0, 110, 110]
    np.testing.assert_array_equal(labels, np.where(gone, 0, before))
    table = pd.read_parquet(path.with_suffix(".parquet"))
    assert set(np.unique(labels)) == {0, *table["label"]}
