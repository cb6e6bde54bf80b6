"""The table of nuclei: sorted, filtered and selected without copying it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QTableView

#: Behind the rows that are selected, on dark and on light themes.
SELECTED = "#8A6D00"


class NucleiModel(QAbstractTableModel):
    """A table that shows some of its rows in some order.

    Rows are meant as in `table` throughout; what is shown where, only Qt need know.

    Attributes
    ----------
    table : pandas.DataFrame
        All nuclei.
    selected : numpy.ndarray
        ``(n,)`` bool.
    order : numpy.ndarray
        Rows that are shown, from top to bottom.
    """

    selection_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.table = pd.DataFrame()
        self.selected = np.zeros(0, bool)
        self.order = np.zeros(0, int)
        self._columns: list[np.ndarray] = []
        self._sorted: tuple[str, bool] | None = None
        self._filter = ""
        self._selected_only = False

    # ---- what it holds ------------------------------------------------------------

    def show_table(
        self, table: pd.DataFrame, selected: np.ndarray | None = None
    ) -> None:
        """Show another table; the filter is lifted if it does not fit."""
        self.beginResetModel()
        self.table = table.reset_index(drop=True)
        self._columns = [self.table[name].to_numpy() for name in self.table]
        self.selected = np.zeros(len(table), bool) if selected is None else selected
        try:
            self._arrange()
        except ValueError:
            self._filter = ""
            self._arrange()
        self.endResetModel()
        self.selection_changed.emit()

    def filter(self, text: str, *, selected_only: bool = False) -> None:
        """Show the rows for which an expression of the columns holds.

        Parameters
        ----------
        text : str
            As for `pandas.DataFrame.query`, such as ``area_um2 > 50``; empty for all.
        selected_only : bool
            Whether to show only those that are selected.

        Raises
        ------
        ValueError
            If it is no such expression; what is shown stays.
        """
        before = (self._filter, self._selected_only)
        self._filter, self._selected_only = text.strip(), selected_only
        try:
            self._rearrange()
        except ValueError:
            self._filter, self._selected_only = before
            raise

    def sort(
        self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder
    ) -> None:
        """Sort by a column; called by the view."""
        if 0 <= column < len(self._columns):
            down = order == Qt.SortOrder.DescendingOrder
            self._sorted = (str(self.table.columns[column]), down)
            self._rearrange()

    def _rearrange(self) -> None:
        order = self._arranged()
        self.layoutAboutToBeChanged.emit()
        self.order = order
        self.layoutChanged.emit()

    def _arrange(self) -> None:
        self.order = self._arranged()

    def _arranged(self) -> np.ndarray:
        shown = np.ones(len(self.table), bool)
        if self._filter:
            shown &= rows_where(self.table, self._filter)
        if self._selected_only:
            shown &= self.selected
        order = np.flatnonzero(shown)
        if self._sorted is not None and self._sorted[0] in self.table:
            name, down = self._sorted
            keys = self.table[name].to_numpy()[order]
            if keys.dtype == object:
                keys = keys.astype(str)
            by = np.argsort(keys, kind="stable")
            if down:
                by = by[::-1]
            if keys.dtype.kind == "f":  # what is not known comes last, either way
                by = np.concatenate([by[~np.isnan(keys[by])], by[np.isnan(keys[by])]])
            order = order[by]
        return order

    def select(self, rows: np.ndarray) -> None:
        """Select rows, as a ``(n,)`` bool array, and no others."""
        self.selected = rows
        if self._selected_only:
            self._rearrange()
        else:
            self._repaint()
        self.selection_changed.emit()

    def _repaint(self) -> None:
        if len(self.order):
            last = self.index(len(self.order) - 1, len(self._columns) - 1)
            self.dataChanged.emit(
                self.index(0, 0), last, [Qt.ItemDataRole.BackgroundRole]
            )

    # ---- what Qt asks ---------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return how many rows are shown."""
        return 0 if parent is not None and parent.isValid() else len(self.order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return how many columns there are."""
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        row = self.order[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return as_text(self._columns[index.column()][row])
        if role == Qt.ItemDataRole.BackgroundRole and self.selected[row]:
            return QColor(SELECTED)
        if role == Qt.ItemDataRole.ForegroundRole and self.selected[row]:
            return QColor("white")
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return a column's name."""
        if orientation == Qt.Orientation.Horizontal and role in (
            Qt.ItemDataRole.DisplayRole,
            Qt.ItemDataRole.ToolTipRole,
        ):
            return str(self.table.columns[section])
        return None


def as_text(value: Any) -> str:
    """Return a cell's text: four digits, and a dash for what is not known."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return "–" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def rows_where(table: pd.DataFrame, text: str) -> np.ndarray:
    """Return for which rows an expression holds, ``(n,)`` bool.

    Raises
    ------
    ValueError
        If it is none that can be understood, or gives something else.
    """
    try:
        found = table.eval(text)
    # Whatever a mistyped expression makes of pandas.
    except Exception as e:
        raise ValueError(f"The filter {text!r} is not understood: {e}") from e
    if not isinstance(found, pd.Series) or found.dtype != bool:
        raise ValueError(
            f"The filter {text!r} must say yes or no for each nucleus, such as "
            "area_um2 > 50 and solidity > 0.9."
        )
    return found.to_numpy()


class NucleiView(QTableView):
    """The table on the screen; a click selects, with Ctrl adds, with Shift a range.

    Selecting is the model's, not Qt's: to select half of 100,000 scattered rows would
    take Qt minutes.
    """

    row_chosen = Signal(int)  # gone to with the mouse or the keyboard

    def __init__(self, model: NucleiModel) -> None:
        super().__init__()
        self.setModel(model)
        self.nuclei = model
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setSortingEnabled(True)
        # Columns are as wide as what is on the screen needs, not 1,000 rows.
        self.horizontalHeader().setResizeContentsPrecision(0)
        self.horizontalHeader().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        self.setWordWrap(False)
        self._from = 0  # where a range begins

    def mousePressEvent(self, event: Any) -> None:
        """Select what is clicked."""
        super().mousePressEvent(event)
        index = self.indexAt(event.pos())
        if index.isValid() and event.button() == Qt.MouseButton.LeftButton:
            self._choose(index.row(), event.modifiers())

    def keyPressEvent(self, event: Any) -> None:
        """Select what the arrow keys lead to."""
        before = self.currentIndex().row()
        super().keyPressEvent(event)
        row = self.currentIndex().row()
        if row not in (before, -1):
            self._choose(row, event.modifiers())

    def _choose(self, place: int, keys: Any) -> None:
        model = self.nuclei
        row = int(model.order[place])
        if keys & Qt.KeyboardModifier.ControlModifier:
            chosen = model.selected.copy()
            chosen[row] = not chosen[row]
        else:
            chosen = np.zeros(len(model.table), bool)
            if keys & Qt.KeyboardModifier.ShiftModifier:
                first, last = sorted((self._from, place))
                chosen[model.order[first : last + 1]] = True
            chosen[row] = True
        if not keys & Qt.KeyboardModifier.ShiftModifier:
            self._from = place
        model.select(chosen)
        if model.selected[row]:
            self.row_chosen.emit(row)

    def show_row(self, row: int) -> None:
        """Scroll to a row of the table, if it is shown."""
        places = np.flatnonzero(self.nuclei.order == row)
        if places.size:
            self._from = int(places[0])
            self.scrollTo(self.nuclei.index(self._from, 0))
