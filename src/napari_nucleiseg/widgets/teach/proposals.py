"""What to label next, in the open images or in a folder of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image

from napari_nucleiseg.core.labels.proposing import (
    NUCLEI,
    Look,
    Region,
    look_at,
    propose,
)
from napari_nucleiseg.core.monitor import Monitor, Progress, check_cancelled
from napari_nucleiseg.core.segment.image import match_channels, normalise, resize
from napari_nucleiseg.core.segment.planes import to_planes
from napari_nucleiseg.io.images import PICTURE_SUFFIXES, TIFF_SUFFIXES, read_image
from napari_nucleiseg.io.pair_reading import list_files
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import Model
from napari_nucleiseg.training.project.pairs import image_hash
from napari_nucleiseg.training.project.project import Project
from napari_nucleiseg.widgets.shared.layers import ChannelChoice

#: So many planes are looked at, spread over all there are; and as many files.
MOST_PLANES = 24

#: How many regions are proposed.
MOST_REGIONS = 8

#: Width and height of a picture of a region, pixels.
THUMBNAIL = 88

#: Files whose names end so hold labels.
_LABELS = ("_labels", "_masks")


@dataclass(frozen=True)
class Candidate:
    """An image to look for regions in, noted on the GUI thread.

    Parameters
    ----------
    name : str
        The layer's or file's.
    layer : napari.layers.Image or None
        Only to find it again.
    data : array-like or None
        The layer's, at full resolution.
    choice : ChannelChoice or None
        How to read it.
    path : pathlib.Path or None
        The file, if it is not open.
    """

    name: str
    layer: Image | None = None
    data: Any = None
    choice: ChannelChoice | None = None
    path: Path | None = None


@dataclass(frozen=True)
class Proposal:
    """A region to label.

    Parameters
    ----------
    candidate : Candidate
        Its image.
    plane : tuple of int
        Which plane of a stack.
    region : Region
        Where in the plane, and why.
    picture : numpy.ndarray
        ``(y, x, 3)`` uint8, small.
    """

    candidate: Candidate
    plane: tuple[int, ...]
    region: Region
    picture: np.ndarray


def files_in(folder: Path) -> list[Candidate]:
    """Return the images in a folder, without those that hold labels.

    Raises
    ------
    ValueError
        If there is none.
    """
    files = list_files(folder, (*TIFF_SUFFIXES, *PICTURE_SUFFIXES))
    files = [path for path in files if not path.stem.endswith(_LABELS)]
    if not files:
        raise ValueError(f"There is no TIFF, PNG or JPEG image in {folder}.")
    return [Candidate(path.stem, path=path) for path in _spread(files)]


def propose_regions(
    candidates: Sequence[Candidate],
    project: Project | None,
    model: Model,
    monitor: Monitor,
    *,
    nuclei: int = NUCLEI,
) -> list[Proposal]:
    """Look at every image, and return the regions that are worth labelling.

    Parameters
    ----------
    candidates : sequence of Candidate
        The images.
    project : Project or None
        What was taught, and the model before.
    model : Model
        The model.
    monitor : Monitor
        Told of progress, and asked whether to stop.
    nuclei : int
        How many a region should have.

    Raises
    ------
    Cancelled
        If the monitor asked for it.
    ValueError, OSError
        If an image cannot be read.
    """
    before = None if project is None else project.before
    earlier = None if before is None else load_model(before.folder)
    taught = [] if project is None else project.pairs()
    known = {image_hash(pair.image): pair.known for pair in taught}
    if project is not None:  # nothing is to be learnt from images to test on
        known |= {one.image: None for one in project.tests}
    predictor = load_model(model.folder)
    looks: list[Look] = []
    places: list[tuple[Candidate, tuple[int, ...]]] = []
    for number, candidate in enumerate(candidates):
        monitor.report(Progress("Looking at the images", number, len(candidates)))
        check_cancelled(monitor)
        planes, shape = _read(candidate)
        for index in _spread(list(np.ndindex(shape[:-2]))):
            plane = planes[int(np.ravel_multi_index(index, shape[:-2])) if index else 0]
            flat = plane[..., 0] if plane.shape[-1] == 1 else plane
            digest = image_hash(flat)
            mask = known.get(digest)
            if digest in known and mask is None:
                continue  # all of it is known
            look = look_at(
                plane, predictor, before=earlier, known=mask, monitor=_Quiet(monitor)
            )
            looks.append(look)
            places.append((candidate, index))
    regions = propose(looks, taught, nuclei=nuclei, most=MOST_REGIONS)
    return [
        Proposal(*places[region.index], region, _picture(looks[region.index], region))
        for region in regions
    ]


class _Quiet:
    """Lets an image be stopped, and does not tell of its tiles."""

    def __init__(self, monitor: Monitor) -> None:
        self.should_stop = monitor.should_stop

    def report(self, progress: Progress) -> None:
        pass


def _spread(items: list[Any]) -> list[Any]:
    """Return at most `MOST_PLANES` of some items, evenly spread."""
    if len(items) <= MOST_PLANES:
        return items
    at = np.linspace(0, len(items) - 1, MOST_PLANES).round().astype(int)
    return [items[i] for i in at]


def _read(candidate: Candidate) -> tuple[np.ndarray, tuple[int, ...]]:
    if candidate.path is None:
        choice = candidate.choice
        assert choice is not None
        data = np.asanyarray(candidate.data)
        return to_planes(data, axes=choice.axes, channel=choice.channel)
    try:
        found = read_image(candidate.path)
    except (OSError, ValueError) as e:
        raise ValueError(f"{candidate.path.name}: {e}") from e
    channel = 0 if "C" in found.axes else None
    return to_planes(found.data, axes=found.axes, channel=channel)


def _picture(look: Look, region: Region) -> np.ndarray:
    """Return a small picture of a region, with its contrast stretched."""
    part = match_channels(normalise(look.image), 3)[region.box]
    factor = THUMBNAIL / max(part.shape[:2])
    shape = tuple(max(1, round(n * factor)) for n in part.shape[:2])
    small = resize(part, (shape[0], shape[1]))
    return (255 * np.clip(small, 0, 1)).round().astype(np.uint8)
