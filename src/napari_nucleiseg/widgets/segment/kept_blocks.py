"""What runs have left beside the labels of a large image, and a way to discard it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_nucleiseg.io.block_files import BlockFiles
from napari_nucleiseg.widgets.shared.asking import ask
from napari_nucleiseg.widgets.shared.controls import MessageLine, explain

_TIP = "Delete what runs have left beside the labels, after asking."

_OF_RESULT = (
    "The labels and their table stay, but sliders and Segment can no longer change "
    "them there."
)
_BEGUN = "Segment then begins anew. Labels that are there stay as they are."


class KeptBlocks(QWidget):
    """Says how many blocks are kept, and discards them when asked to."""

    #: Emitted with the result whose blocks were discarded.
    discarded = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._output: Path | None = None
        self.line = MessageLine("kept_line")
        self.button = QPushButton("Discard what is there")
        self.button.setObjectName("discard_blocks_button")
        self.button.setToolTip(
            "Delete the blocks that a cancelled run has finished; Segment then starts "
            "from the beginning."
        )
        self.button.setToolTip(_TIP)
        self.button.clicked.connect(self._on_clicked)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.line)
        column.addWidget(self.button)
        self.follow(None)

    def follow(self, output: Path | None) -> None:
        """Say what is kept for a result that is to be, or is; None for none."""
        self._output = output
        blocks = None if output is None else BlockFiles(output)
        count = 0 if blocks is None else blocks.count()
        self.setVisible(count > 0)
        if output is None or blocks is None or not count:
            return
        size = f"{_size(blocks.nbytes)} in {blocks.folder.name}"
        number = "1 block is" if count == 1 else f"{count} blocks are"
        if output.exists():
            text = f"Kept for sliders and other regions: {size}."
        else:
            text = f"{number} done of an earlier run ({size}): Segment goes on."
        self.line.setText(text)

    def _on_clicked(self) -> None:
        output = self._output
        if output is None:
            return
        blocks = BlockFiles(output)
        text = f"Discard what is kept in {blocks.folder}?"
        detail = _OF_RESULT if output.exists() else _BEGUN
        if not ask(self, text, detail, yes="Discard", no="Keep"):
            return
        try:
            blocks.discard()
        except (OSError, ValueError) as e:
            self.line.setText(explain(e))
            return
        self.follow(output)
        self.discarded.emit(output)


def _size(count: int) -> str:
    """Return a number of bytes for the user."""
    if count < 1e9:
        return f"{max(count / 1e6, 0.1):.1f}\N{NO-BREAK SPACE}MB"
    return f"{count / 1e9:.1f}\N{NO-BREAK SPACE}GB"
