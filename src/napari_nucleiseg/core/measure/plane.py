"""What is measured of the nuclei of one plane."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from napari_nucleiseg.core.measure.hulls import hulls
from napari_nucleiseg.core.measure.intensities import STATISTICS, statistics
from napari_nucleiseg.core.measure.regions import Plane, Regions
from napari_nucleiseg.core.measure.shapes import (
    borders,
    centroids,
    ellipses,
    perimeters,
)
from napari_nucleiseg.core.measure.units import Unit
from napari_nucleiseg.core.params import MeasureParams

#: Without a radius given, neighbours are counted within so many typical diameters.
DIAMETERS_AROUND = 5.0

#: So many nuclei are measured at once.
BLOCK = 256

Columns = dict[str, np.ndarray]


def measure_plane(
    labels: np.ndarray,
    channels: Mapping[str, np.ndarray],
    unit: Unit,
    how: MeasureParams,
    report: Callable[[float], None],
) -> Columns:
    """Return the columns of one plane, a value for each nucleus.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)``.
    channels : mapping of str to numpy.ndarray
        ``(y, x)`` each.
    unit : Unit
        Of lengths.
    how : MeasureParams
        What to measure.
    report : callable
        Told from time to time what share is done; what it raises stops all.
    """
    plane = Plane(labels)
    if not len(plane):
        return _empty(channels, unit, how)
    around, outside = _around(labels, unit, how)
    background = {
        name: _background(values, outside) if how.subtract_background else 0.0
        for name, values in channels.items()
    }
    border = borders(plane) if how.shape and unit.square else None
    parts = []
    for start in range(0, len(plane), BLOCK):
        report(start / len(plane))
        regions = plane.regions(range(start, min(start + BLOCK, len(plane))))
        columns = _basics(regions, unit)
        if how.shape:
            columns |= _shapes(regions, columns, border, unit)
        columns["touches_edge"] = _touch_edge(regions)
        for name, image in channels.items():
            found = statistics(regions, image, background[name])
            columns |= {f"{what}_{name}": found[what] for what in STATISTICS}
        if around is not None:
            columns |= _around_them(regions, around, channels, background, how)
        parts.append(columns)
    columns = {name: np.concatenate([x[name] for x in parts]) for name in parts[0]}
    if how.subtract_background:
        for name, value in background.items():
            columns[f"background_{name}"] = np.full(len(plane), value)
    if how.neighbours:
        columns |= _neighbours(columns, unit, how.density_radius)
    return columns


def _empty(
    channels: Mapping[str, np.ndarray], unit: Unit, how: MeasureParams
) -> Columns:
    """Return the columns of a plane without nuclei: those of any other."""
    one = {name: np.zeros((1, 1)) for name in channels}
    some = measure_plane(np.ones((1, 1), np.int32), one, unit, how, lambda _: None)
    return {name: values[:0] for name, values in some.items()}


def _basics(regions: Regions, unit: Unit) -> Columns:
    y, x = centroids(regions, unit.spacing)
    return {
        "label": regions.labels,
        f"centroid_y_{unit.name}": y,
        f"centroid_x_{unit.name}": x,
        f"area_{unit.name}2": regions.counts * math.prod(unit.spacing),
    }


def _shapes(
    regions: Regions, known: Columns, border: np.ndarray | None, unit: Unit
) -> Columns:
    area = known[f"area_{unit.name}2"]
    columns: Columns = {}
    columns[f"equivalent_diameter_{unit.name}"] = np.array(
        [(4 * x / math.pi) ** 0.5 for x in area.tolist()]
    )
    if border is not None:
        length = perimeters(regions, border) * unit.spacing[0]
        columns[f"perimeter_{unit.name}"] = length
        round_ = np.full(len(area), math.nan)
        some = length > 0
        round_[some] = 4 * math.pi * area[some] / length[some] ** 2
        columns["form_factor"] = round_
    ellipse = ellipses(regions, unit.spacing)
    hull, across = hulls(regions, unit.spacing)
    columns["eccentricity"] = ellipse["eccentricity"]
    columns["solidity"] = area / (hull * math.prod(unit.spacing))
    columns["orientation_rad"] = ellipse["orientation"]
    columns[f"feret_diameter_{unit.name}"] = across
    return columns


def _touch_edge(regions: Regions) -> np.ndarray:
    height, width = regions.plane.shape
    return np.array(
        [
            rows.start == 0
            or columns.start == 0
            or rows.stop == height
            or columns.stop == width
            for rows, columns in regions.boxes
        ]
    )


def _around(
    labels: np.ndarray, unit: Unit, how: MeasureParams
) -> tuple[Plane | None, np.ndarray]:
    """Return what is round each nucleus, and where no nucleus is."""
    if how.around == "nothing":
        return None, labels == 0
    from skimage.segmentation import expand_labels

    grown = expand_labels(labels, how.around_width, spacing=unit.spacing)
    outside = grown == 0
    if how.around == "ring":
        grown = np.where(labels > 0, 0, grown)
    return Plane(grown), outside


def _around_them(
    regions: Regions,
    around: Plane,
    channels: Mapping[str, np.ndarray],
    background: Mapping[str, float],
    how: MeasureParams,
) -> Columns:
    """Return the intensities round nuclei; NaN where neighbours leave no pixel."""
    places = around.places_of(regions.labels)
    there = places >= 0
    rings = around.regions(places[there].tolist())
    columns = {}
    for name, image in channels.items():
        found = statistics(rings, image, background[name])
        for what in STATISTICS:
            values = np.full(len(places), math.nan)
            values[there] = found[what]
            columns[f"{how.around}_{what}_{name}"] = values
    return columns


def _neighbours(columns: Columns, unit: Unit, radius: float | None) -> Columns:
    """Return the distance to the nearest centre, and how many centres are near."""
    from scipy.spatial import cKDTree

    axes = [columns[f"centroid_{axis}_{unit.name}"] for axis in "yx"]
    centres = np.stack(axes, axis=-1)
    nearest = np.full(len(centres), math.nan)
    areas = columns[f"area_{unit.name}2"]
    typical = math.sqrt(4 / math.pi * np.median(areas))
    radius = radius or DIAMETERS_AROUND * typical
    tree = cKDTree(centres)
    if len(centres) > 1:
        nearest = tree.query(centres, k=2)[0][:, 1]
    others = tree.query_ball_point(centres, radius, return_length=True) - 1
    density = others / (math.pi * radius**2)
    if unit.known:
        return {"neighbour_distance_um": nearest, "density_per_mm2": density * 1e6}
    return {"neighbour_distance_px": nearest, "density_per_px2": density}


def _background(values: np.ndarray, outside: np.ndarray) -> float:
    """Return the median outside nuclei; NaN if there is no such pixel."""
    beside = values[outside]
    return float(np.median(beside)) if beside.size else math.nan
