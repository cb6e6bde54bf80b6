"""How good labels are: match predicted to true nuclei and count.

Average precision is TP / (TP + FP + FN) at an IoU threshold, as StarDist [1]_ and
Cellpose [2]_ report it; nuclei are matched one to one.

References
----------
.. [1] U. Schmidt et al., "Cell detection with star-convex polygons", MICCAI 2018.
.. [2] C. Stringer et al., "Cellpose: a generalist algorithm for cellular
   segmentation", Nature Methods 18, 2021.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array

#: IoU thresholds 0.5, 0.55 ... 0.95.
THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


@dataclass(frozen=True)
class ImageScore:
    """Counts of one image.

    Parameters
    ----------
    true, predicted : int
        Number of nuclei in the truth and in the prediction.
    matched : tuple of int
        Matched pairs (true positives) at each of `THRESHOLDS`.
    pixels : tuple of int
        True positive, false positive, false negative and true negative pixels.
    """

    true: int
    predicted: int
    matched: tuple[int, ...]
    pixels: tuple[int, int, int, int]

    def average_precision(self, threshold: float = 0.5) -> float:
        """Return TP / (TP + FP + FN); 1 if there is nothing to find and none found."""
        return _ratio(*self._counts(threshold))

    def mean_average_precision(self) -> float:
        """Return the mean of `average_precision` over `THRESHOLDS`."""
        return float(np.mean([self.average_precision(t) for t in THRESHOLDS]))

    def _counts(self, threshold: float) -> tuple[int, int]:
        hits = self.matched[THRESHOLDS.index(round(threshold, 2))]
        return hits, self.true + self.predicted - hits


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _no_negative(truth: np.ndarray, prediction: np.ndarray) -> None:
    for name, labels in (("true", truth), ("predicted", prediction)):
        if labels.size and labels.min() < 0:
            raise ValueError(
                f"Labels must be 0 or more; the {name} ones reach {labels.min()}."
            )


def iou_matrix(
    truth: np.ndarray, prediction: np.ndarray
) -> tuple[coo_array, np.ndarray, np.ndarray]:
    """Return the IoU of every overlapping pair of nuclei.

    Parameters
    ----------
    truth, prediction : numpy.ndarray
        Integer labels of one shape, 0 is background.

    Returns
    -------
    iou : scipy.sparse.coo_array
        ``(n_true, n_predicted)`` float64; pairs that do not overlap are not stored.
    true_ids, predicted_ids : numpy.ndarray
        The label of each row and column.
    """
    true_ids, t = np.unique(truth, return_inverse=True)
    predicted_ids, p = np.unique(prediction, return_inverse=True)
    t, p = t.ravel(), p.ravel()
    pairs, overlap = np.unique(
        t.astype(np.int64) * predicted_ids.size + p, return_counts=True
    )
    rows, cols = np.divmod(pairs, predicted_ids.size)
    true_area, predicted_area = np.bincount(t), np.bincount(p)
    both = (true_ids[rows] != 0) & (predicted_ids[cols] != 0)
    rows, cols, overlap = rows[both], cols[both], overlap[both]
    iou = overlap / (true_area[rows] + predicted_area[cols] - overlap)
    # Without the background the rows and columns count from the first nucleus.
    rows = rows - np.searchsorted(true_ids, 0, "right")
    cols = cols - np.searchsorted(predicted_ids, 0, "right")
    true_ids, predicted_ids = true_ids[true_ids != 0], predicted_ids[predicted_ids != 0]
    shape = (true_ids.size, predicted_ids.size)
    return coo_array((iou, (rows, cols)), shape=shape), true_ids, predicted_ids


def match(iou: coo_array, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Match rows to columns one to one so that as many pairs as can be pass.

    Parameters
    ----------
    iou : scipy.sparse.coo_array
        ``(n, m)`` IoU.
    threshold : float
        A pair counts from this IoU on; more than 0.

    Returns
    -------
    rows, columns : numpy.ndarray
        Indices of the matched pairs.
    """
    good = iou.data >= threshold
    rows, cols, value = iou.row[good], iou.col[good], iou.data[good]
    if threshold > 0.5 or rows.size == 0:
        # Above one half a nucleus can overlap one other that much at most.
        return rows, cols
    used_rows, r = np.unique(rows, return_inverse=True)
    used_cols, c = np.unique(cols, return_inverse=True)
    gain = np.zeros((used_rows.size, used_cols.size))
    gain[r, c] = 1 + value / (2 * min(gain.shape))
    r, c = linear_sum_assignment(-gain)
    taken = gain[r, c] > 0
    return used_rows[r[taken]], used_cols[c[taken]]


def score_image(truth: np.ndarray, prediction: np.ndarray) -> ImageScore:
    """Compare predicted labels with true ones.

    Parameters
    ----------
    truth, prediction : numpy.ndarray
        Integer labels of one shape, 0 is background.

    Returns
    -------
    ImageScore

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if truth.shape != prediction.shape:
        raise ValueError(
            "True and predicted labels must have one shape; received "
            f"{truth.shape} and {prediction.shape}."
        )
    _no_negative(truth, prediction)
    iou, true_ids, predicted_ids = iou_matrix(truth, prediction)
    matched = tuple(int(match(iou, t)[0].size) for t in THRESHOLDS)
    t, p = truth > 0, prediction > 0
    both, either = int((t & p).sum()), int((t | p).sum())
    pixels = (both, int(p.sum()) - both, int(t.sum()) - both, t.size - either)
    return ImageScore(true_ids.size, predicted_ids.size, matched, pixels)


def summarise(scores: Sequence[ImageScore]) -> dict[str, object]:
    """Return the figures of a set of images, per-image mean and pooled.

    Parameters
    ----------
    scores : sequence of ImageScore
        At least one.

    Returns
    -------
    dict
        ``images``, ``nuclei``, ``predicted``; under ``per_image_mean`` and ``pooled``
        each ``AP`` (threshold to value), ``mean_AP``, and at IoU 0.5 ``precision``,
        ``recall`` and ``F1``; ``pixel_accuracy`` and ``pixel_IoU``.

    Raises
    ------
    ValueError
        If there are no scores.
    """
    if not scores:
        raise ValueError("There must be at least one image to score; received none.")
    total = ImageScore(
        sum(s.true for s in scores),
        sum(s.predicted for s in scores),
        tuple(int(n) for n in np.sum([s.matched for s in scores], axis=0)),
        tuple(int(n) for n in np.sum([s.pixels for s in scores], axis=0)),  # type: ignore[arg-type]
    )
    return {
        "images": len(scores),
        "nuclei": total.true,
        "predicted": total.predicted,
        "per_image_mean": _mean(_figures(s) for s in scores),
        "pooled": _figures(total),
    }


def _figures(score: ImageScore) -> dict[str, object]:
    hits = score.matched[0]
    tp, fp, fn, tn = score.pixels
    return {
        "AP": {f"{t:.2f}": score.average_precision(t) for t in THRESHOLDS},
        "mean_AP": score.mean_average_precision(),
        "precision": _ratio(hits, score.predicted)
        if score.true
        else 1.0 * (not score.predicted),
        "recall": _ratio(hits, score.true),
        "F1": _ratio(2 * hits, score.true + score.predicted),
        "pixel_accuracy": _ratio(tp + tn, tp + tn + fp + fn),
        "pixel_IoU": _ratio(tp, tp + fp + fn),
    }


def _mean(figures: Iterable[dict[str, object]]) -> dict[str, object]:
    rows = list(figures)
    out: dict[str, object] = {}
    for key, value in rows[0].items():
        if isinstance(value, dict):
            out[key] = _mean(row[key] for row in rows)  # type: ignore[misc]
        else:
            out[key] = float(np.mean([row[key] for row in rows]))
    return out
