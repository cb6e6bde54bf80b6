"""`measure()` of the Python API: a table with a row for each nucleus."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleiseg.core.measure.channels import split_channels
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

#: Without a radius given, neighbours are counted within so many typical diameters.
DIAMETERS_AROUND = 5.0

#: Progress is reported, and cancelling heeded, after so many nuclei.
_BLOCK = 200


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
    unit = _Unit(scale)
    names = plane_names(len(shape) - 2, axes)
    monitor = monitor or SilentMonitor()
    tables = []
    planes = list(np.ndindex(*shape[:-2]))
    for done, index in enumerate(planes):
        plane = _Plane(
            np.asarray(labels[index]),
            {name: np.asarray(channel[index]) for name, channel in channels.items()},
            unit,
            how,
        )
        columns = plane.measure(monitor, done, len(planes))
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


def area_mm2(shape: Sequence[int], scale: float | Sequence[float]) -> float:
    """Return the area of all planes together, mm².

    Parameters
    ----------
    shape : sequence of int
        ``(…, y, x)`` of the labels.
    scale : float or (float, float)
        Size of a pixel, µm.
    """
    y, x = _Unit(scale).spacing
    return math.prod(shape) * y * x / 1e6


class _Unit:
    """Size of a pixel, and what lengths are in."""

    def __init__(self, scale: float | Sequence[float] | None) -> None:
        self.known = scale is not None
        sizes = np.broadcast_to(1.0 if scale is None else np.asarray(scale, float), 2)
        if not (np.isfinite(sizes) & (sizes > 0)).all():
            raise ValueError(f"The size of a pixel must be above 0; received {scale}.")
        self.spacing = (float(sizes[0]), float(sizes[1]))
        self.square = self.spacing[0] == self.spacing[1]
        self.name = "um" if self.known else "px"


def _by_label(confidence: Mapping[int, float] | np.ndarray) -> Mapping[int, float]:
    if isinstance(confidence, Mapping):
        return confidence
    return dict(enumerate(np.asarray(confidence, float).tolist(), start=1))


def _region_of(
    columns: Mapping[str, np.ndarray],
    regions: np.ndarray,
    names: Mapping[int, str] | None,
    unit: _Unit,
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


class _Plane:
    """One plane's labels and channels, and what is measured of them."""

    def __init__(
        self,
        labels: np.ndarray,
        channels: Mapping[str, np.ndarray],
        unit: _Unit,
        how: MeasureParams,
    ) -> None:
        self._labels, self._channels = labels, channels
        self._unit, self._how = unit, how

    def measure(self, monitor: Monitor, done: int, total: int) -> dict[str, np.ndarray]:
        """Return the columns of this plane, the ``done``-th of ``total``."""
        from skimage.measure import regionprops

        unit, how = self._unit, self._how
        around, outside = self._around()
        background = {
            name: _background(values, outside) if how.subtract_background else 0.0
            for name, values in self._channels.items()
        }
        regions = regionprops(self._labels, spacing=unit.spacing)
        rows: list[dict[str, Any]] = []
        for i, region in enumerate(regions):
            if i % _BLOCK == 0:
                check_cancelled(monitor)
                # Planes may hold few nuclei, or all of them.
                part = done * 1000 + 1000 * i // len(regions)
                monitor.report(Progress("Measuring nuclei", part, total * 1000))
            row = self._shape(region)
            self._add_intensities(row, "", region.slice, region.image, background)
            if around is not None:
                at, inside = around(region.label)
                self._add_intensities(row, f"{how.around}_", at, inside, background)
            rows.append(row)
        names = list(rows[0]) if rows else self._names(background)
        columns = {name: np.array([row[name] for row in rows]) for name in names}
        if how.subtract_background:
            for name, value in background.items():
                columns[f"background_{name}"] = np.full(len(rows), value)
        if how.neighbours:
            columns |= self._neighbours(columns)
        return columns

    def _names(self, background: Mapping[str, float]) -> list[str]:
        """Return the columns of a plane without nuclei: those of any other."""
        plane = np.ones((1, 1), np.int32)
        channels = {name: np.zeros((1, 1)) for name in self._channels}
        some = _Plane(
            plane,
            channels,
            self._unit,
            self._how.replace(neighbours=False, subtract_background=False),
        )
        return list(some.measure(SilentMonitor(), 0, 1))

    def _shape(self, region: Any) -> dict[str, Any]:
        unit, how = self._unit.name, self._how
        row: dict[str, Any] = {"label": region.label}
        row[f"centroid_y_{unit}"], row[f"centroid_x_{unit}"] = region.centroid
        row[f"area_{unit}2"] = region.area
        if how.shape:
            row[f"equivalent_diameter_{unit}"] = region.equivalent_diameter_area
            if self._unit.square:
                perimeter = region.perimeter
                row[f"perimeter_{unit}"] = perimeter
                row["form_factor"] = (
                    4 * math.pi * region.area / perimeter**2 if perimeter else math.nan
                )
            row["eccentricity"] = region.eccentricity
            row["solidity"] = region.solidity
            row["orientation_rad"] = region.orientation
            row[f"feret_diameter_{unit}"] = region.feret_diameter_max
        top, left, bottom, right = region.bbox
        height, width = self._labels.shape
        row["touches_edge"] = (
            top == 0 or left == 0 or bottom == height or right == width
        )
        return row

    def _add_intensities(
        self,
        row: dict[str, Any],
        prefix: str,
        at: Any,
        inside: np.ndarray,
        background: Mapping[str, float],
    ) -> None:
        for name, image in self._channels.items():
            values, base = image[at][inside], background[name]
            found = (math.nan,) * 6
            if values.size:
                mean = np.mean(values, dtype=np.float64)
                found = (
                    mean - base,
                    np.median(values) - base,
                    np.std(values, dtype=np.float64),
                    values.min() - base,
                    values.max() - base,
                    np.sum(values, dtype=np.float64) - base * values.size,
                )
            for what, value in zip(STATISTICS, found, strict=True):
                row[f"{prefix}{what}_{name}"] = float(value)

    def _around(self) -> tuple[Any, np.ndarray]:
        """Return what finds the pixels round a nucleus, and where no nucleus is."""
        labels, how = self._labels, self._how
        if how.around == "nothing":
            return None, labels == 0
        import scipy.ndimage as ndi
        from skimage.segmentation import expand_labels

        grown = expand_labels(labels, how.around_width, spacing=self._unit.spacing)
        outside = grown == 0
        if how.around == "ring":
            grown = np.where(labels > 0, 0, grown)
        boxes = ndi.find_objects(grown)

        def around(label: int) -> tuple[Any, np.ndarray]:
            box = boxes[label - 1] if label <= len(boxes) else None
            if box is None:  # a nucleus between others, without a pixel round it
                return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), bool)
            return box, grown[box] == label

        return around, outside

    def _neighbours(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the distance to the nearest centre, and how many centres are near."""
        from scipy.spatial import cKDTree

        unit = self._unit.name
        centres = np.stack(
            [columns[f"centroid_{axis}_{unit}"] for axis in "yx"], axis=-1
        ).reshape(-1, 2)
        nearest = np.full(len(centres), np.nan)
        density = np.zeros(len(centres))
        radius = self._how.density_radius
        if len(centres):
            areas = columns[f"area_{unit}2"]
            radius = radius or DIAMETERS_AROUND * math.sqrt(
                4 / math.pi * np.median(areas)
            )
            tree = cKDTree(centres)
            if len(centres) > 1:
                nearest = tree.query(centres, k=2)[0][:, 1]
            others = tree.query_ball_point(centres, radius, return_length=True) - 1
            density = others / (math.pi * radius**2)
        if self._unit.known:
            return {"neighbour_distance_um": nearest, "density_per_mm2": density * 1e6}
        return {"neighbour_distance_px": nearest, "density_per_px2": density}


#: What is measured of the intensities of each channel.
STATISTICS = ("mean", "median", "std", "min", "max", "integrated")


def _background(values: np.ndarray, outside: np.ndarray) -> float:
    """Return the median outside nuclei; NaN if there is no such pixel."""
    beside = values[outside]
    return float(np.median(beside)) if beside.size else math.nan
