"""How long an image will take, and how much memory, from one window that is timed."""

from __future__ import annotations

import io
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_nucleiseg.core.monitor import Monitor, check_cancelled
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.blocks.basins import MARGIN, find_basins
from napari_nucleiseg.core.segment.blocks.grid import BLOCK, ArrayMaps
from napari_nucleiseg.core.segment.blocks.separating import separate
from napari_nucleiseg.core.segment.blocks.settling import widest_hole
from napari_nucleiseg.core.segment.blocks.threads import MOST_THREADS
from napari_nucleiseg.core.segment.image import (
    LARGE,
    Resizing,
    Window,
    match_channels,
    sample_plane,
)
from napari_nucleiseg.core.segment.lazy import LazyPlanes
from napari_nucleiseg.core.segment.planes import read_as
from napari_nucleiseg.core.segment.predictor import Predictor
from napari_nucleiseg.core.segment.region import Region
from napari_nucleiseg.core.segment.runner import FLIPS, Runner, scaled_shape
from napari_nucleiseg.core.segment.size import SPREAD, WINDOW
from napari_nucleiseg.core.segment.tiling import plan_tiles
from napari_nucleiseg.io.lazy_images import LazyImage

#: Side of the window that is timed, pixels.
SIDE = 704

#: Memory in one piece, MB for each megapixel (docs/scale.md).
_PIECE = 31.0

#: Memory by blocks besides what the network takes, MB: in any case, for each megapixel
#: up to the limit of what is kept of the surroundings, and for each one of them all.
_BASE, _KEPT, _KEPT_UP_TO, _TABLES = 250.0, 5.0, 100.0, 0.2

#: How long writing and joining take, as multiples of separating the nuclei.
_JOIN, _WRITE, _LEVELS = 0.45, 0.3, 0.15

#: Seconds from the last level until the labels are there.
_END = 1.0

#: In one piece, how long separating and measuring nuclei take, likewise.
_TABLE = 2.0

#: What a region without blocks covers is counted in squares of this side, pixels.
_CELL = 64

#: What is timed is timed so often, and the shortest time counts.
_TIMES = 3


@dataclass(frozen=True)
class Forecast:
    """What segmenting an image will take.

    Parameters
    ----------
    stages : dict of str to float
        Seconds that each stage takes, by its name, in their order.
    megabytes : float
        Memory besides what is taken already.
    """

    stages: dict[str, float]
    megabytes: float

    @property
    def seconds(self) -> float:
        """How long all of it takes."""
        return sum(self.stages.values())


@dataclass(frozen=True)
class Pace:
    """How fast an image is segmented, as far as a window of it tells.

    Parameters
    ----------
    shape : tuple of int
        Planes, rows and columns.
    scale : float
        Size of what the network sees over the image's own.
    tiles : tuple of tuple of slice
        What the network sees of each plane at once, in the image's own pixels.
    measuring : float
        Seconds until contrast and size of the nuclei are known.
    finding : float
        Seconds for each tile.
    reading, separating : float
        Seconds for each pixel; the former also for what tiles take besides the network.
    block : float
        Seconds for each pixel that its block takes besides.
    by_block : bool
        Whether it is segmented by blocks, into a file.
    """

    shape: tuple[int, int, int]
    scale: float
    tiles: tuple[Window, ...]
    measuring: float
    finding: float
    reading: float
    separating: float
    block: float
    by_block: bool

    def forecast(self, region: Region | None = None, done: float = 0.0) -> Forecast:
        """Say what all of the image, or a region of it, will take.

        Parameters
        ----------
        region : Region, optional
            Where nuclei are looked for.
        done : float
            The share of the blocks, 0-1, that are there from a run before.
        """
        planes, height, width = self.shape
        pixels, tiles = planes * height * width, planes * len(self.tiles)
        if region is not None:
            asked = [self._asked(plane, region) for plane in range(planes)]
            pixels, tiles = (sum(counts) for counts in zip(*asked, strict=True))
        flood = pixels * self.separating
        find = tiles * self.finding + pixels * self.reading
        if not self.by_block:
            # Without blocks, maps and labels are as large as the image in any case.
            whole = planes * height * width
            return Forecast(
                {
                    "Measuring nuclei": self.measuring,
                    "Finding nuclei": find,
                    "Separating nuclei": _TABLE * whole * self.separating,
                },
                _PIECE * whole / 1e6,
            )
        return Forecast(
            {
                # The plan of a run before says what is measured.
                "Measuring nuclei": 0.0 if done else self.measuring,
                "Finding nuclei": (1 - done) * (find + pixels * self.block),
                "Joining blocks": _JOIN * flood,
                "Writing labels": _WRITE * flood,
                "Making smaller levels": _LEVELS * flood + _END,
            },
            _BASE + _KEPT * min(pixels / 1e6, _KEPT_UP_TO) + _TABLES * pixels / 1e6,
        )

    def _asked(self, plane: int, region: Region) -> tuple[int, int]:
        """Return how many pixels and tiles of a plane are looked at for a region."""
        shape, hole = self.shape[1:], widest_hole(self.scale)
        # Blocks are done whole.
        cell, margin = (BLOCK, hole) if self.by_block else (_CELL, 2 * hole)
        here = np.zeros([-(-side // cell) for side in shape], bool)
        for y, x in region.boxes(plane, shape, margin):
            rows, columns = (
                slice(part.start // cell, -(-part.stop // cell)) for part in (y, x)
            )
            here[rows, columns] = True
        high, wide = (
            np.minimum(cell, side - cell * np.arange(count))
            for side, count in zip(shape, here.shape, strict=True)
        )
        # How many cells there are above and to the left: so those of a tile are known.
        before = np.pad(here, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
        y0, y1, x0, x1 = np.array(
            [(y.start, y.stop, x.start, x.stop) for y, x in self.tiles]
        ).T
        around = round(MARGIN / min(self.scale, 1.0)) if self.by_block else 0
        y0, x0 = (np.maximum(low - around, 0) // cell for low in (y0, x0))
        y1, x1 = (
            np.minimum(-(-(end + around) // cell), count)
            for end, count in zip((y1, x1), here.shape, strict=True)
        )
        seen = before[y1, x1] - before[y0, x1] - before[y1, x0] + before[y0, x0]
        return int(high @ here @ wide), int((seen > 0).sum())


def time_window(
    image: LazyImage,
    predictor: Predictor,
    *,
    params: SegmentParams,
    axes: str,
    channel: int | None,
    by_block: bool,
    monitor: Monitor,
) -> Pace:
    """Segment the middle of an image, and say how fast that goes.

    Parameters
    ----------
    image : LazyImage
        See `io.lazy_images`.
    predictor : Predictor
        The network.
    params, axes, channel, monitor
        See `segment`.
    by_block : bool
        Whether it will be segmented by blocks, into a file.

    Raises
    ------
    Cancelled
        If the monitor asked for it.
    TypeError, ValueError
        If it cannot be an image.
    """
    planes = LazyPlanes(image.data, read_as(image.data.shape, axes, channel))
    count, height, width, _ = planes.shape
    middle = planes[count // 2]
    contrast = min(count, 3) * _time(lambda: sample_plane(middle), 1)
    y, x = (
        slice(max(0, (side - SIDE) // 2), min(side, (side + SIDE) // 2))
        for side in (height, width)
    )
    part = middle[y, x][None]
    reading = _time(lambda: middle[y, x]) / part[0, ..., 0].size
    runner = Runner(predictor, monitor, part, flips=False)
    scale, _, _ = runner.choose_scale(params.diameter)
    maps = ArrayMaps(runner.run_plane(0, scale).maps)
    spec, settings = predictor.spec, predictor.spec.settings.replace(min_area=0)
    seen = scaled_shape((height, width), scale)
    tiles = plan_tiles(seen, largest=spec.tile, multiple=spec.multiple).tiles
    # Of the size that it will be, for which the network is to be prepared first.
    tile = np.resize(
        match_channels(part[0].astype(np.float32), spec.channels),
        (1, tiles[0].height, tiles[0].width, spec.channels),
    )
    tile /= max(float(tile.max()), 1.0)

    def run_tile() -> None:
        predictor.predict(tile)

    run_tile()
    check_cancelled(monitor)
    network = _time(run_tile)
    pixels = math.prod(part.shape[1:3])
    # What each tile takes besides: it is resized, and its maps are put together.
    pieces = plan_tiles(
        scaled_shape(part.shape[1:3], scale), largest=spec.tile, multiple=spec.multiple
    ).tiles
    area = sum(piece.height * piece.width for piece in pieces)
    alone = network * area / (tiles[0].height * tiles[0].width)
    around = _time(lambda: runner.run_plane(0, scale), 2) - alone
    putting = max(0.0, around) / pixels
    separating = _time(lambda: separate(maps, settings, scale=scale)) / pixels
    check_cancelled(monitor)
    block = 0.0
    if by_block:
        wide = BLOCK + 2 * round(MARGIN / min(scale, 1.0))

        def do_block() -> None:
            window = slice(0, maps.shape[0]), slice(0, maps.shape[1])
            found = find_basins(maps, window, settings, scale=scale)
            np.savez_compressed(
                io.BytesIO(), labels=found.labels, maps=maps.read(window)
            )

        block = _time(do_block) / pixels * (wide / BLOCK) ** 2
        # Where there are cores for several blocks, half of them wait for the network.
        block /= max(1.0, min(MOST_THREADS, os.cpu_count() or 1) / 2)
    look = 0.0
    if params.diameter is None:
        share = min(len(tiles), (SPREAD * WINDOW) ** 2 / math.prod(tile.shape[1:3]))
        look = min(count, 3) * share * network
    ways = len(FLIPS) if params.accurate else 1
    resizing = Resizing((height, width), seen)
    looking = reading * min(count * height * width, LARGE) if by_block else 0.0
    return Pace(
        shape=(count, height, width),
        scale=scale,
        tiles=tuple(resizing.needs(_cut(tile.window, seen)) for tile in tiles),
        measuring=contrast + looking + look,
        finding=ways * network,
        reading=reading + putting,
        separating=separating,
        block=block,
        by_block=by_block,
    )


def _cut(window: Window, shape: tuple[int, int]) -> Window:
    """Return what of a window lies in an image ``(y, x)``."""
    y, x = (
        slice(side.start, min(side.stop, end))
        for side, end in zip(window, shape, strict=True)
    )
    return y, x


def _time(work: Callable[[], object], times: int = _TIMES) -> float:
    """Return how long something takes, seconds: the shortest of several times."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)
