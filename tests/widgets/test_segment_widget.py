"""The real widget in a real napari window, used as a biologist would."""

import sys

import numpy as np
import pytest

from napari_nucleiseg import segment
from napari_nucleiseg.cli import main
from napari_nucleiseg.core.score.matching import score_image
from napari_nucleiseg.io.pair_reading import read_labels
from napari_nucleiseg.io.sample_data import load_sample

from .conftest import press, result_layers, squares, wait_until_done


def test_a_user_segments_a_sample(docked, qtbot):
    viewer, widget = docked.viewer, docked.widget
    sample = load_sample("crowded")
    viewer.open_sample("napari-nucleiseg", "crowded")
    press(qtbot, widget)
    assert widget.run_button.text() == "Cancel"
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    assert layer.name.startswith(sample.title)
    assert score_image(sample.labels, layer.data).average_precision(0.5) >= 0.8
    count = int(layer.data.max())
    assert widget.result_line.text().startswith(f"{count} nuclei found in ")
    table = layer.features
    assert list(table["index"]) == list(range(1, count + 1))
    assert {"area", "centroid_y", "centroid_x", "mean_intensity", "confidence"} <= set(
        table.columns
    )
    assert table["area"].sum() == (layer.data > 0).sum()
    record = layer.metadata["nucleiseg"]
    assert record["model"] == "nuclei"
    assert record["params"]["diameter"] is None
    assert "tensorflow" not in sys.modules
    assert "keras" not in sys.modules
    assert widget.run_button.text() == "Segment"
    assert not widget.progress.bar.native.isVisible()


@pytest.mark.parametrize("name", ["small", "tissue", "fields"])
def test_widget_shell_and_api_give_the_same_labels(docked, qtbot, tmp_path, name):
    viewer, widget = docked.viewer, docked.widget
    sample = load_sample(name)
    viewer.open_sample("napari-nucleiseg", name)
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    api = segment(sample.image, axes=sample.axes).labels
    assert main(["segment", str(sample.path), "--output", str(tmp_path)]) == 0
    shell = read_labels(tmp_path / f"{name}_labels.tif")
    assert layer.data.max() > 10
    np.testing.assert_array_equal(layer.data, api)
    np.testing.assert_array_equal(shell, api)


def test_button_says_why_it_cannot_run(docked, qtbot):
    widget = docked.widget
    assert not widget.run_button.isEnabled()
    assert "Open an image first" in widget.run_button.toolTip()
    assert "Open an image first" in widget.result_line.text()
    docked.viewer.add_image(np.zeros((20, 30), np.uint8), name="a")
    assert widget.run_button.isEnabled()
    docked.viewer.layers.remove("a")
    assert not widget.run_button.isEnabled()


def test_follows_the_viewers_layers(docked):
    viewer, widget = docked.viewer, docked.widget
    first = viewer.add_image(np.zeros((20, 30), np.uint8), name="first")
    second = viewer.add_image(np.zeros((20, 30), np.uint8), name="second")
    viewer.add_points([[1, 1]])
    names = [layer.name for layer in widget.inputs.image.choices]
    assert names == ["first", "second"]
    viewer.layers.selection.active = first
    assert widget.chosen_layer() is first
    viewer.layers.selection.active = second
    assert widget.chosen_layer() is second
    second.name = "renamed"
    assert widget.inputs.image.current_choice == "renamed"
    viewer.layers.remove(second)
    assert widget.chosen_layer() is first


def test_preselects_the_active_layer(viewer):
    first = viewer.add_image(np.zeros((20, 30), np.uint8), name="first")
    viewer.add_image(np.zeros((20, 30), np.uint8), name="second")
    viewer.layers.selection.active = first
    _, widget = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Segment nuclei"
    )
    assert widget.chosen_layer() is first


def test_cancel_midway_changes_nothing(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(squares(), name="big")
    press(qtbot, widget)
    qtbot.waitUntil(lambda: slow.tiles >= 3, timeout=10_000)
    assert widget.progress.bar.native.isVisible()
    press(qtbot, widget)
    before = slow.tiles
    wait_until_done(qtbot, widget, timeout=3_000)
    assert slow.tiles <= before + 1
    assert result_layers(viewer) == []
    assert "Cancelled" in widget.result_line.text()
    assert widget.run_button.text() == "Segment"


def test_progress_names_stage_and_time_left(docked, qtbot, slow):
    widget = docked.widget
    slow.seconds = 0.1
    docked.viewer.add_image(squares(), name="big")
    widget.form["diameter"].value = 20
    press(qtbot, widget)
    qtbot.waitUntil(
        lambda: (
            widget.progress.line.value.startswith("Finding nuclei: ")
            and widget.progress.line.value.endswith("left")
        ),
        timeout=10_000,
    )
    assert 0 < widget.progress.bar.native.value() < widget.progress.bar.native.maximum()
    widget.cancel()
    wait_until_done(qtbot, widget)


def test_deleting_the_image_while_it_runs(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    layer = viewer.add_image(squares(), name="big")
    press(qtbot, widget)
    qtbot.waitUntil(lambda: slow.tiles >= 2, timeout=10_000)
    viewer.layers.remove(layer)
    wait_until_done(qtbot, widget, timeout=3_000)
    assert len(viewer.layers) == 0
    assert not widget.run_button.isEnabled()


def test_closing_the_widget_while_it_runs(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(squares(), name="big")
    press(qtbot, widget)
    qtbot.waitUntil(lambda: slow.tiles >= 2, timeout=10_000)
    viewer.window.remove_dock_widget(widget)
    widget.close()
    before = slow.tiles
    qtbot.wait(300)
    assert slow.tiles <= before + 1
    # The viewer goes on working, and nothing of the widget answers any more.
    viewer.add_image(np.zeros((9, 9)))
    assert result_layers(viewer) == []


def test_viewer_stays_alive_while_it_runs(docked, qtbot):
    """Panning goes on while the real network works: the loop keeps turning."""
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(np.tile(load_sample("crowded").image, (2, 1)), name="big")
    press(qtbot, widget)
    turns = 0
    while widget.is_running:
        viewer.scene.camera.center = (turns % 50, turns % 70)
        qtbot.wait(5)
        turns += 1
    assert turns >= 20
    assert len(result_layers(viewer)) == 1


def test_two_runs_never_interleave(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(squares((1200, 1200)), name="a")
    widget.run()
    widget.run()  # ignored: one is running
    qtbot.waitUntil(lambda: slow.tiles >= 1, timeout=10_000)
    widget.cancel()
    widget.run()
    wait_until_done(qtbot, widget)
    assert slow.most_inside == 1


def test_running_again_updates_the_layer(docked, qtbot):
    viewer, widget = docked.viewer, docked.widget
    viewer.open_sample("napari-nucleiseg", "small")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    first = layer.data.copy()
    widget.form["diameter"].value = 25
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert result_layers(viewer) == [layer]
    assert not np.array_equal(first, layer.data)
    assert layer.metadata["nucleiseg"]["params"]["diameter"] == 25


def test_result_lies_on_the_image(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    image = viewer.add_image(
        squares((200, 300)),
        name="calibrated",
        scale=(0.5, 0.25),
        translate=(10, 20),
        rotate=30,
        shear=[0.2],
        affine=[[1, 0, 3], [0, 1, 4], [0, 0, 1]],
        units=("um", "um"),
    )
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    assert layer.units == image.units
    corners = np.array([[0, 0], [199, 0], [0, 299], [77, 131]])
    for corner in corners:
        np.testing.assert_allclose(
            layer.data_to_world(corner), image.data_to_world(corner)
        )


def test_one_channel_of_several(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    nuclei = squares((200, 240))
    other = np.zeros_like(nuclei)
    viewer.add_image(
        np.stack([other, nuclei]),
        name="two",
        scale=(1, 0.5, 0.25),
        axis_labels=("c", "y", "x"),
    )
    assert widget.inputs.channel.visible
    widget.inputs.channel.native.setCurrentText("Channel 1")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    assert layer.data.shape == (200, 240)
    assert layer.data.max() > 10
    np.testing.assert_allclose(layer.scale, (0.5, 0.25))


def test_stack_is_done_plane_by_plane(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    stack = np.stack([squares((120, 160)), np.zeros((120, 160), np.uint8)] * 4)
    viewer.add_image(stack, name="time-lapse")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    assert layer.data.shape == stack.shape
    assert "centroid_0" in layer.features
    assert set(np.unique(layer.data[1])) == {0}


def test_multiscale_uses_full_resolution(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    image = squares((400, 400))
    viewer.add_image([image, image[::2, ::2]], multiscale=True, name="pyramid")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    assert layer.data.shape == (400, 400)


def test_an_error_is_told_and_the_form_goes_on(docked, qtbot, monkeypatch, told):
    from napari_nucleiseg.widgets.segment import run as segment_run

    def broken(*_):
        raise RuntimeError("the model has gone")

    monkeypatch.setattr(segment_run, "load_model", broken)
    docked.viewer.add_image(squares((60, 60)), name="a")
    press(qtbot, docked.widget)
    wait_until_done(qtbot, docked.widget)
    assert told == ["Segment nuclei: the model has gone"]
    assert "the model has gone" in docked.widget.result_line.text()
    assert docked.widget.run_button.text() == "Segment"
    assert docked.widget.run_button.isEnabled()


def test_no_nuclei_is_said(docked, qtbot, slow, monkeypatch):
    from napari_nucleiseg.widgets.segment import widget as segment_widget

    monkeypatch.setattr(segment_widget, "show_info", lambda *_: None)
    docked.viewer.add_image(np.zeros((60, 60), np.uint8), name="black")
    press(qtbot, docked.widget)
    wait_until_done(qtbot, docked.widget)
    assert docked.widget.result_line.text().startswith("0 nuclei found")


def test_every_control_explains_itself(docked):
    from qtpy.QtWidgets import QComboBox, QPushButton

    widget = docked.widget
    controls = [
        *widget.findChildren(QComboBox),
        *widget.findChildren(QPushButton),
        *(control.native for control in widget.form),
        *(control.native for control in widget.more_form),
    ]
    silent = [
        c.objectName() or c
        for c in controls
        if not c.toolTip() and c is not widget.advanced.toggleButton()
    ]
    assert silent == []
    assert widget.minimumSizeHint().width() <= 360


@pytest.mark.parametrize(
    ("menu", "command", "title"),
    [
        ("segment", "segment", "Segment nuclei"),
        ("segment", "train", "Train a nuclei model"),
        ("measure", "score", "Score nuclei labels"),
    ],
)
def test_menu_entries_dock_their_widgets(viewer, menu, command, title):
    from app_model.types import MenuItem
    from napari._app_model import get_app_model

    app = get_app_model()
    ours = [
        item.command
        for item in app.menus.get_menu(f"napari/layers/{menu}")
        if isinstance(item, MenuItem)
        and item.command.id == f"napari-nucleiseg.{command}"
    ]
    assert len(ours) == 1
    before = set(viewer.window.dock_widgets)
    app.commands.execute_command(ours[0].id).result()
    added = set(viewer.window.dock_widgets) - before
    assert len(added) == 1
    assert title in added.pop()
