"""Correcting nuclei in the real window, by button, by key and with the mouse."""

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from .conftest import press, squares, wait_until_done


@pytest.fixture
def result(docked, qtbot, slow):
    """A segmented image of 4 × 5 squares, and what a user does with it."""
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(squares((180, 220)), name="a")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    layer = viewer.layers["a nuclei"]
    viewer.reset_view()
    tools = widget.review.tools

    def point(y, x):
        camera = viewer.scene.camera
        native = viewer.window._qt_viewer.canvas.native
        offset = (np.array((y, x)) - camera.center[1:]) * camera.zoom
        return native, QPoint(
            round(native.width() / 2 + offset[1]),
            round(native.height() / 2 + offset[0]),
        )

    def stroke(*places):
        """Press the mouse at the first place, and let it go at the last."""
        left = Qt.MouseButton.LeftButton
        native, at = point(*places[0])
        qtbot.mousePress(native, left, pos=at)
        for place in places[1:]:
            at = point(*place)[1]
            # As when the button is held down, which qtbot.mouseMove knows nothing of.
            where, none = QPointF(at), Qt.KeyboardModifier.NoModifier
            there = QPointF(native.mapToGlobal(at))
            move = QEvent.Type.MouseMove
            drag = QMouseEvent(move, where, there, Qt.MouseButton.NoButton, left, none)
            qtbot.wait(30)  # moves that follow too soon are left out
            QApplication.sendEvent(native, drag)
        qtbot.mouseRelease(native, left, pos=at)

    def key(name, modifier=Qt.KeyboardModifier.NoModifier):
        qtbot.keyClick(viewer.window._qt_window, name, modifier)

    return SimpleNamespace(
        viewer=viewer,
        widget=widget,
        layer=layer,
        tools=tools,
        made=layer.data.copy(),
        stroke=stroke,
        key=key,
        click=lambda name: qtbot.mouseClick(
            tools.buttons[name], Qt.MouseButton.LeftButton
        ),
        undo=lambda: key("Z", Qt.KeyboardModifier.ControlModifier),
    )


def rows(layer):
    return layer.features.set_index("index")


def test_a_click_chooses_the_nucleus_that_is_deleted(result, qtbot):
    layer = result.layer
    label = int(layer.data[70, 70])
    for delete in (
        lambda: result.click("delete"),
        lambda: result.key(Qt.Key.Key_Delete),
    ):
        result.stroke((70, 70))
        assert layer.selected_label == label
        assert f"Nucleus {label}" in result.widget.review.place_line.text()
        assert len(result.viewer.layers["Nucleus under review"].data) == 1
        delete()
        assert not (layer.data == label).any()
        assert label not in rows(layer).index
        assert len(result.viewer.layers["Nucleus under review"].data) == 0
        # Nothing is chosen now, so that another press deletes nothing.
        delete()
        assert "Click a nucleus first" in result.tools.message_line.text()
        assert len(rows(layer)) == result.made.max() - 1
        result.undo()
        qtbot.waitUntil(lambda: label in rows(layer).index, timeout=2000)
        np.testing.assert_array_equal(layer.data, result.made)


def test_merging_with_the_next_one_clicked(result, qtbot):
    layer = result.layer
    first, second = int(layer.data[30, 30]), int(layer.data[30, 70])
    for merge in (lambda: result.click("merge"), lambda: result.key("J")):
        result.stroke((30, 30))
        merge()
        assert result.tools.buttons["merge"].isChecked()
        result.stroke((30, 70))
        assert layer.data[30, 70] == first
        table = rows(layer)
        assert second not in table.index
        assert table.loc[first, "area"] == (layer.data == first).sum()
        assert not result.tools.buttons["merge"].isChecked()
        result.undo()
        qtbot.waitUntil(lambda: second in rows(layer).index, timeout=2000)
        np.testing.assert_array_equal(layer.data, result.made)


def test_splitting_along_a_drawn_line(result, qtbot):
    layer = result.layer
    label, top = int(layer.data[70, 70]), int(result.made.max())
    centre = result.viewer.scene.camera.center
    for split in (lambda: result.click("split"), lambda: result.key("S")):
        split()
        result.stroke((55, 68), (65, 68), (75, 68), (90, 68))
        assert result.viewer.scene.camera.center == centre
        assert not result.tools.buttons["split"].isChecked()
        parts = np.unique(layer.data[result.made == label])
        assert set(parts) == {label, top + 1}
        table = rows(layer)
        for part in parts:
            assert table.loc[part, "area"] == (layer.data == part).sum()
        assert table.loc[top + 1, "by_hand"] == "drawn"
        assert np.isnan(table.loc[top + 1, "confidence"])
        result.undo()
        qtbot.waitUntil(lambda: top + 1 not in rows(layer).index, timeout=2000)
        np.testing.assert_array_equal(layer.data, result.made)
    # Beside every nucleus a line splits nothing, and says so.
    result.click("split")
    result.stroke((5, 5), (8, 12), (9, 15))
    assert "across a nucleus" in result.tools.message_line.text()
    np.testing.assert_array_equal(layer.data, result.made)


def test_drawing_an_outline_or_clicking_what_was_missed(result, qtbot):
    layer, top = result.layer, int(result.made.max())
    # Deleted, so that there is something to be found again in the maps.
    label = int(layer.data[70, 70])
    result.stroke((70, 70))
    result.click("delete")
    result.key("D")
    result.stroke((70, 70))
    assert (layer.data[result.made == label] == top + 1).mean() > 0.9
    result.stroke((72, 72))
    assert "There is a nucleus already" in result.tools.message_line.text()
    result.stroke((50, 8), (50, 16), (60, 16), (60, 8), (51, 8))
    assert layer.data[55, 12] == top + 2
    assert 50 < (layer.data == top + 2).sum() < 130
    table = rows(layer)
    assert table.loc[[top + 1, top + 2], "by_hand"].tolist() == ["drawn", "drawn"]
    assert table.loc[top + 2, "area"] == (layer.data == top + 2).sum()
    result.click("draw")
    assert not result.tools.buttons["draw"].isChecked()
    for _ in range(3):
        result.undo()
    qtbot.waitUntil(lambda: len(rows(layer)) == top, timeout=2000)
    np.testing.assert_array_equal(layer.data, result.made)


def test_accepting_is_kept_and_taken_back(result, qtbot):
    layer, widget = result.layer, result.widget
    result.key("N")
    label = layer.selected_label
    result.key("A")
    assert rows(layer).loc[label, "by_hand"] == "accepted"
    assert not np.isnan(rows(layer).loc[label, "confidence"])
    assert f"Nucleus {label}: accepted" in widget.review.place_line.text()
    widget.form["min_area"].value = 10_000
    wait_until_done(qtbot, widget)
    np.testing.assert_array_equal(layer.data, np.where(result.made == label, label, 0))
    result.click("accept")
    assert rows(layer).loc[label, "by_hand"] is None
    widget.form["min_area"].value = 5
    wait_until_done(qtbot, widget)
    np.testing.assert_array_equal(layer.data, result.made)


def test_splitting_by_the_maps(docked, qtbot, monkeypatch):
    """Two nuclei that the separation chosen takes for one."""
    from napari_nucleiseg.widgets.segment import run as segment_run

    from .conftest import SlowPredictor

    class Touching(SlowPredictor):
        def predict(self, tiles):
            bright = tiles[..., :1]
            return np.concatenate([(bright > 0.3) * 1.0, bright, 0 * bright], -1)

    predictor = Touching(0)
    monkeypatch.setattr(segment_run, "load_model", lambda *_: predictor)
    viewer, widget = docked.viewer, docked.widget
    y, x = np.mgrid[:80, :100]
    left, right = np.hypot(y - 40, x - 40), np.hypot(y - 40, x - 60)
    image = (255 * np.exp(-(np.minimum(left, right) ** 2) / 128)).astype(np.uint8)
    viewer.add_image(image, name="pair")
    widget.form["diameter"].value = 20
    widget.more_form["separation"].value = 0.05
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    layer = viewer.layers["pair nuclei"]
    assert layer.data.max() == 1
    qtbot.keyClick(viewer.window._qt_window, "N")
    qtbot.keyClick(viewer.window._qt_window, "K")
    assert layer.data[40, 35] != layer.data[40, 65]
    assert {1, 2} == set(layer.features["index"])
    # Each of them is a single one.
    widget.review.tools.buttons["split_by_maps"].click()
    assert "show a single nucleus" in widget.review.tools.message_line.text()
    layer.undo()
    assert layer.data.max() == 1


def test_a_plane_of_a_time_lapse_with_channels(docked, qtbot, slow):
    """(T, C, Y, X): corrections land in the plane that is shown."""
    viewer, widget = docked.viewer, docked.widget
    stack = np.zeros((3, 2, 80, 120), np.uint8)
    stack[:, 1] = squares((80, 120))
    layer = viewer.add_image(stack, name="s", axis_labels=("t", "c", "y", "x"))
    widget.inputs.choose(layer)
    widget.inputs.channel.native.setCurrentText("Channel 1")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    labels = viewer.layers["s nuclei"]
    made = labels.data.copy()
    viewer.dims.set_point(0, 2)
    corrector = type(widget.review.tools._corrector())(viewer, labels)
    label = corrector.label_at(np.array((2, 0, 30, 30)))
    line = np.array([(2, 0, 15, 30), (2, 0, 50, 30)])
    assert corrector.split_along(line) == label
    corrector.delete(int(made[2, 0, 30, 70]))
    new = corrector.draw_basin(np.array((2, 0, 30, 70)))
    assert labels.data[2, 0, 30, 70] == new
    np.testing.assert_array_equal(labels.data[:2], made[:2])
    assert len(np.unique(labels.data[made == label])) == 2
    for _ in range(3):
        labels.undo()
    np.testing.assert_array_equal(labels.data, made)


def test_only_what_was_touched_by_hand_is_learnt_from(result, qtbot):
    from napari_nucleiseg.widgets.train.regions import read_sources
    from napari_nucleiseg.widgets.train.sources import SourcesPanel

    layer = result.layer
    panel = SourcesPanel(result.viewer)
    qtbot.addWidget(panel.native)
    panel.reset_choices()
    panel.labelled_box.value = "by hand"
    _, (finding,) = read_sources(panel.sources())
    assert "drawn, corrected or accepted in the Segment widget" in finding.text
    for place, correct in (((30, 30), "accept"), ((70, 70), "delete")):
        result.stroke(place)
        result.click(correct)
    accepted = int(layer.data[30, 30])
    (pair,), findings = read_sources(panel.sources())
    panel.unwatch()
    assert not findings
    assert set(np.unique(pair.labels)) == {0, accepted}
    assert pair.known[pair.labels > 0].all()
    assert pair.known[result.made == result.made[70, 70]].all()  # no nucleus there
    others = (layer.data > 0) & (pair.labels == 0)
    assert not pair.known[others].any()
    assert not pair.known[110, 110]
    # The mark round a nucleus is not offered as a region.
    assert result.viewer.layers["Nucleus under review"] not in panel.region_box.choices
