"""Open an image that napari itself would read whole."""

from __future__ import annotations

from pathlib import Path

import napari
from napari.layers._source import layer_source
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QFileDialog

from napari_nucleiseg.io.atomic import reason_of
from napari_nucleiseg.io.images import TIFF_SUFFIXES
from napari_nucleiseg.io.layer_reader import read_layers
from napari_nucleiseg.io.lazy_images import VENDOR_SUFFIXES

_PLUGIN = "napari-nucleiseg"


def ask_and_open(viewer: napari.Viewer) -> None:
    """Ask for a file, and open it as layers that are read window by window.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to; given by napari.
    """
    endings = " ".join(f"*{suffix}" for suffix in (*TIFF_SUFFIXES, *VENDOR_SUFFIXES))
    name, _ = QFileDialog.getOpenFileName(
        None, "Open a large image without reading it whole", "", f"Images ({endings})"
    )
    if not name:
        return
    try:
        layers = read_layers(Path(name))
    except (OSError, ValueError) as e:
        show_error(f"{name}: {reason_of(e)}")
        return
    # So that its labels go beside it.
    with layer_source(path=name, reader_plugin=_PLUGIN):
        for data, how, kind in layers:
            getattr(viewer, f"add_{kind}")(data, **how)
