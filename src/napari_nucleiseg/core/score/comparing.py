"""How sure it is that one set of predictions is better than another (bootstrap)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import center_of_mass
from scipy.spatial import cKDTree

from napari_nucleiseg.core.score.matching import find_overlaps, match

#: The IoU thresholds whose AP are averaged to one figure, the score.
SCORED_AT = (0.5, 0.75)

#: Samples drawn, and the part of them that the interval holds.
_SAMPLES, LEVEL = 2000, 0.9

#: The interval is made so many times as wide. Nuclei of one image are alike, which a
#: bootstrap over nuclei does not know: without this, the gain on other images lay in
#: it 7 times in 10 instead of 9 (`benchmarks/interval.py`).
WIDENED = 1.5

#: Numbers drawn at a time, so that many nuclei do not fill the memory.
_AT_A_TIME = 4_000_000


def tally(
    truth: np.ndarray, prediction: np.ndarray, *, known: np.ndarray | None = None
) -> np.ndarray:
    """Count what was found nucleus by nucleus, false ones with their nearest true one.

    Parameters
    ----------
    truth, prediction, known
        See `matching.score_image`.

    Returns
    -------
    numpy.ndarray
        ``(n, 5)`` float: of each true nucleus 1, and at each IoU of `SCORED_AT`
        whether it was found and how many false nuclei there are. Where there is no
        true nucleus, one row that begins with 0 holds the false ones.
    """
    found = find_overlaps(truth, prediction, known=known)
    iou, n = found.iou(), found.true_ids.size
    rows = np.zeros((max(n, 1), 1 + 2 * len(SCORED_AT)))
    rows[:n, 0] = 1
    near = np.zeros(found.predicted_ids.size, int)
    if n and near.size:
        tree = cKDTree(center_of_mass(truth > 0, truth, found.true_ids))
        places = center_of_mass(prediction > 0, prediction, found.predicted_ids)
        near = np.asarray(tree.query(places)[1])
    for i, threshold in enumerate(SCORED_AT):
        hit, taken = match(iou, threshold)
        rows[hit, 1 + 2 * i] = 1
        false = np.delete(near, taken)
        np.add.at(rows[:, 2 + 2 * i], false, 1)
    if not n and not rows.any():
        return rows[:0]
    return rows


def score_of(rows: np.ndarray) -> np.ndarray:
    """Return the mean of the AP at `SCORED_AT`, pooled over nuclei.

    Parameters
    ----------
    rows : numpy.ndarray
        ``(…, 5)`` sums of what `tally` returns.
    """
    ap = [
        rows[..., 1 + 2 * i] / np.maximum(rows[..., 0] + rows[..., 2 + 2 * i], 1)
        for i in range(len(SCORED_AT))
    ]
    return np.mean(ap, axis=0)


def gain_interval(
    base: np.ndarray, new: np.ndarray, *, seed: int = 0, widened: float = WIDENED
) -> tuple[float, float]:
    """Return between which gains in the score the true one probably lies.

    The true nuclei are drawn anew, with what either model found of them, as a
    percentile bootstrap [1]_ does; then the interval is widened, for nuclei of other
    images differ more than these do. Of less than a dozen nuclei it is too narrow.

    Parameters
    ----------
    base, new : numpy.ndarray
        Rows of `tally` of all images for either model, in the same order.
    seed : int
        The same seed draws the same.
    widened : float
        How many times as wide as the bootstrap's it is made.

    Returns
    -------
    low, high : float
        What 90% of the gains on other images of the kind lie between, about.

    References
    ----------
    .. [1] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993.
    """
    n = len(base)
    if not n:
        return 0.0, 0.0
    rng = np.random.default_rng(seed)
    gains = []
    at_once = max(_AT_A_TIME // n, 1)
    for start in range(0, _SAMPLES, at_once):
        count = min(at_once, _SAMPLES - start)
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=count)
        gains.append(score_of(drawn @ new) - score_of(drawn @ base))
    outside = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(gains), (outside, 1 - outside))
    gain = score_of(new.sum(0)) - score_of(base.sum(0))
    return (
        float(gain + widened * min(low - gain, 0)),
        float(gain + widened * max(high - gain, 0)),
    )
