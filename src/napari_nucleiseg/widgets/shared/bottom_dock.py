"""A dock under the viewer, in which parts beside each other fold where it is narrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QDockWidget,
    QHBoxLayout,
    QMainWindow,
    QSplitter,
    QTabBar,
    QWidget,
)

from napari_nucleiseg.widgets.shared.controls import one_shot
from napari_nucleiseg.widgets.shared.docks import main_window

if TYPE_CHECKING:
    import napari

#: Parts stand beside each other if there is so much more room than they need, pixels.
_SPARE = 90

#: Property of the docks that `dock_below` made.
_MARK = "nucleiseg_below"


def dock_below(viewer: napari.Viewer, panel: QWidget, name: str) -> None:
    """Dock a panel under the viewer; it is destroyed when it is closed.

    Several share their place as tabs. napari's layer list then reaches down beside
    them: above them, there would be no room for it in a small window.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose window.
    panel : QWidget
        What the dock holds.
    name : str
        Its title.
    """
    dock = viewer.window.add_dock_widget(panel, name=name, area="bottom")
    dock.destroyOnClose = True
    window = main_window(panel)
    if window is None:
        return
    others = _docks_below(window)
    dock.setProperty(_MARK, True)
    left = Qt.DockWidgetArea.LeftDockWidgetArea
    window.setCorner(Qt.Corner.BottomLeftCorner, left)
    if others:
        window.tabifyDockWidget(others[0], dock)
        dock.show()
        dock.raise_()


def _docks_below(window: QMainWindow) -> list[QDockWidget]:
    docks = window.findChildren(QDockWidget)
    return [x for x in docks if x.property(_MARK) and not x.isFloating()]


class Folding(QWidget):
    """Two parts beside each other, or behind each other where there is no room.

    Parameters
    ----------
    parts : dict of str to QWidget
        By what their tabs are called.
    sizes : list of int
        How wide they are beside each other, in proportion.
    """

    def __init__(self, parts: dict[str, QWidget], sizes: list[int]) -> None:
        super().__init__()
        self._parts = list(parts.values())
        self._folded: bool | None = None
        self._folding = one_shot(self, 0, self._fold)
        self.tabs = QTabBar()
        self.tabs.setShape(QTabBar.Shape.RoundedWest)
        self.split = QSplitter(Qt.Orientation.Horizontal)
        for name, part in parts.items():
            self.tabs.addTab(name)
            self.split.addWidget(part)
        self.split.setSizes(sizes)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 2, 6, 2)
        row.addWidget(self.tabs, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.split, 1)
        self.tabs.currentChanged.connect(self._show_parts)

    @property
    def _widths(self) -> list[int]:
        return [part.minimumSizeHint().width() for part in self._parts]

    def minimumSizeHint(self) -> QSize:
        """Return what the parts need behind each other."""
        heights = [part.minimumSizeHint().height() for part in self._parts]
        width = max(self._widths) + self.tabs.sizeHint().width() + 20
        return QSize(width, max([*heights, self.tabs.sizeHint().height()]) + 4)

    def resizeEvent(self, event: Any) -> None:
        """Fold or unfold."""
        super().resizeEvent(event)
        # Not in between: the layout is at work on this size.
        self._folding.start()

    def _fold(self) -> None:
        folded = self.width() < sum(self._widths) + _SPARE
        if folded != self._folded:
            self._folded = folded
            self._show_parts()

    def _show_parts(self, _: object = None) -> None:
        self.tabs.setVisible(bool(self._folded))
        for i, part in enumerate(self._parts):
            part.setVisible(not self._folded or i == self.tabs.currentIndex())
