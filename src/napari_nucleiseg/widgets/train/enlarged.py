"""A picture in a window of its own."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QDialog, QLabel, QScrollArea, QVBoxLayout, QWidget


def enlarge(pixmap: QPixmap, parent: QWidget) -> Enlarged | None:
    """Show a picture in a window of its own, and return that."""
    if pixmap.isNull():
        return None
    window = Enlarged(pixmap, parent)
    window.show()
    return window


class Enlarged(QDialog):
    """A picture at its own size or larger, in a window that scrolls.

    Parameters
    ----------
    pixmap : QPixmap
        The picture.
    parent : QWidget
        Whose window it stays above.
    """

    #: Pixels of the picture are shown at least so large, and the window so large.
    _FACTOR, _MOST = 2, (1200, 800)

    def __init__(self, pixmap: QPixmap, parent: QWidget) -> None:
        super().__init__(parent.window())
        self.setObjectName("enlarged")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Image, your labels, and what is found")
        self.picture = QLabel()
        self.picture.setPixmap(
            pixmap.scaledToWidth(
                self._FACTOR * pixmap.width(), Qt.TransformationMode.FastTransformation
            )
        )
        area = QScrollArea()
        area.setWidget(self.picture)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(area)
        room = self.screen().availableGeometry() if self.screen() else None
        wide, high = self._MOST
        if room is not None:
            wide, high = min(wide, room.width() - 80), min(high, room.height() - 80)
        size = self.picture.pixmap().size()
        self.resize(min(size.width() + 20, wide), min(size.height() + 20, high))
