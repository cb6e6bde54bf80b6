"""Before and after, as outlines over the images that are open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_nucleiseg.core.score.changes import CHANGES, Changes
from napari_nucleiseg.core.segment.planes import to_image_axes
from napari_nucleiseg.widgets.shared.layers import MARK, placement

#: What can be looked at.
VIEWS = ("Before", "After", "Both")

#: Colours of what became of a nucleus: Okabe and Ito's, which colour-blind people can
#: tell apart.
COLOURS = {
    "appeared": "#009E73",
    "vanished": "#D55E00",
    "split": "#56B4E9",
    "merged": "#CC79A7",
    "reshaped": "#F0E442",
    "same": "#B0B0B0",
}

#: Width of the outlines, pixels, and their opacity: those before lie under those after.
_BEFORE, _AFTER = (2, 0.5), (1, 1.0)


@dataclass(frozen=True)
class Compared:
    """One image, as the model before and the new one see it.

    Parameters
    ----------
    image : napari.layers.Image
        The layer.
    before, after : numpy.ndarray
        ``(…, y, x)`` labels.
    axes : str
        The image's.
    changes : Changes
        From one to the other.
    """

    image: Image
    before: np.ndarray
    after: np.ndarray
    axes: str
    changes: Changes


class Comparison:
    """Outlines before and after, in layers of their own, while they are compared.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._before: list[Labels] = []
        self._after: list[Labels] = []
        self._hidden: list[Labels] = []

    @property
    def is_there(self) -> bool:
        """Whether anything is compared."""
        return bool(self._before or self._after)

    def show(self, compared: Sequence[Compared], hide: Sequence[Labels]) -> None:
        """Show the outlines of some images, and hide other labels meanwhile.

        Parameters
        ----------
        compared : sequence of Compared
            The images.
        hide : sequence of napari.layers.Labels
            Hidden until `remove`.
        """
        self.remove()
        active = self._viewer.layers.selection.active
        self._hidden = [layer for layer in hide if layer.visible]
        for layer in self._hidden:
            layer.visible = False
        for one in compared:
            self._before.append(self._add(one, "before", *_BEFORE))
            self._after.append(self._add(one, "after", *_AFTER))
        self._viewer.layers.selection.active = active
        self.view("Both")

    def _add(self, one: Compared, which: str, width: int, opacity: float) -> Labels:
        labels: np.ndarray = getattr(one, which)
        told: dict[int, str] = getattr(one.changes, which)
        colours: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
        colours.update({label: COLOURS[name] for label, name in told.items()})
        layer = self._viewer.add_labels(
            to_image_axes(labels, one.axes),
            name=f"{one.image.name} {which}",
            colormap=DirectLabelColormap(color_dict=colours),
            metadata={MARK: True},
            opacity=opacity,
            **placement(one.image, one.axes),
        )
        layer.contour = width
        layer.editable = False
        return layer

    def view(self, name: str) -> None:
        """Show one of `VIEWS`."""
        for layer in self._before:
            layer.visible = name != "After"
        for layer in self._after:
            layer.visible = name != "Before"

    def remove(self) -> None:
        """Take the outlines away, and show again what was hidden."""
        layers = self._viewer.layers
        for layer in (*self._before, *self._after):
            if layer in layers:
                layers.remove(layer)
        for layer in self._hidden:
            layer.visible = True
        self._before, self._after, self._hidden = [], [], []


def sentence(compared: Sequence[Compared]) -> str:
    """Return what changed in all images, in words; empty if nothing is compared."""
    if not compared:
        return ""
    every = [one.changes.counts() for one in compared]
    total = {name: sum(counts[name] for counts in every) for name in CHANGES}
    told = [f"{count} {name}" for name, count in total.items() if count]
    where = "the image" if len(compared) == 1 else f"{len(compared)} images"
    if not told:
        return f"Nothing changed in {where}."
    return f"In {where}: {', '.join(told)}."
