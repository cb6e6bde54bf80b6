"""Segment an image of any size block by block, from a file to an OME-Zarr of labels.

Nothing holds the whole image, its maps or its labels. A share of the blocks can be done
by each of several processes, which know nothing of each other (`segment_blocks`); when
all blocks are there, `finish` makes the labels of them. What is interrupted goes on
where it was, with the same result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from napari_nucleiseg.core.monitor import (
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
)
from napari_nucleiseg.core.params import InstanceSettings, SegmentParams
from napari_nucleiseg.core.record import JsonTable, Record
from napari_nucleiseg.core.segment.blocks.basins import find_basins
from napari_nucleiseg.core.segment.blocks.grid import BLOCK, plan_blocks, within
from napari_nucleiseg.core.segment.blocks.joining import join_basins
from napari_nucleiseg.core.segment.blocks.settling import settle, widest_hole
from napari_nucleiseg.core.segment.confidence import (
    Calibration,
    Judge,
    label_confidence,
)
from napari_nucleiseg.core.segment.figures import NucleusFigures
from napari_nucleiseg.core.segment.image import Window, sample_plane
from napari_nucleiseg.core.segment.lazy import LazyPlanes
from napari_nucleiseg.core.segment.pipeline import warn_of
from napari_nucleiseg.core.segment.planes import read_as
from napari_nucleiseg.core.segment.result import number_kept, resolve_settings
from napari_nucleiseg.core.segment.runner import Runner
from napari_nucleiseg.io.block_files import BlockFiles, reader_of_blocks
from napari_nucleiseg.io.label_zarr import (
    check_label_axes,
    create_labels,
    shrink,
    write_table,
)
from napari_nucleiseg.io.lazy_images import LazyImage
from napari_nucleiseg.models.predictor import LitePredictor


class BlockPlan(Record):
    """What all blocks of one image have in common.

    Parameters
    ----------
    image : str
        Hash of the image's shape and of the values that its contrast is set by.
    shape : list of int
        ``(…, y, x)`` of the labels.
    label_axes, axes : str
        Of the labels and of the image, a letter for each.
    channel : int or None
        The channel used.
    model : str
        Name of the model.
    weights : str
        Hash of its network.
    params : dict
        As asked for.
    settings : dict
        The thresholds that follow.
    diameter, scale : float
        See `Segmentation`.
    block : int
        Side of a block, pixels.
    calibration : dict or None
        The model's, from which confidences are computed.
    pixel, units : dict
        Size of a pixel along axes, and its units.
    warnings : list of str
        Why the image may have been read wrongly.
    """

    image: str
    shape: list[int]
    label_axes: str
    axes: str
    channel: int | None
    model: str
    weights: str
    params: JsonTable
    settings: JsonTable
    diameter: float
    scale: float
    block: int = Field(ge=1)
    calibration: JsonTable | None
    pixel: dict[str, float]
    units: dict[str, str]
    warnings: list[str]

    @property
    def stack(self) -> tuple[int, ...]:
        """How many planes there are along each axis of planes."""
        return tuple(self.shape[:-2])

    @property
    def planes(self) -> int:
        """How many planes there are."""
        return int(np.prod(self.stack, dtype=int))

    @property
    def windows(self) -> list[Window]:
        """The blocks of each plane."""
        return plan_blocks((self.shape[-2], self.shape[-1]), self.block)

    @property
    def thresholds(self) -> InstanceSettings:
        """The settings."""
        return InstanceSettings(**self.settings)


#: What two plans of one image by the same settings have alike, and how to say it.
_ALIKE = {
    "image": "the image is another",
    "axes": "its axes are read otherwise",
    "channel": "the channel is another",
    "model": "the model is another",
    "weights": "the model has been changed",
    "params": "the settings are others",
    "block": "the blocks have another size",
}


def segment_blocks(
    image: LazyImage,
    result: Path,
    predictor: LitePredictor,
    *,
    params: SegmentParams | None = None,
    axes: str | None = None,
    channel: int | None = None,
    share: tuple[int, int] = (1, 1),
    block: int | None = None,
    monitor: Monitor | None = None,
) -> BlockPlan:
    """Find what there is in a share of an image's blocks; those that are done are kept.

    Parameters
    ----------
    image : LazyImage
        See `io.lazy_images`.
    result : pathlib.Path
        The OME-Zarr folder that is to be; see `io.block_files`.
    predictor : LitePredictor
        The model.
    params, axes, channel, monitor
        See `segment`.
    share : tuple of int
        ``(i, N)``: the i-th of N shares, counted from 1.
    block : int
        Side of a block, pixels, a multiple of 256; `BLOCK` if it is not given.

    Returns
    -------
    BlockPlan

    Raises
    ------
    Cancelled
        If the monitor asked for it; what is finished stays.
    ValueError
        If what was begun there is of another image or by other settings.
    NotWritten
        If there is no room; what is finished stays.
    """
    params, monitor = params or SegmentParams(), monitor or SilentMonitor()
    files = BlockFiles(result)
    reading = read_as(image.data.shape, axes or image.axes, channel)
    planes = LazyPlanes(image.data, reading)
    runner = Runner(predictor, monitor, planes, flips=params.accurate)
    label_axes = "".join(
        letter
        for letter in reading.axes
        if letter not in "YXSC" or (letter == "C" and reading.channel is None)
    )
    digest = hashlib.sha256(str((planes.shape, str(image.data.dtype))).encode())
    for index in sorted({0, len(planes) // 2, len(planes) - 1}):
        check_cancelled(monitor)
        digest.update(np.ascontiguousarray(sample_plane(planes[index])).data)
    card, spec = predictor.model.card, predictor.spec
    alike: dict[str, Any] = {
        "image": digest.hexdigest(),
        "axes": reading.axes,
        "channel": reading.channel,
        "model": spec.name,
        "weights": hashlib.sha256(str(sorted(card.files.items())).encode()).hexdigest(),
        "params": params.model_dump(),
        "block": block or BLOCK,
    }
    before = files.read_plan()
    if before is not None:
        plan = BlockPlan.from_json(before)
        differs = [
            text for name, text in _ALIKE.items() if getattr(plan, name) != alike[name]
        ]
        if differs:
            raise ValueError(
                f"{files.folder} holds blocks of another run: {', and '.join(differs)}."
                " Choose another output, or delete that folder to begin anew."
            )
    else:
        scale, wanted, diameter = runner.choose_scale(params.diameter)
        plan = BlockPlan(
            **alike,
            shape=[*planes.stack, *planes.shape[1:3]],
            label_axes=check_label_axes(label_axes + "YX"),
            settings=resolve_settings(params, spec.settings, diameter).model_dump(),
            diameter=diameter,
            scale=scale,
            calibration=None
            if spec.calibration is None
            else {
                "intercept": spec.calibration.intercept,
                "weights": spec.calibration.weights,
            },
            pixel=dict(image.scale),
            units=dict(image.units),
            warnings=list(warn_of(reading, runner.contrasts, scale, wanted, diameter)),
        )
        files.write_plan(plan.model_dump_json())
    _do_share(plan, files, runner, share, monitor)
    return plan


def _do_share(
    plan: BlockPlan,
    files: BlockFiles,
    runner: Runner,
    share: tuple[int, int],
    monitor: Monitor,
) -> None:
    windows = plan.windows
    total = plan.planes * len(windows)
    number, count = share
    mine = range(total * (number - 1) // count, total * number // count)
    maps, plane = None, -1

    def on_tile(_: int) -> None:
        check_cancelled(monitor)

    for done, index in enumerate(mine):
        check_cancelled(monitor)
        monitor.report(Progress("Finding nuclei", done, len(mine)))
        if files.finished(index):
            continue
        at, window = index // len(windows), windows[index % len(windows)]
        if maps is None or at != plane:
            maps = runner.maps_of(at, plan.scale, on_tile=on_tile)
            plane = at
        found = find_basins(maps, window, plan.thresholds, scale=plan.scale)
        files.write(index, found, maps.read(window))
    monitor.report(Progress("Finding nuclei", len(mine), len(mine)))


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


def finish(result: Path, *, monitor: Monitor | None = None) -> Finished:
    """Make the labels of an image whose blocks are all there.

    Written are an OME-Zarr 0.5 label image, and beside it a Parquet table with a row
    for each nucleus: label, plane, area (pixels), centroid (pixels), confidence.

    Parameters
    ----------
    result : pathlib.Path
        The OME-Zarr folder that is to be.
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
        if path.exists():
            raise ValueError(f"{path} is there already: remove or rename it")
    text = files.read_plan()
    if text is None:
        raise ValueError(
            f"there is nothing to be finished: {files.folder} holds no blocks"
        )
    plan = BlockPlan.from_json(text)
    total = plan.planes * len(plan.windows)
    missing = [index for index in range(total) if not files.finished(index)]
    if missing:
        raise ValueError(
            f"{len(missing)} of {total} blocks are not there yet, the first one is "
            f"{missing[0] + 1}: run the shares that have not ended again"
        )
    levels = create_labels(
        fresh := files.fresh_result(),
        plan.shape,
        plan.label_axes,
        block=plan.block,
        scale=plan.pixel,
        units=plan.units,
        record=plan.model_dump(exclude={"pixel", "units", "label_axes"}),
    )
    tables: list[dict[str, np.ndarray]] = []
    counts: list[int] = []
    for index, place in enumerate(np.ndindex(*plan.stack)):
        joined = _JoinedPlane(plan, files, index, monitor)
        before = sum(counts)
        for window, labels in joined.labels():
            numbers = np.where(labels > 0, labels + before, 0)
            levels[0][(*place, *window)] = numbers.astype(np.uint32)
        shrink(levels, place, plan.block)
        table = {"label": np.arange(1, joined.count + 1) + before}
        for letter, at in zip(plan.label_axes, place, strict=False):
            table[letter.lower()] = np.full(joined.count, at)
        tables.append(table | joined.columns())
        counts.append(joined.count)
    begun.touch()
    write_table(
        table_path,
        {name: np.concatenate([table[name] for table in tables]) for name in tables[0]},
    )
    fresh.rename(result)
    files.remove()
    return Finished(plan, counts)


class _JoinedPlane:
    """One plane's blocks joined: its nuclei are known, and can be written by block."""

    def __init__(
        self, plan: BlockPlan, files: BlockFiles, index: int, monitor: Monitor
    ) -> None:
        self._plan, self._monitor = plan, monitor
        self._shape = plan.shape[-2], plan.shape[-1]
        first = index * len(plan.windows)
        settings = plan.thresholds
        check_cancelled(monitor)
        nuclei = join_basins(
            [
                files.read_basins(first + i, window)
                for i, window in enumerate(plan.windows)
            ],
            settings.separation,
            settings.min_area or 0,
        )

        def load(block: int) -> np.ndarray:
            labels, ids = files.read(first + block, "labels", "ids")
            return nuclei.table(ids)[labels]

        self._read = reader_of_blocks(load, plan.block, self._shape)
        figures = NucleusFigures.none(nuclei.count)
        for i, (_, settled, inside) in enumerate(self._settled("Measuring nuclei")):
            (maps,) = files.read(first + i, "maps")
            figures.add(settled, maps, inside)
        judge: Judge = label_confidence
        if plan.calibration is not None:
            judge = Calibration(**plan.calibration)
        judged = judge(figures)
        self._numbers = number_kept(judged, settings)
        self._confidence = judged[self._numbers[1:] > 0]
        self.count = self._confidence.size
        self._sums = np.zeros((3, self.count))

    def labels(self) -> Iterator[tuple[Window, np.ndarray]]:
        """Give each block's labels ``(y, x)`` int32, numbered 1..n in the plane."""
        for window, settled, inside in self._settled("Writing labels"):
            labels = self._numbers[settled[inside]]
            at = np.flatnonzero(labels)
            if at.size:
                number = labels.ravel()[at]
                low = int(number.min())
                y, x = np.divmod(at, labels.shape[1])
                for row, values in zip(
                    self._sums,
                    (None, y + window[0].start, x + window[1].start),
                    strict=True,
                ):
                    sums = np.bincount(number - low, values)
                    row[low - 1 : low - 1 + sums.size] += sums
            yield window, labels

    def columns(self) -> dict[str, np.ndarray]:
        """Return what is known of each nucleus, when all labels were given."""
        area, y, x = self._sums
        return {
            "area": area.astype(np.int64),
            "centroid_y": y / area,
            "centroid_x": x / area,
            "confidence": self._confidence,
        }

    def _settled(self, stage: str) -> Iterator[tuple[Window, np.ndarray, Window]]:
        """Give each block with its holes filled, and where in that it lies itself."""
        windows = self._plan.windows
        widest = widest_hole(self._plan.scale)
        for done, window in enumerate(windows):
            check_cancelled(self._monitor)
            self._monitor.report(Progress(stage, done, len(windows)))
            settled, frame = settle(self._read, window, self._shape, widest)
            yield window, settled, within(window, frame)
        self._monitor.report(Progress(stage, len(windows), len(windows)))
