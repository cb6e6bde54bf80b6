"""Edits by hand, several images and deleted labels, in a real napari window."""

import numpy as np
import pytest
from napari.layers import Labels

from napari_nucleiseg.core.segment.result import Segmentation
from napari_nucleiseg.widgets.segment import run as runs
from napari_nucleiseg.widgets.segment import run as segment_run
from napari_nucleiseg.widgets.segment import widget as segment_widget

from .conftest import press, result_layers, squares, wait_until_done


def segment(docked, qtbot, name="a", shape=(200, 240)):
    """Add an image of bright squares and press Segment."""
    if name not in docked.viewer.layers:
        docked.viewer.add_image(squares(shape), name=name)
    press(qtbot, docked.widget)
    wait_until_done(qtbot, docked.widget)


def move_slider(docked, qtbot, value=0.8):
    docked.widget.form["probability"].value = value
    wait_until_done(qtbot, docked.widget)


def status(layer, y, x):
    return layer.get_status(layer.data_to_world((y, x)), world=True)["coordinates"]


def line(docked):
    return docked.widget.result_line.text()


class _features:
    """Waits until a layer's features were set anew."""

    def __init__(self, qtbot, layer):
        self.qtbot, self.layer, self.told = qtbot, layer, []

    def __enter__(self):
        self.layer.events.features.connect(self._on_features)

    def _on_features(self, event):
        self.told.append(event)

    def __exit__(self, *_):
        self.qtbot.waitUntil(lambda: bool(self.told), timeout=5000)
        self.layer.events.features.disconnect(self._on_features)


def test_hovering_tells_of_the_nucleus_that_is_there(docked, qtbot, slow):
    """By brush, eraser, bucket and undoing; what is drawn has no confidence."""
    viewer = docked.viewer
    segment(docked, qtbot)
    (layer,) = result_layers(viewer)
    top = int(layer.data.max())
    first = int(layer.data[30, 30])
    assert "confidence" in status(layer, 30, 30)
    # Erased with a brush as wide as the nucleus: its row goes.
    layer.brush_size = 60
    with _features(qtbot, layer):
        layer.paint((30, 30), 0)
    assert first not in set(layer.features["index"])
    assert len(layer.features) == top - 1
    # The number is used again elsewhere, and has nothing of the former nucleus.
    layer.brush_size = 8
    with _features(qtbot, layer):
        layer.paint((100, 5), first)
    text = status(layer, 100, 5)
    assert f"area: {(layer.data == first).sum()}" in text
    assert "centroid_y: 100" in text
    assert "mean_intensity: 0" in text
    assert "confidence" not in text
    # A nucleus filled with another number loses its row to it.
    second = int(layer.data[70, 70])
    with _features(qtbot, layer):
        layer.fill((70, 70), top + 5)
    assert second not in set(layer.features["index"])
    assert "confidence" not in status(layer, 70, 70)
    # All undone: the table is as it was.
    for _ in range(3):
        with _features(qtbot, layer):
            layer.undo()
    assert list(layer.features["index"]) == list(range(1, top + 1))
    assert layer.features["confidence"].notna().all()
    assert "confidence" in status(layer, 30, 30)


def test_edits_are_followed_after_the_dock_was_closed(docked, qtbot, slow):
    viewer = docked.viewer
    segment(docked, qtbot)
    (layer,) = result_layers(viewer)
    viewer.window.remove_dock_widget(docked.widget)
    docked.widget.close()
    with _features(qtbot, layer):
        layer.paint((100, 5), 999)
    assert 999 in set(layer.features["index"])


def test_a_stack_is_followed_in_the_plane_that_is_shown(docked, qtbot, slow):
    viewer = docked.viewer
    viewer.add_image(np.stack([squares((80, 120))] * 3), name="stack")
    press(qtbot, docked.widget)
    wait_until_done(qtbot, docked.widget)
    (layer,) = result_layers(viewer)
    viewer.dims.set_point(0, 2)
    with _features(qtbot, layer):
        layer.paint((2, 5, 5), 999)
    row = layer.features.set_index("index").loc[999]
    assert row["centroid_0"] == 2
    with _features(qtbot, layer):
        layer.undo()
    assert 999 not in set(layer.features["index"])


def test_editing_a_large_result_is_quick(docked, qtbot):
    """A megapixel with 500 nuclei: the table follows in less than a frame or two."""
    import time

    import pandas as pd

    from napari_nucleiseg.core.measure import measure
    from napari_nucleiseg.widgets.segment.edits import EditedTable

    labels = np.zeros((1000, 1000), np.int32)
    for n in range(500):
        y, x = divmod(n, 25)
        labels[50 * y + 5 : 50 * y + 35, 40 * x + 5 : 40 * x + 35] = n + 1
    image = np.ones(labels.shape)
    table = pd.DataFrame(measure(labels, image, np.ones(500)))
    edited = EditedTable(labels, image, table.rename(columns={"label": "index"}))
    now = labels.copy()
    now[:4, :4] = 7
    edited.update(now)  # the first one copies
    best = np.inf
    for n in range(5):
        now[900:940, 900:940] = n
        start = time.perf_counter()
        edited.update(now)
        best = min(best, time.perf_counter() - start)
    assert best < 0.1


def test_corrections_stay_through_sliders_and_a_new_run(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    segment(docked, qtbot)
    (layer,) = result_layers(viewer)
    top = int(layer.data.max())
    layer.fill((30, 30), 0)  # erased
    layer.brush_size = 6
    layer.paint((70, 60), int(layer.data[70, 70]))  # made wider by hand
    layer.paint((5, 5), top + 7)  # drawn
    edited = layer.data.copy()
    widget.form["min_area"].value = 5
    wait_until_done(qtbot, widget)
    assert result_layers(viewer) == [layer]
    np.testing.assert_array_equal(layer.data, edited)
    assert line(docked).endswith("2 nuclei corrected or accepted by hand kept.")
    # The rest follows the sliders.
    widget.form["min_area"].value = 10_000
    wait_until_done(qtbot, widget)
    wide = int(edited[70, 70])
    np.testing.assert_array_equal(
        layer.data, np.where(np.isin(edited, [wide, top + 7]), edited, 0)
    )
    ways = layer.features.set_index("index")["by_hand"].to_dict()
    assert ways == {wide: "corrected", top + 7: "drawn"}
    tiles = slow.tiles
    widget.form["min_area"].value = 5
    wait_until_done(qtbot, widget)
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert slow.tiles > tiles
    assert result_layers(viewer) == [layer]
    np.testing.assert_array_equal(layer.data, edited)
    assert len(layer.features) == top


def test_discarding_corrections_can_be_undone(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    button = widget.review.tools.discard_button
    segment(docked, qtbot)
    (layer,) = result_layers(viewer)
    made = layer.data.copy()
    assert not button.isVisible()
    with _features(qtbot, layer):
        layer.fill((30, 30), 0)
    edited = layer.data.copy()
    assert button.isVisible()
    widget.form["min_area"].value = 5
    wait_until_done(qtbot, widget)
    button.click()
    np.testing.assert_array_equal(layer.data, made)
    assert len(layer.features) == made.max()
    assert "by hand" not in line(docked)
    with _features(qtbot, layer):
        layer.undo()
    np.testing.assert_array_equal(layer.data, edited)
    assert button.isVisible()
    assert len(layer.features) == made.max() - 1


def test_edits_made_while_it_runs_are_not_lost(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    segment(docked, qtbot, shape=(600, 600))
    (layer,) = result_layers(viewer)
    press(qtbot, widget)
    assert widget.is_running
    layer.fill((30, 30), 0)
    edited = layer.data.copy()
    wait_until_done(qtbot, widget)
    np.testing.assert_array_equal(layer.data, edited)
    assert result_layers(viewer) == [layer]


def test_an_edit_that_was_undone_is_no_edit(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    segment(docked, qtbot)
    (layer,) = result_layers(viewer)
    layer.fill((30, 30), 0)
    layer.undo()
    widget.form["min_area"].value = 10_000
    wait_until_done(qtbot, widget)
    assert layer.data.max() == 0


def test_sliders_answer_for_every_image_that_was_segmented(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    segment(docked, qtbot, "first")
    segment(docked, qtbot, "second", (120, 160))
    first, second = result_layers(viewer)
    tiles = slow.tiles
    viewer.layers.selection.active = viewer.layers["first"]
    assert "in “first”" in line(docked)
    widget.form["min_area"].value = 10_000
    wait_until_done(qtbot, widget)
    assert first.data.max() == 0
    assert second.data.max() > 0
    # The dock is closed and opened again.
    viewer.window.remove_dock_widget(widget)
    widget.close()
    _, widget = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Segment nuclei"
    )
    widget.inputs.choose(viewer.layers["second"])
    assert "in “second”" in widget.result_line.text()
    widget.form["min_area"].value = 10_000
    wait_until_done(qtbot, widget)
    assert second.data.max() == 0
    assert slow.tiles == tiles


def test_maps_that_memory_has_no_room_for_are_dropped_and_said(
    docked, qtbot, slow, monkeypatch
):
    viewer, widget = docked.viewer, docked.widget
    monkeypatch.setattr(runs, "MOST_MEMORY", 1_000_000)
    segment(docked, qtbot, "first")
    segment(docked, qtbot, "second")
    first = viewer.layers["first nuclei"]
    before = first.data.copy()
    viewer.layers.selection.active = first
    assert "no longer in memory. Press Segment" in line(docked)
    move_slider(docked, qtbot)
    np.testing.assert_array_equal(first.data, before)
    viewer.layers.selection.active = viewer.layers["second"]
    widget.form["min_area"].value = 10_000
    wait_until_done(qtbot, widget)
    assert viewer.layers["second nuclei"].data.max() == 0


def test_an_image_that_is_gone_leaves_nothing_in_memory(docked, qtbot, slow):
    import gc
    import weakref

    viewer = docked.viewer
    segment(docked, qtbot)
    kept = weakref.ref(runs.kept_for(viewer.layers["a"]).found)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: gc.collect() >= 0 and kept() is None, timeout=5000)


def test_the_line_names_its_image_and_says_what_changed_since(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    segment(docked, qtbot, "first")
    count = int(result_layers(viewer)[0].data.max())
    assert line(docked).startswith(f"{count} nuclei found in “first” in ")
    move_slider(docked, qtbot)
    assert line(docked) == f"{count} nuclei found in “first” with these values."
    widget.form["diameter"].value = 35
    wait_until_done(qtbot, widget)
    assert "with these values" not in line(docked)
    assert "Changed since: diameter. Press Segment to use it." in line(docked)
    viewer.add_image(squares((80, 80)), name="second")
    viewer.layers.selection.active = viewer.layers["second"]
    assert line(docked) == ""


def test_deleted_labels_stay_deleted(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    segment(docked, qtbot)
    viewer.layers.remove("a nuclei")
    assert "The labels of “a” were deleted. Press Segment" in line(docked)
    widget.form["min_area"].value = 5
    wait_until_done(qtbot, widget)
    assert result_layers(viewer) == []
    segment(docked, qtbot)
    assert len(result_layers(viewer)) == 1


def test_no_nuclei_add_no_layer(docked, qtbot, slow, monkeypatch):
    viewer, widget = docked.viewer, docked.widget
    monkeypatch.setattr(segment_widget, "show_info", lambda *_: None)
    widget.form["min_area"].value = 10_000
    segment(docked, qtbot)
    assert result_layers(viewer) == []
    assert line(docked).startswith("0 nuclei found in “a” in ")
    # The sliders answer all the same.
    widget.form["min_area"].value = 5
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    assert layer.data.max() > 0


def test_labels_select_the_image_they_are_of(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    segment(docked, qtbot, "first")
    segment(docked, qtbot, "second")
    viewer.layers.selection.active = viewer.layers["first nuclei"]
    assert widget.chosen_layer() is viewer.layers["first"]
    viewer.layers.selection.active = viewer.layers["second nuclei"]
    assert widget.chosen_layer() is viewer.layers["second"]


def test_a_result_does_not_take_the_user_away_from_another_image(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(squares((80, 80)), name="second")
    viewer.add_image(squares((600, 600)), name="first")
    press(qtbot, widget)
    viewer.layers.selection.active = viewer.layers["second"]
    wait_until_done(qtbot, widget)
    assert widget.chosen_layer() is viewer.layers["second"]
    assert "first nuclei" in viewer.layers


@pytest.mark.parametrize("running", [False, True])
def test_a_value_that_is_refused_is_told(docked, qtbot, slow, monkeypatch, running):
    viewer, widget = docked.viewer, docked.widget
    if running:
        segment(docked, qtbot)
    else:
        viewer.add_image(squares((80, 80)), name="a")

    def refuse(_):
        raise ValueError("diameter must be at least 3; received 2.5.")

    monkeypatch.setattr(type(widget.inputs), "params", refuse)
    press(qtbot, widget)
    move_slider(docked, qtbot)
    press(qtbot, widget)
    assert not widget.is_running
    assert line(docked) == "diameter must be at least 3; received 2.5."


def test_suspect_results_say_so(docked, qtbot, slow, monkeypatch):
    monkeypatch.setattr(
        Segmentation, "warnings", ["The contrast is that of a constant."]
    )
    segment(docked, qtbot)
    assert line(docked).endswith("The contrast is that of a constant.")


def test_long_texts_stay_in_the_form(docked, qtbot, slow, monkeypatch, told):
    viewer, widget = docked.viewer, docked.widget
    url = "https://example.org/" + "a-long-name/" * 12 + "x" * 80

    def broken(*_):
        raise OSError(30, "Read-only file system", f"/home/me/{'folder' * 20}/m.tflite")

    monkeypatch.setattr(segment_run, "load_model", broken)
    width = widget.widget().minimumSizeHint().width()
    viewer.add_image(squares((60, 60)), name="a very long name " * 8)
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert "Errno" not in line(docked)
    assert "Read-only file system" in line(docked)
    assert widget.widget().minimumSizeHint().width() <= width
    widget.result_line.setText(url)
    assert widget.result_line.text() == url
    assert widget.widget().minimumSizeHint().width() <= width
    assert viewer.layers[0].name in widget.inputs.image.tooltip
    assert isinstance(viewer.layers[0], Labels) is False


def test_two_docks_fit_a_small_window(docked, qtbot):
    """Fields keep their height at 1000 × 600, and all can be scrolled to."""
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(squares((60, 60)), name="a")
    _, score = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Score nuclei labels"
    )
    viewer.window.resize(1000, 600)
    qtbot.wait(200)
    window = viewer.window._qt_window
    assert window.height() <= 620
    for dock in (widget, score):
        assert dock.widget().height() >= dock.widget().minimumSizeHint().height()
        button = dock.run_button
        assert button.height() >= button.minimumSizeHint().height()
        dock.ensureWidgetVisible(button)
        place = button.mapTo(dock, button.rect().center())
        assert dock.rect().contains(place)


def test_the_axes_are_shown_and_can_be_changed(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    inputs = widget.inputs
    viewer.add_image(squares((60, 80)), name="plane")
    assert not inputs.axes.visible
    stack = np.stack([np.zeros((60, 80), np.uint8), squares((60, 80))])
    layer = viewer.add_image(stack, name="two", axis_labels=("z", "y", "x"))
    inputs.choose(layer)
    assert inputs.axes.visible
    assert inputs.axes.value == "ZYX"
    assert not inputs.channel.visible
    inputs.axes.value = "ZX"
    assert "'ZX'" in line(docked)
    assert not widget.run_button.isEnabled()
    inputs.axes.value = "CYX"
    assert widget.run_button.isEnabled()
    inputs.channel.native.setCurrentText("Channel 1")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (labels,) = result_layers(viewer)
    assert labels.data.shape == (60, 80)
    # What was said of an image is remembered, and edits are followed there too.
    inputs.choose(viewer.layers["plane"])
    inputs.choose(layer)
    assert inputs.axes.value == "CYX"
    with _features(qtbot, labels):
        labels.fill((30, 30), 0)
    # Read in another way, the image has other labels; the edited ones are put aside.
    inputs.axes.value = "ZYX"
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    before, after = result_layers(viewer)
    assert before is labels
    assert not before.visible
    assert after.data.shape == stack.shape
