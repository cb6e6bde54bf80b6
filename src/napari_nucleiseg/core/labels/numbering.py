"""Numbers that nuclei keep when their labels are made anew."""

from __future__ import annotations

import numpy as np


def numbers_before(labels: np.ndarray, before: np.ndarray, highest: int) -> np.ndarray:
    """Return for each label the number that the same nucleus had before.

    Parameters
    ----------
    labels, before : numpy.ndarray
        Integer labels of one shape, now and before.
    highest : int
        Nuclei that were not there before are numbered from after it.

    Returns
    -------
    numpy.ndarray
        ``(labels.max() + 1,)`` int64, 0 for the background. The same is what shares
        more than half of the area of both together: no number is given twice.
    """
    count = int(labels.max(initial=0))
    numbers = np.r_[0, highest + 1 + np.arange(count)]
    names, theirs = np.unique(before, return_counts=True)
    mine = np.bincount(labels.ravel(), minlength=count + 1)
    both = (labels > 0) & (before > 0)
    key = labels[both].astype(np.int64) * names.size
    key += np.searchsorted(names, before[both])
    pairs, shared = np.unique(key, return_counts=True)
    label, name = np.divmod(pairs, names.size)
    same = 2 * shared > mine[label] + theirs[name] - shared
    numbers[label[same]] = names[name[same]]
    return numbers
