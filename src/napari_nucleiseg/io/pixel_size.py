"""The size of a pixel, as a file says it."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.io.images import TIFF_SUFFIXES

if TYPE_CHECKING:
    import tifffile

#: µm in a unit, as OME and ImageJ write it.
_MICROMETRES = {
    "": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "\\u00B5m": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
}


def read_pixel_size(path: Path) -> tuple[float, float] | None:
    """Return how large a pixel of a TIFF file is along y and x, µm.

    Parameters
    ----------
    path : pathlib.Path
        The file; its OME or ImageJ metadata are read. A resolution in inches or
        centimetres alone is for printers, and no size.

    Returns
    -------
    (float, float) or None
        None if the file does not say, or cannot be read.
    """
    import tifffile

    if path.suffix.lower() not in TIFF_SUFFIXES:
        return None
    try:
        with tifffile.TiffFile(path) as tiff:
            sizes = _of_ome(tiff) if tiff.is_ome else _of_imagej(tiff)
    except Exception:  # noqa: BLE001  a damaged file says nothing of its pixels
        return None
    if sizes is None or not all(math.isfinite(s) and s > 0 for s in sizes):
        return None
    return sizes


def _of_ome(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    root = ElementTree.fromstring(tiff.ome_metadata or "")
    pixels: Any = root.find(".//{*}Pixels")
    sizes = []
    for axis in "YX":
        unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
        sizes.append(float(pixels.get(f"PhysicalSize{axis}")) * _MICROMETRES[unit])
    return sizes[0], sizes[1]


def _of_imagej(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    unit = (tiff.imagej_metadata or {}).get("unit", "")
    if not unit or unit not in _MICROMETRES:
        return None
    tags = tiff.pages[0].tags
    counts: Iterable[Any] = (tags[f"{axis}Resolution"].value for axis in "YX")
    y, x = (below / above * _MICROMETRES[unit] for above, below in counts)
    return y, x
