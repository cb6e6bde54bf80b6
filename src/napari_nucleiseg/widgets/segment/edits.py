"""The table of nuclei follows corrections by hand, and corrections are kept."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer

from napari_nucleiseg.core.labels.corrections import keep_corrections
from napari_nucleiseg.core.segment.planes import from_image_axes
from napari_nucleiseg.core.segment.region import Region
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

#: The column that tells what was touched by hand: `DRAWN`, `CORRECTED` or `ACCEPTED`.
BY_HAND = "by_hand"
DRAWN, CORRECTED, ACCEPTED = "drawn", "corrected", "accepted"

#: Columns that are no means over the pixels of a nucleus.
_NO_MEANS = ("area", "confidence", BY_HAND)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as napari's status bar shows it: rounded."""
    exact = ("index", "area", BY_HAND)
    return table.round({name: DECIMALS for name in table if name not in exact})


class EditedTable:
    """The figures of labels while pixels change; only what changed is counted anew.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(…, y, x)`` integer labels before any further edits; not written to.
    intensity : numpy.ndarray
        The image in the same shape, for the mean intensity.
    table : pandas.DataFrame
        One row a nucleus of `labels`, not rounded: ``index``, ``area``, one
        ``centroid_…`` an axis, ``mean_intensity``, ``confidence``, and perhaps
        `BY_HAND`, with what had been touched by hand already.
    axes : str
        The image's, in whose order the layer has them; see `core.segment.planes`.
    cleared : numpy.ndarray, optional
        ``(…, y, x)`` bool, where nuclei had been erased by hand already.

    Attributes
    ----------
    accepted : set of int
        Nuclei that the user finds right.
    """

    def __init__(
        self,
        labels: np.ndarray,
        intensity: np.ndarray,
        table: pd.DataFrame,
        axes: str = "YX",
        cleared: np.ndarray | None = None,
    ) -> None:
        self.axes = axes
        self._made, self._known = labels, labels
        self._intensity, self._cleared = intensity, cleared
        made = table.set_index("index")
        self._columns = [name for name in table if name != BY_HAND]
        self._made_area = made["area"].astype(float)
        self._confidence = made["confidence"]
        self._means = [name for name in made if name not in _NO_MEANS]
        # Sums over the pixels of each nucleus, from which areas and means are made.
        self._sums = made[self._means].mul(made["area"], axis=0)
        self._sums["area"] = self._sums["kept"] = self._made_area
        before = made[BY_HAND].dropna() if BY_HAND in made else {}
        self._before = dict(before.items())
        self.accepted = {n for n, how in self._before.items() if how == ACCEPTED}
        self._drawn: set[int] = set()
        self._changed: set[int] = set()
        self._differing = 0

    @property
    def labels(self) -> np.ndarray:
        """``(…, y, x)``, as they were when `update` was last called."""
        return self._known

    @property
    def highest(self) -> int:
        """The highest number that any nucleus has or had."""
        numbers = self._made_area.index.union(self._sums.index)
        return int(numbers.max()) if len(numbers) else 0

    @property
    def edited(self) -> bool:
        """Whether anything was touched by hand, or erased."""
        return self._differing > 0 or bool(self.by_hand()) or self._cleared is not None

    @property
    def cleared(self) -> np.ndarray | None:
        """``(…, y, x)`` bool, where nuclei were erased by hand; None if nowhere."""
        free = self._known == 0
        gone = (self._made > 0) & free
        if self._cleared is not None:
            gone |= self._cleared & free
        return gone if gone.any() else None

    def by_hand(self) -> dict[int, str]:
        """Return the nuclei touched by hand, and how; see `BY_HAND`."""
        ways: dict[int, str] = dict.fromkeys(self.accepted, ACCEPTED)
        ways |= {n: how for n, how in self._before.items() if how != ACCEPTED}
        ways |= {n: CORRECTED for n in self._changed if ways.get(n) != DRAWN}
        ways |= dict.fromkeys(self._drawn, DRAWN)
        there = self._sums.index
        return {int(n): ways[n] for n in there[there.isin(list(ways))]}

    def update(self, labels: np.ndarray) -> pd.DataFrame | None:
        """Take note of labels as they are now.

        Parameters
        ----------
        labels : numpy.ndarray
            As the layer has them; of another shape, the table becomes empty.

        Returns
        -------
        pandas.DataFrame or None
            See `table`; None if no pixel has changed.
        """
        labels = from_image_axes(labels, self.axes)
        if labels.shape != self._known.shape:
            self._differing = labels.size
            return self.table().iloc[:0]
        return self.table() if self._note(labels) else None

    def _note(self, labels: np.ndarray) -> bool:
        """Count what changed in ``(…, y, x)`` labels; return whether anything did."""
        where = np.flatnonzero(labels != self._known)
        if not where.size:
            return False
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
        return True

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
        same = (kept == area) & (area == made)  # or an edit that was undone
        self._drawn |= set(touched[(area == 0) | ~alike])
        self._drawn -= set(touched[(area > 0) & same])
        self._changed |= set(touched)
        self._changed -= set(touched[same])

    def table(self) -> pd.DataFrame:
        """Return the table as it is now.

        Returns
        -------
        pandas.DataFrame
            The columns it had, and `BY_HAND`. A nucleus keeps its confidence as long
            as it is still the one that the model found; what was drawn has NaN.
        """
        area = self._sums["area"]
        table = self._sums[self._means].div(area, axis=0)
        table.insert(0, "area", area.round().astype(np.int64))
        sure = self._confidence.reindex(self._sums.index)
        table["confidence"] = sure.mask(self._sums.index.isin(list(self._drawn)))
        table.index.name = "index"
        ways = self.by_hand()
        table = table.reset_index()[self._columns]
        # None, which napari does not show, rather than an empty text.
        table[BY_HAND] = np.array([ways.get(n) for n in table["index"]], object)
        return table

    def outside(self, region: Region) -> list[int]:
        """Return the nuclei that have their centroids outside of a region."""
        table = self.table()
        stack = self._known.shape[:-2]
        places = [table[f"centroid_{name}"] for name in self._plane_columns(stack)]
        plane = np.zeros(len(table), int)
        if places:
            place = [np.rint(at).astype(int) for at in places]
            plane = np.ravel_multi_index(place, stack)
        out = np.ones(len(table), bool)
        for number in np.unique(plane):
            at = np.flatnonzero(plane == number)
            y, x = (table[f"centroid_{name}"].to_numpy()[at] for name in "yx")
            out[at] = ~region.covers(int(number), y, x)
        return [int(n) for n in table["index"].to_numpy()[out]]

    def _plane_columns(self, stack: tuple[int, ...]) -> list[str]:
        """Return what the axes of planes are called in the table, in their order."""
        names = [name.removeprefix("centroid_") for name in self._means]
        return [name for name in names if name not in ("y", "x")][: len(stack)]

    def carried_to(
        self, fresh: EditedTable, region: Region | None = None
    ) -> EditedTable:
        """Return the table of labels made anew, in which corrections are kept.

        Parameters
        ----------
        fresh : EditedTable
            Of the new labels, of the same shape, untouched.
        region : Region, optional
            Where they were made anew: nuclei outside of it are kept, too.

        Returns
        -------
        EditedTable
            Its ``labels`` are `core.labels.corrections.keep_corrections`'.
        """
        ways = self.by_hand()
        outside = [] if region is None else self.outside(region)
        held = np.array(sorted({*ways, *outside}), np.int64)
        cleared = self.cleared
        labels, number = keep_corrections(fresh.labels, self._known, held, cleared)
        before = fresh.table()
        table = EditedTable(fresh.labels, fresh._intensity, before, fresh.axes)
        table._note(labels)
        merged = table.table().set_index("index")
        sure = before["confidence"].to_numpy()
        now = number[before["index"].to_numpy()]
        merged["confidence"] = np.nan
        merged.loc[now[now > 0], "confidence"] = sure[now > 0]
        own = self.table().set_index("index")["confidence"]
        merged.loc[held, "confidence"] = own.reindex(held).to_numpy()
        merged[BY_HAND] = np.array([ways.get(n) for n in merged.index], object)
        return EditedTable(
            labels, fresh._intensity, merged.reset_index(), fresh.axes, cleared
        )


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
        #: Whether what is shown is no edit.
        self.paused = False
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
        if layer is None or self.paused:
            return layer is not None and self.table.edited
        table = self.table.update(np.asarray(full_data(layer)))
        if table is not None:
            layer.features = shown(table)
        return self.table.edited

    def accept(self, label: int) -> bool:
        """Note that a nucleus is right, or take that back; return which."""
        self.table.accepted ^= {label}
        layer = self._layer()
        if layer is not None:
            layer.features = shown(self.table.table())
        return label in self.table.accepted


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


def untouched(layer: Labels) -> tuple[int, int]:
    """Return how many nuclei are the model's own, and how many there are.

    Parameters
    ----------
    layer : napari.layers.Labels
        Of one that Segment did not make, none is the model's own.
    """
    watch = watch_of(layer)
    if watch is None:
        return 0, 0
    watch.update()
    total = len(watch.table.table())
    return total - len(watch.table.by_hand()), total


def unwatch(layer: Labels) -> None:
    """Take a layer for the user's own from now on."""
    _WATCHES.pop(layer, None)


def carried(
    layer: Labels, fresh: EditedTable, region: Region | None = None
) -> EditedTable:
    """Return the table of labels made anew, with a layer's corrections kept in them.

    Where they were made anew in a region only, all that is outside is kept, too.
    """
    watch = watch_of(layer)
    if watch is None or not (watch.update() or region is not None):
        return fresh
    if watch.table.labels.shape != fresh.labels.shape:
        return fresh
    return watch.table.carried_to(fresh, region)


def watched_labels(viewer: napari.Viewer, image: Image) -> Labels | None:
    """Return the labels layer that Segment made from an image, if it is there."""
    for layer in reversed(viewer.layers):
        made = layer.metadata.get(RECORD, {}).get("image_id") == image.unique_id
        if made and isinstance(layer, Labels) and watch_of(layer) is not None:
            return layer
    return None
