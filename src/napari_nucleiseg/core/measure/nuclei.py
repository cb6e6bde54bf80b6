"""`measure()` of the Python API: a table with a row for each nucleus."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleiseg.core.measure.channels import split_channels
from napari_nucleiseg.core.measure.plane import measure_plane
from napari_nucleiseg.core.measure.units import Unit
from napari_nucleiseg.core.monitor import (
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
)
from napari_nucleiseg.core.params import MeasureParams

if TYPE_CHECKING:
    import pandas as pd

#: Columns that say which nucleus a row is of, and where; they are no measurements.
PLACES = ("image", "condition", "region", "label")


def measure(
    labels: Any,
    images: np.ndarray | Mapping[str, Any] | None = None,
    *,
    axes: str | None = None,
    scale: float | Sequence[float] | None = None,
    confidence: Mapping[int, float] | np.ndarray | None = None,
    regions: np.ndarray | None = None,
    region_names: Mapping[int, str] | None = None,
    monitor: Monitor | None = None,
    **params: Any,
) -> pd.DataFrame:
    """Measure each nucleus, plane by plane.

    Shapes are measured by scikit-image's `regionprops`, whose definitions hold: areas
    by counting pixels, eccentricity and orientation of the ellipse with the same
    second moments, the perimeter along the centres of the border pixels. The form
    factor is 4π area / perimeter² (1 for a circle).

    Parameters
    ----------
    labels : numpy.ndarray
        ``(…, y, x)`` integers, 0 for the background; of a lazy array each plane is
        read when its turn comes. A number that occurs in several planes is a nucleus
        in each of them.
    images : numpy.ndarray or mapping of str to numpy.ndarray, optional
        What intensities are measured in: an image, with a channel axis or without, or
        several by name. Each must have the labels' planes.
    axes : str, optional
        A letter for each axis of the images, such as ``"TCYX"``; guessed if not
        given. Axes of planes give the table's first columns their names.
    scale : float or (float, float), optional
        Size of a pixel (along y and x), µm. Without it the unit is the pixel.
    confidence : mapping or numpy.ndarray, optional
        By label, or ``(n,)`` for the labels 1 to n.
    regions : numpy.ndarray, optional
        ``(y, x)`` or as the labels: integers, 0 outside every region. A nucleus
        belongs to the region in which its centre lies.
    region_names : mapping of int to str, optional
        The regions' names; their numbers if not given.
    monitor : Monitor, optional
        Told of progress, and asked whether to stop.
    **params
        Any field of `core.params.MeasureParams`.

    Returns
    -------
    pandas.DataFrame
        A row for each nucleus in each plane. Units are in the columns' names:
        ``area_um2``, ``perimeter_um``, ``orientation_rad``, or ``area_px2`` and so on
        without a scale. Intensities are named by channel, such as ``mean_DAPI``, those
        round the nucleus ``ring_mean_DAPI`` or ``cell_mean_DAPI``. Where pixels are
        not square there is no perimeter and no form factor.

    Raises
    ------
    Cancelled
        If the monitor asked to stop.
    TypeError, ValueError
        If the labels are no integers, an image does not fit them, or a parameter is
        outside its limits.

    Examples
    --------
    >>> from napari_nucleiseg import measure
    >>> from napari_nucleiseg.io.sample_data import load_sample
    >>> sample = load_sample("small")
    >>> table = measure(sample.labels, {"DNA": sample.image}, scale=0.5)
    >>> list(table.columns[:5])
    ['label', 'centroid_y_um', 'centroid_x_um', 'area_um2', 'equivalent_diameter_um']
    """
    import pandas as pd

    how = MeasureParams(**params)
    shape = tuple(labels.shape)
    if np.dtype(labels.dtype).kind not in "iu":
        raise TypeError(f"Labels must be integers; received {labels.dtype} values.")
    if len(shape) < 2:
        raise ValueError(f"Labels need two axes or more; received the shape {shape}.")
    if images is None:
        images = {}
    elif not isinstance(images, Mapping):
        images = {"": images}
    channels: dict[str, Any] = {}
    for name, image in images.items():
        channels |= split_channels(image, shape, axes=axes, name=name)
    if regions is not None:
        regions = np.broadcast_to(regions, shape)
    by_label = None if confidence is None else _by_label(confidence)
    unit = Unit(scale)
    names = plane_names(len(shape) - 2, axes)
    monitor = monitor or SilentMonitor()
    tables = []
    planes = list(np.ndindex(*shape[:-2]))
    for done, index in enumerate(planes):
        part = _Part(monitor, done, len(planes))
        some = {name: np.asarray(channel[index]) for name, channel in channels.items()}
        columns = measure_plane(np.asarray(labels[index]), some, unit, how, part.report)
        if regions is not None:
            columns |= _region_of(columns, regions[index], region_names, unit)
        where = dict(zip(names, index, strict=True))
        if by_label is not None:
            columns["confidence"] = np.array(
                [by_label.get(int(n), math.nan) for n in columns["label"]], float
            )
        tables.append(pd.DataFrame({**where, **columns}))
    table = pd.concat(tables, ignore_index=True)
    places = [name for name in (*names, *PLACES) if name in table]
    return table[[*places, *(name for name in table if name not in places)]]


def plane_names(count: int, axes: str | None = None) -> list[str]:
    """Return the names of the columns that say in which plane a nucleus lies."""
    letters = [letter for letter in (axes or "").upper() if letter not in "CSYX"]
    if len(letters) == count and len(set(letters)) == count:
        return letters
    return [f"axis_{i}" for i in range(count)]


def _by_label(confidence: Mapping[int, float] | np.ndarray) -> Mapping[int, float]:
    if isinstance(confidence, Mapping):
        return confidence
    return dict(enumerate(np.asarray(confidence, float).tolist(), start=1))


def _region_of(
    columns: Mapping[str, np.ndarray],
    regions: np.ndarray,
    names: Mapping[int, str] | None,
    unit: Unit,
) -> dict[str, np.ndarray]:
    """Return the region that each centre lies in; an empty word outside of all."""
    at = [
        np.rint(columns[f"centroid_{axis}_{unit.name}"] / size).astype(int)
        for axis, size in zip("yx", unit.spacing, strict=True)
    ]
    numbers = np.asarray(regions)[at[0], at[1]].astype(int).tolist()
    names = names or {}
    words = [names.get(n, str(n)) if n else "" for n in numbers]
    return {"region": np.array(words, dtype=object)}


class _Part:
    """Passes on what share of a plane is done, and stops if that is asked for."""

    def __init__(self, monitor: Monitor, done: int, total: int) -> None:
        self._monitor, self._done, self._total = monitor, done, total

    def report(self, share: float) -> None:
        """Report that, and raise `Cancelled` if asked to stop."""
        check_cancelled(self._monitor)
        # Planes may hold few nuclei, or all of them.
        done = self._done * 1000 + round(1000 * share)
        self._monitor.report(Progress("Measuring nuclei", done, self._total * 1000))
