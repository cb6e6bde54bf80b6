"""How long napari's window stands still while a model is trained beside it.

    python benchmarks/responsiveness.py [--epochs N]

Opens a napari window with two packaged images and the training widget, and lets a
timer tick every 5 ms: the gap between two ticks is how long the window could not have
answered. It is measured first with nothing to do, then from pressing Train to the
verdict, and then how long pressing Stop takes. On a machine without a screen, run it
under ``xvfb-run -a -s "-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

import numpy as np

TICK_MS = 5


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4, help="epochs to train")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUCLEISEG_MODELS"] = folder
        os.environ.setdefault("NAPARI_CONFIG", f"{folder}/napari.yaml")
        measure(args.epochs)


def measure(epochs: int) -> None:
    """Open the window, train, and print how long it stood still."""
    import napari
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtWidgets import QApplication

    from napari_nucleiseg.io.sample_data import load_sample

    viewer = napari.Viewer()
    for name in ("large", "small"):
        sample = load_sample(name)
        viewer.add_image(sample.image, name=name)
        viewer.add_labels(sample.labels, name=f"{name} nuclei")
    _, widget = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Train a nuclei model"
    )
    ticks: list[float] = []
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(TICK_MS)
    application = QApplication.instance()

    def wait(done, seconds: float) -> None:
        end = time.perf_counter() + seconds
        while not done() and time.perf_counter() < end:
            application.processEvents()
            time.sleep(0.001)

    def report(what: str) -> None:
        gaps = np.diff(ticks) * 1000
        print(
            f"{what}: longest stall {gaps.max():.0f} ms, 99th percentile "
            f"{np.percentile(gaps, 99):.0f} ms, over {ticks[-1] - ticks[0]:.0f} s"
        )
        ticks.clear()

    wait(lambda: widget.form.check is not None, 60)
    wait(lambda: False, 2)
    ticks.clear()
    wait(lambda: False, 10)
    report("nothing to do")
    widget.form.form.set_values({"epochs": epochs})
    widget.train()
    wait(lambda: not widget.is_training, 1200)
    report(f"training for {len(widget.curves.rows) - 1} epochs")
    if widget.waiting.run is not None:
        widget.waiting.discard()
    widget.form.form.set_values({"epochs": 1000})
    widget.train()
    wait(lambda: len(widget.curves.rows) >= 3, 1200)
    folder, start = widget._run.folder, time.perf_counter()
    saved = (folder.path / "best.npz").stat().st_mtime
    widget.stop()
    wait(lambda: not widget.is_training, 300)
    print(
        f"Stop: the best so far had been safe for {time.time() - saved:.1f} s when the "
        f"verdict and the model were there, {time.perf_counter() - start:.1f} s after "
        "the press"
    )
    timer.stop()
    viewer.close()


if __name__ == "__main__":
    main()
