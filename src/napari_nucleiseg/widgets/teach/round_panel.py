"""The new model beside the one before: what changed, and which to keep."""

from __future__ import annotations

import functools

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.training.project.notes import Round
from napari_nucleiseg.widgets.shared.controls import MessageLine
from napari_nucleiseg.widgets.teach.comparison import COLOURS, VIEWS, sentence
from napari_nucleiseg.widgets.teach.work import Taught


def told_of(one: Round, taught: Taught | None) -> str:
    """Return what a round brought, in words.

    Parameters
    ----------
    one : Round
        The round.
    taught : Taught or None
        What the new model makes of the open images; None if another window trained it.
    """
    lines = [one.verdict.sentence if one.verdict is not None else ""]
    if taught is not None:
        lines.append(sentence(taught.compared))
        if taught.given:
            lines.append(
                f"Of the {taught.given} nuclei given here it finds {taught.learnt} "
                f"by itself; before, {taught.knew}."
            )
        if taught.tested:
            names = ", ".join(taught.tested)
            lines.append(f"Nothing was learnt from {names}: the project tests on it.")
    else:
        lines.append("It was trained before this window was opened.")
    return "\n".join(line for line in lines if line)


class RoundPanel(QWidget):
    """Says what a round brought, and asks whether to keep it."""

    kept = Signal()
    refused = Signal()
    #: One of `comparison.VIEWS` is to be looked at.
    viewed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.line = MessageLine("round_line")
        self.views: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        grid = QGridLayout()
        for column, name in enumerate(VIEWS):
            button = self.views[name] = QPushButton(name)
            button.setCheckable(True)
            button.setToolTip(f"Show the outlines: {name.lower()}.")
            button.clicked.connect(functools.partial(self._on_view, name))
            self._group.addButton(button)
            grid.addWidget(button, 0, column)
        self.legend = QLabel(
            " ".join(
                f'<span style="color:{colour}">■</span>&nbsp;{name}'
                for name, colour in COLOURS.items()
            )
        )
        self.legend.setWordWrap(True)
        self.keep_button = QPushButton("Keep")
        self.keep_button.setToolTip(
            "Use the new model from now on: it is put among your models, and its "
            "nuclei into the labels. What you corrected stays."
        )
        self.back_button = QPushButton("Back to the one before")
        self.back_button.setToolTip(
            "Throw the new model away. The labels are as they were, and the examples "
            "stay in the project."
        )
        self.keep_button.clicked.connect(self.kept)
        self.back_button.clicked.connect(self.refused)
        choice = QGridLayout()
        choice.addWidget(self.keep_button, 0, 0)
        choice.addWidget(self.back_button, 0, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.line)
        column.addLayout(grid)
        column.addWidget(self.legend)
        column.addLayout(choice)

    def _on_view(self, name: str, *_: object) -> None:
        self.viewed.emit(name)

    def tell(self, text: str, *, compared: bool) -> None:
        """Say what a round brought.

        Parameters
        ----------
        text : str
            What to say.
        compared : bool
            Whether there are outlines to look at.
        """
        self.line.setText(text)
        self.legend.setVisible(compared)
        for name, button in self.views.items():
            button.setVisible(compared)
            button.setChecked(name == "Both")
