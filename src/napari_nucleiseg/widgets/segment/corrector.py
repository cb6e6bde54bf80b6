"""Corrections of a labels layer, each of which napari's undo takes back."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_nucleiseg.core.labels import corrections
from napari_nucleiseg.core.segment.planes import from_image_axes
from napari_nucleiseg.widgets.segment.edits import EditWatch, watch_of
from napari_nucleiseg.widgets.segment.run import Found, kept_for
from napari_nucleiseg.widgets.shared.layers import RECORD, full_data

_NO_MAPS = (
    "The network's maps of this image are not in memory: press Segment, or draw by "
    "hand."
)


def replace_labels(layer: Labels, labels: np.ndarray) -> None:
    """Write labels of a layer's own shape into it, as one step of its history."""
    where = np.nonzero(layer.data != labels)
    layer.data_setitem(where, labels[where])


class Corrector:
    """Deletes, merges, splits and draws nuclei in a labels layer.

    Points are in the layer's own pixels, one coordinate an axis. What cannot be done
    raises a `ValueError` with a sentence for the user, and nothing is changed.

    Parameters
    ----------
    viewer : napari.Viewer
        With the layer's image.
    layer : napari.layers.Labels
        The labels.
    """

    def __init__(self, viewer: ViewerModel, layer: Labels) -> None:
        self._viewer, self.layer = viewer, layer

    # ---- what is there ---------------------------------------------------------------

    @property
    def watch(self) -> EditWatch | None:
        """What follows the layer's edits, if Segment made it."""
        return watch_of(self.layer)

    @property
    def _axes(self) -> str:
        record = self.layer.metadata.get(RECORD, {})
        return record.get("axes", "")

    @property
    def _planes(self) -> np.ndarray:
        """The layer's own data, ``(…, y, x)``."""
        data = np.asarray(full_data(self.layer))
        return from_image_axes(data, self._axes) if self._axes else data

    def label_at(self, point: np.ndarray) -> int:
        """Return the label at a point; 0 for background, and outside."""
        data = full_data(self.layer)
        at = tuple(int(i) for i in np.rint(np.asarray(point)))
        inside = all(0 <= i < n for i, n in zip(at, data.shape, strict=True))
        return int(np.asarray(data[at])) if inside else 0

    def pixels(self, label: int) -> np.ndarray:
        """Return a nucleus's pixels in the layer, ``(n, ndim)``; none if it is gone."""
        return np.argwhere(np.asarray(full_data(self.layer)) == label)

    # ---- corrections -----------------------------------------------------------------

    def delete(self, label: int) -> None:
        """Delete a nucleus."""
        where = np.nonzero(self._existing(label))
        self.layer.data_setitem(where, 0)

    def merge(self, first: int, second: int) -> None:
        """Make one nucleus of two, with the number of the first."""
        data = self._existing(first) | self._existing(second)
        if first == second:
            raise ValueError("Click another nucleus to merge it with.")
        plane = self._plane_of(np.argwhere(data)[0])
        here = self._planes[plane]
        merged = corrections.merge(here == first, here == second, here == 0)
        if not ((here == first).any() and (here == second).any()):
            raise ValueError("The two nuclei must lie in the same plane.")
        self._write(plane, merged, first)

    def split_along(self, line: np.ndarray, preferred: int = 0) -> int:
        """Split the nucleus that a line crosses, and return its number.

        Parameters
        ----------
        line : numpy.ndarray
            ``(n, ndim)`` points.
        preferred : int
            Which one, if the line crosses several; else the one most of it lies in.
        """
        plane, points = self._in_plane(line)
        here = self._planes[plane]
        crossed = _under(here, points)
        if not crossed.size:
            raise ValueError("Draw the line across a nucleus.")
        label = (
            preferred if preferred in crossed else int(np.bincount(crossed).argmax())
        )
        self._write_parts(plane, label, corrections.split_along(here == label, points))
        return label

    def split_by_maps(self, label: int) -> None:
        """Split a nucleus where the network's maps do, with a higher separation."""
        plane = self._plane_of(np.argwhere(self._existing(label))[0])
        found = self._found()
        maps = found.result.planes[self._number_of(plane)]
        parts = corrections.split_by_maps(
            self._planes[plane] == label,
            maps.maps,
            found.result.settings,
            shrunk=max(maps.scale, 1.0),
        )
        self._write_parts(plane, label, parts)

    def draw(self, outline: np.ndarray) -> int:
        """Add the nucleus inside an outline ``(n, ndim)``, and return its number."""
        plane, points = self._in_plane(outline)
        free = self._planes[plane] == 0
        return self._add(plane, corrections.inside_outline(points, free))

    def draw_basin(self, point: np.ndarray) -> int:
        """Add the nucleus that the maps have at a point, and return its number."""
        here = self.label_at(point)
        if here:
            raise ValueError(f"There is a nucleus already, number {here}.")
        plane, points = self._in_plane(point[None])
        found, free = self._found(), self._planes[plane] == 0
        y, x = (int(i) for i in np.rint(points[0]))
        if not (0 <= y < free.shape[0] and 0 <= x < free.shape[1]):
            raise ValueError("Click inside the image.")
        maps = found.result.planes[self._number_of(plane)]
        mask = corrections.basin(
            maps.maps,
            (y, x),
            free,
            found.result.settings,
            diameter=found.result.diameter,
            shrunk=max(maps.scale, 1.0),
        )
        return self._add(plane, mask)

    def accept(self, label: int) -> bool:
        """Note that a nucleus is right, or take that back; return which."""
        self._existing(label)
        watch = self.watch
        if watch is None:
            raise ValueError("Only labels that Segment made can be accepted.")
        watch.update()
        return watch.accept(label)

    # ---- from here to there ----------------------------------------------------------

    def _existing(self, label: int) -> np.ndarray:
        data = np.asarray(full_data(self.layer)) == label
        if not label or not data.any():
            raise ValueError("Click a nucleus first, or go to one.")
        return data

    def _found(self) -> Found:
        image_id = self.layer.metadata.get(RECORD, {}).get("image_id")
        for image in self._viewer.layers:
            if isinstance(image, Image) and image.unique_id == image_id:
                kept = kept_for(image)
                if kept is not None:
                    result = kept.found.result
                    if result.labels.shape == self._planes.shape and result.planes:
                        return kept.found
        raise ValueError(_NO_MAPS)

    def axes_order(self) -> tuple[list[int], int | None]:
        """Return the layer's axes in the order of the planes, and one left out."""
        letters, n = self._axes.replace("S", ""), self.layer.ndim
        at: int | None = letters.find("C")
        if at == -1 or n != len(letters):
            at = None
        letters = letters.replace("C", "")
        places = [i for i in range(n) if i != at]
        if len(places) != len(letters):
            return list(range(n)), None
        order = [i for i, letter in enumerate(letters) if letter not in "YX"]
        order += [letters.index("Y"), letters.index("X")]
        return [places[i] for i in order], at

    def _in_plane(self, points: np.ndarray) -> tuple[tuple[int, ...], np.ndarray]:
        order, _ = self.axes_order()
        points = np.asarray(points, float)[:, order]
        shape = self._planes.shape[:-2]
        plane = tuple(int(i) for i in np.rint(points[0, :-2]))
        if not all(0 <= i < n for i, n in zip(plane, shape, strict=True)):
            raise ValueError("Draw inside the image.")
        return plane, points[:, -2:]

    def _plane_of(self, point: np.ndarray) -> tuple[int, ...]:
        return self._in_plane(point[None])[0]

    def _number_of(self, plane: tuple[int, ...]) -> int:
        return int(np.ravel_multi_index(plane, self._planes.shape[:-2])) if plane else 0

    def _write(
        self, plane: tuple[int, ...], mask: np.ndarray, values: int | np.ndarray
    ) -> None:
        """Write values into the pixels of a mask, as one step of the history."""
        order, left_out = self.axes_order()
        y, x = np.nonzero(mask)
        where = [np.full(y.size, i) for i in plane] + [y, x]
        there: list[np.ndarray] = [np.zeros(y.size, int)] * self.layer.ndim
        for axis, index in zip(order, where, strict=True):
            there[axis] = index
        assert left_out is None or not there[left_out].any()
        self.layer.data_setitem(tuple(there), values)

    def _write_parts(
        self, plane: tuple[int, ...], label: int, parts: np.ndarray
    ) -> None:
        """Give the parts of a nucleus but the largest new numbers."""
        smaller = parts > 1
        self._write(plane, smaller, self._new_label() - 2 + parts[smaller])

    def _add(self, plane: tuple[int, ...], mask: np.ndarray) -> int:
        label = self._new_label()
        self._write(plane, mask, label)
        return label

    def _new_label(self) -> int:
        """Return a number that no nucleus has, nor had when it was found."""
        highest = int(self._planes.max(initial=0))
        if self.watch is not None:
            highest = max(highest, self.watch.table.highest)
        return highest + 1


def _under(labels: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the labels of the nuclei under a line, one for each half pixel."""
    steps = np.diff(line, axis=0)
    count = np.ceil(2 * np.hypot(*steps.T)).astype(int) + 1
    points = [
        start + np.linspace(0, 1, n)[:, None] * step
        for start, step, n in zip(line[:-1], steps, count, strict=True)
    ]
    y, x = np.rint(np.vstack([line[:1], *points])).astype(int).T
    inside = (y >= 0) & (x >= 0) & (y < labels.shape[0]) & (x < labels.shape[1])
    found = labels[y[inside], x[inside]]
    return found[found > 0]
