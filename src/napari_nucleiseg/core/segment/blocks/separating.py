"""From maps to labels: the order of the steps, for labels that are kept in memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_nucleiseg.core.params import InstanceSettings
from napari_nucleiseg.core.segment.blocks.basins import find_basins
from napari_nucleiseg.core.segment.blocks.grid import (
    BLOCK,
    MapSource,
    plan_blocks,
    within,
)
from napari_nucleiseg.core.segment.blocks.joining import join_basins
from napari_nucleiseg.core.segment.blocks.settling import settle, widest_hole
from napari_nucleiseg.core.segment.figures import NucleusFigures


def separate(
    maps: MapSource,
    settings: InstanceSettings,
    *,
    scale: float = 1.0,
    block: int = BLOCK,
    on_block: Callable[[int, int], None] = lambda done, total: None,
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
    found = []
    for done, window in enumerate(blocks):
        on_block(done, total)
        found.append(find_basins(maps, window, settings, scale=scale))
    nuclei = join_basins(found, settings.separation, settings.min_area or 0)
    labels = np.zeros(shape, np.int32)
    for each in found:
        labels[each.window] = nuclei.table(each.ids)[each.labels]
    del found
    figures = NucleusFigures.none(nuclei.count)
    for done, window in enumerate(blocks, start=len(blocks)):
        on_block(done, total)
        # A hole that one block has filled in part is a hole to the next one still.
        settled, frame = settle(labels.__getitem__, window, shape, widest_hole(scale))
        labels[window] = settled[within(window, frame)]
        figures.add(settled, maps.read(window), within(window, frame))
    return labels, figures
