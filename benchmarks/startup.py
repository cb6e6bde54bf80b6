"""How long it takes until the program answers: command, widget, first result, next.

    python benchmarks/startup.py [--repeats 7] [--json FILE] [--docs docs/speed.md]

Each repeat is a fresh process: `nucleiseg --help`; a napari window in which the widget
is opened and Segment pressed three times; and `segment()` called three times. Images
are packaged ones, laid out by mirroring to a quarter of a megapixel. Nothing is
cold: one more repeat comes first, which is not counted. On a machine
without a screen, run it under ``xvfb-run -a -s "-screen 0 1600x1000x24"``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from report import markdown, put

#: Side of an image, pixels.
SIDE = 500

#: The packaged images: the first, which is done twice, and another.
FIRST, OTHER = "crowded", "large"

#: An event loop is idle where, for so long, nothing takes longer than that (seconds).
QUIET, SHORT = 0.15, 0.01

#: Nothing takes longer than this, seconds.
PATIENCE = 120

#: What is measured, what to call it, and the most seconds it should take.
MEASURED = {
    "help": ("`nucleiseg --help`", 0.5),
    "widget": ("the widget opens in an open window", 0.5),
    "widget first": ("Segment, the first time: runtime and network are loaded", 1.5),
    "widget again": ("Segment, the same image again", 0.4),
    "widget other": ("Segment, another image", 0.4),
    "api first": ("`segment()`, the first time, with what it imports", 1.5),
    "api again": ("`segment()`, the same image again", 0.4),
    "api other": ("`segment()`, another image", 0.4),
}


def read_image(name: str) -> Any:
    """Return a packaged image, ``(SIDE, SIDE)`` uint8."""
    import numpy as np

    from napari_nucleiseg.io.sample_data import load_sample

    image = load_sample(name).image
    extra = [(0, max(0, SIDE - n)) for n in image.shape]
    return np.pad(image, extra, mode="symmetric")[:SIDE, :SIDE].copy()


def make_environment(folder: Path) -> dict[str, str]:
    """Return the environment that everything is started in.

    Neither the user's settings nor models have a say, and Python keeps what it has
    compiled, as it does for an installed package.
    """
    environment = {
        **os.environ,
        "NAPARI_CONFIG": str(folder / "napari.yaml"),
        "NUCLEISEG_MODELS": str(folder / "models"),
        "PYTHONPYCACHEPREFIX": str(folder / "bytecode"),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def time_help(environment: dict[str, str]) -> dict[str, float]:
    """Run the command's help."""
    command = shutil.which("nucleiseg", path=str(Path(sys.executable).parent))
    if command is None:
        raise SystemExit("nucleiseg must be installed beside this Python.")
    start = time.perf_counter()
    subprocess.run(
        [command, "--help"], check=True, stdout=subprocess.DEVNULL, env=environment
    )
    return {"help": time.perf_counter() - start}


def time_api() -> dict[str, float]:
    """Call `segment()`; NumPy is there already, as it is for whoever has an image."""
    first, other = read_image(FIRST), read_image(OTHER)
    seconds = {}
    for name, image in (("first", first), ("again", first), ("other", other)):
        start = time.perf_counter()
        from napari_nucleiseg import segment

        segment(image)
        seconds[f"api {name}"] = time.perf_counter() - start
    return seconds


def time_widget() -> dict[str, float]:
    """Open a napari window and the widget, and press Segment."""
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer()
    viewer.window.resize(1280, 800)
    other = viewer.add_image(read_image(OTHER), name=OTHER)
    first = viewer.add_image(read_image(FIRST), name=FIRST)
    application = QApplication.instance()
    settle(application)
    start = time.perf_counter()
    _, widget = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Segment nuclei"
    )
    seconds = {"widget": settle(application) - start}
    box = widget.image_box
    for name, layer in (("first", first), ("again", first), ("other", other)):
        choose(box, layer)
        settle(application)
        before = len(viewer.layers)
        start = time.perf_counter()
        widget.run_button.click()
        # It is cleared when a run begins, and filled once the labels are shown.
        wait(application, lambda: bool(widget.result_line.text()))
        seconds[f"widget {name}"] = time.perf_counter() - start
        added = len(viewer.layers) - before
        if "found" not in widget.result_line.text() or added != (name != "again"):
            raise SystemExit(f"Segment failed: {widget.result_line.text()}")
        wait(application, lambda: not widget.is_running)
    viewer.close()
    return seconds


def choose(box: Any, layer: Any) -> None:
    """Choose a layer in the widget."""
    at = box.findText(layer.name)
    if at < 0:
        raise SystemExit(f"The widget does not offer the image {layer.name}.")
    box.setCurrentIndex(at)


def settle(application: Any) -> float:
    """Let the window work until it is idle; returns since when it is (its clock)."""
    end = time.perf_counter() + PATIENCE
    since = time.perf_counter()
    while time.perf_counter() < end:
        start = time.perf_counter()
        application.processEvents()
        now = time.perf_counter()
        if now - start > SHORT:
            since = now
        elif now - since > QUIET:
            return since
        time.sleep(0.001)
    raise SystemExit(f"The window was not idle within {PATIENCE} s.")


def wait(application: Any, done: Callable[[], bool]) -> None:
    """Let the window work until something has happened."""
    end = time.perf_counter() + PATIENCE
    while not done():
        if time.perf_counter() > end:
            raise SystemExit(f"Nothing came of it within {PATIENCE} s.")
        application.processEvents()
        time.sleep(0.002)


PARTS = {"widget": time_widget, "api": time_api}


def run_part(part: str, folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """Measure one part in a fresh process."""
    out = folder / "seconds.json"
    command = [sys.executable, __file__, "--part", part, "--json", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"The part {part} failed:\n{done.stderr[-2000:]}")
    return json.loads(out.read_text(encoding="utf-8"))


def table(seconds: dict[str, list[float]]) -> str:
    """Return the figures as a Markdown table."""
    lines: list[list[object]] = []
    for name, (title, most) in MEASURED.items():
        found = seconds[name]
        middle = statistics.median(found)
        line = [title, f"{middle:.2f}", f"{max(found):.2f}", f"{most:g}"]
        lines.append([*line, "yes" if middle < most else "no"])
    return markdown(["", "median, s", "worst, s", "wanted, s", "met"], lines)


def main() -> None:
    """Print the table; write it down where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="that count")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        args.json.write_text(json.dumps(PARTS[args.part]()), encoding="utf-8")
        return
    if args.repeats < 1:
        parser.error("--repeats must be at least 1")
    seconds: dict[str, list[float]] = {name: [] for name in MEASURED}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = make_environment(folder)
        for turn in range(args.repeats + 1):
            found = time_help(environment)
            for part in PARTS:
                found |= run_part(part, folder, environment)
            print(json.dumps(found), file=sys.stderr, flush=True)
            for what, value in found.items() if turn else ():
                seconds[what].append(value)
    text = (
        f"{table(seconds)}\n\n{args.repeats} fresh processes each, on "
        f"{os.cpu_count()} processor cores; images of {SIDE} × {SIDE} pixels."
    )
    print(text)
    if args.json:
        args.json.write_text(json.dumps(seconds, indent=1) + "\n", encoding="utf-8")
    if args.docs:
        put(args.docs, "startup", text)


if __name__ == "__main__":
    main()
