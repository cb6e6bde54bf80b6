"""`nucleiseg demo`: a real image, the widget, and the Segment button.

The one command that opens a window. Kept apart from `cli` so that the rest of the
command line never imports Qt.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleiseg.cli.options import folder_path

if TYPE_CHECKING:
    from napari_nucleiseg.io.sample_data import Sample

SAMPLE_NAMES = ("crowded", "small", "large", "tissue", "smear", "fields")

PLUGIN, WIDGET = "napari-nucleiseg", "Segment nuclei"

#: How long the headless demo waits for the button's result, seconds.
PATIENCE = 300


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options of `nucleiseg demo`, and what runs it."""
    sub.description = (
        "Open napari with a sample image and the widget docked. Without a display: do "
        "the same job, and write labels, overlay and a screenshot."
    )
    sub.add_argument(
        "--sample", choices=SAMPLE_NAMES, default=SAMPLE_NAMES[0], help="which image"
    )
    sub.add_argument(
        "--headless", action="store_true", help="write files instead of waiting"
    )
    sub.add_argument(
        "--output",
        type=folder_path,
        default=Path("nucleiseg-demo"),
        metavar="DIR",
        help="folder for the files (default: %(default)s)",
    )
    sub.set_defaults(
        run=lambda args: run_demo(args.sample, args.output, headless=args.headless)
    )


def has_display() -> bool:
    """Return whether a window can be opened here."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def run_demo(sample_name: str, output: Path, *, headless: bool = False) -> int:
    """Open napari on a sample, or do the same without a display.

    Parameters
    ----------
    sample_name : str
        One of `SAMPLE_NAMES`.
    output : pathlib.Path
        Folder for what the headless demo writes.
    headless : bool
        Write files, with a screenshot if there is a (virtual) display, and end.

    Returns
    -------
    int
        Exit status.
    """
    from napari_nucleiseg.io.sample_data import load_sample

    sample = load_sample(sample_name)
    if not headless and has_display():
        return _open_window(sample)
    if not headless:
        print("There is no display here: doing the same job without a window.")
    return _without_window(sample, output)


def _open_window(sample: Sample) -> int:
    try:
        import napari
    except ImportError as e:
        raise ValueError(
            f"napari with a Qt binding is needed to open a window ({e}); install "
            "napari-nucleiseg[all], or use --headless."
        ) from e
    viewer = napari.Viewer(title="napari-nucleiseg demo")
    viewer.open_sample(PLUGIN, sample.name)
    viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    print("napari is open: press “Segment” in the widget on the right.", flush=True)
    napari.run()
    return 0


def _without_window(sample: Sample, output: Path) -> int:
    from napari_nucleiseg.cli.terminal import quiet_start
    from napari_nucleiseg.core.score.matching import score_image
    from napari_nucleiseg.core.segment.planes import to_planes
    from napari_nucleiseg.io.images import write_labels, write_overlay
    from napari_nucleiseg.models.predictor import load_model
    from napari_nucleiseg.models.segmenting import segment

    output.mkdir(parents=True, exist_ok=True)
    with quiet_start():
        load_model()
    start = time.perf_counter()
    result = segment(sample.image, axes=sample.axes)
    seconds = time.perf_counter() - start
    labels = output / f"{sample.name}_labels.tif"
    overlay = output / f"{sample.name}_overlay.png"
    write_labels(labels, result.labels)
    planes, _ = to_planes(sample.image, axes=sample.axes)
    first = result.labels.reshape(-1, *result.labels.shape[-2:])[0]
    write_overlay(overlay, planes[0], first)
    print(f"{sample.title}: {result.count} nuclei in {seconds:.1f} s", flush=True)
    score = score_image(
        sample.labels.reshape(-1, *first.shape)[0],
        first,
    )
    print(f"AP at IoU 0.5 against the true nuclei: {score.average_precision():.2f}")
    print(f"Wrote {labels}\nWrote {overlay}", flush=True)
    if not has_display():
        print("No screenshot of the window: there is no display, nor a virtual one.")
        return 0
    picture = output / f"{sample.name}_window.png"
    _press_segment(sample, picture)
    print(f"Wrote {picture}", flush=True)
    return 0


def _press_segment(sample: Sample, picture: Path) -> None:
    """Open the real window, press the button, wait, and take a picture of it."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(title="napari-nucleiseg demo")
    try:
        viewer.window.resize(1400, 900)
        viewer.open_sample(PLUGIN, sample.name)
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
        app = QApplication.instance()
        widget.run_button.click()
        end = time.monotonic() + PATIENCE
        while widget.is_running and time.monotonic() < end:
            app.processEvents()
            time.sleep(0.02)
        for _ in range(20):
            app.processEvents()
            time.sleep(0.02)
        viewer.screenshot(str(picture), canvas_only=False, flash=False)
    finally:
        viewer.close()
