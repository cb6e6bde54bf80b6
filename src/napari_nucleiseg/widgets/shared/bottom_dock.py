"""A dock under the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    import napari


def dock_below(viewer: napari.Viewer, panel: QWidget, name: str) -> None:
    """Dock a panel under the viewer; it is destroyed when it is closed.

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
