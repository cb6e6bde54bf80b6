"""Closing napari while something is under way: ask first, lose nothing."""

from __future__ import annotations

from typing import Any, Protocol

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMessageBox, QWidget


class _Trains(Protocol):
    viewer: Any

    @property
    def is_training(self) -> bool: ...
    def let_go(self) -> None: ...
    def cancel(self) -> None: ...


class CloseGuard(QObject):
    """Asks, when napari is to be closed, what shall become of a training.

    Parameters
    ----------
    widget : TrainWidget
        Whose training it is.
    """

    def __init__(self, widget: Any) -> None:
        super().__init__(widget)
        self._widget = widget
        self._window: QWidget = widget.viewer.window._qt_window
        self._window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Hold the window's closing until the question is answered."""
        closing = event.type() == QEvent.Type.Close and watched is self._window
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
        box = QMessageBox(self._window)
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("A model is being trained")
        box.setText("A model is being trained. Stop it, and keep the best so far?")
        box.setInformativeText(
            "It takes a few seconds to be saved after napari has closed."
        )
        keep = box.addButton(
            "Stop and keep the best", QMessageBox.ButtonRole.AcceptRole
        )
        throw = box.addButton("Discard it", QMessageBox.ButtonRole.DestructiveRole)
        stay = box.addButton("Go on training", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(keep)
        box.setEscapeButton(stay)
        box.exec()
        clicked = box.clickedButton()
        if clicked is keep:
            return True
        return False if clicked is throw else None
