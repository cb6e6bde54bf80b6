import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_nucleiseg.core.segment.instances import InstanceSettings
from napari_nucleiseg.core.segment.predictor import NetworkSpec
from napari_nucleiseg.widgets.segment import forecast_line
from napari_nucleiseg.widgets.segment import run as segment_run
from napari_nucleiseg.widgets.shared import job_shell


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def docked(viewer):
    """The real widget, docked in a real napari window the way a user docks it."""
    _, widget = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Segment nuclei"
    )
    return SimpleNamespace(viewer=viewer, widget=widget)


class SlowPredictor:
    """Bright is nucleus; each tile takes a while, and is counted."""

    spec = NetworkSpec(
        name="slow",
        channels=1,
        diameter=20.0,
        diameter_range=(5.0, 100.0),
        settings=InstanceSettings(min_area=1),
    )

    def __init__(self, seconds=0.05):
        self.seconds = seconds
        self.tiles = 0
        self.inside = 0
        self.most_inside = 0
        self._lock = threading.Lock()

    def predict(self, tiles):
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.tiles += len(tiles)
        time.sleep(self.seconds)
        bright = tiles[..., :1]
        with self._lock:
            self.inside -= 1
        return np.concatenate([bright, bright, 0 * bright], axis=-1)


@pytest.fixture
def slow(monkeypatch):
    """Put a slow stand-in where the network would be."""
    predictor = SlowPredictor()
    # Its tiles are counted: none of them is to be for a forecast.
    monkeypatch.setattr(forecast_line, "LEAST_PIXELS", 10**12)
    monkeypatch.setattr(segment_run, "load_model", lambda *_: predictor)
    return predictor


@pytest.fixture
def told(monkeypatch):
    """What notifications of errors say."""
    said = []
    monkeypatch.setattr(job_shell, "show_error", said.append)
    return said


def wait_until_done(qtbot, widget, timeout=60_000):
    qtbot.waitUntil(lambda: not widget.is_running, timeout=timeout)


def press(qtbot, widget):
    qtbot.mouseClick(widget.run_button, Qt.MouseButton.LeftButton)


def result_layers(viewer):
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def squares(shape=(2000, 2000), step=40, side=20):
    """An image of bright squares, many tiles large."""
    image = np.zeros(shape, np.uint8)
    for y in range(step // 2, shape[-2] - side, step):
        for x in range(step // 2, shape[-1] - side, step):
            image[..., y : y + side, x : x + side] = 200
    return image
