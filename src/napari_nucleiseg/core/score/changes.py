"""What differs between two segmentations of one image: before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_nucleiseg.core.score.fates import classify

#: What `fates.classify` calls the nuclei of either, if the former stands for the truth.
_BEFORE = {"missed": "vanished", "split": "split", "merged": "merged"}
_AFTER = {"false": "appeared", "piece": "split", "merger": "merged"}
_EITHER = {"matched": "same", "misshapen": "reshaped"}

#: What may become of a nucleus, in the order in which it is told.
CHANGES = ("appeared", "vanished", "split", "merged", "reshaped")


@dataclass(frozen=True)
class Changes:
    """What became of each nucleus.

    Parameters
    ----------
    before, after : dict of int to str
        By label: ``"same"``, or one of `CHANGES`.
    """

    before: dict[int, str]
    after: dict[int, str]

    def counts(self) -> dict[str, int]:
        """Return how many nuclei appeared, and how many of those before changed."""
        there = {name: _count(self.before, name) for name in CHANGES}
        return {**there, "appeared": _count(self.after, "appeared")}


def _count(found: dict[int, str], name: str) -> int:
    return sum(one == name for one in found.values())


def compare(before: np.ndarray, after: np.ndarray) -> Changes:
    """Find out what became of each nucleus; see `core.score.fates`.

    Parameters
    ----------
    before, after : numpy.ndarray
        Integer labels of one shape, 0 is background.

    Returns
    -------
    Changes
    """
    fates = classify(before, after)
    names_before, names_after = _EITHER | _BEFORE, _EITHER | _AFTER
    return Changes(
        {
            n: names_before[fate]
            for n, fate in zip(
                fates.true_ids.tolist(), fates.true_fates.tolist(), strict=True
            )
        },
        {
            n: names_after[fate]
            for n, fate in zip(
                fates.predicted_ids.tolist(),
                fates.predicted_fates.tolist(),
                strict=True,
            )
        },
    )
