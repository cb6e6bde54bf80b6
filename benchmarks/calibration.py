"""Fit a model's confidence, and measure what it is worth: used by `accuracy.py`.

Of the nuclei given a confidence of 0.8, 80% should match a true nucleus at IoU 0.5
(reliability), and matched nuclei should get more than false ones (AUROC).
"""

import itertools
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from napari_nucleiseg.core.segment.confidence import fit_calibration
from report import markdown

#: Confidences are looked at in these bins.
EDGES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

FOLDS = 5


def auroc(matched: np.ndarray, confidence: np.ndarray) -> float:
    """Return how often a matched nucleus is given more than a false one.

    Parameters
    ----------
    matched : numpy.ndarray
        ``(n,)`` bool.
    confidence : numpy.ndarray
        ``(n,)``; a tie counts half.

    Returns
    -------
    float
        0-1; NaN if all nuclei are of one sort.
    """
    true, false = int(matched.sum()), int((~matched).sum())
    if not true or not false:
        return float("nan")
    ranks = rankdata(confidence)[matched].sum()
    return float((ranks - true * (true + 1) / 2) / (true * false))


def bins(matched: np.ndarray, confidence: np.ndarray) -> list[tuple[int, float, float]]:
    """Return of each bin of `EDGES` the count, the mean given and the share matched."""
    at = np.clip(np.digitize(confidence, EDGES) - 1, 0, len(EDGES) - 2)
    out = []
    for i in range(len(EDGES) - 1):
        some = at == i
        n = int(some.sum())
        given = float(confidence[some].mean()) if n else float("nan")
        share = float(matched[some].mean()) if n else float("nan")
        out.append((n, given, share))
    return out


def off(matched: np.ndarray, confidence: np.ndarray) -> float:
    """Return by how much confidences are off, on average over the nuclei's bins."""
    found = bins(matched, confidence)
    return sum(n * abs(given - share) for n, given, share in found if n) / matched.size


def cross_validate(
    features: np.ndarray, matched: np.ndarray, groups: Sequence[str], seed: int = 0
) -> np.ndarray:
    """Return confidences ``(n,)``, each from a fit without its own field of view.

    Parameters
    ----------
    features, matched
        See `fit_calibration`.
    groups : sequence of str
        The field of view of each nucleus.
    seed : int
        How the fields are dealt out to the folds.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    fold = (np.random.default_rng(seed).permutation(names.size) % FOLDS)[group]
    out = np.zeros(matched.size, np.float32)
    for k in range(FOLDS):
        inside = fold == k
        if inside.any():
            fitted = fit_calibration(features[~inside], matched[~inside])
            out[inside] = fitted.confidence(features[inside])
    return out


def reliability_table(sets: dict[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Return the reliability of sets of nuclei, side by side, as Markdown.

    Parameters
    ----------
    sets : dict
        Name to matched and confidence, ``(n,)`` each.
    """
    found = {name: bins(*values) for name, values in sets.items()}
    header = ["confidence"]
    for name in sets:
        header += [f"{name}: nuclei", "given", "matched"]
    rows: list[list[object]] = []
    for i, (low, high) in enumerate(itertools.pairwise(EDGES)):
        row: list[object] = [f"{low:g}–{high:g}"]
        for name in sets:
            row += found[name][i]
        rows.append(row)
    return markdown(header, rows)


def ranking_table(
    sets: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> str:
    """Return how well confidences rank, and how far they are off, as Markdown.

    Parameters
    ----------
    sets : dict
        Name to matched, confidence, and the mean nucleus map for comparison.
    """
    header = ["nuclei of", "nuclei", "false", "AUROC", "off by"]
    header += ["mean nucleus map: AUROC", "off by"]
    rows: list[list[object]] = [
        [
            name,
            matched.size,
            int((~matched).sum()),
            auroc(matched, confidence),
            off(matched, confidence),
            auroc(matched, plain),
            off(matched, plain),
        ]
        for name, (matched, confidence, plain) in sets.items()
        if matched.size
    ]
    return markdown(header, rows)
