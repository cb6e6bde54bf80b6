"""Small parts of the dock with the table and the plots."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

#: No column.
NONE = "—"


def row(*parts: QWidget | str) -> QHBoxLayout:
    """Return parts beside each other; words become labels."""
    found = QHBoxLayout()
    for part in parts:
        found.addWidget(QLabel(part) if isinstance(part, str) else part)
    return found


def offer(box: QComboBox, names: list[str], first: str = "") -> None:
    """Offer names without a word, keeping the chosen one if it is still there."""
    chosen = box.currentText()
    box.blockSignals(True)
    box.clear()
    box.addItems(names)
    box.setCurrentText(chosen if chosen in names else first)
    box.blockSignals(False)
