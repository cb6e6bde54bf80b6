"""The table of nuclei follows what is painted and erased by hand."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer

from napari_nucleiseg.core.segment.planes import from_image_axes
from napari_nucleiseg.widgets.shared.layers import RECORD, full_data

if TYPE_CHECKING:
    import napari
    import pandas as pd

#: The table is brought up to date so long after an edit, milliseconds.
SETTLE_MS = 100

#: Nuclei that share this part of their joint area are the same one, as in scoring.
SAME_IOU = 0.5

#: Decimals of what is shown.
DECIMALS = 3


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as napari's status bar shows it: rounded."""
    return table.round(
        {name: DECIMALS for name in table.columns if name not in ("index", "area")}
    )


class EditedTable:
    """The figures of labels while pixels change; only what changed is counted anew.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(…, y, x)`` integer labels as the model made them; not written to.
    intensity : numpy.ndarray
        The image in the same shape, for the mean intensity.
    table : pandas.DataFrame
        One row a nucleus of `labels`, not rounded: ``index``, ``area``, one
        ``centroid_…`` an axis, ``mean_intensity``, ``confidence``.
    axes : str
        The image's, in whose order the layer has them; see `core.segment.planes`.
    """

    def __init__(
        self,
        labels: np.ndarray,
        intensity: np.ndarray,
        table: pd.DataFrame,
        axes: str = "YX",
    ) -> None:
        self._axes = axes
        self._made, self._known = labels, labels
        self._intensity, self._columns = intensity, list(table.columns)
        made = table.set_index("index")
        self._made_area = made["area"].astype(float)
        self._confidence = made["confidence"]
        self._means = [name for name in made if name not in ("area", "confidence")]
        # Sums over the pixels of each nucleus, from which areas and means are made.
        self._sums = made[self._means].mul(made["area"], axis=0)
        self._sums["area"] = self._sums["kept"] = self._made_area
        self._drawn: set[int] = set()
        self._differing = 0

    @property
    def edited(self) -> bool:
        """Whether any pixel differs from what the model made."""
        return self._differing > 0

    def update(self, labels: np.ndarray) -> pd.DataFrame | None:
        """Take note of labels as they are now.

        Parameters
        ----------
        labels : numpy.ndarray
            As the layer has them; of another shape, the table becomes empty.

        Returns
        -------
        pandas.DataFrame or None
            The table with the columns it had; None if no pixel has changed. A nucleus
            keeps its confidence as long as it is still the one that the model found;
            what was drawn has NaN.
        """
        labels = from_image_axes(labels, self._axes)
        if labels.shape != self._known.shape:
            self._differing = labels.size
            return self._table(self._sums.iloc[:0])
        where = np.flatnonzero(labels != self._known)
        if not where.size:
            return None
        old, new = self._known.ravel()[where], labels.ravel()[where]
        made = self._made.ravel()[where]
        self._differing += int((new != made).sum()) - int((old != made).sum())
        gone, come = self._sum(where, old, made), self._sum(where, new, made)
        sums = self._sums.sub(gone, fill_value=0).add(come, fill_value=0)
        touched = gone.index.union(come.index)
        self._sums = sums[sums["area"] > 0]
        if self._known is self._made:
            self._known = self._made.astype(np.result_type(self._made, labels))
        self._known.ravel()[where] = new
        self._judge(touched)
        return self._table(self._sums)

    def _sum(
        self, where: np.ndarray, labels: np.ndarray, made: np.ndarray
    ) -> pd.DataFrame:
        """Return sums over some pixels, one row a nucleus."""
        import pandas as pd

        inside = labels > 0
        where, labels, made = where[inside], labels[inside], made[inside]
        places = np.unravel_index(where, self._made.shape)
        values = [*places, self._intensity.ravel()[where]]
        numbers, row = np.unique(labels, return_inverse=True)
        sums = {
            name: np.bincount(row, weights=value, minlength=len(numbers))
            for name, value in zip(self._means, values, strict=True)
        }
        sums["area"] = np.bincount(row, minlength=len(numbers)).astype(float)
        sums["kept"] = np.bincount(row, labels == made, minlength=len(numbers))
        return pd.DataFrame(sums, index=numbers.astype(np.int64))

    def _judge(self, touched: pd.Index) -> None:
        """Tell the nuclei that are still the model's from those that are not."""
        area = self._sums["area"].reindex(touched, fill_value=0)
        kept = self._sums["kept"].reindex(touched, fill_value=0)
        made = self._made_area.reindex(touched, fill_value=0)
        alike = kept >= SAME_IOU * (area + made - kept)
        self._drawn |= set(touched[(area == 0) | ~alike])
        # An edit that was undone.
        self._drawn -= set(touched[(area > 0) & (kept == area) & (area == made)])

    def _table(self, sums: pd.DataFrame) -> pd.DataFrame:
        area = sums["area"]
        table = sums[self._means].div(area, axis=0)
        table.insert(0, "area", area.round().astype(np.int64))
        sure = self._confidence.reindex(sums.index)
        table["confidence"] = sure.mask(sums.index.isin(list(self._drawn)))
        table.index.name = "index"
        return table.reset_index()[self._columns]


class EditWatch:
    """Keeps a labels layer's features true while it is edited.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose sliders may bring up another plane of the layer.
    layer : napari.layers.Labels
        With `table`'s figures as its features.
    table : EditedTable
        Of the layer's labels as they were made.
    """

    def __init__(
        self, viewer: napari.Viewer, layer: Labels, table: EditedTable
    ) -> None:
        # It lives as long as the layer does, and keeps nothing alive.
        self._viewer, self._layer = weakref.ref(viewer), weakref.ref(layer)
        self.table = table
        #: How many times an edit was found so far.
        self.edits = 0
        self._point = viewer.dims.point
        self._due = False
        layer.events.paint.connect(self._on_edit)
        # Undoing, and writing to the data, draws the layer anew; so does a slider.
        layer.events.set_data.connect(self._on_drawn)

    def _on_drawn(self, event: object = None) -> None:
        viewer = self._viewer()
        point = None if viewer is None else viewer.dims.point
        if point == self._point:
            self._on_edit()
        self._point = point

    def _on_edit(self, event: object = None) -> None:
        if not self._due:
            self._due = True
            QTimer.singleShot(SETTLE_MS, self.update)

    def update(self) -> bool:
        """Bring the features up to date, and return whether the layer was edited."""
        self._due = False
        layer = self._layer()
        if layer is None:
            return False
        table = self.table.update(np.asarray(full_data(layer)))
        if table is not None:
            self.edits += 1
            layer.features = shown(table)
        return self.table.edited


#: The layers that are watched.
_WATCHES: weakref.WeakKeyDictionary[Labels, EditWatch] = weakref.WeakKeyDictionary()


def watch_edits(viewer: napari.Viewer, layer: Labels, table: EditedTable) -> None:
    """Have a layer's features follow its edits from now on, until it is gone."""
    watch = _WATCHES.get(layer)
    if watch is None:
        _WATCHES[layer] = EditWatch(viewer, layer, table)
    else:
        watch.table = table


def watch_of(layer: Labels) -> EditWatch | None:
    """Return what watches a layer, if Segment made it."""
    return _WATCHES.get(layer)


def watched_labels(viewer: napari.Viewer, image: Image) -> Labels | None:
    """Return the labels layer that Segment made from an image, if it is there."""
    for layer in reversed(viewer.layers):
        made = layer.metadata.get(RECORD, {}).get("image_id") == image.unique_id
        if made and isinstance(layer, Labels) and watch_of(layer) is not None:
            return layer
    return None
