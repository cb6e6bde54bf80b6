"""How fast the table of the Measure widget is with 100,000 nuclei.

``xvfb-run -a python benchmarks/tables.py``
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_nucleiseg.widgets.measure.plot import NucleiPlot
from napari_nucleiseg.widgets.measure.table import NucleiModel, NucleiView

COLUMNS = 30


def main() -> None:
    """Print the seconds of each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nuclei", type=int, default=100_000)
    count = parser.parse_args().nuclei
    app = QApplication.instance() or QApplication([])
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {f"column_{i}": rng.normal(size=count) for i in range(COLUMNS)}
    )
    table.insert(0, "label", np.arange(1, count + 1))
    model = NucleiModel()
    view, plot = NucleiView(model), NucleiPlot()
    # What matplotlib loads once is not the plot's.
    plot.show_plot(table[:10], np.zeros(10, bool), "Scatter", "column_1", "column_2")
    plot.draw()
    for widget in (view, plot):
        widget.resize(800, 400)
        widget.show()
    app.processEvents()

    def open_table() -> None:
        model.show_table(table)
        view.resizeColumnsToContents()

    def draw() -> None:
        plot.show_plot(table, model.selected, "Scatter", "column_1", "column_2")

    middle = np.abs(table["column_1"].to_numpy()) < 1
    steps: dict[str, Callable[[], object]] = {
        "open": open_table,
        "sort": lambda: model.sort(1, Qt.SortOrder.DescendingOrder),
        "filter": lambda: model.filter("column_1 > 0 and column_2 < 0.5"),
        "select by a gate": lambda: model.select(middle),
        "density plot": draw,
    }
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        app.processEvents()
        print(f"{name:20} {time.perf_counter() - start:.3f} s")


if __name__ == "__main__":
    main()
