"""Find what there is in the blocks of an image of any size.

Nothing holds the whole image, its maps or its labels. A share of the blocks can be done
by each of several processes, which know nothing of each other; when all blocks are
there, `finishing.finish` makes the labels of them. What is interrupted goes on where it
was, with the same result.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucleiseg.core.monitor import (
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
)
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.blocks.basins import find_basins
from napari_nucleiseg.core.segment.blocks.grid import (
    BLOCK,
    MapSource,
    within,
)
from napari_nucleiseg.core.segment.blocks.threads import MOST_THREADS, in_threads
from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.core.segment.instances import MAPS
from napari_nucleiseg.core.segment.lazy import LazyPlanes
from napari_nucleiseg.core.segment.pipeline import warn_of
from napari_nucleiseg.core.segment.planes import read_as
from napari_nucleiseg.core.segment.region import Region
from napari_nucleiseg.core.segment.result import resolve_settings
from napari_nucleiseg.core.segment.runner import Runner
from napari_nucleiseg.io.block_files import BlockFiles, reader_of_blocks
from napari_nucleiseg.io.label_zarr import (
    check_label_axes,
)
from napari_nucleiseg.io.lazy_images import LazyImage
from napari_nucleiseg.models.block_plan import BlockPlan, hash_image, hash_pixels
from napari_nucleiseg.models.predictor import LitePredictor, load_model
from napari_nucleiseg.models.recipe import SavedRecipe

#: Blocks whose maps are kept in memory while others are read.
_MAPS_KEPT = 12

#: What to do where that is another run's.
_ANEW = (
    " Choose another output, or discard them to begin anew (in the shell: --restart)."
)

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
    region: Region | None = None,
    anew: bool = False,
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
        ``(i, N)``: the i-th of N shares, counted from 1; ``(0, 1)`` is none of them,
        only what all have in common.
    block : int
        Side of a block, pixels, a multiple of 256; `BLOCK` if it is not given.
    region : Region, optional
        Only the blocks that show its nuclei are done.
    anew : bool
        Blocks that were done of the same image by other settings are not refused:
        where only thresholds differ, their maps are used, else they are done again.

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
    before = files.read_plan()
    plan = None if before is None else BlockPlan.from_json(before)
    if plan is not None and params.engine == "auto":
        # All computers that share in it must run it in the same way.
        predictor = _running_as(predictor, plan)
    runner = Runner(predictor, monitor, planes, flips=params.accurate)
    params = params.replace(engine=predictor.spec.engine)
    label_axes = "".join(
        letter
        for letter in reading.axes
        if letter not in "YXSC" or (letter == "C" and reading.channel is None)
    )
    card, spec = predictor.model.card, predictor.spec
    alike: dict[str, Any] = {
        "axes": reading.axes,
        "channel": reading.channel,
        "model": spec.name,
        "weights": hashlib.sha256(str(sorted(card.files.items())).encode()).hexdigest(),
        "params": params.model_dump(),
        "block": block or BLOCK,
    }
    # What is in the file need not be looked at if it has not been written to.
    if plan is not None and image.state and plan.state == image.state:
        alike["image"] = plan.image
    else:
        alike["image"] = hash_image(planes, str(image.data.dtype), monitor)
    if plan is not None:
        differs = [
            text for name, text in _ALIKE.items() if getattr(plan, name) != alike[name]
        ]
        if anew and differs and plan.image == alike["image"]:
            same_maps = differs == [_ALIKE["params"]] and not plan.needs_network(params)
            if same_maps:
                plan = plan.with_thresholds(params, spec.settings)
                files.write_plan(plan.model_dump_json())
            else:
                files.remove()
                plan = None
        elif differs:
            raise ValueError(
                f"{files.folder} holds blocks of another run: {', and '.join(differs)}."
                f"{_ANEW}"
            )
    if plan is None:
        scale, wanted, diameter = runner.choose_scale(params.diameter)
        plan = BlockPlan(
            **alike,
            state=image.state,
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
            warnings=list(
                warn_of(reading, runner.contrasts, scale, wanted, diameter, spec.note)
            ),
            recipe=SavedRecipe.of_model(
                predictor.model, axes=axes, channel=channel, segment=params
            ).model_dump(),
        )
        # Of shares that begin at once, all go by the plan of the first one.
        plan = BlockPlan.from_json(files.begin(plan.model_dump_json()))
        same, predictor = predictor, _running_as(predictor, plan)
        if predictor is not same:
            runner = Runner(predictor, monitor, planes, flips=params.accurate)
    todo = [
        plane * len(plan.windows) + block
        for plane in range(plan.planes)
        for block in plan.touched(plane, region)
    ]
    number, count = share
    first = max(0, len(todo) * (number - 1) // count)
    mine = todo[first : len(todo) * number // count]
    certain = bool(image.state) and image.state == plan.state
    blocks = _Blocks(
        plan,
        files,
        planes,
        runner,
        monitor,
        certain=certain,
        threads=predictor.threads,
    )
    blocks.do(mine)
    return plan


def _running_as(predictor: LitePredictor, plan: BlockPlan) -> LitePredictor:
    """Return the same model, on the engine of a plan."""
    engine = plan.params.get("engine", "float32")
    if predictor.spec.engine == engine:
        return predictor
    return load_model(predictor.model.folder, engine, threads=predictor.threads)


class _Blocks:
    """Does blocks of one image, several at once where there are processors.

    Where it is not `certain` that the image is the one that was begun with, blocks that
    are done are compared with it.
    """

    def __init__(
        self,
        plan: BlockPlan,
        files: BlockFiles,
        planes: LazyPlanes,
        runner: Runner,
        monitor: Monitor,
        *,
        certain: bool,
        threads: int,
    ) -> None:
        self._plan, self._files, self._planes = plan, files, planes
        self._runner, self._monitor = runner, monitor
        self._certain, self._threads = certain, threads
        self._windows, self._settings = plan.windows, plan.thresholds

    def do(self, mine: Sequence[int]) -> None:
        """Do these blocks, as far as they are not done."""
        # First: how long it takes cannot be told from what was done before.
        left = []
        for at, index in enumerate(mine):
            self._check()
            if not self._certain:
                stage = "Comparing with what is done"
                self._monitor.report(Progress(stage, at, len(mine)))
            if not self._is_done(index):
                left.append(index)
        before, threads = len(mine) - len(left), min(MOST_THREADS, self._threads)
        self._report(before, len(mine))
        # While the network runs for one, which it does on all processors, the nuclei
        # of others are separated, each on one.
        found = in_threads(lambda one: self._find(*one), self._with_maps(left), threads)
        with closing(found):
            for done, _ in enumerate(found, before + 1):
                self._report(done, len(mine))

    def _with_maps(self, blocks: Iterable[int]) -> Iterator[tuple[KeptMaps, int]]:
        """Yield blocks, each with what gives the maps of its plane."""
        for plane, here in groupby(blocks, lambda index: index // len(self._windows)):
            made = self._runner.maps_of(
                plane, self._plan.scale, on_tile=lambda _: self._check()
            )
            maps = KeptMaps(self._plan, self._files, plane, made)
            for index in here:
                yield maps, index

    def _check(self) -> None:
        check_cancelled(self._monitor)

    def _report(self, done: int, total: int) -> None:
        self._check()
        self._monitor.report(Progress("Finding nuclei", done, total))

    def _is_done(self, index: int) -> bool:
        if not self._files.finished(index, self._settings.probability):
            return False
        if not self._certain:
            (known,) = self._files.read(index, "pixels")
            if known.tobytes() != self._hash(index):
                raise ValueError(
                    f"{self._files.folder} holds blocks of another run: the image has "
                    f"been changed.{_ANEW}"
                )
        return True

    def _hash(self, index: int) -> bytes:
        plane, block = divmod(index, len(self._windows))
        return hash_pixels(self._planes[plane][self._windows[block]])

    def _find(self, maps: MapSource, index: int) -> None:
        self._check()
        window = self._windows[index % len(self._windows)]
        found = find_basins(maps, window, self._settings, scale=self._plan.scale)
        self._files.write(
            index,
            found,
            maps=maps.read(window),
            pixels=np.frombuffer(self._hash(index), np.uint8),
            probability=np.asarray(self._settings.probability),
        )


class KeptMaps:
    """A plane's maps, read from the blocks that are finished.

    Parameters
    ----------
    plan : BlockPlan
        Of the image.
    files : BlockFiles
        The blocks.
    plane : int
        Which one.
    others : MapSource, optional
        Gives the maps of blocks that are not finished; without it, they are empty.
    """

    def __init__(
        self,
        plan: BlockPlan,
        files: BlockFiles,
        plane: int,
        others: MapSource | None = None,
    ) -> None:
        self.shape = plan.plane_shape
        self._files, self._others = files, others
        self._windows = plan.windows
        self._first = plane * len(self._windows)
        self._maps = functools.lru_cache(_MAPS_KEPT)(self._read_file)
        self._read = reader_of_blocks(self._part, plan.block, self.shape)

    def read(self, window: Window) -> np.ndarray:
        """Return ``(y, x, maps)`` uint8."""
        return self._read(window)

    def _read_file(self, block: int) -> np.ndarray:
        (maps,) = self._files.read(self._first + block, "maps")
        return maps

    def _part(self, block: int, part: Window) -> np.ndarray:
        if self._files.finished(self._first + block):
            return self._maps(block)[within(part, self._windows[block])]
        if self._others is not None:
            return self._others.read(part)
        y, x = part
        return np.zeros((y.stop - y.start, x.stop - x.start, len(MAPS)), np.uint8)
