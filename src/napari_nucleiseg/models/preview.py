"""What other thresholds would make of a part of a large image, from kept blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_nucleiseg.core.params import InstanceSettings
from napari_nucleiseg.core.segment.blocks.grid import ArrayMaps, widen
from napari_nucleiseg.core.segment.blocks.separating import Flooded, separate
from napari_nucleiseg.core.segment.blocks.settling import widest_hole
from napari_nucleiseg.core.segment.confidence import (
    Calibration,
    Judge,
    label_confidence,
)
from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.core.segment.result import number_kept
from napari_nucleiseg.io.block_files import BlockFiles
from napari_nucleiseg.models.block_plan import BlockPlan
from napari_nucleiseg.models.by_block import KeptMaps

#: A longer side of a part is cut to this, around its middle, pixels: as much as
#: answers while a slider moves.
LONGEST = 512


class Preview:
    """Answers for one part of one plane, which it keeps the maps of.

    Parameters
    ----------
    output : pathlib.Path
        The OME-Zarr whose blocks were kept; see `finishing.finish`.
    plan : BlockPlan
        What they have in common.
    plane : int
        Which plane.
    window : tuple of slice
        What is in view of it.
    """

    def __init__(
        self, output: Path, plan: BlockPlan, plane: int, window: Window
    ) -> None:
        self.plane, self.asked, self.window = plane, window, _middle(window)
        self._plan = plan
        # Nuclei at its edge are to be whole.
        self.outer = widen(self.window, plan.plane_shape, widest_hole(plan.scale))
        self._maps = KeptMaps(plan, BlockFiles(output), plane).read(self.outer)
        self._flooded = Flooded()

    def labels(self, settings: InstanceSettings) -> np.ndarray:
        """Return what other thresholds make of the window, ``(y, x)`` int32.

        That is of the size of `outer`, so that nuclei are whole, but only nuclei that
        have their centroids in the window are there.
        """
        found, figures = separate(
            ArrayMaps(self._maps),
            settings,
            scale=self._plan.scale,
            flooded=self._flooded,
        )
        judge: Judge = label_confidence
        if self._plan.calibration is not None:
            judge = Calibration(**self._plan.calibration)
        y, x = _centroids(found)
        outside = ~self.covers(y + self.outer[0].start, x + self.outer[1].start)
        return number_kept(judge(figures), settings, outside=outside)[found]

    def covers(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Return which of these places of the plane lie in the window, bool."""
        rows, columns = self.window
        return (
            (y >= rows.start)
            & (y < rows.stop)
            & (x >= columns.start)
            & (x < columns.stop)
        )


def _middle(window: Window) -> Window:
    y, x = (
        slice(
            max(part.start, (part.start + part.stop - LONGEST) // 2),
            min(part.stop, (part.start + part.stop + LONGEST) // 2),
        )
        for part in window
    )
    return y, x


def _centroids(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the centroids of labels 1..n, ``(n,)`` each."""
    at = np.flatnonzero(labels)
    number = labels.ravel()[at]
    areas = np.maximum(np.bincount(number)[1:], 1)
    y, x = (
        np.bincount(number, places)[1:] / areas
        for places in np.divmod(at, labels.shape[1])
    )
    return y, x
