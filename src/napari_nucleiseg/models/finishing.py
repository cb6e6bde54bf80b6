"""Make the labels of a large image whose blocks are all there, or of a part of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleiseg.core.monitor import (
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
)
from napari_nucleiseg.core.segment.blocks.grid import (
    within,
)
from napari_nucleiseg.core.segment.blocks.joining import join_basins
from napari_nucleiseg.core.segment.blocks.settling import settle, widest_hole
from napari_nucleiseg.core.segment.figures import NucleusFigures
from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.core.segment.region import Region
from napari_nucleiseg.core.segment.result import number_kept
from napari_nucleiseg.io.block_files import BlockFiles, reader_of_blocks
from napari_nucleiseg.io.label_zarr import (
    BY_HAND,
    add_to_image,
    create_labels,
    open_labels,
    read_table,
    shrink,
    write_table,
)
from napari_nucleiseg.models.block_plan import BlockPlan
from napari_nucleiseg.models.recipe import RECIPE_FILE, SavedRecipe

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True)
class Finished:
    """What was found in an image by blocks.

    Parameters
    ----------
    plan : BlockPlan
        What it was found with.
    counts : list of int
        Nuclei in each plane.
    """

    plan: BlockPlan
    counts: list[int]


def finish(
    result: Path, *, keep: bool = False, monitor: Monitor | None = None
) -> Finished:
    """Make the labels of an image whose blocks are all there.

    Written are an OME-Zarr 0.5 label image, and beside it a Parquet table with a row
    for each nucleus: label, plane, area (pixels), centroid (pixels), confidence.

    Parameters
    ----------
    result : pathlib.Path
        The OME-Zarr folder that is to be.
    keep : bool
        Whether the blocks are kept, from which other thresholds make other labels. A
        result that is there is replaced then, when the new one is whole.
    monitor : Monitor, optional
        See `segment`.

    Raises
    ------
    Cancelled
        If the monitor asked for it; the blocks stay, and nothing else.
    ValueError
        If not all blocks are there, or something of the result's name is.
    """
    monitor = monitor or SilentMonitor()
    files, table_path = BlockFiles(result), result.with_suffix(".parquet")
    # One that was killed may have left a table without a result.
    begun = files.folder / "finishing"
    for path in (result, *(() if begun.exists() else (table_path,))):
        if path.exists() and not keep:
            raise ValueError(f"{path} is there already: remove or rename it")
    plan = _read_plan(files)
    total = plan.planes * len(plan.windows)
    missing = [index for index in range(total) if not files.finished(index)]
    if missing:
        raise ValueError(
            f"{len(missing)} of {total} blocks are not there yet, the first one is "
            f"{missing[0] + 1}: run the shares that have not ended again"
        )
    levels = _create(plan, result, fresh := files.fresh_result())
    tables: list[dict[str, np.ndarray]] = []
    counts: list[int] = []
    for index, place in enumerate(np.ndindex(*plan.stack)):
        joined = JoinedPlane(plan, files, index, monitor)
        before = sum(counts)
        for window, labels in joined.labels():
            numbers = np.where(labels > 0, labels + before, 0)
            levels[0][(*place, *window)] = numbers.astype(np.uint32)
        shrink(levels, place, plan.block, on_part=on_part(monitor))
        tables.append(joined.columns(before))
        counts.append(joined.count)
    begun.touch()
    write_table(
        table_path,
        {name: np.concatenate([table[name] for table in tables]) for name in tables[0]},
    )
    _write_recipe(plan, result)
    if result.exists():
        result.rename(files.folder / f"former-{fresh.name}")
    fresh.rename(result)
    add_to_image(result)
    if keep:
        files.tidy()
    else:
        files.remove()
    return Finished(plan, counts)


def finish_region(
    result: Path, region: Region, *, monitor: Monitor | None = None
) -> Finished:
    """Make the labels of a region whose blocks are there; the others stay as they are.

    The blocks are kept. If there are no labels yet, all else is empty. A nucleus that
    is there keeps its pixels if it has its centroid outside of the region, or was
    touched by hand; what is found anew for the most part under such a one is left out.

    Parameters
    ----------
    result, monitor
        See `finish`.
    region : Region
        Where nuclei are made anew.

    Returns
    -------
    Finished
        Its counts are of all nuclei that are there then.

    Raises
    ------
    Cancelled
        If the monitor asked for it; what is written of the region stays until it is
        done again.
    """
    monitor = monitor or SilentMonitor()
    files, table_path = BlockFiles(result), result.with_suffix(".parquet")
    plan = _read_plan(files)
    fresh = None if result.exists() else files.fresh_result()
    levels = _create(plan, result, fresh) if fresh else open_labels(result, "r+")
    before = read_table(table_path) if fresh is None and table_path.exists() else None
    tables = [] if before is None else [before]
    highest = int(before["label"].max(initial=0)) if before is not None else 0
    for index, place in enumerate(np.ndindex(*plan.stack)):
        joined = JoinedPlane(plan, files, index, monitor, region)
        gone = np.zeros(0, np.int64)
        if before is not None:
            here = in_plane(before, plan, index)
            places = before["centroid_y"][here], before["centroid_x"][here]
            anew = region.covers(index, *places)
            if BY_HAND in before:
                anew &= np.array([how is None for how in before[BY_HAND][here]], bool)
            gone = before["label"][here][anew]
            tables[0] = {
                name: values[~np.isin(tables[0]["label"], gone)]
                for name, values in tables[0].items()
            }
        made = joined.columns(highest)
        kept = np.ones(joined.count + 1, bool)
        if before is not None and BY_HAND in before:
            free = np.zeros(joined.count + 1, np.int64)
            for window, labels in joined.labels():
                held = np.asarray(levels[0][(*place, *window)])
                there = labels[(held == 0) | np.isin(held, gone)]
                free += np.bincount(there, minlength=free.size)
            kept[1:] = 2 * free[1:] > made["area"]
            made[BY_HAND] = np.full(joined.count, None, object)
        areas = np.zeros(joined.count, np.int64)
        for window, labels in joined.labels():
            where = (*place, *window)
            held = np.asarray(levels[0][where])
            held[np.isin(held, gone)] = 0
            labels = np.where((held > 0) | ~kept[labels], 0, labels)
            areas += np.bincount(labels.ravel(), minlength=joined.count + 1)[1:]
            new = np.where(labels > 0, labels + highest, 0)
            levels[0][where] = np.where(held > 0, held, new).astype(np.uint32)
            shrink(levels, place, plan.block, window=window)
        made |= {"area": areas}
        tables.append({name: values[areas > 0] for name, values in made.items()})
        highest += joined.count
    table = {
        name: np.concatenate([part[name] for part in tables]) for name in tables[-1]
    }
    write_table(table_path, table)
    _write_recipe(plan, result)
    if fresh is not None:
        fresh.rename(result)
        add_to_image(result)
    files.tidy()
    return Finished(plan, count_by_plane(table, plan))


def count_by_plane(table: Mapping[str, np.ndarray], plan: BlockPlan) -> list[int]:
    """Return how many nuclei of a table each plane has."""
    return [int(in_plane(table, plan, index).sum()) for index in range(plan.planes)]


def in_plane(
    table: Mapping[str, np.ndarray], plan: BlockPlan, index: int
) -> np.ndarray:
    """Return which rows of a table of nuclei are of a plane, ``(n,)`` bool."""
    rows = np.ones(table["label"].size, bool)
    place = np.unravel_index(index, plan.stack or (1,))
    for letter, at in zip(plan.label_axes[:-2], place, strict=False):
        rows &= table[letter.lower()] == at
    return rows


def _read_plan(files: BlockFiles) -> BlockPlan:
    text = files.read_plan()
    if text is None:
        raise ValueError(
            f"there is nothing to be finished: {files.folder} holds no blocks"
        )
    return BlockPlan.from_json(text)


def _write_recipe(plan: BlockPlan, result: Path) -> None:
    """Write what made the labels beside them: ``<name>.recipe.json``."""
    if plan.recipe is not None:
        path = result.with_suffix(f".{RECIPE_FILE}")
        SavedRecipe(**plan.recipe).write(path)


def _create(plan: BlockPlan, result: Path, path: Path) -> list[zarr.Array]:
    return create_labels(
        path,
        plan.shape,
        plan.label_axes,
        name=result.stem,
        block=plan.block,
        scale=plan.pixel,
        units=plan.units,
        record=plan.model_dump(
            exclude={"pixel", "units", "label_axes", "state", "recipe"}
        ),
    )


def on_part(monitor: Monitor) -> Callable[[int, int], None]:
    """Return what tells a monitor of the smaller levels, and stops if it wants to."""

    def report(done: int, total: int) -> None:
        check_cancelled(monitor)
        monitor.report(Progress("Making smaller levels", done, total))

    return report


class JoinedPlane:
    """One plane's blocks joined: its nuclei are known, and can be written by block.

    Parameters
    ----------
    plan : BlockPlan
        What the blocks have in common.
    files : BlockFiles
        The blocks.
    index : int
        Of the plane.
    monitor : Monitor
        See `segment`.
    region : Region, optional
        Only its nuclei are given, and only its blocks are looked at.
    """

    def __init__(
        self,
        plan: BlockPlan,
        files: BlockFiles,
        index: int,
        monitor: Monitor,
        region: Region | None = None,
    ) -> None:
        self._plan, self._index, self._monitor = plan, index, monitor
        self._shape = plan.plane_shape
        self._blocks = plan.touched(index, region)
        first = index * len(plan.windows)
        settings, windows = plan.thresholds, plan.windows
        check_cancelled(monitor)
        nuclei = join_basins(
            (files.read_basins(first + i, windows[i]) for i in self._blocks),
            settings.separation,
            settings.min_area or 0,
        )

        @functools.lru_cache(64)
        def load(block: int) -> np.ndarray:
            labels, ids = files.read(first + block, "labels", "ids")
            return nuclei.table(ids)[labels]

        there = set(self._blocks)

        def part_of(block: int, part: Window) -> np.ndarray:
            if block in there:
                return load(block)[within(part, windows[block])]
            return np.zeros([side.stop - side.start for side in part], np.int32)

        self._read = reader_of_blocks(part_of, plan.block, self._shape)
        figures = NucleusFigures.none(nuclei.count)
        sums = np.zeros((2, nuclei.count))
        for i, window, settled, inside in self._settled("Joining blocks"):
            (maps,) = files.read(first + i, "maps")
            figures.add(settled, maps, inside)
            _add_places(sums, settled[inside], window)
        judged = plan.judge(figures)
        centroid = sums / np.maximum(figures.area, 1)
        outside = None if region is None else ~region.covers(index, *centroid)
        self._numbers = number_kept(judged, settings, outside=outside)
        kept = self._numbers[1:] > 0
        self.count = int(kept.sum())
        self._confidence, self._area = judged[kept], figures.area[kept]
        self._centroid = centroid[:, kept]

    def labels(self) -> Iterator[tuple[Window, np.ndarray]]:
        """Give each block's labels ``(y, x)`` int32, numbered 1..n in the plane."""
        for _, window, settled, inside in self._settled("Writing labels"):
            yield window, self._numbers[settled[inside]]

    def columns(self, before: int) -> dict[str, np.ndarray]:
        """Return what is known of each nucleus, numbered from after `before`."""
        table = {"label": np.arange(1, self.count + 1) + before}
        place = np.unravel_index(self._index, self._plan.stack or (1,))
        for letter, at in zip(self._plan.label_axes[:-2], place, strict=False):
            table[letter.lower()] = np.full(self.count, at)
        return table | {
            "area": self._area,
            "centroid_y": self._centroid[0],
            "centroid_x": self._centroid[1],
            "confidence": self._confidence,
        }

    def _settled(self, stage: str) -> Iterator[tuple[int, Window, np.ndarray, Window]]:
        """Give each block with its holes filled, and where in that it lies itself."""
        windows = self._plan.windows
        widest = widest_hole(self._plan.scale)
        before = self._index * len(windows)
        total = self._plan.planes * len(windows)
        for done, i in enumerate(self._blocks):
            check_cancelled(self._monitor)
            self._monitor.report(Progress(stage, before + done, total))
            settled, frame = settle(self._read, windows[i], self._shape, widest)
            yield i, windows[i], settled, within(windows[i], frame)
        self._monitor.report(Progress(stage, before + len(windows), total))


def _add_places(sums: np.ndarray, labels: np.ndarray, window: Window) -> None:
    """Add a block's pixels to the sums ``(2, n)`` of each nucleus's places."""
    at = np.flatnonzero(labels)
    if at.size:
        number = labels.ravel()[at]
        low = int(number.min())
        y, x = np.divmod(at, labels.shape[1])
        for row, values in zip(
            sums, (y + window[0].start, x + window[1].start), strict=True
        ):
            found = np.bincount(number - low, values)
            row[low - 1 : low - 1 + found.size] += found
