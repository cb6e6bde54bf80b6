"""Take the pictures in the README and the docs from the running program.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/screenshots.py [PART …]

Each step is what a user does, in a real napari window; nothing is drawn by hand. Parts
are segment, confidence, correct, score, train, link, batch and teach; all of them if
none is named. The trainings are real ones, too short to be good ones: only to show what
it looks like.
"""

import argparse
import base64
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from PIL import Image
from qtpy.QtWidgets import QApplication, QWidget
from skimage.measure import find_contours

from napari_nucleiseg.cli.demo import PLUGIN, WIDGET
from napari_nucleiseg.core.score.fates import classify
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.widgets.segment.corrector import Corrector
from napari_nucleiseg.widgets.teach.frames import frames_of
from napari_nucleiseg.widgets.train.regions import mask_of, snapshot

OUT = Path(__file__).parent / "images"

#: The widgets, as napari's menu calls them.
TRAIN, SCORE, LINK = "Train a nuclei model", "Score nuclei labels", "Link nuclei"
BATCH, MEASURE = "Segment a folder", "Measure nuclei"

#: The small experiment of the walk-through: conditions, the samples that their fields
#: are cut from, and the fields' corners and side, pixels.
CONDITIONS = {"control": "small", "treated": "large"}
CORNERS, SIDE = ((0, 0), (0, 128), (128, 0), (128, 128)), 128
TEACH = "Teach the model"

#: A training of a minute or two on two cores.
SHORT = {"steps_per_epoch": 8, "batch_size": 4, "patch_size": 128}

#: Epochs of that training, and the one after which its picture is taken.
EPOCHS, DURING = 6, 4

#: No part takes longer on a busy computer, seconds.
PATIENCE = 1200


def pump(seconds: float) -> None:
    """Let the window work for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Let the window work until something has happened."""
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} took longer than {PATIENCE} s.")
        pump(0.02)


def save(viewer: napari.Viewer, name: str) -> None:
    """Save the whole window, as it is just now, as a PNG."""
    picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False))
    path = OUT / f"{name}.png"
    # In all its colours: with fewer, those of a small legend would be the first to go.
    picture.convert("RGB").save(path, optimize=True)
    print(path)


def shoot(viewer: napari.Viewer, name: str) -> None:
    """Save the whole window once it has come to rest."""
    pump(0.4)
    save(viewer, name)


def open_napari(height: int = 800) -> napari.Viewer:
    """Open an empty window."""
    viewer = napari.Viewer(title="napari")
    viewer.window.resize(1280, height)
    return viewer


def dock(viewer: napari.Viewer, name: str) -> Any:
    """Dock one of the plugin's widgets, as its menu does."""
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    pump(0.5)
    viewer.reset_view()
    return widget


def segment(viewer: napari.Viewer, widget: Any) -> None:
    """Press Segment, and wait for the labels."""
    widget.run_button.click()
    wait_until(lambda: not widget.is_running, "Segmenting")


def scroll_to(widget: Any, part: QWidget) -> None:
    """Scroll the training widget until a part of it is at the top."""
    pump(1.0)
    bar = widget.verticalScrollBar()
    bar.setValue(part.mapTo(widget.widget(), part.rect().topLeft()).y() - 6)


def shoot_segment() -> None:
    """Open a sample, segment it, move a slider; then three other kinds of image."""
    viewer = open_napari()
    viewer.open_sample(PLUGIN, "crowded")
    widget = dock(viewer, WIDGET)
    shoot(viewer, "1-ready")
    widget.run_button.click()
    pump(0.2)
    if widget.is_running:
        save(viewer, "2-running")
    wait_until(lambda: not widget.is_running, "Segmenting")
    shoot(viewer, "3-result")
    widget.advanced.expand(animate=False)
    widget.form["min_area"].value = 500
    wait_until(lambda: not widget.is_running, "Relabelling")
    shoot(viewer, "4-sliders")
    viewer.close()
    for sample in ("tissue", "large", "fields"):
        viewer = open_napari()
        viewer.open_sample(PLUGIN, sample)
        segment(viewer, dock(viewer, WIDGET))
        viewer.layers[-1].contour = 2
        shoot(viewer, f"5-{sample}")
        viewer.close()


def shoot_confidence() -> None:
    """Colour nuclei by confidence."""
    viewer = open_napari()
    viewer.open_sample(PLUGIN, "tissue")
    widget = dock(viewer, WIDGET)
    segment(viewer, widget)
    widget.review.colour_box.click()
    shoot(viewer, "6-confidence")
    viewer.close()


def shoot_correct() -> None:
    """Go to the third least certain nucleus, with outlines."""
    viewer = open_napari()
    viewer.open_sample(PLUGIN, "crowded")
    widget = dock(viewer, WIDGET)
    segment(viewer, widget)
    widget.review.outline_box.click()
    for _ in range(3):
        widget.review.next_button.click()
    widget.ensureWidgetVisible(widget.review.tools)
    shoot(viewer, "9-correct")
    viewer.close()


def shoot_score() -> None:
    """Compare what Segment finds with the true nuclei."""
    viewer = open_napari()
    viewer.open_sample(PLUGIN, "small")
    widget = dock(viewer, WIDGET)
    segment(viewer, widget)
    viewer.window.remove_dock_widget(widget)
    viewer.add_labels(load_sample("small").labels, name="True nuclei")
    widget = dock(viewer, SCORE)
    widget.run_button.click()
    wait_until(lambda: not widget.is_running, "Scoring")
    shoot(viewer, "7-score")
    viewer.close()


def shoot_train() -> None:
    """Teach the bundled model with two images and their true nuclei."""
    viewer = open_napari(height=900)
    right = 0
    for name in ("small", "large"):
        sample = load_sample(name)
        viewer.add_image(sample.image, name=name, translate=(0, right), gamma=0.8)
        layer = viewer.add_labels(
            sample.labels, name=f"{name} nuclei", translate=(0, right)
        )
        layer.contour = 2
        right += sample.image.shape[1] + 20
    widget = dock(viewer, TRAIN)
    wait_until(lambda: widget.form.check is not None, "Checking")
    shoot(viewer, "8-train-before")
    widget.form.form.set_values({"epochs": EPOCHS})
    widget.form.more_form.set_values(SHORT)
    wait_until(widget.train_button.isEnabled, "Checking")
    widget.train_button.click()
    wait_until(
        lambda: len(widget.curves.rows) > DURING or not widget.is_training, "Training"
    )
    scroll_to(widget, widget.stop_button)
    shoot(viewer, "8-train-during")
    wait_until(lambda: not widget.is_training, "Training")
    widget.my_models.expand(animate=False)
    scroll_to(widget, widget.message_line)
    shoot(viewer, "8-train-after")
    viewer.close()


def shoot_link() -> None:
    """Follow the true nuclei of a sample, moved a little from frame to frame."""
    viewer = open_napari()
    labels = load_sample("crowded").labels
    frames = [labels[3 * t : 3 * t + 200, 24 - 3 * t : 300 - 3 * t] for t in range(8)]
    viewer.add_labels(np.stack(frames), name="time-lapse nuclei")
    widget = dock(viewer, LINK)
    widget.form["through"].value = "time"
    widget.run_button.click()
    wait_until(lambda: not widget.is_running, "Linking")
    viewer.dims.set_point(0, 5)
    shoot(viewer, "9-link")
    viewer.close()


def shoot_measure() -> None:
    """Measure the true nuclei of a sample, and draw a range in their histogram."""
    viewer = open_napari()
    sample = load_sample("small")
    viewer.add_image(sample.image, name="DAPI", scale=(0.5, 0.5))
    viewer.add_labels(sample.labels, name="nuclei", scale=(0.5, 0.5))
    widget = dock(viewer, MEASURE)
    widget.run_button.click()
    wait_until(lambda: not widget.is_running, "Measuring")
    plots = widget.panel.plots
    plots.plot.drawn.emit({"x": "area_um2", "low": 22.0, "high": 40.0})
    plots.name_line.setText("large")
    plots.gate_button.click()
    shoot(viewer, "10-measure")
    viewer.close()


def make_experiment(folder: Path) -> None:
    """Write the files of the small experiment, as the walk-through does."""
    for condition, sample in CONDITIONS.items():
        image = load_sample(sample).image
        (folder / condition).mkdir(parents=True)
        for field, (y, x) in enumerate(CORNERS):
            part = image[y : y + SIDE, x : x + SIDE]
            tifffile.imwrite(folder / condition / f"field{field}.tif", part)


def shoot_batch() -> None:
    """Do a small experiment: two conditions, four fields each."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "experiment"
        make_experiment(folder)
        viewer = open_napari()
        widget = dock(viewer, BATCH)
        widget.form.folder.value = folder
        widget.form.pattern.value = "**/*.tif"
        widget.form.conditions.value = "folder"
        pump(0.5)
        wait_until(lambda: not widget.is_running, "Listing")
        shoot(viewer, "10-batch-before")
        widget.run_button.click()
        wait_until(lambda: not widget.is_running, "The batch")
        widget.panel.view.selectRow(5)
        widget.panel.open_button.click()
        viewer.layers[-1].contour = 2
        shoot(viewer, "10-batch-after")
        viewer.close()
        shutil.copy(folder / "nuclei" / "contact_sheet.png", OUT / "10-sheet.png")
        page = (folder / "nuclei" / "report.html").read_text(encoding="utf-8")
        pictures = re.findall(r"data:image/png;base64,([^\"]+)", page)
        for name, picture in zip(("count", "area"), pictures, strict=False):
            (OUT / f"10-plot-{name}.png").write_bytes(base64.b64decode(picture))


def correct_frame(viewer: napari.Viewer, truth: np.ndarray) -> None:
    """Delete what is no nucleus in the frame, and draw what was missed there."""
    image, labels = (viewer.layers[name] for name in ("crowded", "crowded nuclei"))
    frames = frames_of(viewer, image)
    assert frames is not None
    inside = mask_of(snapshot(image, labels, None, "by hand", frames))
    fates = classify(truth, labels.data, known=inside)
    corrector = Corrector(viewer, labels)
    for label in fates.predicted_ids[fates.predicted_fates != "matched"].tolist():
        corrector.delete(label)
    for label in fates.true_ids[fates.partners == 0].tolist():
        outline = max(find_contours(np.pad(truth == label, 1), 0.5), key=len) - 1
        with contextlib.suppress(ValueError):  # others have all its pixels
            corrector.draw(outline)
    for label in fates.predicted_ids[fates.predicted_fates == "matched"][:1].tolist():
        corrector.accept(label)


def shoot_teach() -> None:
    """Go round the loop once: next, correct, teach, compare."""
    viewer = open_napari(height=900)
    sample = load_sample("crowded")
    viewer.add_image(sample.image, name="crowded")
    dock(viewer, WIDGET)
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, TEACH, tabify=True)
    pump(0.5)
    widget.next_panel.next_button.click()
    wait_until(lambda: not widget.is_running, "Looking for regions")
    shoot(viewer, "10-teach-next")
    correct_frame(viewer, sample.labels)
    widget.form.set_values({"epochs": EPOCHS})
    widget.more_form.set_values(SHORT)
    widget.enterEvent(None)
    widget.run_button.click()
    wait_until(lambda: not widget.is_running, "Teaching")
    shoot(viewer, "10-teach-compare")
    viewer.close()


PARTS = {
    "segment": shoot_segment,
    "confidence": shoot_confidence,
    "correct": shoot_correct,
    "score": shoot_score,
    "train": shoot_train,
    "teach": shoot_teach,
    "link": shoot_link,
    "measure": shoot_measure,
    "batch": shoot_batch,
}


def main() -> None:
    """Take the pictures of the parts that are named."""
    parser = argparse.ArgumentParser(description="Take the pictures in the docs.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)"
    )
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"PART must be one of {', '.join(PARTS)}; received {unknown[0]}")
    if len(parts) > 1:  # many windows in one process may end it
        for part in parts:
            subprocess.run([sys.executable, __file__, part], check=True)
        return
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # The models made here are not the user's.
        os.environ["NUCLEISEG_MODELS"] = folder
        PARTS[parts[0]]()


if __name__ == "__main__":
    main()
