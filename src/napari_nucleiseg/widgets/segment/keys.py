"""Keys of the viewer that belong to a panel for as long as it lives."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import napari
from qtpy.QtWidgets import QWidget

from napari_nucleiseg.widgets.shared.controls import unwrapped


def bind_keys(
    viewer: napari.Viewer, panel: QWidget, keys: Mapping[str, str]
) -> set[str]:
    """Bind keys to methods of a panel, until Qt deletes it.

    Parameters
    ----------
    viewer : napari.Viewer
        It outlives the panel, and does not keep it alive.
    panel : QWidget
        The panel.
    keys : mapping of str to str
        Names of keys as napari has them, such as ``"Shift-N"``, and of methods.

    Returns
    -------
    set of str
        The keys that were free; the others are left to whoever has them.
    """
    bound: dict[str, Callable] = {}
    owner = weakref.ref(panel)
    for key, method in keys.items():

        def on_pressed(_viewer: Any, method: str = method) -> None:
            alive = owner()
            if alive is not None:
                getattr(alive, method)()

        try:
            viewer.bind_key(key, on_pressed)
        except ValueError:  # someone else's
            continue
        bound[key] = on_pressed
    panel.destroyed.connect(functools.partial(_unbind, unwrapped(viewer), bound))
    return set(bound)


def key_text(key: str) -> str:
    """Return how a key is written on a button."""
    return key.replace("Delete", "Del").replace("Shift-", "Shift+")


def _unbind(viewer: napari.Viewer, bound: Mapping[str, Callable], *_: object) -> None:
    if not hasattr(viewer, "_keymap"):
        return  # it was collected together with the panel, and is emptied already
    for key, callback in bound.items():
        unbound = viewer.bind_key(key, None)
        if unbound is not None and unbound != callback:
            viewer.bind_key(key, unbound)  # someone else took it over since
