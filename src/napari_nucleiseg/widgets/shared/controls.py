"""Small controls and phrases that several widgets share."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox, QSizePolicy


def combo(tip: str) -> QComboBox:
    """Return a drop-down list that cuts long entries rather than widen its dock.

    Parameters
    ----------
    tip : str
        Its tooltip.
    """
    box = QComboBox()
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    box.setMinimumContentsLength(8)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def unwrapped(thing: Any) -> Any:
    """Return the viewer or layer itself, without the wrapping napari hands plugins.

    The wrapping is emptied if it is collected together with a panel that is gone, and
    an error then, in a slot, would end the program.
    """
    return getattr(thing, "__wrapped__", thing)
