"""An image from a file, opened to label a region of it."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Image

from napari_nucleiseg.io.images import read_image
from napari_nucleiseg.widgets.teach.proposals import Proposal

#: Key in the metadata of an image that was opened from here; holds its path.
FILE = "nucleiseg_file"


def open_image(viewer: ViewerModel, proposal: Proposal) -> Image:
    """Return the image of a region in a file; it is opened if it is not yet.

    Raises
    ------
    ValueError, OSError
        If it cannot be read.
    """
    path = proposal.candidate.path
    assert path is not None
    for layer in viewer.layers:
        if isinstance(layer, Image) and layer.metadata.get(FILE) == str(path):
            return layer
    try:
        found = read_image(path)
    except (OSError, ValueError) as e:
        raise ValueError(f"{path.name}: {e}") from e
    letters = [letter for letter in found.axes if letter != "S"]
    return viewer.add_image(
        found.data,
        name=path.stem,
        rgb=found.rgb,
        axis_labels=letters if len(set(letters)) == len(letters) else None,
        metadata={FILE: str(path)},
    )
