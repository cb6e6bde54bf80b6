"""The labels of a large image as a layer: read lazily from their file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_nucleiseg.core.labels.numbering import numbers_before
from napari_nucleiseg.core.segment.planes import to_image_axes
from napari_nucleiseg.core.segment.preview import Preview
from napari_nucleiseg.models.finishing import in_plane
from napari_nucleiseg.widgets.segment.large import LargeFound
from napari_nucleiseg.widgets.shared.layers import RECORD, placement

if TYPE_CHECKING:
    import napari


def show_labels(
    viewer: napari.Viewer, image: Image, found: LargeFound, into: Labels | None
) -> Labels:
    """Put labels on their image, read lazily: update their layer, or add one."""
    levels = lazy_levels(found, found.levels)
    record = {
        "model": found.plan.model,
        "params": dict(found.plan.params),
        **dict(found.plan.settings),
        "diameter": round(found.plan.diameter, 2),
        "scale": round(found.plan.scale, 4),
        "axes": found.plan.axes,
        "channel": found.plan.channel,
        "warnings": list(found.plan.warnings),
        "output": str(found.output),
        "image_id": image.unique_id,
        "image": image.name,
    }
    data = levels if len(levels) > 1 else levels[0]
    if into is not None:
        into.data = data
        into.features = found.table
        into.metadata = {RECORD: record}
        return into
    layer = viewer.add_labels(
        data,
        name=f"{image.name} nuclei",
        features=found.table,
        metadata={RECORD: record},
        multiscale=len(levels) > 1,
        cache=False,  # napari's would keep all that was shown, and for no use
        **placement(image, found.plan.axes),
    )
    layer.editable = False
    return layer


def lazy_levels(found: LargeFound, levels: Sequence[Any]) -> list[Any]:
    """Return levels of labels as dask arrays, in the order of the image's axes."""
    import dask.array as da

    return [
        to_image_axes(
            da.from_array(level, chunks=level.chunks, name=False), found.plan.axes
        )
        for level in levels
    ]


class _Patched:
    """A level of labels with other ones in one window of one plane.

    Parameters
    ----------
    level : zarr.Array
        ``(…, y, x)``.
    place : tuple of int
        The plane.
    corner : tuple of int
        Where the patch begins, pixels of the level.
    patch : numpy.ndarray
        ``(y, x)``.
    """

    def __init__(
        self,
        level: Any,
        place: tuple[int, ...],
        corner: tuple[int, int],
        patch: np.ndarray,
    ) -> None:
        self._level, self._place = level, place
        self._corner, self._patch = corner, patch
        self.shape, self.dtype, self.ndim = level.shape, level.dtype, level.ndim
        self.chunks = level.chunks

    def __getitem__(self, where: tuple[slice, ...]) -> np.ndarray:
        part = np.asarray(self._level[where])
        parts = [
            range(*each.indices(size))
            for each, size in zip(where, self.shape, strict=True)
        ]
        here: list[slice] = []
        there: list[slice] = []
        for each, start, size in zip(
            parts[-2:], self._corner, self._patch.shape, strict=True
        ):
            low, high = max(each.start, start), min(each.stop, start + size)
            if low >= high:
                return part
            here.append(slice(low - each.start, high - each.start))
            there.append(slice(low - start, high - start))
        plane: list[int] = []
        for each, at in zip(parts[:-2], self._place, strict=True):
            if at not in each:
                return part
            plane.append(at - each.start)
        index: tuple[Any, ...] = (*plane, *here)
        part[index] = self._patch[tuple(there)]
        return part


def show_patch(
    layer: Labels, found: LargeFound, preview: Preview, labels: np.ndarray
) -> None:
    """Show other labels where a preview is, without changing the file.

    A nucleus that is there already keeps its number, and so its colour.
    """
    place = tuple(map(int, np.unravel_index(preview.plane, found.plan.stack or (1,))))
    place = place[: len(found.plan.stack)]
    levels, outer = found.levels, preview.outer
    table = {name: found.table[name].to_numpy() for name in found.table}
    table["label"] = table["index"]
    here = in_plane(table, found.plan, preview.plane)
    here &= preview.covers(table["centroid_y"], table["centroid_x"])
    highest = int(table["index"].max(initial=0))
    before = np.asarray(levels[0][(*place, *outer)]).astype(np.int64)
    gone = np.isin(before, table["index"][here])
    numbers = numbers_before(labels, np.where(gone, before, 0), highest)
    others = np.where(gone, 0, before)
    labels = np.where(others > 0, others, numbers[labels])
    patched = []
    for number, level in enumerate(levels):
        step = 2**number
        y, x = (-(-part.start // step) for part in outer)
        patch = labels[
            y * step - outer[0].start :: step, x * step - outer[1].start :: step
        ]
        patched.append(_Patched(level, place, (y, x), patch.astype(np.uint32)))
    shown = lazy_levels(found, patched)
    layer.data = shown if len(shown) > 1 else shown[0]
