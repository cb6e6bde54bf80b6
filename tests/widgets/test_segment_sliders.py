"""Sliders that make the labels of a result anew, in a real napari window."""

import time

import numpy as np
from napari.layers import Image

from napari_nucleiseg import segment
from napari_nucleiseg.io.sample_data import load_sample

from .conftest import press, result_layers, squares, wait_until_done


def test_sliders_relabel_without_the_network(docked, qtbot, slow):
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(squares((600, 600)), name="a")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    before, tiles = int(layer.data.max()), slow.tiles
    widget.form["min_area"].value = 10_000
    wait_until_done(qtbot, widget)
    assert before > 100
    assert layer.data.max() == 0
    widget.form["min_area"].value = 5
    wait_until_done(qtbot, widget)
    assert layer.data.max() == before
    assert len(layer.features) == before
    assert slow.tiles == tiles
    assert result_layers(viewer) == [layer]


def test_a_moved_slider_equals_a_fresh_run(docked, qtbot):
    viewer, widget = docked.viewer, docked.widget
    sample = load_sample("small")
    viewer.open_sample("napari-nucleiseg", "small")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    for value in (0.3, 0.5, 0.7, 0.8):  # the last one wins
        widget.form["probability"].value = value
    widget.more_form["separation"].value = 0.6
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    fresh = segment(sample.image, probability=0.8, separation=0.6).labels
    np.testing.assert_array_equal(layer.data, fresh)
    assert layer.metadata["nucleiseg"]["probability"] == 0.8
    widget.reset_button.click()
    wait_until_done(qtbot, widget)
    np.testing.assert_array_equal(layer.data, segment(sample.image).labels)


def test_the_least_confidence_and_an_accurate_run(docked, qtbot):
    viewer, widget = docked.viewer, docked.widget
    image = load_sample("small").image
    viewer.open_sample("napari-nucleiseg", "small")
    widget.more_form["accurate"].value = True
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    np.testing.assert_array_equal(layer.data, segment(image, accurate=True).labels)
    assert layer.metadata["nucleiseg"]["accurate"]
    # The box alone changes nothing that is there: the network has to run for it.
    widget.more_form["accurate"].value = False
    assert not widget.is_running
    widget.more_form["min_confidence"].value = 0.9
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    assert layer.features["confidence"].min() >= 0.9
    fresh = segment(image, accurate=True, min_confidence=0.9)
    np.testing.assert_array_equal(layer.data, fresh.labels)
    assert layer.metadata["nucleiseg"]["accurate"]


def test_relabelling_a_megapixel_takes_no_network_time(docked, qtbot):
    """Not a benchmark: only that the sliders are nowhere near a network run."""
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(np.tile(load_sample("crowded").image, (2, 1)), name="big")
    start = time.monotonic()
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    run = time.monotonic() - start
    start = time.monotonic()
    widget.form["probability"].value = 0.6
    wait_until_done(qtbot, widget)
    assert time.monotonic() - start < run
    assert isinstance(viewer.layers[0], Image)
