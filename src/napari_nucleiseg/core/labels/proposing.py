"""Which part of which image to label next: where the model would learn most.

Images are divided into overlapping square regions of so many nuclei each. Three things
are asked of a region, and its score is the mean of its ranks among all regions:

``uncertain``
    how much of it is neither surely nucleus nor surely background, nor surely a border
    between two, for each nucleus [1]_;
``disagreeing``
    how far the maps change if the image is turned round, and how far they are from the
    maps of the model before: a network that knows does not care which way is up, and
    has not changed its mind [2]_;
``unlike``
    how far its looks are from those of the nearest region that was taught already [3]_.

Regions are taken one by one, each counting as taught for those after it, so that they
differ from each other.

References
----------
.. [1] D. D. Lewis, W. A. Gale, "A sequential algorithm for training text classifiers",
   SIGIR 1994.
.. [2] H. S. Seung, M. Opper, H. Sompolinsky, "Query by committee", COLT 1992.
.. [3] O. Sener, S. Savarese, "Active learning for convolutional neural networks: a
   core-set approach", ICLR 2018.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.ndimage as ndi
from scipy.stats import rankdata

from napari_nucleiseg.core.labels.pairs import Pair, median_diameter
from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.image import match_channels, normalise
from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.core.segment.predictor import Predictor

#: A region has about so many nuclei.
NUCLEI = 25

#: Regions overlap by this part of their side; of two that are proposed, less than the
#: second is shared, and of one proposed, less than the third is known already.
_STEP, _SHARED, _KNOWN = 0.5, 0.2, 0.5

#: The side of a region is at least so many nuclei, and so many pixels if none is found.
_LEAST_SIDE, _BLIND_SIDE = 3.0, 256

#: What is asked, and what is said of the region that stands out by it.
WHY = {
    "uncertain": "the model is unsure",
    "disagreeing": "the model contradicts itself",
    "unlike": "it looks different",
}


@dataclass(frozen=True)
class Look:
    """One plane of an image, and what a model makes of it.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x, 1)`` or ``(y, x, 3)``, any real dtype.
    labels : numpy.ndarray
        ``(y, x)`` int, the nuclei found.
    maps : numpy.ndarray
        ``(y, x, maps)`` float32 in 0-1; see `core.segment.maps`.
    others : tuple of numpy.ndarray
        The same of the image turned round, and of the model before, if there is one.
    known : numpy.ndarray or None
        ``(y, x)`` bool, what was taught of it already.
    """

    image: np.ndarray
    labels: np.ndarray
    maps: np.ndarray
    others: tuple[np.ndarray, ...] = ()
    known: np.ndarray | None = None


@dataclass(frozen=True)
class Region:
    """A part of an image that is worth labelling.

    Parameters
    ----------
    index : int
        Of the image, among those given.
    top, left, bottom, right : int
        Its edges, pixels; the last two excluded.
    nuclei : int
        How many were found in it.
    score : float
        Mean rank, 0-1.
    parts : dict of str to float
        The rank of each of `WHY`, 0-1.
    """

    index: int
    top: int
    left: int
    bottom: int
    right: int
    nuclei: int
    score: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def why(self) -> str:
        """What it stands out by, in words."""
        if not self.parts:
            return ""
        return WHY[max(self.parts, key=lambda name: self.parts[name])]


def look_at(
    image: np.ndarray,
    predictor: Predictor,
    *,
    before: Predictor | None = None,
    known: np.ndarray | None = None,
    params: SegmentParams | None = None,
    monitor: Monitor | None = None,
) -> Look:
    """Segment a plane as it is, turned round, and by the model before.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x, 1)`` or ``(y, x, 3)``, any real dtype.
    predictor : Predictor
        The model.
    before : Predictor, optional
        The model before.
    known : numpy.ndarray, optional
        ``(y, x)`` bool, what was taught of it already.
    params, monitor
        See `core.segment.pipeline.segment`.

    Returns
    -------
    Look

    Raises
    ------
    Cancelled
        If the monitor asked for it.
    """
    plane = image if image.shape[-1] == 3 else image[..., 0]

    def maps_of(one: np.ndarray, model: Predictor) -> tuple[np.ndarray, np.ndarray]:
        axes = "YXS" if one.ndim == 3 else "YX"
        found = segment(one, model, params=params, axes=axes, monitor=monitor)
        return found.maps, found.labels

    maps, labels = maps_of(plane, predictor)
    others = [maps_of(plane[::-1, ::-1], predictor)[0][::-1, ::-1]]
    if before is not None:
        others.append(maps_of(plane, before)[0])
    return Look(image, labels, maps, tuple(others), known)


def propose(
    looks: Sequence[Look],
    taught: Sequence[Pair] = (),
    *,
    nuclei: int = NUCLEI,
    most: int = 12,
) -> list[Region]:
    """Propose regions to label, the one from which most is to be learnt first.

    Parameters
    ----------
    looks : sequence of Look
        The images.
    taught : sequence of Pair
        What the model has learnt from.
    nuclei : int
        How many a region should have.
    most : int
        How many regions to return at most.

    Returns
    -------
    list of Region
        Empty if all is known.
    """
    regions: list[Region] = []
    figures: list[tuple[float, float]] = []
    looked: list[np.ndarray] = []
    for index, look in enumerate(looks):
        found = _divide(index, look, nuclei)
        doubts, picture = _doubts(look), match_channels(normalise(look.image), 3)
        area = max(np.pi / 4 * median_diameter(look.labels) ** 2, 1.0)
        for region in found:
            sums = [float(doubt[region.box].sum()) for doubt in doubts]
            expected = area * max(region.nuclei, nuclei / 4)
            regions.append(region)
            figures.append((sums[0] / expected, sums[1] / expected))
            looked.append(_looks(picture[region.box], look.labels[region.box]))
    if not regions:
        return []
    known = [_looks_of(pair) for pair in taught]
    ranks = np.array([_rank(column) for column in np.array(figures).T]).T
    return _choose(regions, ranks, np.array(looked), known, most)


def _divide(index: int, look: Look, nuclei: int) -> list[Region]:
    """Return the regions of a plane that are not known yet."""
    height, width = look.labels.shape
    total = np.count_nonzero(np.bincount(look.labels.ravel())[1:])
    side = float(_BLIND_SIDE)
    if total:
        side = np.sqrt(height * width * nuclei / total)
        side = max(side, _LEAST_SIDE * median_diameter(look.labels))
    rows, columns = (_spans(n, side) for n in (height, width))
    found = []
    for top, bottom in rows:
        for left, right in columns:
            box = np.s_[top:bottom, left:right]
            if look.known is not None and look.known[box].mean() >= _KNOWN:
                continue
            here = np.bincount(look.labels[box].ravel())[1:]
            count = int(np.count_nonzero(here))
            region = Region(index, top, left, bottom, right, count)
            found.append(region)
    return found


def _spans(length: int, side: float) -> list[tuple[int, int]]:
    """Return overlapping stretches of a side, which begin and end at the edges."""
    side = min(round(side), length)
    count = int(np.ceil((length - side) / (_STEP * side))) + 1
    starts = np.linspace(0, length - side, count).round().astype(int)
    return [(int(start), int(start) + side) for start in starts]


def _doubts(look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Return how unsure the model is of each pixel, and how much it contradicts itself.

    Both ``(y, x)``, from 0.
    """
    nucleus, contact = look.maps[..., 0], look.maps[..., 2]
    unsure = 4 * nucleus * (1 - nucleus) + 4 * contact * (1 - contact)
    apart = [np.abs(look.maps[..., :3] - other[..., :3]) for other in look.others]
    changed = [far[..., 0] + far[..., 2] for far in apart]
    return unsure, np.sum(changed, axis=0) if changed else np.zeros_like(unsure)


def _looks(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what a region looks like, in ten numbers.

    Mean and deviation of each colour, fine structure, size and density of nuclei, and
    how far they stand out from what is round them.
    """
    grey, inside = picture.mean(axis=-1), labels > 0
    fine = float(np.abs(grey - ndi.gaussian_filter(grey, 2)).mean())
    apart = 0.0
    if inside.any() and not inside.all():
        apart = float(grey[inside].mean() - grey[~inside].mean())
    size = np.log(max(median_diameter(labels), 1.0))
    colours = [*picture.mean(axis=(0, 1)), *picture.std(axis=(0, 1))]
    return np.array([*colours, fine, size, inside.mean(), apart])


def _looks_of(pair: Pair) -> np.ndarray:
    """Return what the known part of an example looks like."""
    box = (slice(None), slice(None))
    if pair.known is not None and pair.known.any():
        box = ndi.find_objects(pair.known.astype(np.uint8))[0]
    image = np.asarray(pair.image)
    image = image[..., None] if image.ndim == 2 else image[..., :3]
    return _looks(match_channels(normalise(image), 3)[box], pair.labels[box])


def _rank(values: np.ndarray) -> np.ndarray:
    """Return ranks in 0-1; all one half where there is no difference."""
    if values.size < 2 or np.ptp(values) == 0:
        return np.full(values.size, 0.5)
    return (rankdata(values) - 1) / (values.size - 1)


def _choose(
    regions: list[Region],
    ranks: np.ndarray,
    looks: np.ndarray,
    taught: list[np.ndarray],
    most: int,
) -> list[Region]:
    """Take regions one by one, each as if those before it had been taught."""
    scale = np.maximum(looks.std(axis=0), 1e-6)
    chosen: list[Region] = []
    left = list(range(len(regions)))
    while left and len(chosen) < most:
        apart = np.zeros(len(regions))
        if taught:
            far = (looks[:, None] - np.array(taught)[None]) / scale
            apart = np.sqrt((far**2).sum(axis=-1)).min(axis=1)
        columns = np.column_stack([ranks[left], _rank(apart[left])])
        best = int(np.argmax(columns.mean(axis=1)))
        region = regions[left[best]]
        parts = dict(zip(WHY, columns[best].tolist(), strict=True))
        if not taught:
            del parts["unlike"]  # there is nothing to compare with yet
        chosen.append(
            Region(
                *(region.index, region.top, region.left, region.bottom, region.right),
                nuclei=region.nuclei,
                score=float(columns[best].mean()),
                parts=parts,
            )
        )
        taught = [*taught, looks[left[best]]]
        left = [i for i in left if _shared(regions[i], region) < _SHARED]
    return chosen


def _shared(one: Region, other: Region) -> float:
    """Return which part of the smaller of two regions lies in both."""
    if one.index != other.index:
        return 0.0
    high = min(one.bottom, other.bottom) - max(one.top, other.top)
    wide = min(one.right, other.right) - max(one.left, other.left)
    areas = [(x.bottom - x.top) * (x.right - x.left) for x in (one, other)]
    return max(high, 0) * max(wide, 0) / min(areas)
