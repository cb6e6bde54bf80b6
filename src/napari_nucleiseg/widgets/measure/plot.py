"""Plots of the table, in which a range or a lasso selects nuclei."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.widgets import LassoSelector, SpanSelector
from qtpy.QtCore import QSize, Signal
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QSizePolicy

from napari_nucleiseg.io.atomic import write_whole

#: More points than these are shown as a density.
MOST_POINTS = 50_000

#: Kinds of plot: what the user sees.
KINDS = ("Histogram", "Scatter", "Box and strip")

#: Round the axes: left, right, below, above; pixels.
_MARGINS = (58, 12, 42, 8)

_ALL, _CHOSEN = "#56B4E9", "#E69F00"

#: Colours of densities: few nuclei to many.
_DENSITY, _CHOSEN_DENSITY = "viridis", "Wistia"


class NucleiPlot(FigureCanvasQTAgg):
    """Histogram, scatter plot, or boxes and strips by group.

    Attributes
    ----------
    drawn : qtpy.QtCore.Signal
        Emitted with what a gate needs, when the user drew a range or a lasso: a
        dictionary of `core.measure.gates.Gate`'s fields without a name.
    """

    drawn = Signal(dict)

    def __init__(self) -> None:
        self._figure = Figure()
        super().__init__(self._figure)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._selector: Any = None

    def sizeHint(self) -> QSize:
        """Return a size that leaves room for the viewer."""
        return QSize(320, 220)

    def minimumSizeHint(self) -> QSize:
        """Return the least size at which axes can be read."""
        return QSize(180, 80)

    def show_plot(
        self,
        table: pd.DataFrame,
        selected: np.ndarray,
        kind: str,
        x: str,
        y: str = "",
        group: str = "",
    ) -> None:
        """Draw a plot.

        Parameters
        ----------
        table : pandas.DataFrame
            The nuclei.
        selected : numpy.ndarray
            ``(n,)`` bool: which to show in another colour.
        kind : str
            One of `KINDS`.
        x, y : str
            Columns; y of a scatter plot only.
        group : str
            For boxes: the column whose values are the groups; one group without.
        """
        self._figure.clear()
        self._selector = None
        axes = self._figure.add_subplot()
        if x in table:
            values = table[x].to_numpy(float)
            if kind == "Histogram":
                self._draw_histogram(axes, values, selected, x)
            elif kind == "Scatter" and y in table:
                self._draw_scatter(axes, values, table[y].to_numpy(float), selected)
                _hold(axes)
                self._selector = LassoSelector(axes, self._on_lasso(x, y))
                axes.set_ylabel(y)
            elif kind == "Box and strip":
                self._draw_boxes(axes, values, table, group)
            boxes = kind == "Box and strip"
            axes.set_xlabel((group if group in table else "") if boxes else x)
            if boxes:
                axes.set_ylabel(x)
        self._colour(axes)
        self._fit()
        self.draw_idle()

    def resizeEvent(self, event: Any) -> None:
        """Keep the margins what the writing needs; solving for them takes too long."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        left, right, bottom, top = _MARGINS
        across, down = max(self.width(), 150), max(self.height(), 80)
        self._figure.subplots_adjust(
            left=left / across,
            right=1 - right / across,
            bottom=bottom / down,
            top=1 - top / down,
        )

    def _draw_histogram(
        self, axes: Any, values: np.ndarray, selected: np.ndarray, x: str
    ) -> None:
        known = np.isfinite(values)
        if known.any():
            bins = np.histogram_bin_edges(values[known], bins=50)
            for some, colour in ((known, _ALL), (known & selected, _CHOSEN)):
                counts = np.histogram(values[some], bins)[0]
                axes.stairs(counts, bins, fill=True, color=colour)
        axes.set_ylabel("nuclei")
        _hold(axes)

        def on_span(low: float, high: float) -> None:
            if high > low:
                self.drawn.emit({"x": x, "low": float(low), "high": float(high)})

        self._selector = SpanSelector(axes, on_span, "horizontal", useblit=True)

    def _draw_scatter(
        self, axes: Any, x: np.ndarray, y: np.ndarray, selected: np.ndarray
    ) -> None:
        known = np.isfinite(x) & np.isfinite(y)
        if known.sum() > MOST_POINTS:
            self._draw_density(axes, x, y, known, selected)
            return
        for which, colour in ((~selected, _ALL), (selected, _CHOSEN)):
            some = known & which
            axes.plot(x[some], y[some], ".", ms=4, color=colour, alpha=0.7)

    def _draw_density(
        self,
        axes: Any,
        x: np.ndarray,
        y: np.ndarray,
        known: np.ndarray,
        selected: np.ndarray,
    ) -> None:
        """Draw how many nuclei lie where, and over it those that are selected."""
        _, *edges = np.histogram2d(x[known], y[known], bins=120)
        corners = (edges[0][0], edges[0][-1], edges[1][0], edges[1][-1])
        for which, colours in ((known, _DENSITY), (known & selected, _CHOSEN_DENSITY)):
            counts = np.histogram2d(x[which], y[which], bins=edges)[0]
            if counts.any():
                axes.imshow(
                    np.ma.masked_equal(counts.T, 0),
                    norm="log",
                    cmap=colours,
                    origin="lower",
                    aspect="auto",
                    extent=corners,
                )

    def _on_lasso(self, x: str, y: str) -> Any:
        def on_lasso(corners: Any) -> None:
            if len(corners) >= 3:
                points = [[float(a), float(b)] for a, b in corners]
                self.drawn.emit({"x": x, "y": y, "corners": points})

        return on_lasso

    def _draw_boxes(
        self, axes: Any, values: np.ndarray, table: pd.DataFrame, group: str
    ) -> None:
        known = np.isfinite(values)
        groups = table[group].astype(str).to_numpy() if group in table else None
        names = [""] if groups is None else sorted(set(groups[known].tolist()))
        rng = np.random.default_rng(0)
        for place, name in enumerate(names):
            some = values[known if groups is None else known & (groups == name)]
            axes.boxplot(some, positions=[place], widths=0.6, showfliers=False)
            strip = rng.permutation(some)[:2000]
            beside = place + rng.uniform(-0.25, 0.25, len(strip))
            axes.plot(beside, strip, ".", ms=3, color=_ALL, alpha=0.4, zorder=0)
        axes.set_xticks(range(len(names)), names)

    def _colour(self, axes: Any) -> None:
        """Draw in the colours of napari's theme."""
        text = self.palette().color(QPalette.ColorRole.WindowText).name()
        self._figure.set_facecolor("none")
        self.setStyleSheet("background: transparent;")
        axes.set_facecolor("none")
        axes.tick_params(colors=text, labelsize=8)
        for part in (axes.xaxis.label, axes.yaxis.label):
            part.set_color(text)
            part.set_fontsize(9)
        for spine in axes.spines.values():
            spine.set_color(text)
        for line in axes.lines:
            if line.get_color() == "black":  # of boxes
                line.set_color(text)

    def save(self, path: Path) -> None:
        """Save the plot, as PNG or SVG by the file's name.

        Raises
        ------
        NotWritten
            If the file cannot be written.
        """
        dark = self.palette().color(QPalette.ColorRole.Window).name()
        write_whole(
            path, lambda fresh: self._figure.savefig(fresh, facecolor=dark, dpi=200)
        )


def _hold(axes: Any) -> None:
    """Fit the axes to what is drawn, and to nothing else: not to a selector at 0."""
    axes.autoscale_view()
    axes.autoscale(False)
