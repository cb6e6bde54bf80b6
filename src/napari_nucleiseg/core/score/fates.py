"""What became of each nucleus: matched, missed, merged, split, misshapen, or false.

The kinds of error are those biologists ask about (missed and extra nuclei, merges and
splits), after Caicedo et al. [1]_. There a merge or split is two overlaps of IoU above
0.1; here it is a matter of who covers whom, which does not depend on how unlike in
size the nuclei are:

- two nuclei *match* as they do for average precision: one to one, at an IoU of at
  least the threshold;
- one *covers* another if more than half of the other lies in it;
- two *meet* if one covers the other, or their IoU is at least 0.1.

Each nucleus has one fate, the first that holds. A true nucleus is

``matched``
    it has a match;
``merged``
    a predicted nucleus covers it and at least one other true one;
``split``
    it covers two or more predicted nuclei;
``misshapen``
    it meets a predicted nucleus;
``missed``
    none of these.

A predicted nucleus is

``matched``
    it has a match;
``merger``
    it covers two or more true nuclei;
``piece``
    a true nucleus covers it and at least one other predicted one;
``misshapen``
    it meets a true nucleus;
``false``
    none of these: it lies on background.

References
----------
.. [1] J. C. Caicedo et al., "Evaluation of deep learning strategies for nucleus
   segmentation in fluorescence images", Cytometry A 95, 2019.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_nucleiseg.core.measure import measure
from napari_nucleiseg.core.score.matching import find_overlaps, match

#: From this IoU on two nuclei meet, although neither covers the other.
MEETING_IOU = 0.1

#: Codes of the error map, with what each is called.
MAP_NAMES = {
    1: "matched",
    2: "missed",
    3: "false",
    4: "merged",
    5: "split",
    6: "misshapen",
}

#: Colours of the codes: Okabe and Ito's, which colour-blind people can tell apart.
MAP_COLOURS = {
    1: "#009E73",
    2: "#D55E00",
    3: "#F0E442",
    4: "#CC79A7",
    5: "#56B4E9",
    6: "#0072B2",
}

_CODES = {
    **{name: code for code, name in MAP_NAMES.items()},
    "merger": 4,
    "piece": 5,
}


@dataclass(frozen=True)
class Fates:
    """What became of each nucleus of an image or stack.

    Parameters
    ----------
    true_ids : numpy.ndarray
        ``(n,)`` labels of the true nuclei, ascending.
    true_fates : numpy.ndarray
        ``(n,)`` str, see the module.
    true_iou : numpy.ndarray
        ``(n,)`` float: IoU with its match, else the best with any predicted nucleus.
    partners : numpy.ndarray
        ``(n,)`` label of the predicted nucleus matched to it, 0 if none.
    predicted_ids, predicted_fates, predicted_iou : numpy.ndarray
        ``(m,)`` the same of the predicted nuclei.
    """

    true_ids: np.ndarray
    true_fates: np.ndarray
    true_iou: np.ndarray
    partners: np.ndarray
    predicted_ids: np.ndarray
    predicted_fates: np.ndarray
    predicted_iou: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        """The IoU of each matched pair."""
        return self.true_iou[self.true_fates == "matched"]

    def counts(self) -> dict[str, int]:
        """Return how many nuclei met each fate.

        Returns
        -------
        dict
            ``true`` and ``predicted`` nuclei in all; true ones ``matched``,
            ``missed``, ``merged``, ``split``, ``misshapen``; predicted ones
            ``false``, ``mergers``, ``pieces``, ``misshapen_predicted``.
        """

        def true(fate: str) -> int:
            return int((self.true_fates == fate).sum())

        def predicted(fate: str) -> int:
            return int((self.predicted_fates == fate).sum())

        return {
            "true": self.true_ids.size,
            "predicted": self.predicted_ids.size,
            "matched": true("matched"),
            "missed": true("missed"),
            "false": predicted("false"),
            "merged": true("merged"),
            "split": true("split"),
            "misshapen": true("misshapen"),
            "mergers": predicted("merger"),
            "pieces": predicted("piece"),
            "misshapen_predicted": predicted("misshapen"),
        }


def classify(
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    threshold: float = 0.5,
    known: np.ndarray | None = None,
) -> Fates:
    """Find out what became of each nucleus.

    Parameters
    ----------
    truth, prediction : numpy.ndarray
        Integer labels of one shape (any number of axes), 0 is background. A label
        stands for one nucleus in the whole array.
    threshold : float
        Nuclei match from this IoU on; above 0, at most 1.
    known : numpy.ndarray, optional
        Bool, same shape: nuclei with less than half of their area in it are left
        out. None is everywhere.

    Returns
    -------
    Fates

    Raises
    ------
    ValueError
        If the shapes differ, a label is negative or the threshold is out of range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(
            f"The IoU threshold must be above 0 and at most 1; received {threshold}."
        )
    found = find_overlaps(truth, prediction, known=known)
    rows, columns = found.rows, found.columns
    n, m = found.true_ids.size, found.predicted_ids.size
    iou = found.iou()
    matched_rows, matched_columns = match(iou, threshold)
    # Of each pair: the prediction covers the true nucleus, or the other way round.
    takes = 2 * found.shared > found.true_areas[rows]
    lies_in = 2 * found.shared > found.predicted_areas[columns]
    meets = takes | lies_in | (iou.data >= MEETING_IOU)
    is_merger = np.bincount(columns[takes], minlength=m) > 1
    is_split = np.bincount(rows[lies_in], minlength=n) > 1

    true_iou, predicted_iou, partners = np.zeros(n), np.zeros(m), np.zeros(n, np.int64)
    np.maximum.at(true_iou, rows, iou.data)
    np.maximum.at(predicted_iou, columns, iou.data)
    matched_iou = found.iou_of(matched_rows, matched_columns)
    true_iou[matched_rows] = predicted_iou[matched_columns] = matched_iou
    partners[matched_rows] = found.predicted_ids[matched_columns]
    true_fates = np.select(
        [
            _among(matched_rows, n),
            _among(rows[takes & is_merger[columns]], n),
            is_split,
            _among(rows[meets], n),
        ],
        ["matched", "merged", "split", "misshapen"],
        "missed",
    )
    predicted_fates = np.select(
        [
            _among(matched_columns, m),
            is_merger,
            _among(columns[lies_in & is_split[rows]], m),
            _among(columns[meets], m),
        ],
        ["matched", "merger", "piece", "misshapen"],
        "false",
    )
    return Fates(
        found.true_ids,
        true_fates,
        true_iou,
        partners,
        found.predicted_ids,
        predicted_fates,
        predicted_iou,
    )


def _among(indices: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[indices] = True
    return mask


def error_map(truth: np.ndarray, prediction: np.ndarray, fates: Fates) -> np.ndarray:
    """Return a picture of what became of each nucleus.

    Predicted nuclei are painted with their fate, and over them the true nuclei that
    were not matched with theirs, so that none is hidden. A merger is painted as
    merged, a piece as split. Where two nuclei touch, a seam one pixel wide is left
    blank: across a merger it shows where the border should have been.

    Parameters
    ----------
    truth, prediction : numpy.ndarray
        ``(…, y, x)`` integer labels of one shape, 0 is background.
    fates : Fates
        Of these labels. What it leaves out is left blank.

    Returns
    -------
    numpy.ndarray
        uint8, same shape: the codes of `MAP_NAMES`, 0 elsewhere.
    """
    picture = np.zeros(truth.shape, np.uint8)
    _paint(picture, prediction, fates.predicted_ids, fates.predicted_fates, _CODES)
    errors = {**_CODES, "matched": 0}
    _paint(picture, truth, fates.true_ids, fates.true_fates, errors)
    return picture


def _paint(
    picture: np.ndarray,
    labels: np.ndarray,
    ids: np.ndarray,
    fates: np.ndarray,
    codes: Mapping[str, int],
) -> None:
    """Paint each nucleus with its code, and blank the seams; those of code 0 stay."""
    number = _number(labels, ids)
    paint = np.array([0, *(codes[name] for name in fates.tolist())], np.uint8)[number]
    np.copyto(picture, paint, where=paint > 0)
    for axis in (-2, -1):
        # Views with the axis last: pixels, and those just before them.
        before, after = (
            np.swapaxes(number, axis, -1)[..., part] for part in (np.s_[:-1], np.s_[1:])
        )
        code = np.swapaxes(paint, axis, -1)
        seam = (before != after) & (before > 0) & (after > 0)
        seam &= (code[..., :-1] > 0) | (code[..., 1:] > 0)
        np.swapaxes(picture, axis, -1)[..., 1:][seam] = 0


def _number(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return labels that are 1 + the place of each in ``ids``; the others are 0."""
    if not ids.size:
        return np.zeros(labels.shape, np.int64)
    place = np.minimum(np.searchsorted(ids, labels), ids.size - 1)
    return np.where(ids[place] == labels, place + 1, 0)


def tabulate(
    truth: np.ndarray, prediction: np.ndarray, fates: Fates
) -> dict[str, np.ndarray]:
    """Return one row for each nucleus: the true ones, then the predicted ones.

    Parameters
    ----------
    truth, prediction : numpy.ndarray
        ``(…, y, x)`` integer labels of one shape.
    fates : Fates
        Of these labels.

    Returns
    -------
    dict of str to numpy.ndarray
        Columns: ``kind`` (true or predicted), ``label``, ``fate``, ``IoU``,
        ``partner`` (label of its match, 0 if none), ``area`` (pixels),
        ``centroid_y``, ``centroid_x`` (pixels, and ``centroid_0``… for the axes
        before them).
    """
    back = dict(zip(fates.partners.tolist(), fates.true_ids.tolist(), strict=True))
    matched = fates.predicted_fates == "matched"
    partners = np.zeros(matched.size, np.int64)
    partners[matched] = [back[label] for label in fates.predicted_ids[matched].tolist()]
    true = _rows("true", truth, fates.true_ids, fates.true_fates)
    found = _rows("predicted", prediction, fates.predicted_ids, fates.predicted_fates)
    true |= {"IoU": fates.true_iou, "partner": fates.partners}
    found |= {"IoU": fates.predicted_iou, "partner": partners}
    return {name: np.concatenate([true[name], found[name]]) for name in true}


def _rows(
    kind: str, labels: np.ndarray, ids: np.ndarray, fates: np.ndarray
) -> dict[str, np.ndarray]:
    places = measure(_number(labels, ids))
    return {"kind": np.full(ids.size, kind), **places, "label": ids, "fate": fates}
