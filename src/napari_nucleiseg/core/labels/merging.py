"""What is known of an image, from one correction to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair


def add_knowledge(before: Pair, now: Pair) -> Pair:
    """Join what was known of an image with what is known of it now.

    Parameters
    ----------
    before, now : Pair
        Of the same image. Where both know something, the later one counts; a nucleus
        of the earlier one that reaches there is no longer known, unless it is the
        same.

    Returns
    -------
    Pair
        With the image and the name of `now`.

    Raises
    ------
    ValueError
        If the labels differ in shape.
    """
    if before.labels.shape != now.labels.shape:
        raise ValueError(
            "Both must be labels of one image; received the shapes "
            f"{before.labels.shape} and {now.labels.shape}."
        )
    if now.known is None:
        return now
    known = np.ones(now.labels.shape, bool) if before.known is None else before.known
    reaching = np.unique(before.labels[now.known & known])
    earlier = known & ~now.known
    earlier &= ~np.isin(before.labels, reaching[reaching > 0])
    highest = int(now.labels.max(initial=0))
    labels = np.where(now.known, now.labels, 0)
    older = earlier & (before.labels > 0)
    labels[older] = before.labels[older] + highest
    both = now.known | earlier
    return replace(now, labels=labels, known=None if both.all() else both)
