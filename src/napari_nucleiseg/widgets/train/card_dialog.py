"""A model's card in a window: what it is, its pictures, and the user's notes on it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase, QMouseEvent, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.models.card import format_card
from napari_nucleiseg.models.library import write_notes
from napari_nucleiseg.models.registry import REPORT_FOLDER, Model
from napari_nucleiseg.training.report import panels_path
from napari_nucleiseg.widgets.shared.controls import MessageLine, explain
from napari_nucleiseg.widgets.train.enlarged import enlarge

#: Height of a picture in the card, pixels.
_THUMBNAIL = 130


class CardDialog(QDialog):
    """A model's card, to read and to copy from; of an own one with notes.

    Parameters
    ----------
    model : Model
        The model.
    parent : QWidget, optional
        See Qt.
    """

    def __init__(self, model: Model, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = model
        self.setWindowTitle(f"Model {model.card.name}")
        text = format_card(model.card, str(model.folder), model.built_in)
        self.text = QPlainTextEdit(text)
        self.text.setReadOnly(True)
        # The figures stand in columns.
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.notes = QPlainTextEdit(model.card.notes)
        self.notes.setPlaceholderText("Notes: what it is good for, what it fails on …")
        self.notes.setMaximumHeight(90)
        self.message = MessageLine("card_message")
        self.message.hide()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text, 1)
        self.pictures = [Thumbnail(path) for path in _pictures(model)]
        if self.pictures:
            row = QHBoxLayout()
            for picture in self.pictures:
                row.addWidget(picture)
            row.addStretch(1)
            layout.addLayout(row)
        if not model.built_in:
            layout.addWidget(self.notes)
        layout.addWidget(self.message)
        layout.addWidget(buttons)
        self.resize(760, 560 if self.pictures else 460)

    def reject(self) -> None:
        """Keep the notes, and close; if they cannot be written, say so and stay."""
        notes = self.notes.toPlainText().strip()
        if not self.model.built_in and notes != self.model.card.notes:
            try:
                self.model = write_notes(self.model, notes)
            except (OSError, ValueError) as e:
                self.message.setText(f"The notes could not be kept. {explain(e)}")
                self.message.show()
                self.notes.setPlainText(self.model.card.notes)
                return
        super().reject()


def _pictures(model: Model) -> list[Path]:
    """Return the curves of a model's training, and what it found in its best epoch."""
    report = model.folder / REPORT_FOLDER
    best = model.card.training.get("best_epoch")
    panel = panels_path(report, best if isinstance(best, int) else 0)
    if not panel.is_file():
        panel = max((report / "panels").glob("epoch_*.png"), default=panel)
    return [path for path in (panel, report / "curves.png") if path.is_file()]


class Thumbnail(QLabel):
    """A small picture, shown in full in a window of its own when clicked.

    Parameters
    ----------
    path : pathlib.Path
        Of the picture.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        pixmap = QPixmap(str(path))
        if not pixmap.isNull():
            self.setPixmap(
                pixmap.scaled(
                    2 * _THUMBNAIL,
                    _THUMBNAIL,
                    Qt.AspectRatioMode.KeepAspectRatio,
                    Qt.TransformationMode.SmoothTransformation,
                )
            )
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip("Click to enlarge.")

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Enlarge it."""
        enlarge(QPixmap(str(self.path)), self)
