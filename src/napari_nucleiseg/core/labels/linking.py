"""Link the nuclei of planes: through depth to one nucleus, through time to a track.

Planes are segmented one by one; here their nuclei are told which are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array

from napari_nucleiseg.core.measure import measure
from napari_nucleiseg.core.monitor import (
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
)
from napari_nucleiseg.core.params import LinkParams
from napari_nucleiseg.core.score.matching import find_overlaps, match

if TYPE_CHECKING:
    import pandas as pd

#: An IoU that every pair has which overlaps.
_ANY = 1e-12

#: A daughter's area is at most so much of her mother's, and at least so much of her
#: sister's.
_DAUGHTER, _SISTERS = 0.75, 0.5

#: How large a nucleus is, is the median of so many frames.
_RECENT = 5

#: A nucleus may be missed in so many planes, or frames, in a row.
GAP = 1


def link(
    labels: np.ndarray,
    params: LinkParams | None = None,
    *,
    monitor: Monitor | None = None,
) -> np.ndarray | Tracks:
    """Link the nuclei of planes: see `link_depth` and `link_time`.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(plane, y, x)`` integer labels, 0 is background.
    params : LinkParams, optional
        What the planes are, and how to link them.
    monitor : Monitor, optional
        Told of progress, and asked whether to stop.

    Returns
    -------
    numpy.ndarray or Tracks
        Linked labels, through depth; tracks, through time.
    """
    params = params or LinkParams()
    if params.through == "depth":
        return link_depth(labels, min_overlap=params.min_overlap, monitor=monitor)
    return link_time(
        labels,
        max_distance=params.max_distance,
        divisions=params.divisions,
        monitor=monitor,
    )


@dataclass(frozen=True)
class Tracks:
    """Nuclei followed through time.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(t, y, x)`` int32, numbered by track from 1.
    table : pandas.DataFrame
        One row for each nucleus in each frame, sorted by track and frame: ``track``,
        ``frame`` (from 0), ``parent`` (the track it divided from; 0 for none),
        ``label`` (its number before), ``y`` and ``x`` (centroid, pixels).
    """

    labels: np.ndarray
    table: pd.DataFrame

    @property
    def count(self) -> int:
        """Number of tracks."""
        return int(self.table["track"].max()) if len(self.table) else 0

    @property
    def graph(self) -> dict[int, list[int]]:
        """The parent of each track that has one, as a napari Tracks layer wants it."""
        first = self.table.drop_duplicates("track")
        born = first[first["parent"] > 0]
        return {
            int(track): [int(parent)]
            for track, parent in zip(born["track"], born["parent"], strict=True)
        }


def link_depth(
    labels: np.ndarray,
    *,
    min_overlap: float = 0.5,
    monitor: Monitor | None = None,
) -> np.ndarray:
    """Give the outlines of one nucleus in neighbouring planes one number (2.5-D).

    Each plane's nuclei are matched one to one to those of the plane before (Kuhn, 1955;
    `scipy.optimize.linear_sum_assignment`) by their IoU, if enough of the smaller
    outline lies in the other; those without a match to the plane before that.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(z, y, x)`` integer labels, 0 is background. The same number in two planes
        means nothing.
    min_overlap : float
        The least share, 0 to 1.
    monitor : Monitor, optional
        Told of every plane, and asked at each whether to stop.

    Returns
    -------
    numpy.ndarray
        ``(z, y, x)`` int32; nuclei are numbered from 1 in the order of their first
        plane.

    Raises
    ------
    ValueError
        If the labels are not a stack, one is negative, or the overlap is not in 0-1.
    Cancelled
        If the monitor asked for it.
    """
    _check(labels)
    if not 0 < min_overlap <= 1:
        raise ValueError(
            f"The least overlap must be more than 0 and at most 1; received "
            f"{min_overlap}."
        )
    monitor = monitor or SilentMonitor()
    linked = np.zeros(labels.shape, np.int32)
    count = 0
    for z, plane in enumerate(labels):
        check_cancelled(monitor)
        monitor.report(Progress("Linking planes", z, len(labels)))
        ids = np.unique(plane)
        ids = ids[ids > 0]
        number = np.zeros(ids.size, np.int32)
        for back in range(1, min(GAP + 1, z) + 1):
            before = linked[z - back]
            # A nucleus that goes on already is not to be found again.
            before = np.where(np.isin(before, number[number > 0]), 0, before)
            rest = np.where(np.isin(plane, ids[number == 0]), plane, 0)
            old, new = _matches(before, rest, min_overlap)
            number[np.searchsorted(ids, new)] = old
        fresh = number == 0
        number[fresh] = count + 1 + np.arange(np.count_nonzero(fresh))
        count = max(count, int(number.max(initial=0)))
        at = plane > 0
        linked[z][at] = number[np.searchsorted(ids, plane[at])]
    monitor.report(Progress("Linking planes", len(labels), len(labels)))
    return linked


def _matches(
    first: np.ndarray, second: np.ndarray, min_overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the nuclei of two planes that belong together."""
    found = find_overlaps(first, second)
    smaller = np.minimum(
        found.true_areas[found.rows], found.predicted_areas[found.columns]
    )
    good = found.shared >= min_overlap * smaller
    iou = found.iou()
    # Several may lie in one larger outline: they compete for it by their IoU.
    where = (iou.row[good], iou.col[good])
    rows, columns = match(coo_array((iou.data[good], where), iou.shape), _ANY)
    return found.true_ids[rows], found.predicted_ids[columns]


def link_time(
    labels: np.ndarray,
    *,
    max_distance: float | None = None,
    divisions: bool = True,
    monitor: Monitor | None = None,
) -> Tracks:
    """Follow nuclei through time, from the distances of their centroids.

    The linear assignment of K. Jaqaman et al., Nature Methods 5, 695 (2008), with gaps
    of one frame, by the package laptrack. A nucleus has divided where a track begins
    beside it, and both are of one size and clearly smaller than it was.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(t, y, x)`` integer labels, 0 is background.
    max_distance : float, optional
        How far a nucleus may move from one frame to the next, pixels; the diameter of
        the median nucleus if not given.
    divisions : bool
        Whether a track may end in two.
    monitor : Monitor, optional
        Asked before the tracking whether to stop.

    Returns
    -------
    Tracks

    Raises
    ------
    ValueError
        If the labels are not a stack, one is negative, or the distance is not above 0.
    ImportError
        If laptrack is not installed.
    Cancelled
        If the monitor asked for it.
    """
    import pandas as pd

    _check(labels)
    if max_distance is not None and max_distance <= 0:
        raise ValueError(
            f"The largest distance must be more than 0 pixels; received {max_distance}."
        )
    monitor = monitor or SilentMonitor()
    monitor.report(Progress("Starting to track", 0, 0))
    try:
        from laptrack import LapTrack
    except ImportError as e:
        raise ImportError(
            "Following nuclei through time needs the package laptrack: "
            'pip install "napari-nucleiseg[track]"'
        ) from e
    check_cancelled(monitor)
    nuclei = _find_nuclei(labels)
    if not len(nuclei):
        empty = pd.DataFrame(columns=["track", "frame", "parent", "label", "y", "x"])
        return Tracks(np.zeros(labels.shape, np.int32), empty)
    far = max_distance or float(2 * np.sqrt(nuclei["area"].median() / np.pi))
    monitor.report(Progress("Tracking", 0, 0))
    table, _, _ = LapTrack(
        cutoff=far**2, gap_closing_cutoff=far**2, gap_closing_max_frame_count=GAP
    ).predict_dataframe(
        nuclei, ["y", "x"], frame_col="frame", only_coordinate_cols=False
    )
    check_cancelled(monitor)
    table = table.reset_index(drop=True)
    table["track"] = table["track_id"] + 1
    table["parent"] = 0
    table = table.sort_values(["track", "frame"], ignore_index=True)
    if divisions:
        table = _divide(table, far)
    table = table[["track", "frame", "parent", "label", "y", "x"]]
    linked = np.zeros(labels.shape, np.int32)
    for frame, rows in table.groupby("frame"):
        of = np.zeros(int(labels[frame].max(initial=0)) + 1, np.int32)
        of[rows["label"]] = rows["track"]
        linked[frame] = of[labels[frame]]
    return Tracks(linked, table)


def _find_nuclei(labels: np.ndarray) -> pd.DataFrame:
    """Return number, centroid and area of every nucleus of every frame."""
    import pandas as pd

    parts = []
    for frame, plane in enumerate(labels):
        found = pd.DataFrame(measure(plane))
        found.insert(0, "frame", frame)
        parts.append(found[found["area"] > 0])
    names = {"centroid_y": "y", "centroid_x": "x"}
    return pd.concat(parts, ignore_index=True).rename(columns=names)


def _divide(table: pd.DataFrame, far: float) -> pd.DataFrame:
    """Make tracks that begin beside a shrinking one its daughters.

    A track begins where another's nucleus becomes two: both are near where it was, of
    about one size, and clearly smaller than it had been. That track ends there, and
    what followed of it is its other daughter. Near nuclei that only come into view are
    none of this.
    """
    candidates = []
    tracks = dict(iter(table.groupby("track")))
    frames = dict(iter(table.groupby("frame")))
    first = table.drop_duplicates("track")
    for child in first[first["frame"] > 0].itertuples():
        around = frames[child.frame]
        away = np.hypot(around["y"] - child.y, around["x"] - child.x)
        for sister in around[(away <= 2 * far) & (away > 0)].itertuples():
            past = tracks[sister.track]
            past = past[past["frame"] < child.frame]
            if past.empty:
                continue
            mother, size = past.iloc[-1], past["area"].iloc[-_RECENT:].median()
            moved = [
                np.hypot(one.y - mother["y"], one.x - mother["x"])
                for one in (child, sister)
            ]
            smaller, larger = sorted((child.area, sister.area))
            if (
                max(moved) <= far
                and larger <= _DAUGHTER * size
                and smaller >= _SISTERS * larger
            ):
                candidates.append((child.frame, sum(moved), child.Index, sister.Index))
    taken: set[int] = set()
    count = int(table["track"].max())
    # In the order of time, for a daughter may be a mother later.
    for frame, _, child, sister in sorted(candidates):
        if taken & {child, sister}:
            continue
        taken |= {child, sister}
        mother = table.at[sister, "track"]
        count += 1
        after = (table["track"] == mother) & (table["frame"] >= frame)
        table.loc[after, "track"] = count
        born = after | (table["track"] == table.at[child, "track"])
        table.loc[born, "parent"] = mother
    return table.sort_values(["track", "frame"], ignore_index=True)


def _check(labels: np.ndarray) -> None:
    if labels.ndim != 3 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "Labels of several planes are wanted, (plane, y, x) integers; received "
            f"{labels.dtype} of the shape {labels.shape}."
        )
    if labels.size and labels.min() < 0:
        raise ValueError(f"Labels must be 0 or more; received {labels.min()}.")
