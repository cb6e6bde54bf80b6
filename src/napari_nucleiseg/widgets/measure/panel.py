"""The table under the viewer, its plots, and the gates drawn in them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QSize
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.core.measure.gates import Gate, add_gates
from napari_nucleiseg.widgets.measure import painting
from napari_nucleiseg.widgets.measure.form import Measured
from napari_nucleiseg.widgets.measure.parts import NONE, offer, row
from napari_nucleiseg.widgets.measure.plot_side import PlotSide
from napari_nucleiseg.widgets.measure.saving import EXPORTS, save_measured
from napari_nucleiseg.widgets.measure.table import NucleiModel, NucleiView
from napari_nucleiseg.widgets.measure.tie import LabelsTie
from napari_nucleiseg.widgets.shared.bottom_dock import Folding
from napari_nucleiseg.widgets.shared.controls import MessageLine, combo, explain

if TYPE_CHECKING:
    import napari

_TITLE = "Measure nuclei"
_STALE = "The labels have changed since they were measured. Press Measure again."


class NucleiPanel(QWidget):
    """A table of nuclei and its plots, tied to their labels layer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.is_gone = False
        self.measured: Measured | None = None
        self._tie: LabelsTie | None = None
        self._stale = False
        self.plots = PlotSide()
        self._make_controls()
        self._lay_out()
        self._connect()

    # ---- building -------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.model = NucleiModel()
        self.view = NucleiView(self.model)
        self.filter_line = QLineEdit()
        self.filter_line.setPlaceholderText("Filter, such as area_um2 > 50")
        self.filter_line.setClearButtonEnabled(True)
        self.filter_line.setToolTip(
            "Show the nuclei for which this holds: columns and gates with <, >, ==, "
            "and, or, not. A name with spaces stands in `backticks`. Enter applies it."
        )
        self.only_box = QCheckBox("Selected only")
        self.colour_box = combo("Colour the nuclei in the viewer by a column.")
        self.delete_button = QPushButton("Delete selected")
        self.delete_button.setToolTip(
            "Erase the selected nuclei from the labels layer; napari's undo brings "
            "them back there."
        )
        self.export_button = QPushButton("Export…")
        self.export_button.setToolTip(
            "Save the table (CSV, Parquet) or the outlines (GeoJSON for QuPath, ROIs "
            "for Fiji), as the file's name says."
        )
        self.line = MessageLine("panel_line")

    def _lay_out(self) -> None:
        left = QWidget()
        table = QVBoxLayout(left)
        table.setContentsMargins(0, 0, 0, 0)
        actions = (self.delete_button, self.export_button)
        table.addLayout(row(self.filter_line, self.only_box, *actions))
        table.addWidget(self.view, 1)
        self.view.setMinimumHeight(60)
        below = row(self.line, "Colour by", self.colour_box)
        below.setStretch(0, 3)
        below.setStretch(2, 1)
        table.addLayout(below)
        around = QHBoxLayout(self)
        around.setContentsMargins(0, 0, 0, 0)
        self.folding = Folding({"Table": left, "Plot": self.plots}, [600, 400])
        around.addWidget(self.folding)

    def sizeHint(self) -> QSize:
        """Return a size that leaves room for the viewer."""
        return QSize(640, 260)

    def _connect(self) -> None:
        self.filter_line.editingFinished.connect(self._on_filter_changed)
        self.only_box.toggled.connect(self._on_filter_changed)
        self.colour_box.currentIndexChanged.connect(self._paint)
        self.delete_button.clicked.connect(self.delete_selected)
        self.export_button.clicked.connect(self._on_export_clicked)
        self.plots.asked.connect(self._draw)
        self.plots.drawn.connect(self._on_drawn)
        self.plots.gates_changed.connect(self._on_gates_changed)
        self.plots.refused.connect(self.line.setText)
        self.plots.failed.connect(self._fail)
        self.model.selection_changed.connect(self._on_selection_changed)
        self.view.row_chosen.connect(self.go_to)
        self.viewer.mouse_drag_callbacks.append(self._on_pressed)
        self.viewer.layers.events.removed.connect(self._on_layer_removed)
        slots = (self._on_pressed, self._on_layer_removed)
        self.destroyed.connect(
            functools.partial(_let_go, self.viewer, self.__dict__, *slots)
        )

    # ---- what is shown --------------------------------------------------------------

    @property
    def layer(self) -> Labels | None:
        """The labels layer that the table is of."""
        return self.measured.layer if self.measured else None

    @property
    def gates(self) -> list[Gate]:
        """The gates that there are."""
        return self.plots.gates

    @gates.setter
    def gates(self, gates: list[Gate]) -> None:
        self.plots.gates = gates

    def show_measured(self, measured: Measured) -> None:
        """Show another table; gates that fit it stay."""
        self._leave_layer()
        self.measured, self._stale = measured, False
        self._tie = LabelsTie(self.viewer, measured.layer, self._on_labels_changed)
        self.plots.keep_fitting(measured.table)
        self.line.clear()
        self._show_table(None)

    def _show_table(self, selected: np.ndarray | None) -> None:
        """Show the table with its gates, and offer its columns everywhere."""
        assert self.measured is not None
        table = add_gates(self.measured.table, self.gates)
        self.plots.show_table(table)
        offer(self.colour_box, [NONE, *(c for c in table if c != "label")])
        self.model.show_table(table, selected)
        self.view.resizeColumnsToContents()

    def _draw(self) -> None:
        self.plots.draw(self.model.table, self.model.selected)

    def _paint(self, *_: object) -> None:
        if self._tie is not None:
            column = self.colour_box.currentText()
            self._tie.paint(self.model.table, column, self.model.selected)

    def _on_filter_changed(self, *_: object) -> None:
        try:
            self.model.filter(
                self.filter_line.text(), selected_only=self.only_box.isChecked()
            )
        except ValueError as e:
            self.line.setText(str(e))
        else:
            self._count()

    def _count(self) -> None:
        shown, chosen = len(self.model.order), int(self.model.selected.sum())
        text = f"{shown:,} of {len(self.model.table):,} nuclei shown"
        text = f"{text}, {chosen:,} selected." if chosen else f"{text}."
        self.line.setText(f"{text} {_STALE}" if self._stale else text)

    # ---- selecting ------------------------------------------------------------------

    def _on_selection_changed(self) -> None:
        self._count()
        self._paint()
        self._draw()

    def go_to(self, row: int) -> None:
        """Bring the nucleus of a row to the middle of the canvas."""
        layer = self.layer
        if layer is None or self.measured is None:
            return
        values = self.model.table.iloc[row]
        size = dict(zip("yx", self.measured.scale or (1.0, 1.0), strict=True))
        place = {name: float(values[name]) for name in self._planes()}
        place = {name.removeprefix("axis_"): at for name, at in place.items()}
        for axis in "yx":
            column = next(c for c in values.index if c.startswith(f"centroid_{axis}_"))
            place[axis.upper()] = values[column] / size[axis]
        layer.selected_label = int(values["label"])
        painting.go_to(self.viewer, layer, place)

    def _planes(self) -> list[str]:
        """Return the columns that say in which plane a nucleus lies."""
        assert self.measured is not None
        return list(self.model.table.columns[: len(self.measured.shape) - 2])

    def _on_pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        """Select the nucleus that is clicked in the viewer; with Ctrl or Shift add."""
        layer = self.layer
        active = viewer.layers.selection.active
        if layer is None or (active is not None and active.mode != "pan_zoom"):
            return
        yield
        dragged = False
        while event.type == "mouse_move":
            dragged = True
            yield
        if dragged or not layer.visible:
            return
        label = layer.get_value(
            event.position,
            view_direction=event.view_direction,
            dims_displayed=event.dims_displayed,
            world=True,
        )
        self.click(int(label or 0), event.position, add=bool(event.modifiers))

    def click(self, label: int, position: Any, *, add: bool = False) -> None:
        """Select the nucleus of a label at a place in the world, or none for 0."""
        layer, table = self.layer, self.model.table
        if layer is None:
            return
        found = (table["label"] == label).to_numpy() & (label > 0)
        point = np.rint(layer.world_to_data(np.asarray(position)[-layer.ndim :]))
        at = dict(zip(painting.data_axes(layer), point, strict=True))
        for name in self._planes():
            found &= (table[name] == at[name.removeprefix("axis_")]).to_numpy()
        self.model.select(self.model.selected ^ found if add else found)
        if found.any():
            self.view.show_row(int(np.flatnonzero(found)[0]))

    # ---- gates ----------------------------------------------------------------------

    def _on_drawn(self, gate: Gate) -> None:
        self.model.select(gate.positive(self.model.table))

    def _on_gates_changed(self, added: Gate | None) -> None:
        if self.measured is None:
            return
        self._show_table(self.model.selected)
        if added is not None:
            share = self.model.table[added.name].mean()
            self.line.setText(f"{share:.1%} of the nuclei are in {added.name}.")

    # ---- the labels -----------------------------------------------------------------

    def delete_selected(self) -> None:
        """Erase the selected nuclei from the labels layer, and their rows."""
        measured, chosen, tie = self.measured, self.model.selected, self._tie
        if measured is None or tie is None or not chosen.any():
            return
        try:
            tie.erase(self.model.table[chosen], self._planes())
        except ValueError as e:
            self.line.setText(explain(e))
            return
        table = measured.table[~chosen].reset_index(drop=True)
        self.measured = replace(measured, table=table)
        self._show_table(None)
        self.line.setText(f"{int(chosen.sum()):,} nuclei deleted.")

    def _on_labels_changed(self) -> None:
        """Say that the table is out of date."""
        if not self._stale:
            self._stale = True
            self._count()

    def _on_layer_removed(self, event: Any) -> None:
        if self.measured is not None and event.value is self.layer:
            self._leave_layer()
            self.measured = None
            self.gates = []
            self.model.show_table(self.model.table.iloc[:0])
            self.line.setText("The labels layer was removed.")

    def _leave_layer(self) -> None:
        if self._tie is not None:
            self._tie.leave()
        self._tie = None

    # ---- saving ---------------------------------------------------------------------

    def _on_export_clicked(self) -> None:
        if self.layer is None:
            return
        path, kind = QFileDialog.getSaveFileName(
            self, "Export the nuclei", f"{self.layer.name}.csv", EXPORTS
        )
        if path:
            self.export(Path(path), summary=kind.startswith("Summary"))

    def export(self, path: Path, *, summary: bool = False) -> None:
        """Write the table, or the outlines for ``.geojson`` and ``.zip``.

        Parameters
        ----------
        path : pathlib.Path
            The file.
        summary : bool
            Whether to write one row for the image, not one for each nucleus.
        """
        if self.measured is None:
            return
        table = self.model.table
        try:
            save_measured(path, self.measured, table, self.gates, summary=summary)
        except (OSError, ValueError) as e:
            self._fail(e)
        else:
            show_info(f"{_TITLE}: saved as {path}")

    def _fail(self, error: Exception) -> None:
        self.line.setText(explain(error))
        show_error(f"{_TITLE}: {explain(error)}")


def _let_go(
    viewer: Any, state: dict[str, Any], on_pressed: Any, on_removed: Any, *_: object
) -> None:
    """Leave the viewer and the layer, when the panel is gone."""
    state["is_gone"] = True
    if on_pressed in viewer.mouse_drag_callbacks:
        viewer.mouse_drag_callbacks.remove(on_pressed)
    viewer.layers.events.removed.disconnect(on_removed)
    if state["measured"] is not None and state["_tie"] is not None:
        state["_tie"].leave()
