"""How good labels are: match predicted to true nuclei and count.

Average precision is TP / (TP + FP + FN) at an IoU threshold, as StarDist [1]_ and
Cellpose [2]_ report it; nuclei are matched one to one. Panoptic quality [3]_ is what
work on stained tissue reports.

References
----------
.. [1] U. Schmidt et al., "Cell detection with star-convex polygons", MICCAI 2018.
.. [2] C. Stringer et al., "Cellpose: a generalist algorithm for cellular
   segmentation", Nature Methods 18, 2021.
.. [3] A. Kirillov et al., "Panoptic segmentation", CVPR 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    overlap : float
        Sum of the IoU of the pairs that match at 0.5.
    """

    true: int
    predicted: int
    matched: tuple[int, ...]
    pixels: tuple[int, int, int, int]
    overlap: float

    def average_precision(self, threshold: float = 0.5) -> float:
        """Return TP / (TP + FP + FN); 1 if there is nothing to find and none found."""
        return _ratio(*self._counts(threshold))

    def mean_average_precision(self) -> float:
        """Return the mean of `average_precision` over `THRESHOLDS`."""
        return float(np.mean([self.average_precision(t) for t in THRESHOLDS]))

    def panoptic_quality(self) -> float:
        """Return F1 times the mean IoU of what matches, both at IoU 0.5.

        1 if there is nothing to find and none found.
        """
        return _ratio(2 * self.overlap, self.true + self.predicted)

    def _counts(self, threshold: float) -> tuple[int, int]:
        hits = self.matched[THRESHOLDS.index(round(threshold, 2))]
        return hits, self.true + self.predicted - hits


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _check(
    truth: np.ndarray, prediction: np.ndarray, known: np.ndarray | None
) -> np.ndarray | None:
    """Return the mask as bool; raise where the three do not fit together."""
    if truth.shape != prediction.shape:
        raise ValueError(
            "True and predicted labels must have one shape; received "
            f"{truth.shape} and {prediction.shape}."
        )
    for name, labels in (("true", truth), ("predicted", prediction)):
        if labels.size and labels.min() < 0:
            raise ValueError(
                f"Labels must be 0 or more; the {name} ones reach {labels.min()}."
            )
    if known is None:
        return None
    known = np.asarray(known, bool)
    if known.shape != truth.shape:
        raise ValueError(
            f"The annotation mask must have the shape of the labels, {truth.shape}; "
            f"received {known.shape}."
        )
    return known


@dataclass(frozen=True)
class Overlaps:
    """Which true and predicted nuclei share pixels, and how many.

    Parameters
    ----------
    true_ids, predicted_ids : numpy.ndarray
        Their labels, ascending.
    true_areas, predicted_areas : numpy.ndarray
        Their areas in pixels.
    rows, columns : numpy.ndarray
        For each pair that overlaps: where it stands in the arrays above.
    shared : numpy.ndarray
        Pixels each pair shares.
    """

    true_ids: np.ndarray
    predicted_ids: np.ndarray
    true_areas: np.ndarray
    predicted_areas: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    shared: np.ndarray

    def iou(self) -> coo_array:
        """Return the IoU of every pair that overlaps, ``(n_true, n_predicted)``."""
        union = (
            self.true_areas[self.rows]
            + self.predicted_areas[self.columns]
            - self.shared
        )
        shape = (self.true_ids.size, self.predicted_ids.size)
        return coo_array((self.shared / union, (self.rows, self.columns)), shape=shape)

    def iou_of(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the IoU of pairs that overlap, such as those that `match` returns."""
        m = self.predicted_ids.size
        # Overlapping pairs are sorted by row, then column.
        at = np.searchsorted(self.rows * m + self.columns, rows * m + columns)
        return np.asarray(self.iou().data[at])


def find_overlaps(
    truth: np.ndarray, prediction: np.ndarray, *, known: np.ndarray | None = None
) -> Overlaps:
    """Find the pairs of nuclei that share pixels.

    Parameters
    ----------
    truth, prediction : numpy.ndarray
        Integer labels of one shape, 0 is background.
    known : numpy.ndarray, optional
        Bool, same shape. Nuclei with less than half of their area in it are left
        out; of the others all pixels count. None counts every nucleus.

    Returns
    -------
    Overlaps

    Raises
    ------
    ValueError
        If the shapes differ or a label is negative.
    """
    known = _check(truth, prediction, known)
    true_ids, t = np.unique(truth, return_inverse=True)
    predicted_ids, p = np.unique(prediction, return_inverse=True)
    t, p = t.ravel(), p.ravel()
    pairs, shared = np.unique(
        t.astype(np.int64) * predicted_ids.size + p, return_counts=True
    )
    rows, columns = np.divmod(pairs, max(predicted_ids.size, 1))
    true_areas, predicted_areas = np.bincount(t), np.bincount(p)
    count_true, count_predicted = true_ids != 0, predicted_ids != 0
    if known is not None:
        inside = known.ravel()
        count_true &= 2 * np.bincount(t, inside) >= true_areas
        count_predicted &= 2 * np.bincount(p, inside) >= predicted_areas
    both = count_true[rows] & count_predicted[columns]
    # Rows and columns count only those that stay.
    row_of, column_of = np.cumsum(count_true) - 1, np.cumsum(count_predicted) - 1
    return Overlaps(
        true_ids[count_true],
        predicted_ids[count_predicted],
        true_areas[count_true],
        predicted_areas[count_predicted],
        row_of[rows[both]],
        column_of[columns[both]],
        shared[both],
    )


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


def score_image(
    truth: np.ndarray, prediction: np.ndarray, *, known: np.ndarray | None = None
) -> ImageScore:
    """Compare predicted labels with true ones.

    Parameters
    ----------
    truth, prediction : numpy.ndarray
        Integer labels of one shape, 0 is background.
    known : numpy.ndarray, optional
        Bool, same shape: where the truth says what is there. Nuclei of either kind
        with less than half of their area in it, and pixels outside it, count for
        nothing; the nuclei that count are compared whole. None is everywhere.

    Returns
    -------
    ImageScore

    Raises
    ------
    ValueError
        If the shapes differ or a label is negative.
    """
    found = find_overlaps(truth, prediction, known=known)
    iou = found.iou()
    pairs = [match(iou, t) for t in THRESHOLDS]
    matched = tuple(int(rows.size) for rows, _ in pairs)
    overlap = float(found.iou_of(*pairs[0]).sum())
    t, p = truth > 0, prediction > 0
    if known is not None:
        inside = np.asarray(known, bool)
        t, p = t[inside], p[inside]
    both, either = int((t & p).sum()), int((t | p).sum())
    pixels = (both, int(p.sum()) - both, int(t.sum()) - both, t.size - either)
    return ImageScore(
        found.true_ids.size, found.predicted_ids.size, matched, pixels, overlap
    )


def number_by_plane(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Give every nucleus of every plane a label of its own.

    In many stacks each plane counts from 1 again; compared as a whole, nuclei of
    different planes would be taken for one.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(…, y, x)`` integer labels, 0 is background.

    Returns
    -------
    numbered : numpy.ndarray
        int64, same shape: plane number × step + label.
    step : int
        ``divmod(number, step)`` is plane and label.
    """
    step = int(labels.max()) + 1 if labels.size else 1
    planes = labels.reshape(-1, *labels.shape[-2:]).astype(np.int64)
    shift = step * np.arange(len(planes))[:, None, None]
    return np.where(planes > 0, planes + shift, 0).reshape(labels.shape), step


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
        ``recall``, ``F1`` and ``panoptic_quality``; ``pixel_accuracy`` and
        ``pixel_IoU``.

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
        sum(s.overlap for s in scores),
    )
    return {
        "images": len(scores),
        "nuclei": total.true,
        "predicted": total.predicted,
        "per_image_mean": _mean(_figures(s) for s in scores),
        "pooled": _figures(total),
    }


def format_summary(summary: Mapping[str, Any]) -> str:
    """Return what `summarise` returns as a table, for a terminal."""
    mean, pooled = summary["per_image_mean"], summary["pooled"]
    rows = [(f"AP at IoU {t}", mean["AP"][t], pooled["AP"][t]) for t in mean["AP"]]
    rows += [
        (label, mean[key], pooled[key])
        for label, key in (
            ("AP, mean over IoU", "mean_AP"),
            ("precision at IoU 0.50", "precision"),
            ("recall at IoU 0.50", "recall"),
            ("F1 at IoU 0.50", "F1"),
            ("panoptic quality", "panoptic_quality"),
            ("pixel accuracy", "pixel_accuracy"),
            ("pixel IoU", "pixel_IoU"),
        )
    ]
    return "\n".join(
        [
            f"{summary['images']} images, {summary['nuclei']} true nuclei, "
            f"{summary['predicted']} found",
            f"{'':22}{'per-image mean':>16}{'pooled':>10}",
            *(f"{label:22}{a:16.3f}{b:10.3f}" for label, a, b in rows),
        ]
    )


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
        "panoptic_quality": score.panoptic_quality(),
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
