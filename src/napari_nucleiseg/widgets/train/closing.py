"""Closing napari while something is under way: ask first, lose nothing."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QMessageBox

from napari_nucleiseg.widgets.shared.docks import main_window

#: What can become of a training when napari is closed, as the buttons say it.
GO_ON, STOP, DISCARD = "Train on without napari", "Stop and keep the best", "Discard it"


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
        if answer == DISCARD:
            self._widget.cancel()
        else:
            self._widget.let_go(go_on=answer == GO_ON)
        return False

    def ask(self) -> str | None:
        """Ask: one of `GO_ON`, `STOP` and `DISCARD`, or None to stay."""
        box = QMessageBox(main_window(self._widget))
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("A model is being trained")
        box.setText("A model is being trained. What shall become of it?")
        box.setInformativeText(
            "It can go on without napari: this widget shows it when it is opened again."
        )
        buttons = {
            GO_ON: box.addButton(GO_ON, QMessageBox.ButtonRole.AcceptRole),
            STOP: box.addButton(STOP, QMessageBox.ButtonRole.AcceptRole),
            DISCARD: box.addButton(DISCARD, QMessageBox.ButtonRole.DestructiveRole),
        }
        stay = box.addButton("Do not close", QMessageBox.ButtonRole.RejectRole)
        go_on = self._widget.form.go_on_box.value
        box.setDefaultButton(buttons[GO_ON if go_on else STOP])
        box.setEscapeButton(stay)
        box.exec()
        clicked = box.clickedButton()
        chosen = [name for name, button in buttons.items() if button is clicked]
        return chosen[0] if chosen else None
