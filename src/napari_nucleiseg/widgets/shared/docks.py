"""Docks of this package in napari's window: found, put behind each other, shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget


def main_window(widget: QWidget) -> QMainWindow | None:
    """Return the main window that a widget is docked in, floating or not."""
    return _above(widget, QMainWindow)


def dock_of(widget: QWidget) -> QDockWidget | None:
    """Return the dock that a widget is in."""
    return _above(widget, QDockWidget)


def _above(widget: QObject, kind: type) -> Any:
    parent: QObject | None = widget
    while parent is not None and not isinstance(parent, kind):
        parent = parent.parent()
    return parent


def tab_behind(widget: QWidget, others: Iterable[QWidget]) -> None:
    """Put a widget's dock in one place with the first of others, as a tab in front."""
    window, dock = main_window(widget), dock_of(widget)
    if window is None or dock is None or dock.isFloating():
        return
    for other in filter(None, map(dock_of, others)):
        same = window.dockWidgetArea(other) == window.dockWidgetArea(dock)
        if other is not dock and same and not other.isFloating():
            window.tabifyDockWidget(other, dock)
            dock.show()
            dock.raise_()
            return


def bring_forward(widget: QWidget) -> None:
    """Show a widget's dock in front of those it shares its place with."""
    dock = dock_of(widget)
    if dock is not None:
        dock.show()
        dock.raise_()
