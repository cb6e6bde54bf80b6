"""The panel that looks through nuclei by confidence, in a real napari window."""

import numpy as np
import pandas as pd
import pytest
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt

from napari_nucleiseg.widgets.segment.review import KEYS, ReviewPanel
from napari_nucleiseg.widgets.segment.tools import BUTTONS
from napari_nucleiseg.widgets.shared.camera import FILL

KEY = "N"


def add_labels(viewer, confidence=(0.9, 0.4, 0.7), **options):
    """Three nuclei in the two planes of a stack, in layer and features."""
    labels = np.zeros((2, 100, 120), np.int32)
    labels[0, 10:20, 10:20] = 1
    labels[1, 60:70, 80:100] = 2
    labels[0, 80:90, 40:50] = 3
    features = pd.DataFrame({"index": [1, 2, 3], "confidence": confidence})
    return viewer.add_labels(labels, name="nuclei", features=features, **options)


@pytest.fixture
def panel(viewer, qtbot):
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Review")
    return panel


def press(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_the_least_confident_come_first(viewer, panel, qtbot):
    layer = add_labels(viewer)
    panel.set_layer(layer)
    seen = []
    for _ in range(4):
        press(qtbot, panel.next_button)
        seen.append((layer.selected_label, panel.place_line.text()))
    assert seen == [
        (2, "Nucleus 2: confidence 0.40. Looked at 1 of 3."),
        (3, "Nucleus 3: confidence 0.70. Looked at 2 of 3."),
        (1, "Nucleus 1: confidence 0.90. Looked at 3 of 3. That was the last."),
        (2, "Nucleus 2: confidence 0.40. Looked at 1 of 3."),
    ]


def test_going_back_and_forth_again(viewer, panel, qtbot):
    layer = add_labels(viewer)
    panel.set_layer(layer)
    press(qtbot, panel.previous_button)
    assert panel.place_line.text() == ""
    seen = []
    for key in ("N", "N", "Shift-N", "N", "N"):
        modifier = Qt.KeyboardModifier.NoModifier
        if "Shift" in key:
            modifier = Qt.KeyboardModifier.ShiftModifier
        qtbot.keyClick(viewer.window._qt_window, "N", modifier)
        seen.append(layer.selected_label)
    assert seen == [2, 3, 2, 3, 1]
    press(qtbot, panel.previous_button)
    assert layer.selected_label == 3
    assert panel.place_line.text().startswith("Nucleus 3: confidence 0.70. Looked at 3")


def test_the_nucleus_gone_to_is_framed_among_its_neighbours(viewer, panel, qtbot):
    layer = add_labels(viewer, scale=(2, 0.5, 0.5), translate=(0, 7, 3))
    panel.set_layer(layer)
    panel.next_uncertain()
    mark = viewer.layers["Nucleus under review"]
    (frame,) = mark.data
    assert viewer.layers.selection.active is layer
    assert set(frame[:, 0]) == {1}
    assert 50 < frame[:, 1].min() < 60 < 69 < frame[:, 1].max() < 80
    assert 70 < frame[:, 2].min() < 80 < 99 < frame[:, 2].max() < 110
    assert np.allclose(mark.data_to_world((1, 2, 3)), layer.data_to_world((1, 2, 3)))
    # What is far outside of the nucleus is on the canvas, too.
    assert FILL < 0.5
    panel.hide()
    qtbot.waitUntil(lambda: mark not in viewer.layers, timeout=2000)


def test_outlines_by_one_switch(viewer, panel, qtbot):
    layer = add_labels(viewer)
    panel.set_layer(layer)
    panel.outline_box.click()
    assert layer.contour > 0
    qtbot.keyClick(viewer.window._qt_window, "U")
    assert layer.contour == 0
    assert not panel.outline_box.isChecked()


def test_the_camera_goes_there(viewer, panel):
    """In a stack that is scaled and shifted, beside a layer with an axis more."""
    viewer.add_image(np.zeros((3, 2, 10, 10)))
    layer = add_labels(viewer, scale=(2, 0.5, 0.5), translate=(0, 7, 3))
    panel.set_layer(layer)
    panel.next_uncertain()
    camera = viewer.scene.camera
    assert viewer.dims.point[1] == 2
    assert camera.center[1:] == pytest.approx((7 + 0.5 * 64.5, 3 + 0.5 * 89.5))
    assert 20 * 0.5 * camera.zoom == pytest.approx(FILL * min(viewer.canvas.size))
    panel.next_uncertain()
    assert viewer.dims.point[1] == 0
    assert camera.center[1:] == pytest.approx((7 + 0.5 * 84.5, 3 + 0.5 * 44.5))


def test_in_three_dimensions_and_with_turned_axes(viewer, panel):
    panel.set_layer(add_labels(viewer))
    viewer.dims.ndisplay = 3
    panel.next_uncertain()
    assert viewer.scene.camera.center == pytest.approx((1, 64.5, 89.5))
    viewer.dims.ndisplay = 2
    viewer.dims.order = (1, 0, 2)
    panel.next_uncertain()
    assert 80 <= viewer.dims.point[1] < 90
    assert viewer.scene.camera.center[1:] == pytest.approx((0, 44.5))


def test_the_key_does_what_the_button_does(viewer, panel, qtbot):
    layer = add_labels(viewer)
    panel.set_layer(layer)
    qtbot.keyClick(viewer.window._qt_window, KEY)
    assert layer.selected_label == 2
    qtbot.keyClick(viewer.window._qt_window, KEY)
    assert layer.selected_label == 3
    assert panel.next_button.text() == "Next (N)"


def test_napari_does_not_use_the_keys():
    used = {str(key) for keys in default_shortcuts.values() for key in keys}
    # All but those that only shapes and points use.
    used -= {"A", "S", "D", "J", "K", "Delete"} - {
        str(key)
        for name, keys in default_shortcuts.items()
        for key in keys
        if "labels" in name or name.startswith("napari:toggle")
    }
    assert not used & {*KEYS, *(key for _, key, _, _ in BUTTONS)}
    assert "V" in used


def test_a_key_that_is_taken_is_left_alone(viewer, qtbot):
    calls = []
    viewer.bind_key(KEY, calls.append)
    panel = ReviewPanel(viewer)
    qtbot.addWidget(panel)
    assert panel.next_button.text() == "Next"
    qtbot.keyClick(viewer.window._qt_window, KEY)
    assert len(calls) == 1


def test_it_lets_go_of_key_and_layer_when_it_goes(viewer, qtbot):
    layer = add_labels(viewer)
    panel = ReviewPanel(viewer)
    panel.set_layer(layer)
    panel.colour_box.setChecked(True)
    with qtbot.waitSignal(panel.destroyed):
        panel.deleteLater()
    assert isinstance(layer.colormap, CyclicLabelColormap)
    assert viewer.bind_key(KEY, None) is None
    layer.features = layer.features  # nobody listens any more
    again = ReviewPanel(viewer)
    qtbot.addWidget(again)
    assert again.next_button.text() == "Next (N)"


def test_colours_by_confidence_and_back(viewer, panel, qtbot):
    layer = add_labels(viewer, confidence=(1, 0.1, 0.5))
    own = layer.colormap
    panel.set_layer(layer)
    panel.colour_box.click()
    assert isinstance(layer.colormap, DirectLabelColormap)
    colours = [layer.colormap.map(label) for label in range(5)]
    assert colours[0][3] == 0
    assert np.allclose(colours[2], colours[3])  # all that is unsure looks unsure
    assert colours[2][:3].sum() > colours[1][:3].sum() + 0.3
    assert np.allclose(colours[4], 1)  # painted by hand
    assert panel.legend.isVisible()
    panel.colour_box.click()
    assert layer.colormap is own
    assert not panel.legend.isVisible()


def test_new_results_are_coloured_and_gone_through_from_the_start(viewer, panel):
    layer = add_labels(viewer)
    own = layer.colormap
    panel.set_layer(layer)
    panel.colour_box.setChecked(True)
    panel.next_uncertain()
    before = layer.colormap.map(1)
    layer.features = pd.DataFrame({"index": [1, 2], "confidence": [0.3, 0.8]})
    assert not np.allclose(layer.colormap.map(1), before)
    assert panel.place_line.text() == ""
    panel.next_uncertain()
    assert layer.selected_label == 1
    other = add_labels(viewer)
    panel.set_layer(other)
    assert layer.colormap is own
    assert isinstance(other.colormap, DirectLabelColormap)


def test_painting_does_not_start_over(viewer, panel):
    layer = add_labels(viewer)
    panel.set_layer(layer)
    panel.next_uncertain()
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 3)
    panel.set_layer(layer)
    panel.next_uncertain()
    assert "confidence 0.70. Looked at 2 of 3" in panel.place_line.text()


def test_an_edit_does_not_start_over(viewer, panel):
    layer = add_labels(viewer)
    panel.set_layer(layer)
    panel.next_uncertain()
    panel.next_uncertain()
    # Nucleus 1 was redrawn: it has no confidence any more, and is not gone to.
    layer.features = pd.DataFrame(
        {
            "index": [1, 2, 3],
            "confidence": [np.nan, 0.4, 0.7],
            "by_hand": ["drawn", None, None],
        }
    )
    assert "Nucleus 3: confidence 0.70. Looked at 2 of 3" in panel.place_line.text()
    panel.previous()
    assert layer.selected_label == 2


def test_erased_nuclei_are_passed_over(viewer, panel):
    layer = add_labels(viewer)
    panel.set_layer(layer)
    layer.data[layer.data == 2] = 0
    panel.next_uncertain()
    assert layer.selected_label == 3
    layer.data[:] = 0
    panel.next_uncertain()
    assert panel.place_line.text() == "No uncertain nucleus is left."


def test_it_says_why_there_is_nothing_to_do(viewer, panel):
    for control in (panel.colour_box, panel.next_button):
        assert not control.isEnabled()
        assert "Segment an image first" in control.toolTip()
    panel.next_uncertain()
    layer = viewer.add_labels(np.ones((5, 5), int))
    panel.set_layer(layer)
    for control in (panel.colour_box, panel.next_button):
        assert not control.isEnabled()
        assert "no confidence" in control.toolTip()
    layer = add_labels(viewer)
    panel.set_layer(layer)
    assert panel.next_button.isEnabled()
    viewer.layers.remove(layer)
    panel.next_uncertain()
    assert not panel.next_button.isEnabled()
