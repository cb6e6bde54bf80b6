"""What is undone when a widget is gone: the viewer and its layers outlive it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject


class Leaving:
    """Lets go of the viewer when Qt deletes a widget.

    Parameters
    ----------
    widget : QObject
        Whose end it waits for. By then nothing of it may be touched but its Python
        attributes.
    """

    def __init__(self, widget: QObject) -> None:
        self._undo: list[Callable[[], object]] = []
        widget.destroyed.connect(functools.partial(_leave, self._undo))

    def listen(self, event: Any, callback: Callable) -> None:
        """Connect to an event of the viewer's until the widget is gone."""
        event.connect(callback)
        self.do(functools.partial(event.disconnect, callback))

    def do(self, undo: Callable[[], object]) -> None:
        """Do something when the widget is gone."""
        self._undo.append(undo)


def _leave(undo: list[Callable[[], object]], *_: Any) -> None:
    for one in undo:
        one()
