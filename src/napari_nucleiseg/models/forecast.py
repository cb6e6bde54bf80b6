"""How long an image will take, and how much memory, from one window that is timed."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.blocks.grid import BLOCK, ArrayMaps
from napari_nucleiseg.core.segment.blocks.separating import separate
from napari_nucleiseg.core.segment.image import sample_plane
from napari_nucleiseg.core.segment.lazy import LazyPlanes
from napari_nucleiseg.core.segment.planes import read_as
from napari_nucleiseg.core.segment.predictor import NetworkSpec, Predictor
from napari_nucleiseg.core.segment.region import Region
from napari_nucleiseg.core.segment.runner import FLIPS, Runner, scaled_shape
from napari_nucleiseg.core.segment.size import SPREAD, WINDOW
from napari_nucleiseg.core.segment.tiling import plan_tiles
from napari_nucleiseg.io.lazy_images import LazyImage

#: Side of the window that is timed, pixels.
SIDE = 704

#: Memory in one piece, MB for each megapixel, and by blocks, MB whatever the size
#: (docs/scale.md).
_PIECE, _BLOCKS = 92.0, 1000.0

#: How long writing and joining take, as multiples of separating the nuclei.
_JOIN, _WRITE, _LEVELS = 0.25, 0.25, 0.1


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


class _Timed:
    """A predictor that notes how long each pixel takes it."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.spec: NetworkSpec = predictor.spec
        self._shape: tuple[int, ...] = ()
        self.seconds, self.pixels = 0.0, 0

    def predict(self, tiles: np.ndarray) -> np.ndarray:
        if tiles.shape != self._shape:  # the first of a size is slow
            self._predictor.predict(tiles)
            self._shape = tiles.shape
        start = time.perf_counter()
        maps = self._predictor.predict(tiles)
        self.seconds += time.perf_counter() - start
        self.pixels += math.prod(tiles.shape[:3])
        return maps


def forecast(
    image: LazyImage,
    predictor: Predictor,
    *,
    params: SegmentParams,
    axes: str,
    channel: int | None,
    region: Region | None = None,
    by_block: bool,
    monitor: Monitor,
) -> Forecast:
    """Time the middle of an image, and say what all of it will take.

    Parameters
    ----------
    image : LazyImage
        See `io.lazy_images`.
    predictor : Predictor
        The network.
    params, axes, channel, region, monitor
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
    contrast = min(count, 3) * _time(lambda: sample_plane(middle))
    y, x = (
        slice(max(0, (side - SIDE) // 2), min(side, (side + SIDE) // 2))
        for side in (height, width)
    )
    start = time.perf_counter()
    part = middle[y, x][None]
    reading = (time.perf_counter() - start) / part[0, ..., 0].size
    timed = _Timed(predictor)
    runner = Runner(timed, monitor, part, flips=False)
    scale, _, _ = runner.choose_scale(params.diameter)
    maps = runner.run_plane(0, scale).maps
    if not timed.pixels:
        runner = Runner(timed, monitor, part, flips=False)
        runner.run_plane(0, scale)
    settings = predictor.spec.settings
    for _ in range(2):  # the first time more is imported
        start = time.perf_counter()
        separate(ArrayMaps(maps), settings.replace(min_area=0), scale=scale)
        separating = (time.perf_counter() - start) / part[0, ..., 0].size
    network = timed.seconds / timed.pixels
    spec = predictor.spec
    tiles = plan_tiles(
        scaled_shape((height, width), scale),
        largest=spec.tile,
        multiple=spec.multiple,
    ).tiles
    seen = sum(tile.height * tile.width for tile in tiles)
    pixels = height * width
    share = count if region is None else _share(region, planes.shape, by_block)
    look = 0.0
    if params.diameter is None:
        look = min(count, 3) * min(seen, (SPREAD * WINDOW) ** 2) * network
    find = share * (
        seen * network * (len(FLIPS) if params.accurate else 1) + pixels * reading
    )
    stages = {"Measuring nuclei": contrast + look, "Finding nuclei": find}
    flood = share * pixels * separating
    if not by_block:
        stages["Separating nuclei"] = flood
        return Forecast(stages, _PIECE * count * pixels / 1e6)
    stages["Finding nuclei"] += flood
    stages["Joining blocks"] = _JOIN * flood
    stages["Writing labels"] = _WRITE * flood
    stages["Making smaller levels"] = _LEVELS * flood
    return Forecast(stages, _BLOCKS)


def _time(work: object) -> float:
    start = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - start


def _share(region: Region, shape: tuple[int, ...], by_block: bool) -> float:
    """Return how many planes' worth of pixels a region has."""
    margin = BLOCK // 2 if by_block else 0
    total = 0.0
    for plane in range(shape[0]):
        boxes = region.boxes(plane, (shape[1], shape[2]), margin)
        area = sum((y.stop - y.start) * (x.stop - x.start) for y, x in boxes)
        total += min(1.0, area / (shape[1] * shape[2]))
    return total
