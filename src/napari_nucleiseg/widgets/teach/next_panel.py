"""A list of the regions that are worth labelling next, with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.widgets.shared.controls import MessageLine
from napari_nucleiseg.widgets.teach.proposals import THUMBNAIL, Proposal

#: Height of the list, pixels: two pictures and a bit, so that one sees it scrolls.
_HEIGHT = 2 * THUMBNAIL + 40


class NextPanel(QWidget):
    """Goes to the region to label next, and lists those after it."""

    #: Images are to be looked at, and the first region gone to.
    asked = Signal()
    #: A region is to be gone to; a `Proposal`.
    wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.folder: Path | None = None
        self.next_button = QPushButton("Next")
        self.next_button.setToolTip(
            "Go to the region from which the model would learn most: where it is "
            "unsure or contradicts itself, and unlike what it was taught."
        )
        self.folder_button = QPushButton("In a folder…")
        self.folder_button.setToolTip(
            "Look for regions in a folder of images instead of the open ones."
        )
        self.line = MessageLine("next_line")
        self.list = QListWidget()
        self.list.setIconSize(QSize(THUMBNAIL, THUMBNAIL))
        self.list.setFixedHeight(_HEIGHT)
        self.list.setWordWrap(True)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setToolTip("Double-click a region to go there.")
        self.go_button = QPushButton("Go there")
        self.go_button.setToolTip(
            "Frame this region, and find its nuclei. Correct them: all that is in the "
            "frame is learnt from when you teach the model."
        )
        row = QHBoxLayout()
        row.addWidget(self.next_button, 2)
        row.addWidget(self.folder_button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        for widget in (self.line, self.list, self.go_button):
            column.addWidget(widget)
        self.next_button.clicked.connect(self.next)
        self.folder_button.clicked.connect(self._on_folder_clicked)
        self.go_button.clicked.connect(self._on_go)
        self.list.itemDoubleClicked.connect(lambda _: self._on_go())
        self.list.itemSelectionChanged.connect(self._offer)
        self.clear()

    def clear(self) -> None:
        """Forget the regions: another model sees others."""
        self.list.clear()
        self._offer()

    def offer(self, proposals: Sequence[Proposal]) -> None:
        """List regions, and go to the first."""
        self.list.clear()
        for proposal in proposals:
            item = QListWidgetItem(_icon(proposal.picture), _text(proposal))
            item.setData(Qt.ItemDataRole.UserRole, proposal)
            self.list.addItem(item)
        self._offer()
        if self.list.count():
            self.next()

    def next(self) -> None:
        """Go to the first region on the list; look for some if there is none."""
        if self.list.count():
            self.list.setCurrentRow(0)
            self._on_go()
        else:
            self.asked.emit()

    def _offer(self) -> None:
        self.list.setVisible(self.list.count() > 0)
        self.go_button.setVisible(self.list.count() > 0)
        self.go_button.setEnabled(bool(self.list.selectedItems()))

    def _on_go(self) -> None:
        row = self.list.currentRow()
        if row >= 0:
            item = self.list.takeItem(row)
            self._offer()
            self.wanted.emit(item.data(Qt.ItemDataRole.UserRole))

    def _on_folder_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "A folder of images", str(self.folder or Path.home())
        )
        if chosen:
            self.look_in(Path(chosen))

    def look_in(self, folder: Path | None) -> None:
        """Look for regions in a folder, or in the open images again."""
        self.folder = folder
        self.clear()
        self.asked.emit()


def _text(proposal: Proposal) -> str:
    plane = f" [{', '.join(map(str, proposal.plane))}]" if proposal.plane else ""
    region = proposal.region
    nuclei = f"{region.nuclei} nuclei" if region.nuclei != 1 else "1 nucleus"
    return f"{proposal.candidate.name}{plane}\n{nuclei}; {region.why}"


def _icon(picture: np.ndarray) -> QIcon:
    height, width = picture.shape[:2]
    data = np.ascontiguousarray(picture)
    image = QImage(data.data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return QIcon(QPixmap.fromImage(image.copy()))
