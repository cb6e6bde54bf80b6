"""Looking through a result in the widget that made it, in a real napari window."""

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from .conftest import press, result_layers, squares, wait_until_done


def segment_square_image(qtbot, docked, name, shape=(200, 240)):
    docked.viewer.add_image(squares(shape), name=name)
    press(qtbot, docked.widget)
    wait_until_done(qtbot, docked.widget)
    return docked.viewer.layers[f"{name} nuclei"]


def test_a_user_looks_through_a_result(docked, qtbot):
    viewer, widget = docked.viewer, docked.widget
    assert not widget.review.isVisible()
    viewer.open_sample("napari-nucleiseg", "small")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    assert widget.review.isVisible()
    own = layer.colormap
    widget.review.colour_box.click()
    assert isinstance(layer.colormap, DirectLabelColormap)
    widget.review.colour_box.click()
    assert layer.colormap is own
    before = viewer.scene.camera.center
    widget.review.next_button.click()
    least = layer.features["confidence"].min()
    count = len(layer.features)
    line = widget.review.place_line
    assert f"confidence {least:.2f}. Looked at 1 of {count}." in line.text()
    camera = viewer.scene.camera
    assert camera.center != before
    y, x = (round(v) for v in layer.world_to_data(camera.center[1:]))
    near = layer.data[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
    assert layer.selected_label in near
    widget.form["probability"].value = 0.8
    wait_until_done(qtbot, widget)
    assert result_layers(viewer) == [layer]
    widget.review.next_button.click()
    assert f"Looked at 1 of {len(layer.features)}." in line.text()


def test_review_follows_the_chosen_image(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    first = segment_square_image(qtbot, docked, "first")
    second = segment_square_image(qtbot, docked, "second", (120, 160))
    own = first.colormap
    widget.review.colour_box.setChecked(True)
    assert first.colormap is own
    assert isinstance(second.colormap, DirectLabelColormap)
    viewer.layers.selection.active = viewer.layers["first"]
    assert isinstance(first.colormap, DirectLabelColormap)
    assert not isinstance(second.colormap, DirectLabelColormap)
    viewer.add_image(np.zeros((30, 40), np.uint8), name="third")
    viewer.layers.selection.active = viewer.layers["third"]
    assert not widget.review.isVisible()
    assert first.colormap is own


def test_deleting_a_result_ends_its_review(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    layer = segment_square_image(qtbot, docked, "a")
    viewer.layers.remove(layer)
    assert not widget.review.isVisible()
    widget.review.next_uncertain()
    assert not any(isinstance(x, Labels) for x in viewer.layers)
    again = segment_square_image(qtbot, docked, "b")
    assert widget.review.isVisible()
    widget.review.next_button.click()
    assert viewer.layers.selection.active == again
