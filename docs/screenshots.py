"""Take the pictures in the README and the docs from the running program.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots.py

Each step is what a user does, in a real napari window; nothing is drawn by hand.
"""

import time
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtWidgets import QApplication

from napari_nucleiseg.demo import PLUGIN, WIDGET

OUT = Path(__file__).parent / "images"


def pump(seconds: float) -> None:
    """Let the window work for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def shoot(viewer: napari.Viewer, name: str) -> None:
    """Save the whole window as a small PNG."""
    pump(0.4)
    picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False))
    path = OUT / f"{name}.png"
    picture.convert("RGB").quantize(200).save(path, optimize=True)
    print(path)


def open_window(sample: str) -> tuple[napari.Viewer, object]:
    """Open napari with a sample and the widget docked, as the demo does."""
    viewer = napari.Viewer(title="napari")
    viewer.window.resize(1280, 800)
    viewer.open_sample(PLUGIN, sample)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    pump(0.5)
    return viewer, widget


def wait(widget: object) -> None:
    """Wait for a run or a relabelling to end."""
    while widget.is_running:
        pump(0.02)


def main() -> None:
    """Go through one use of the widget per sample."""
    OUT.mkdir(exist_ok=True)
    viewer, widget = open_window("crowded")
    shoot(viewer, "1-ready")
    widget.run_button.click()
    pump(0.2)
    shoot_running = widget.is_running
    if shoot_running:
        picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False))
        picture.convert("RGB").quantize(200).save(OUT / "2-running.png", optimize=True)
    wait(widget)
    shoot(viewer, "3-result")
    widget.advanced.expand(animate=False)
    widget.form.controls["min_area"].setValue(500)
    wait(widget)
    shoot(viewer, "4-sliders")
    viewer.close()
    for sample in ("tissue", "large", "fields"):
        viewer, widget = open_window(sample)
        widget.run_button.click()
        wait(widget)
        viewer.layers[-1].contour = 2
        shoot(viewer, f"5-{sample}")
        viewer.close()


if __name__ == "__main__":
    main()
