"""What is asked before a model is taught."""

from __future__ import annotations

from napari.components import ViewerModel
from qtpy.QtWidgets import QWidget

from napari_nucleiseg.widgets.shared.asking import ask
from napari_nucleiseg.widgets.shared.controls import quoted
from napari_nucleiseg.widgets.teach.frames import frames_of, nuclei_inside
from napari_nucleiseg.widgets.teach.gathering import given


def may_take_frames(parent: QWidget, viewer: ViewerModel) -> bool:
    """Ask before all in a frame is taken for right in which nothing was touched."""
    for image, labels in given(viewer):
        frames = frames_of(viewer, image)
        if frames is None:
            continue
        inside, touched = nuclei_inside(image, labels, frames)
        if touched or not inside:
            continue
        right = ask(
            parent,
            f"Is every nucleus in the frame on {quoted(image.name)} right?",
            f"Nobody has accepted or corrected any of the {len(inside)} there. "
            "Their errors would be learnt, and what was missed would be learnt "
            "as background.",
            yes="Yes, all are right",
            no="No, I will correct them",
        )
        if not right:
            return False
    return True
