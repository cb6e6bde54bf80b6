"""A question that has two answers."""

from __future__ import annotations

from qtpy.QtWidgets import QMessageBox, QWidget


def ask(parent: QWidget, text: str, detail: str, *, yes: str, no: str) -> bool:
    """Ask a question, and return whether the answer was yes.

    Parameters
    ----------
    parent : QWidget
        Whose window it belongs to.
    text, detail : str
        The question, and what follows from the answers.
    yes, no : str
        What the buttons say; the second is also what Escape means.
    """
    box = QMessageBox(parent.window())
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Nuclei segmentation")
    box.setText(text)
    box.setInformativeText(detail)
    accept = box.addButton(yes, QMessageBox.ButtonRole.AcceptRole)
    refuse = box.addButton(no, QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(refuse)
    box.setEscapeButton(refuse)
    box.exec()
    return box.clickedButton() is accept
