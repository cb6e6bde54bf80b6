"""How fast the table, the plots and the gates are with 100,000 nuclei in a window.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/tables.py [--nuclei N]

Opens a napari window with so many square nuclei in a labels layer, and the dock of the
Measure widget with a made-up table of 30 columns; then does what a user does, and times
each until the window has come to rest.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = 30

#: Width of a nucleus with the gap beside it, and without, pixels.
STEP, SIDE = 10, 7


def main() -> None:
    """Print the seconds of each step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nuclei", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("NAPARI_CONFIG", f"{folder}/napari.yaml")
        taken = measure(args.nuclei, args.rounds)
    print(f"{'':24} {'seconds':>8} {'of the processor':>17}")
    for name, (seconds, core_seconds) in taken.items():
        print(f"{name:24} {seconds:8.2f} {core_seconds:17.2f}")


def squares(count: int) -> np.ndarray:
    """Return the labels of so many squares."""
    across = math.ceil(math.sqrt(count))
    numbers = np.arange(1, across**2 + 1, dtype=np.int32).reshape(across, across)
    numbers[numbers > count] = 0
    tile = np.zeros((STEP, STEP), np.int32)
    tile[:SIDE, :SIDE] = 1
    return np.kron(numbers, tile)


def made_up(count: int) -> pd.DataFrame:
    """Return a table of the squares, with normally distributed measurements."""
    across = math.ceil(math.sqrt(count))
    y, x = np.divmod(np.arange(count), across)
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"label": np.arange(1, count + 1)})
    for axis, places in (("y", y), ("x", x)):
        table[f"centroid_{axis}_px"] = places * STEP + SIDE // 2.0
    more = {f"column_{i}": rng.normal(size=count) for i in range(COLUMNS - 2)}
    return table.join(pd.DataFrame(more))


def measure(count: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Open the window, and return the least that each step takes.

    Seconds by the clock, which grow with what else the computer does, and of the
    processor.
    """
    import napari
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication

    from napari_nucleiseg.widgets.measure.form import Measured
    from napari_nucleiseg.widgets.measure.panel import NucleiPanel
    from napari_nucleiseg.widgets.shared.bottom_dock import dock_below

    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    labels = squares(count)
    layer = viewer.add_labels(labels, name="nuclei")
    panel = NucleiPanel(viewer)
    dock_below(viewer, panel, "Nuclei")
    table = made_up(count)
    asked: Any = SimpleNamespace(note="")
    few = Measured(layer, table[:10], None, labels.shape, asked)
    measured = Measured(layer, table, None, labels.shape, asked)
    half = {"x": "column_1", "low": -0.7, "high": 0.7}
    panel.plots.x_box.setCurrentText("column_1")
    header = panel.view.horizontalHeader()
    orders = [Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder]

    def set_filter(text: str) -> None:
        panel.filter_line.setText(text)
        panel.filter_line.editingFinished.emit()

    def add_gate() -> None:
        panel.plots.name_line.setText("middle")
        panel.plots.gate_button.click()

    def sort() -> None:
        header.setSortIndicator(5, orders[0])
        orders.reverse()

    def click() -> None:
        panel.click(count // 2, panel_place(table, count // 2))

    steps: dict[str, Callable[[], object]] = {
        "open": lambda: panel.show_measured(measured),
        "sort by a column": sort,
        "filter": lambda: set_filter("column_1 > 0 and column_2 < 0.5"),
        "lift the filter": lambda: set_filter(""),
        "click one nucleus": click,
        "draw a range over half": lambda: panel.plots.plot.drawn.emit(half),
        "add it as a gate": add_gate,
        "colour by a column": lambda: panel.colour_box.setCurrentText("column_3"),
        "scatter plot": lambda: panel.plots.kind_box.setCurrentText("Scatter"),
    }
    taken: dict[str, list[list[float]]] = {name: [] for name in steps}
    for _ in range(rounds):
        panel.gates = []
        panel.show_measured(few)
        panel.plots.kind_box.setCurrentText("Histogram")
        panel.plots.x_box.setCurrentText("column_1")
        panel.colour_box.setCurrentIndex(0)
        settle(QApplication)
        for name, step in steps.items():
            start = np.array([time.perf_counter(), time.process_time()])
            step()
            settle(QApplication)
            end = np.array([time.perf_counter(), time.process_time()])
            taken[name].append((end - start).tolist())
    viewer.close()
    least = {name: np.min(times, axis=0).tolist() for name, times in taken.items()}
    return {name: (both[0], both[1]) for name, both in least.items()}


def panel_place(table: pd.DataFrame, label: int) -> np.ndarray:
    """Return where a nucleus is, in the world."""
    return table.loc[label - 1, ["centroid_y_px", "centroid_x_px"]].to_numpy(float)


def settle(application: Any) -> None:
    """Let the window draw all that there is to draw."""
    for _ in range(5):
        application.processEvents()


if __name__ == "__main__":
    main()
