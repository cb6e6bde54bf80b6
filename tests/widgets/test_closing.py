import subprocess
import sys
import time

SCRIPT = """
import sys, time
import napari, numpy as np
from qtpy.QtCore import QTimer
from napari_nucleiseg.core.segment.predictor import NetworkSpec
from napari_nucleiseg.widgets.segment import run as segment_run

class Slow:
    spec = NetworkSpec(
        name="slow", channels=1, diameter=20.0, diameter_range=(5.0, 100.0)
    )
    tiles = 0
    def predict(self, tiles):
        self.tiles += 1
        time.sleep(0.5)
        return np.repeat(tiles[..., :1], 3, axis=-1)

slow = Slow()
segment_run.load_model = lambda *_: slow
viewer = napari.Viewer()
viewer.add_image(np.random.default_rng(0).random((2000, 2000), np.float32))
_, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Segment nuclei")
widget.form["diameter"].value = 10
widget.run_button.click()

def close_when_running():
    if slow.tiles >= 2:
        print("closing", flush=True)
        viewer.close()
    else:
        QTimer.singleShot(50, close_when_running)

QTimer.singleShot(50, close_when_running)
napari.run()
print("tiles", slow.tiles, flush=True)
"""


def test_closing_napari_while_it_runs():
    """Some eighty half-second tiles are under way: napari shall not wait for them."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline().strip() == "closing"
        start = time.monotonic()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert int(out.split()[1]) < 20
    assert time.monotonic() - start < 30
