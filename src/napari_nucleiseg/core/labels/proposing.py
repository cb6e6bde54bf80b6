"""Which part of which image to label next: where the model would learn most.

Images are divided into overlapping square regions of so many nuclei each. Three things
are asked of a region, and its score is the mean of its ranks among all regions:

``uncertain``
    how many of its nuclei are wrong, by what the model itself expects: the sum of what
    their confidences lack to 1, and what is likely to be nucleus but in none, in
    nuclei [1]_;
``disagreeing``
    how many nuclei are found otherwise, or not at all, if the image is turned round,
    and by the model before: a network that knows does not care which way is up, and
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
from napari_nucleiseg.core.score.matching import find_overlaps, match
from napari_nucleiseg.core.segment.image import match_channels, normalise
from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.core.segment.predictor import Predictor
from napari_nucleiseg.core.segment.result import Segmentation

#: A region has about so many nuclei.
NUCLEI = 25

#: Regions overlap by this part of their side; of two that are proposed, less than the
#: second is shared, and of one proposed, less than the third is known already.
_STEP, _SHARED, _KNOWN = 0.5, 0.2, 0.5

#: A pixel is taken for one of a nucleus that was missed from this probability on, and
#: two nuclei for the same from this IoU on.
_LIKELY, _SAME = 0.25, 0.5

#: The side of a region is at least so many nuclei, and so many pixels if none is found.
_LEAST_SIDE, _BLIND_SIDE = 3.0, 256

#: What is asked, and what is said of the region that stands out by it.
WHY = {
    "uncertain": "much here may be wrong",
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
        ``(y, x)`` int, the nuclei found, 1 to n.
    confidence : numpy.ndarray
        ``(n,)`` how likely each is a true one, 0-1.
    nucleus : numpy.ndarray
        ``(y, x)`` float32, how likely each pixel is nucleus, 0-1.
    others : tuple of numpy.ndarray
        ``(y, x)`` int, what is found if the image is turned round, and by the model
        before, if there is one.
    known : numpy.ndarray or None
        ``(y, x)`` bool, what was taught of it already.
    """

    image: np.ndarray
    labels: np.ndarray
    confidence: np.ndarray
    nucleus: np.ndarray
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

    def find(one: np.ndarray, model: Predictor) -> Segmentation:
        axes = "YXS" if one.ndim == 3 else "YX"
        return segment(one, model, params=params, axes=axes, monitor=monitor)

    found = find(plane, predictor)
    others = [find(plane[::-1, ::-1], predictor).labels[::-1, ::-1]]
    if before is not None:
        others.append(find(plane, before).labels)
    nucleus = found.maps[..., 0]
    return Look(image, found.labels, found.confidence, nucleus, tuple(others), known)


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
        for region in found:
            regions.append(region)
            wrong, other = (float(doubt[region.box].sum()) for doubt in doubts)
            figures.append((wrong, other))
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
    """Return how many nuclei are probably wrong, and how many are found otherwise.

    Both ``(y, x)``; each nucleus counts where its centre is.
    """
    area = max(np.pi / 4 * median_diameter(look.labels) ** 2, 1.0)
    missed = (look.labels == 0) & (look.nucleus > _LIKELY)
    wrong = np.where(missed, look.nucleus / area, 0.0)
    _mark(wrong, look.labels, np.arange(look.confidence.size) + 1, 1 - look.confidence)
    changed = np.zeros(wrong.shape)
    for other in look.others:
        found = find_overlaps(look.labels, other)
        mine, its = match(found.iou(), _SAME)
        for labels, ids, same in (
            (look.labels, found.true_ids, mine),
            (other, found.predicted_ids, its),
        ):
            alone = np.delete(ids, same)
            _mark(changed, labels, alone, np.ones(alone.size))
    return wrong, changed


def _mark(
    into: np.ndarray, labels: np.ndarray, ids: np.ndarray, much: np.ndarray
) -> None:
    """Add so much where the centre of each of some nuclei is."""
    if ids.size:
        centres = np.array(ndi.center_of_mass(labels > 0, labels, ids))
        rows, columns = centres.round().astype(int).T
        np.add.at(into, (rows, columns), much)


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
