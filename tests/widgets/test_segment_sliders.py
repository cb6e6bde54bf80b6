"""Sliders that make the labels of a result anew, in a real napari window."""

import threading
import time

import numpy as np
from napari.layers import Image

from napari_nucleiseg import segment
from napari_nucleiseg.core.monitor import Progress
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.widgets.segment import answering
from napari_nucleiseg.widgets.segment import run as runs

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


def test_of_a_large_image_the_part_in_view_answers_first(
    docked, qtbot, slow, monkeypatch
):
    viewer, widget = docked.viewer, docked.widget
    monkeypatch.setattr(answering, "LEAST_PIXELS", 100_000)
    gate = threading.Event()
    again = runs.find_again

    def held(found, params, monitor):
        monitor.report(Progress("Separating nuclei", 0, 2))
        gate.wait(20)
        return again(found, params, monitor)

    monkeypatch.setattr(runs, "find_again", held)
    image = squares((900, 900))
    image[300:310, 300:310] = image[20:30, 20:30] = 0  # smaller squares
    viewer.add_image(image, name="a")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    before = layer.data.copy()
    viewer.scene.camera.zoom = 8.0
    viewer.scene.camera.center = (0, 310, 310)
    qtbot.wait(100)
    widget.form["min_area"].value = 350
    qtbot.waitUntil(lambda: layer.data[315, 315] == 0, timeout=5000)
    assert before[315, 315] > 0
    assert layer.data[35, 35] > 0  # out of view
    same = layer.data > 0
    np.testing.assert_array_equal(layer.data[same], before[same])  # and their colours
    qtbot.waitUntil(lambda: widget.progress.visible, timeout=5000)
    assert widget.run_button.text() == "Segment"
    # What is drawn meanwhile is kept; what is shown in part is no edit.
    layer.data_setitem(np.nonzero(np.ones((3, 3))), 700)
    # The value is set back before the rest is there: all is as it was.
    widget.form["min_area"].value = None
    qtbot.waitUntil(lambda: layer.data[315, 315] > 0, timeout=5000)
    qtbot.waitUntil(lambda: not widget.is_running, timeout=5000)
    assert (layer.data[:3, :3] == 700).all()
    drawn = layer.data != before
    assert drawn.sum() == 9
    assert not widget.progress.visible
    gate.set()
    widget.form["min_area"].value = 350
    wait_until_done(qtbot, widget)
    assert layer.data[315, 315] == layer.data[35, 35] == 0
    assert (layer.data[:3, :3] > 0).all()
    assert set(layer.features["by_hand"].dropna()) == {"drawn"}
