"""The Link widget in a real napari window."""

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Labels, Tracks
from qtpy.QtCore import Qt

from .conftest import wait_until_done


@pytest.fixture
def docked(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Link nuclei")
    return SimpleNamespace(viewer=viewer, widget=widget)


def stack():
    labels = np.zeros((4, 60, 60), np.int32)
    for z in range(4):
        labels[z, 5:20, 5 + 2 * z : 20 + 2 * z] = z + 1
        if z < 2:
            labels[z, 30:50, 30:50] = 9
        else:
            labels[z, 30:39, 30:50] = 8
            labels[z, 41:50, 30:50] = 7
    return labels


def press(qtbot, docked):
    qtbot.mouseClick(docked.widget.run_button, Qt.MouseButton.LeftButton)
    wait_until_done(qtbot, docked.widget)


def test_it_says_what_it_needs(docked):
    assert not docked.widget.run_button.isEnabled()
    assert "labels of several planes" in docked.widget.reason_line.text()
    docked.viewer.add_labels(np.ones((8, 8), int))
    assert not docked.widget.run_button.isEnabled()


def test_depth_adds_a_layer_where_the_stack_is(qtbot, docked):
    source = docked.viewer.add_labels(stack(), name="cells", scale=(3, 0.5, 0.5))
    form = docked.widget.form
    assert form["min_overlap"].visible
    assert not form["max_distance"].visible
    press(qtbot, docked)
    linked = docked.viewer.layers["cells linked"]
    assert isinstance(linked, Labels)
    assert tuple(linked.scale) == (3, 0.5, 0.5)
    assert linked.data[0, 10, 10] == linked.data[3, 10, 12] > 0
    assert not source.visible
    assert "3 nuclei in 4 planes" in docked.widget.result_line.text()


def test_time_adds_tracks_with_their_division(qtbot, docked):
    docked.viewer.add_labels(stack(), name="cells")
    docked.widget.form["through"].value = "time"
    assert docked.widget.form["divisions"].visible
    assert not docked.widget.form["min_overlap"].visible
    press(qtbot, docked)
    tracks = docked.viewer.layers["cells tracks"]
    assert isinstance(tracks, Tracks)
    assert len(np.unique(tracks.data[:, 0])) == 4
    assert len(tracks.graph) == 2
    assert "4 tracks in 4 frames, 1 division." in docked.widget.result_line.text()
