"""The images of a batch under the viewer: a table, and a picture of the one chosen."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSplitter,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.models.batch.items import Item
from napari_nucleiseg.models.batch.ledger import Entry
from napari_nucleiseg.models.batch.watching import Outcome

_HEADS = ("Image", "Condition", "State", "Nuclei", "Seconds", "Message")
_NAME, _MESSAGE = 0, len(_HEADS) - 1
_NUMBERS = (3, 4)

#: What a state is called, and how long a name may be before it is cut off, pixels.
WORDS = {
    "waiting": "to do",
    "running": "running …",
    "stopped": "to do",
    "done": "done",
    "skipped": "done",
    "failed": "failed",
}
_WIDEST = 260

_FAILED = "#D55E00"


@dataclass(frozen=True, eq=False)
class Row:
    """An image, and what has become of it.

    Parameters
    ----------
    item : Item
        The image.
    state : str
        A key of `WORDS`.
    entry : Entry or None
        What is known of its result.
    message : str
        Why it failed, or what is suspect about it.
    """

    item: Item
    state: str = "waiting"
    entry: Entry | None = None
    message: str = ""

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return self.state in ("done", "skipped")


class FilesModel(QAbstractTableModel):
    """The rows, for Qt."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._at: dict[str, int] = {}

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self.rows = list(rows)
        self._at = {row.item.title: i for i, row in enumerate(rows)}
        self.endResetModel()

    def change(self, item: Item, **how: Any) -> None:
        """Change what is said of an image; one that is not shown is passed over."""
        place = self._at.get(item.title)
        if place is not None:
            self.rows[place] = replace(self.rows[place], **how)
            last = self.index(place, _MESSAGE)
            self.dataChanged.emit(self.index(place, 0), last)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return how many images there are."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return how many columns there are."""
        return 0 if parent is not None and parent.isValid() else len(_HEADS)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.item.title if column == _NAME else self._text(row, column)
        if role == Qt.ItemDataRole.ForegroundRole and row.state == "failed":
            return QColor(_FAILED)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in _NUMBERS:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def _text(self, row: Row, column: int) -> str:
        known = row.entry if row.is_done else None
        return (
            row.item.name,
            row.item.condition,
            WORDS[row.state],
            f"{known.nuclei:,}" if known else "",
            f"{known.seconds:.1f}" if known and known.seconds else "",
            row.message,
        )[column]

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return a column's name."""
        shown = role == Qt.ItemDataRole.DisplayRole
        if shown and orientation == Qt.Orientation.Horizontal:
            return _HEADS[section]
        return None


class Thumbnail(QLabel):
    """A picture as large as there is room for."""

    def __init__(self) -> None:
        super().__init__()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setWordWrap(True)
        self.setMinimumSize(120, 20)
        policy = QSizePolicy.Policy.Ignored
        self.setSizePolicy(policy, policy)
        self._picture = QPixmap()

    def show_file(self, path: Path | None, otherwise: str) -> None:
        """Show a picture; a text if there is none."""
        self._picture = QPixmap(str(path)) if path and path.is_file() else QPixmap()
        self.setText("" if not self._picture.isNull() else otherwise)
        self._fit()

    @property
    def has_picture(self) -> bool:
        """Whether there is one."""
        return not self._picture.isNull()

    def resizeEvent(self, event: Any) -> None:
        """Fit the picture to the room that there is now."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self.has_picture:
            keep = Qt.AspectRatioMode.KeepAspectRatio
            smooth = Qt.TransformationMode.SmoothTransformation
            self.setPixmap(self._picture.scaled(self.size(), keep, smooth))


class BatchPanel(QWidget):
    """The table of images, and the picture of the one that is chosen.

    Attributes
    ----------
    open_asked : qtpy.QtCore.Signal
        Emitted with a `Row` whose result is to be opened in the viewer.
    """

    open_asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.is_gone = False
        self._pictures: Any = None  # of a ledger, by name
        self.model = FilesModel()
        self.view = QTableView()
        self.view.setModel(self.model)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setMinimumHeight(40)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(22)
        self.view.setWordWrap(False)
        header = self.view.horizontalHeader()
        header.setResizeContentsPrecision(100)  # rows, of perhaps many thousands
        header.setSectionResizeMode(_MESSAGE, QHeaderView.ResizeMode.Stretch)
        self.thumbnail = Thumbnail()
        self.open_button = QPushButton("Open in the viewer")
        self.open_button.setToolTip(
            "Open this image and its labels as layers; so does a double click."
        )
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.thumbnail, 1)
        column.addWidget(self.open_button)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self.view)
        split.addWidget(right)
        split.setStretchFactor(0, 3)
        split.setStretchFactor(1, 1)
        split.setSizes([600, 220])
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        row.addWidget(split)
        self.view.selectionModel().currentRowChanged.connect(self._on_row_chosen)
        self.view.doubleClicked.connect(lambda _: self._on_open_clicked())
        self.open_button.clicked.connect(self._on_open_clicked)
        self.destroyed.connect(functools.partial(_note_gone, self.__dict__))
        self._on_row_chosen()

    def sizeHint(self) -> QSize:
        """Return a size that leaves room for the viewer."""
        return QSize(640, 230)

    def show_rows(self, rows: Sequence[Row], pictures: Any) -> None:
        """Show images, keeping the one that is chosen.

        Parameters
        ----------
        rows : sequence of Row
            The images.
        pictures : callable
            From an image's name to the file of its picture.
        """
        chosen = self.chosen()
        self._pictures = pictures
        self.model.show_rows(rows)
        self.view.resizeColumnsToContents()
        for column in range(_MESSAGE):
            width = min(self.view.columnWidth(column) + 8, _WIDEST)
            self.view.setColumnWidth(column, width)
        titles = [row.item.title for row in rows]
        if chosen is not None and chosen.item.title in titles:
            self.view.selectRow(titles.index(chosen.item.title))
        self._on_row_chosen()

    def change(self, item: Item, **how: Any) -> None:
        """Change what is said of an image."""
        self.model.change(item, **how)
        chosen = self.chosen()
        if chosen is not None and chosen.item.title == item.title:
            self._on_row_chosen()

    def end(self, outcome: Outcome) -> None:
        """Say what became of an image."""
        words = " ".join(outcome.complaints)
        state, entry = outcome.state, outcome.entry
        self.change(outcome.item, state=state, entry=entry, message=words)

    def chosen(self) -> Row | None:
        """Return the row that is chosen, if one is."""
        place = self.view.currentIndex().row()
        return self.model.rows[place] if 0 <= place < len(self.model.rows) else None

    def _on_row_chosen(self, *_: object) -> None:
        row = self.chosen()
        self.open_button.setEnabled(row is not None and row.is_done)
        if row is None:
            self.thumbnail.show_file(None, "Choose an image in the table.")
            return
        text = row.message or f"{row.item.name}: {WORDS[row.state]}"
        path = self._pictures(row.item.name) if row.is_done else None
        self.thumbnail.show_file(path, text)

    def _on_open_clicked(self) -> None:
        row = self.chosen()
        if row is not None and row.is_done:
            self.open_asked.emit(row)


def _note_gone(state: dict[str, Any], *_: object) -> None:
    state["is_gone"] = True
