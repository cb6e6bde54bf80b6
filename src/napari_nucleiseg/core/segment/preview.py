"""What other thresholds would make of a part of a plane, from its maps."""

from __future__ import annotations

import numpy as np

from napari_nucleiseg.core.params import InstanceSettings
from napari_nucleiseg.core.segment.blocks.grid import ArrayMaps, MapSource, widen
from napari_nucleiseg.core.segment.blocks.separating import Flooded, separate
from napari_nucleiseg.core.segment.blocks.settling import widest_hole
from napari_nucleiseg.core.segment.confidence import Judge
from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.core.segment.result import number_kept

#: A longer side of a part is cut to this, around its middle, pixels: as much as
#: answers while a slider moves.
LONGEST = 512


class Preview:
    """Answers for one part of one plane, which it keeps the maps of.

    Parameters
    ----------
    maps : MapSource
        The plane's.
    plane : int
        Its number.
    window : tuple of slice
        The part; of one that is too large, the middle is taken.
    scale : float
        Size of what the network saw over the plane's own.
    judge : callable
        Makes confidences.

    Attributes
    ----------
    asked, window, outer : tuple of slice
        The part as it was asked for, as it was taken, and with what is around it.
    """

    def __init__(
        self,
        maps: MapSource,
        plane: int,
        window: Window,
        *,
        scale: float,
        judge: Judge,
    ) -> None:
        self.plane, self.asked, self.window = plane, window, _middle(window)
        self._scale, self._judge = scale, judge
        # Nuclei at its edge are to be whole.
        self.outer = widen(self.window, maps.shape, widest_hole(scale))
        self._maps = maps.read(self.outer)
        self._flooded = Flooded()

    def labels(self, settings: InstanceSettings) -> np.ndarray:
        """Return what other thresholds make of the window, ``(y, x)`` int32.

        That is of the size of `outer`, so that nuclei are whole, but only nuclei that
        have their centroids in the window are there.
        """
        found, figures = separate(
            ArrayMaps(self._maps),
            settings,
            scale=self._scale,
            flooded=self._flooded,
        )
        y, x = _centroids(found)
        outside = ~self.covers(y + self.outer[0].start, x + self.outer[1].start)
        return number_kept(self._judge(figures), settings, outside=outside)[found]

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
