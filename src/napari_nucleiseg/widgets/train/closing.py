"""Closing napari while something is under way: ask first, lose nothing."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget


def main_window(widget: QWidget) -> QMainWindow | None:
    """Return the main window that a widget is docked in, floating or not."""
    parent: QObject | None = widget
    while parent is not None and not isinstance(parent, QMainWindow):
        parent = parent.parent()
    return parent


class CloseGuard(QObject):
    """Asks, when napari is closed, what to do with a running training.

    Parameters
    ----------
    widget : TrainWidget
        Whose training it is.
    """

    def __init__(self, widget: Any) -> None:
        super().__init__(widget)
        self._widget = widget

    def attach(self) -> None:
        """Watch the window that the widget is docked in, once it is."""
        # No reference to the window is kept: it would outlive its closing.
        window = main_window(self._widget)
        if window is not None:
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hold the window's closing until the question is answered."""
        closing = event.type() == QEvent.Type.Close and isinstance(watched, QMainWindow)
        if not closing or not self._widget.is_training:
            return False
        answer = self.ask()
        if answer is None:
            event.ignore()
            return True
        if answer:
            self._widget.let_go()
        else:
            self._widget.cancel()
        return False

    def ask(self) -> bool | None:
        """Ask: True to stop and keep the best, False to discard, None to stay."""
        box = QMessageBox(main_window(self._widget))
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("A model is being trained")
        box.setText("A model is being trained. Stop it, and keep the best so far?")
        box.setInformativeText("Saving it takes a few seconds after napari has closed.")
        keep = box.addButton(
            "Stop and keep the best", QMessageBox.ButtonRole.AcceptRole
        )
        throw = box.addButton("Discard it", QMessageBox.ButtonRole.DestructiveRole)
        stay = box.addButton("Continue training", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(keep)
        box.setEscapeButton(stay)
        box.exec()
        clicked = box.clickedButton()
        if clicked is keep:
            return True
        return False if clicked is throw else None
