"""The plots beside the table, and the gates that are made of what is drawn in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_nucleiseg.core.measure.gates import Gate, add_gates
from napari_nucleiseg.core.measure.nuclei import PLACES
from napari_nucleiseg.widgets.measure.parts import NONE, offer, row
from napari_nucleiseg.widgets.measure.plot import KINDS, NucleiPlot
from napari_nucleiseg.widgets.shared.controls import combo, explain

if TYPE_CHECKING:
    import pandas as pd


class PlotSide(QWidget):
    """A plot, what it is of, and gates.

    Attributes
    ----------
    gates : list of Gate
        Those that there are.
    drawn : qtpy.QtCore.Signal
        Emitted with a `Gate`, without a name of its own, when something is drawn.
    asked : qtpy.QtCore.Signal
        Emitted when something else is to be plotted.
    gates_changed : qtpy.QtCore.Signal
        Emitted with the gate that was added, or None if one was removed.
    failed : qtpy.QtCore.Signal
        Emitted with an exception when the plot could not be saved.
    refused : qtpy.QtCore.Signal
        Emitted with the reason why there is no such gate.
    """

    drawn = Signal(object)
    asked = Signal()
    gates_changed = Signal(object)
    failed = Signal(object)
    refused = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[Gate] = []
        self._drawn: dict[str, Any] | None = None
        self._table: pd.DataFrame | None = None
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
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        boxes = (self.kind_box, self.x_box, self.y_box, self.group_box)
        for box in (*boxes, self.gates_box):
            box.setMinimumContentsLength(4)  # beside the table in a middling window
        column.addLayout(row(*boxes, self.save_button))
        column.addWidget(self.plot, 1)
        column.addLayout(
            row(self.name_line, self.gate_button, self.gates_box, self.remove_button)
        )
        for box in boxes:
            box.currentIndexChanged.connect(lambda _: self.asked.emit())
        self.plot.drawn.connect(self._on_drawn)
        self.gate_button.clicked.connect(self._on_gate_clicked)
        self.name_line.returnPressed.connect(self._on_gate_clicked)
        self.remove_button.clicked.connect(self._on_remove_clicked)
        self.save_button.clicked.connect(self._on_save_clicked)

    def keep_fitting(self, columns: Any) -> None:
        """Keep the gates that are of these columns; forget what was drawn."""
        self.gates = [x for x in self.gates if {x.x, x.y} - {None} <= set(columns)]
        self._drawn = None

    def show_table(self, table: pd.DataFrame) -> None:
        """Offer the columns of a table that has the gates already."""
        self._table = table
        kinds = table.dtypes
        numbers = [c for c in table if kinds[c].kind in "iuf" and c not in PLACES]
        groups = [c for c in table if kinds[c].kind not in "f" and c != "label"]
        offer(self.x_box, numbers, next((c for c in numbers if "area" in c), ""))
        offer(self.y_box, numbers, next((c for c in numbers if "mean_" in c), ""))
        offer(self.group_box, [NONE, *groups])
        offer(self.gates_box, [gate.name for gate in self.gates])
        for part in (self.gates_box, self.remove_button):
            part.setVisible(bool(self.gates))

    def draw(self, table: pd.DataFrame, selected: np.ndarray) -> None:
        """Draw the plot that is chosen."""
        kind = self.kind_box.currentText()
        self.y_box.setVisible(kind == "Scatter")
        self.group_box.setVisible(kind == "Box and strip")
        self.plot.show_plot(
            table,
            selected,
            kind,
            self.x_box.currentText(),
            self.y_box.currentText(),
            self.group_box.currentText(),
        )

    def _on_drawn(self, drawn: dict[str, Any]) -> None:
        self._drawn = drawn
        self.drawn.emit(Gate(name="drawn", **drawn))

    def _on_gate_clicked(self) -> None:
        name = self.name_line.text().strip()
        try:
            if self._drawn is None:
                raise ValueError("Draw a range or a lasso in the plot first.")
            if not name:
                raise ValueError("Give the gate a name first.")
            gate = Gate(name=name, **self._drawn)
            if self._table is not None:
                add_gates(self._table, [gate])
        except ValueError as e:
            self.refused.emit(explain(e))
            return
        self.gates.append(gate)
        self._drawn = None
        self.name_line.clear()
        self.gates_changed.emit(gate)
        self.gates_box.setCurrentText(name)

    def _on_remove_clicked(self) -> None:
        name = self.gates_box.currentText()
        self.gates = [gate for gate in self.gates if gate.name != name]
        self.gates_changed.emit(None)

    def _on_save_clicked(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the plot", "plot.png", "Picture (*.png);;Drawing (*.svg)"
        )
        if path:
            try:
                self.plot.save(Path(path))
            except (OSError, ValueError) as e:
                self.failed.emit(e)
