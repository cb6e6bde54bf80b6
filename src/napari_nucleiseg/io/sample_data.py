"""Real images that come with the package, with their true nuclei.

All are from the `test` split of the 2018 Data Science Bowl (see NOTICES.md): none was
trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

_FOLDER = Path(__file__).parents[1] / "samples"

#: Name, and what it shows.
SAMPLES = {
    "crowded": "Crowded nuclei (fluorescence)",
    "small": "Small nuclei (fluorescence)",
    "large": "Large nuclei (fluorescence)",
    "tissue": "Stained tissue (colour)",
    "smear": "Dark nuclei on bright (brightfield)",
    "fields": "Four fields of view (fluorescence stack)",
}


_AXIS_LABELS = {"P": "position", "Y": "y", "X": "x"}


@dataclass(frozen=True)
class Sample:
    """A packaged image.

    Parameters
    ----------
    name, title : str
        Short name, and what it shows.
    image : numpy.ndarray
        ``(y, x)``, ``(plane, y, x)`` or RGB ``(y, x, 3)``, uint8.
    labels : numpy.ndarray
        The true nuclei, ``(y, x)`` or ``(plane, y, x)``, int32; each plane counts
        from 1.
    axes : str
        The image's, a letter for each: ``"YX"``, ``"YXS"`` (colour) or ``"PYX"``.
    """

    name: str
    title: str
    image: np.ndarray
    labels: np.ndarray
    axes: str

    @property
    def path(self) -> Path:
        """The image's file."""
        return _FOLDER / f"{self.name}.tif"


def load_sample(name: str) -> Sample:
    """Load a packaged image with its true labels.

    Parameters
    ----------
    name : str
        One of `SAMPLES`.

    Returns
    -------
    Sample

    Raises
    ------
    ValueError
        If there is no such sample.
    """
    if name not in SAMPLES:
        raise ValueError(
            f"There is no sample named {name!r}; there are {', '.join(SAMPLES)}."
        )
    image = tifffile.imread(_FOLDER / f"{name}.tif")
    labels = tifffile.imread(_FOLDER / f"{name}_labels.tif").astype(np.int32)
    axes = "P" * (labels.ndim - 2) + "YX" + "S" * (image.ndim - labels.ndim)
    return Sample(name, SAMPLES[name], image, labels, axes)


def _layer(name: str) -> list[tuple[np.ndarray, dict[str, Any], str]]:
    sample = load_sample(name)
    rgb = "S" in sample.axes
    labels = tuple(_AXIS_LABELS[letter] for letter in sample.axes.removesuffix("S"))
    settings = {"name": sample.title, "rgb": rgb, "axis_labels": labels}
    return [(sample.image, settings, "image")]


#: For napari's menu: each returns layer data.
crowded = partial(_layer, "crowded")
small = partial(_layer, "small")
large = partial(_layer, "large")
tissue = partial(_layer, "tissue")
smear = partial(_layer, "smear")
fields = partial(_layer, "fields")
