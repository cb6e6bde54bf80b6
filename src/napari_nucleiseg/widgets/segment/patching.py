"""The part in view of labels in memory, shown by other values before the rest is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_nucleiseg.core.labels.numbering import numbers_before
from napari_nucleiseg.core.segment.blocks.grid import ArrayMaps
from napari_nucleiseg.core.segment.confidence import label_confidence
from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.core.segment.planes import from_image_axes
from napari_nucleiseg.core.segment.preview import Preview
from napari_nucleiseg.core.segment.result import Segmentation
from napari_nucleiseg.widgets.segment.edits import EditWatch

#: Labels of fewer pixels, in all planes, are made anew so soon that no part goes first.
LEAST_PIXELS = 1_500_000


def preview_of(result: Segmentation, plane: int, window: Window) -> Preview:
    """Return what answers for a window of a plane of labels in memory."""
    maps = result.planes[plane]
    return Preview(
        ArrayMaps(maps.maps),
        plane,
        window,
        scale=maps.scale,
        judge=result.calibration or label_confidence,
    )


@dataclass(eq=False)
class Patch:
    """Other labels in a part of a layer, until those of the whole are there.

    They are no edits: while they are shown, the layer's table stays as it is.
    """

    layer: Labels
    watch: EditWatch
    place: tuple[int, ...]
    window: Window
    before: np.ndarray
    shown: np.ndarray

    @classmethod
    def show(
        cls, layer: Labels, watch: EditWatch, preview: Preview, labels: np.ndarray
    ) -> Patch:
        """Show what a preview gave; nuclei touched by hand stay.

        Parameters
        ----------
        layer : napari.layers.Labels
            The labels.
        watch : EditWatch
            What follows its edits.
        preview : Preview
            See `preview_of`.
        labels : numpy.ndarray
            What it gave.
        """
        watch.update()
        known = watch.table.labels
        stack = known.shape[:-2]
        place = tuple(map(int, np.unravel_index(preview.plane, stack or (1,))))
        place = place[: len(stack)]
        where: tuple[Any, ...] = (*place, *preview.outer)
        before = known[where].copy()
        names = np.unique(before)
        names = names[(names > 0) & ~np.isin(names, list(watch.table.by_hand()))]
        gone = np.isin(before, names[preview.covers(*_centroids(watch, names))])
        numbers = numbers_before(labels, np.where(gone, before, 0), watch.table.highest)
        others = np.where(gone, 0, before)
        shown = np.where(others > 0, others, numbers[labels]).astype(before.dtype)
        patch = cls(layer, watch, place, preview.outer, before, shown)
        watch.paused = True
        patch._part[...] = shown
        layer.refresh()
        return patch

    @property
    def _part(self) -> np.ndarray:
        planes = from_image_axes(np.asarray(self.layer.data), self.watch.table.axes)
        where: tuple[Any, ...] = (*self.place, *self.window)
        return planes[where]

    def take_off(self) -> None:
        """Put back what was there; what was edited since stays."""
        part = self._part
        same = part == self.shown
        part[same] = self.before[same]
        self.watch.paused = False
        self.watch.update()
        self.layer.refresh()


def _centroids(watch: EditWatch, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where nuclei have their centroids, rows and columns."""
    table = watch.table.table().set_index("index").reindex(names)
    return table["centroid_y"].to_numpy(), table["centroid_x"].to_numpy()
