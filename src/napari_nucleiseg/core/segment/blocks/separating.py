"""From maps to labels: the order of the steps, for labels that are kept in memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing

import numpy as np

from napari_nucleiseg.core.params import InstanceSettings
from napari_nucleiseg.core.segment.blocks.basins import Basins, find_basins
from napari_nucleiseg.core.segment.blocks.grid import (
    MapSource,
    Window,
    plan_blocks,
    within,
)
from napari_nucleiseg.core.segment.blocks.joining import join_basins
from napari_nucleiseg.core.segment.blocks.settling import settle, widest_hole
from napari_nucleiseg.core.segment.blocks.threads import MOST_THREADS, in_threads
from napari_nucleiseg.core.segment.figures import NucleusFigures

#: Side of a block where maps and labels are in memory, pixels: what is needed for one
#: takes less memory then, and no more time.
SMALL_BLOCK = 512


class Flooded:
    """The basins of an image, as they were found last."""

    def __init__(self) -> None:
        self._last: tuple[float, list[Basins]] | None = None

    def by(self, probability: float) -> list[Basins] | None:
        """Return the basins by a probability, if they were found by that one."""
        last = self._last
        return last[1] if last is not None and last[0] == probability else None

    def note(self, probability: float, basins: list[Basins]) -> None:
        """Keep basins, and forget the former."""
        self._last = probability, basins

    @property
    def nbytes(self) -> int:
        """Approximate memory use, bytes."""
        last = self._last
        return 0 if last is None else sum(each.labels.nbytes for each in last[1])


def separate(
    maps: MapSource,
    settings: InstanceSettings,
    *,
    scale: float = 1.0,
    block: int = SMALL_BLOCK,
    on_block: Callable[[int, int], None] = lambda done, total: None,
    flooded: Flooded | None = None,
) -> tuple[np.ndarray, NucleusFigures]:
    """Separate the nuclei on an image's maps.

    The result does not depend on the size of the blocks.

    Parameters
    ----------
    maps : MapSource
        The image's.
    settings : InstanceSettings
        Thresholds; without a least area all nuclei are kept. The least confidence is
        not looked at.
    scale : float
        Size of what the network saw over that of the maps.
    block : int
        Side of a block, pixels.
    on_block : callable
        Called with the number of steps done and of all; may raise, to stop.
    flooded : Flooded, optional
        What was found before, and will be the next time: of all settings, only the
        probability asks for more than another look at it.

    Returns
    -------
    labels : numpy.ndarray
        ``(y, x)`` int32, 1..n in the order of their first pixels.
    figures : NucleusFigures
        What is known of each.
    """
    shape = (maps.shape[0], maps.shape[1])
    blocks = plan_blocks(shape, block)
    total = 2 * len(blocks)
    threads = min(MOST_THREADS, os.cpu_count() or 1, len(blocks))
    found = None if flooded is None else flooded.by(settings.probability)
    if found is None:
        found = []
        on_block(0, total)

        def find(window: Window) -> Basins:
            return find_basins(maps, window, settings, scale=scale)

        with closing(in_threads(find, blocks, threads)) as basins:
            for done, each in enumerate(basins, 1):
                found.append(each)
                on_block(done, total)
        if flooded is not None:
            flooded.note(settings.probability, found)
    nuclei = join_basins(found, settings.separation, settings.min_area or 0)
    labels = np.zeros(shape, np.int32)
    for each in found:
        labels[each.window] = nuclei.table(each.ids)[each.labels]
    del found
    figures = NucleusFigures.none(nuclei.count)

    def fill(window: Window) -> tuple[Window, np.ndarray, Window]:
        # A hole that one block has filled in part is a hole to the next one still.
        settled, frame = settle(labels.__getitem__, window, shape, widest_hole(scale))
        inside = within(window, frame)
        labels[window] = settled[inside]
        return window, settled, inside

    with closing(in_threads(fill, blocks, threads)) as filled:
        for done, (window, settled, inside) in enumerate(filled, len(blocks) + 1):
            figures.add(settled, maps.read(window), inside)
            on_block(done, total)
    return labels, figures
