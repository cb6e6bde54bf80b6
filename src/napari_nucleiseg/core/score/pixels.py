"""How good labels are by pixels: which class each was given, and should have had.

Pixel figures flatter: a network that never separates touching nuclei can reach 98%.
They stand beside the figures per nucleus of `core.score.matching`, not in their place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: The two classes, in the order of rows and columns.
CLASSES = ("background", "nucleus")


def confusion(
    truth: np.ndarray, prediction: np.ndarray, known: np.ndarray | None = None
) -> np.ndarray:
    """Count pixels by their true and their predicted class.

    Parameters
    ----------
    truth, prediction : numpy.ndarray
        Of one shape; bool masks, or labels, of which all but 0 are nucleus.
    known : numpy.ndarray, optional
        Bool, same shape: only these pixels count. None counts all.

    Returns
    -------
    numpy.ndarray
        ``(2, 2)`` int64; rows are the true class, columns the predicted one, both in
        the order of `CLASSES`. Those of several images can be added.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(
            "True and predicted pixels must have one shape; received "
            f"{truth.shape} and {prediction.shape}."
        )
    t, p = truth != 0, prediction != 0
    if known is not None:
        inside = np.asarray(known, bool)
        if inside.shape != t.shape:
            raise ValueError(
                f"The annotation mask must have the shape of the pixels, {t.shape}; "
                f"received {inside.shape}."
            )
        t, p = t[inside], p[inside]
    return np.bincount(2 * t.ravel() + p.ravel(), minlength=4).reshape(2, 2)


def classification_report(matrix: np.ndarray) -> dict[str, Any]:
    """Return precision, recall and F1 of each class from counts of pixels.

    Parameters
    ----------
    matrix : numpy.ndarray
        ``(2, 2)`` counts; see `confusion`.

    Returns
    -------
    dict
        For each of `CLASSES` a dict of ``precision``, ``recall``, ``F1`` and
        ``support`` (true pixels); ``accuracy``; ``IoU`` of the nucleus class. Where
        a class neither occurs nor is predicted its figures are 1, and any other
        figure without a base is 0.

    Raises
    ------
    ValueError
        If the matrix is not 2 × 2 or counts no pixel.
    """
    matrix = np.asarray(matrix)
    if matrix.shape != (2, 2) or matrix.min() < 0 or matrix.sum() == 0:
        raise ValueError(
            "The confusion matrix must be 2 × 2 counts of at least one pixel; "
            f"received {matrix.tolist()}."
        )
    report: dict[str, Any] = {}
    for i, name in enumerate(CLASSES):
        hits, true = int(matrix[i, i]), int(matrix[i].sum())
        predicted = int(matrix[:, i].sum())
        nothing = 0.0 if true or predicted else 1.0
        report[name] = {
            "precision": hits / predicted if predicted else nothing,
            "recall": hits / true if true else nothing,
            "F1": 2 * hits / (true + predicted) if true + predicted else nothing,
            "support": true,
        }
    (_, false), (missed, hits) = matrix.tolist()
    union = hits + false + missed
    report["accuracy"] = float(np.trace(matrix) / matrix.sum())
    report["IoU"] = hits / union if union else 1.0
    return report


def format_report(report: dict[str, Any], matrix: np.ndarray | None = None) -> str:
    """Return a classification report as a text table.

    Parameters
    ----------
    report : dict
        See `classification_report`.
    matrix : numpy.ndarray, optional
        ``(2, 2)`` counts, put below the report.

    Returns
    -------
    str
        Lines without one at the end.
    """
    total = sum(report[name]["support"] for name in CLASSES)
    heads = ("precision", "recall", "F1", "support")
    lines = [f"{'pixels':12}" + "".join(f"{head:>12}" for head in heads)]
    for name in CLASSES:
        row = report[name]
        figures = "".join(f"{row[head]:12.4f}" for head in heads[:3])
        lines.append(f"{name:12}{figures}{row['support']:12d}")
    for key, label in (("accuracy", "accuracy"), ("IoU", "nucleus IoU")):
        lines.append(f"{label:12}{'':24}{report[key]:12.4f}{total:12d}")
    if matrix is not None:
        lines += ["", f"{'true':12}" + "".join(f"{name:>14}" for name in CLASSES)]
        for name, row in zip(CLASSES, np.asarray(matrix), strict=True):
            lines.append(f"{name:12}{row[0]:14d}{row[1]:14d}")
        lines[-3] += "   (predicted)"
    return "\n".join(lines)
