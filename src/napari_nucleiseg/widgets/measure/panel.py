"""The table under the viewer, its plots, and the gates drawn in them."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.core.measure.gates import Gate, add_gates
from napari_nucleiseg.core.measure.nuclei import PLACES, area_mm2
from napari_nucleiseg.core.measure.summary import summarise
from napari_nucleiseg.core.segment.planes import from_image_axes, to_image_axes
from napari_nucleiseg.io.tables import write_geojson, write_rois, write_table
from napari_nucleiseg.widgets.measure import painting
from napari_nucleiseg.widgets.measure.form import Measured
from napari_nucleiseg.widgets.measure.plot import KINDS, NucleiPlot
from napari_nucleiseg.widgets.measure.table import NucleiModel, NucleiView
from napari_nucleiseg.widgets.shared.controls import MessageLine, combo, explain

if TYPE_CHECKING:
    import napari
    import pandas as pd

_TITLE = "Measure nuclei"
_NONE = "—"
_EXPORTS = ";;".join(
    (
        "Table (*.csv *.parquet)",
        "Summary, a row for the image (*.csv *.parquet)",
        "Outlines for QuPath (*.geojson)",
        "Outlines for Fiji (*.zip)",
    )
)


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
        self.gates: list[Gate] = []
        self._drawn: dict[str, Any] | None = None
        self._painter: painting.Painter | None = None
        self._own_doing = False
        self._point: Any = None
        self._checksum = 0
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
        self.plot = NucleiPlot()
        self.kind_box = combo("What is drawn.")
        self.kind_box.addItems(KINDS)
        self.x_box = combo("The measurement that is drawn.")
        self.y_box = combo("The measurement that is drawn upwards.")
        self.group_box = combo("One box for each value of this column.")
        self.save_button = QPushButton("Save plot…")
        self.name_line = QLineEdit()
        self.name_line.setPlaceholderText("Name of the gate")
        self.gate_button = QPushButton("Add gate")
        self.gate_button.setToolTip(
            "Make the range or lasso drawn last a column of the table: yes for the "
            "nuclei in it."
        )
        self.gates_box = combo("The gates that there are.")
        self.remove_button = QPushButton("Remove")
        self.remove_button.setToolTip("Remove this gate and its column.")

    def _lay_out(self) -> None:
        left, right = QWidget(), QWidget()
        table, plot = QVBoxLayout(left), QVBoxLayout(right)
        for column in (table, plot):
            column.setContentsMargins(0, 0, 0, 0)
        actions = (self.delete_button, self.export_button)
        table.addLayout(_row(self.filter_line, self.only_box, *actions))
        table.addWidget(self.view, 1)
        self.view.setMinimumHeight(60)
        table.addLayout(_row(self.line, "Colour by", self.colour_box))
        plot.addLayout(
            _row(
                self.kind_box, self.x_box, self.y_box, self.group_box, self.save_button
            )
        )
        plot.addWidget(self.plot, 1)
        plot.addLayout(
            _row(self.name_line, self.gate_button, self.gates_box, self.remove_button)
        )
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(left)
        split.addWidget(right)
        split.setSizes([600, 400])
        QHBoxLayout(self).addWidget(split)

    def _connect(self) -> None:
        self.filter_line.editingFinished.connect(self._on_filter_changed)
        self.only_box.toggled.connect(self._on_filter_changed)
        self.colour_box.currentIndexChanged.connect(self._paint)
        self.delete_button.clicked.connect(self.delete_selected)
        self.export_button.clicked.connect(self._on_export_clicked)
        self.save_button.clicked.connect(self._on_save_clicked)
        for box in (self.kind_box, self.x_box, self.y_box, self.group_box):
            box.currentIndexChanged.connect(self._draw)
        self.plot.drawn.connect(self._on_drawn)
        self.gate_button.clicked.connect(self._on_gate_clicked)
        self.name_line.returnPressed.connect(self._on_gate_clicked)
        self.remove_button.clicked.connect(self._on_remove_clicked)
        self.model.selection_changed.connect(self._on_selection_changed)
        self.view.row_chosen.connect(self.go_to)
        self.viewer.mouse_drag_callbacks.append(self._on_pressed)
        self.viewer.layers.events.removed.connect(self._on_layer_removed)
        slots = (self._on_pressed, self._on_layer_removed, self._on_labels_changed)
        self.destroyed.connect(
            functools.partial(_let_go, self.viewer, self.__dict__, *slots)
        )

    # ---- what is shown --------------------------------------------------------------

    @property
    def layer(self) -> Labels | None:
        """The labels layer that the table is of."""
        return self.measured.layer if self.measured else None

    def show_measured(self, measured: Measured) -> None:
        """Show another table; gates that fit it stay."""
        self._leave_layer()
        self.measured = measured
        self._point = self.viewer.dims.point
        self._checksum = _checksum(measured.layer)
        self._painter = painting.Painter(measured.layer)
        for event in _edits_of(measured.layer):
            event.connect(self._on_labels_changed)
        self.gates = [
            gate
            for gate in self.gates
            if {gate.x, gate.y} - {None} <= set(measured.table)
        ]
        self._drawn = None
        self.line.clear()
        self._show_table(None)

    def _show_table(self, selected: np.ndarray | None) -> None:
        """Show the table with its gates, and offer its columns everywhere."""
        assert self.measured is not None
        table = add_gates(self.measured.table, self.gates)
        kinds = table.dtypes
        numbers = [c for c in table if kinds[c].kind in "iuf" and c not in PLACES]
        groups = [c for c in table if kinds[c].kind not in "f" and c != "label"]
        _offer(self.x_box, numbers, next((c for c in numbers if "area" in c), ""))
        _offer(self.y_box, numbers, next((c for c in numbers if "mean_" in c), ""))
        _offer(self.group_box, [_NONE, *groups])
        _offer(self.colour_box, [_NONE, *(c for c in table if c != "label")])
        _offer(self.gates_box, [gate.name for gate in self.gates])
        self.model.show_table(table, selected)
        self.view.resizeColumnsToContents()
        self._draw()

    def _draw(self, *_: object) -> None:
        kind = self.kind_box.currentText()
        self.y_box.setVisible(kind == "Scatter")
        self.group_box.setVisible(kind == "Box and strip")
        self.plot.show_plot(
            self.model.table,
            self.model.selected,
            kind,
            self.x_box.currentText(),
            self.y_box.currentText(),
            self.group_box.currentText(),
        )

    def _paint(self, *_: object) -> None:
        if self._painter is None:
            return
        table, column = self.model.table, self.colour_box.currentText()
        colours = painting.colours_of(table, column) if column in table else None
        selected = table["label"].to_numpy()[self.model.selected]
        self._own_doing = True
        try:
            self._painter.paint(colours, selected)
        finally:
            self._own_doing = False

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
        self.line.setText(f"{text}, {chosen:,} selected." if chosen else f"{text}.")

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

    def _on_drawn(self, drawn: dict[str, Any]) -> None:
        self._drawn = drawn
        gate = Gate(name="drawn", **drawn)
        self.model.select(gate.positive(self.model.table))

    def _on_gate_clicked(self) -> None:
        name = self.name_line.text().strip()
        try:
            if self._drawn is None:
                raise ValueError("Draw a range or a lasso in the plot first.")
            if not name:
                raise ValueError("Give the gate a name first.")
            gate = Gate(name=name, **self._drawn)
            add_gates(self.model.table, [gate])
        except ValueError as e:
            self.line.setText(explain(e))
            return
        self.gates.append(gate)
        self._drawn = None
        self.name_line.clear()
        self._show_table(self.model.selected)
        self.gates_box.setCurrentText(name)
        share = self.model.table[name].mean()
        self.line.setText(f"{share:.1%} of the nuclei are in {name}.")

    def _on_remove_clicked(self) -> None:
        name = self.gates_box.currentText()
        self.gates = [gate for gate in self.gates if gate.name != name]
        if self.measured is not None:
            self._show_table(self.model.selected)

    # ---- the labels -----------------------------------------------------------------

    def delete_selected(self) -> None:
        """Erase the selected nuclei from the labels layer, and their rows."""
        layer, measured, chosen = self.layer, self.measured, self.model.selected
        if layer is None or measured is None or not chosen.any():
            return
        if not isinstance(layer.data, np.ndarray):
            self.line.setText("These labels cannot be edited: they are not in memory.")
            return
        axes = painting.data_axes(layer)
        named = axes[0].isalpha()
        data = from_image_axes(layer.data, axes) if named else layer.data
        gone = np.zeros(data.shape, bool)
        rows = self.model.table[chosen]
        planes = rows[self._planes()].to_numpy(int)
        for plane in np.unique(planes, axis=0):
            at = tuple(plane.tolist())
            labels = rows["label"][(planes == plane).all(axis=1)]
            gone[at] = np.isin(data[at], labels)
        where = np.nonzero(to_image_axes(gone, axes) if named else gone)
        self._own_doing = True
        try:
            layer.data_setitem(where, 0)
        finally:
            self._own_doing = False
        self._checksum = _checksum(layer)
        table = measured.table[~chosen].reset_index(drop=True)
        self.measured = replace(measured, table=table)
        self._show_table(None)
        self.line.setText(f"{int(chosen.sum()):,} nuclei deleted.")

    def _on_labels_changed(self, _: object = None) -> None:
        """Say that the table is out of date, if the labels are not what they were.

        Undoing only draws the layer anew, and so do sliders and the colours here.
        """
        layer, point = self.layer, self.viewer.dims.point
        moved, self._point = point != self._point, point
        if layer is None or moved or self._own_doing:
            return
        if _checksum(layer) != self._checksum:
            self.line.setText(
                "The labels have changed since they were measured. Press Measure again."
            )

    def _on_layer_removed(self, event: Any) -> None:
        if self.measured is not None and event.value is self.layer:
            self._leave_layer()
            self.measured = None
            self.gates = []
            self.model.show_table(self.model.table.iloc[:0])
            self.line.setText("The labels layer was removed.")

    def _leave_layer(self) -> None:
        layer = self.layer
        if layer is not None and self._painter is not None:
            for event in _edits_of(layer):
                event.disconnect(self._on_labels_changed)
            self._painter.restore()
        self._painter = None

    # ---- saving ---------------------------------------------------------------------

    def _on_export_clicked(self) -> None:
        if self.layer is None:
            return
        path, kind = QFileDialog.getSaveFileName(
            self, "Export the nuclei", f"{self.layer.name}.csv", _EXPORTS
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
        layer = self.layer
        if layer is None:
            return
        table = self.model.table
        axes = painting.data_axes(layer)
        labels = np.asarray(layer.data)
        labels = from_image_axes(labels, axes) if axes[0].isalpha() else labels
        letters = "".join(x for x in axes if x not in "CYX")
        try:
            if path.suffix.lower() == ".geojson":
                write_geojson(path, labels, table, axes=letters)
            elif path.suffix.lower() == ".zip":
                write_rois(path, labels, axes=letters)
            else:
                named = table.copy()
                named.insert(0, "image", layer.name)
                write_table(path, self._summary(named) if summary else named)
        except (OSError, ValueError) as e:
            self._fail(e)
        else:
            show_info(f"{_TITLE}: saved as {path}")

    def _summary(self, table: pd.DataFrame) -> pd.DataFrame:
        measured = self.measured
        assert measured is not None
        scale = measured.scale
        area = None if scale is None else area_mm2(measured.shape, scale)
        gates = [gate.name for gate in self.gates]
        return summarise(table, {measured.layer.name: area}, gates=gates)

    def _on_save_clicked(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the plot", "plot.png", "Picture (*.png);;Drawing (*.svg)"
        )
        if path:
            try:
                self.plot.save(Path(path))
            except (OSError, ValueError) as e:
                self._fail(e)

    def _fail(self, error: Exception) -> None:
        self.line.setText(explain(error))
        show_error(f"{_TITLE}: {explain(error)}")


def _row(*parts: QWidget | str) -> QHBoxLayout:
    row = QHBoxLayout()
    for part in parts:
        row.addWidget(QLabel(part) if isinstance(part, str) else part)
    return row


def _offer(box: QComboBox, names: list[str], first: str = "") -> None:
    """Offer names without a word, keeping the chosen one if it is still there."""
    chosen = box.currentText()
    box.blockSignals(True)
    box.clear()
    box.addItems(names)
    box.setCurrentText(chosen if chosen in names else first)
    box.blockSignals(False)


def _edits_of(layer: Labels) -> tuple[Any, ...]:
    return (layer.events.paint, layer.events.data, layer.events.set_data)


def _checksum(layer: Labels) -> int:
    """Return a number that changes with the labels; 0 if they are not in memory."""
    data = layer.data
    return (
        zlib.crc32(np.ascontiguousarray(data).data)
        if isinstance(data, np.ndarray)
        else 0
    )


def _let_go(
    viewer: Any,
    state: dict[str, Any],
    on_pressed: Any,
    on_removed: Any,
    on_edit: Any,
    *_: object,
) -> None:
    """Leave the viewer and the layer, when the panel is gone."""
    state["is_gone"] = True
    if on_pressed in viewer.mouse_drag_callbacks:
        viewer.mouse_drag_callbacks.remove(on_pressed)
    viewer.layers.events.removed.disconnect(on_removed)
    measured, painter = state["measured"], state["_painter"]
    if measured is not None and painter is not None:
        for event in _edits_of(measured.layer):
            event.disconnect(on_edit)
        painter.restore()
