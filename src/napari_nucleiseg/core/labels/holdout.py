"""Hold out part of the painted nuclei as the validation set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage as ndi

from napari_nucleiseg.core.labels.annotations import known_nuclei, stack_name
from napari_nucleiseg.core.labels.pairs import Pair

#: Orders of the images that are tried for one that comes near the share.
_ORDERS = 64

#: Whole images are not held out where they would be more than the share times this.
_TOO_MUCH = 1.75

#: Behind the name of the part of an image that is held out.
HELD_OUT = " (held out)"


def split_validation(
    pairs: Sequence[Pair], share: float = 0.2, seed: int = 0
) -> tuple[list[Pair], list[Pair]]:
    """Hold out about a share of the nuclei for validation.

    Whole images where several have nuclei; the planes of one stack stay together, for
    neighbours may show the same nuclei. Of a single stack, consecutive planes at one
    end. Of a single image, a strip across its longer side (or, where that separates no
    nuclei, its shorter one); nuclei on the cut belong to neither part. Where whole
    images would be far more than the share, as with two alike, the one with the most
    nuclei is split as if it were the only one.

    Parameters
    ----------
    pairs : sequence of Pair
        Named as by `split_planes`. Those with an empty annotation mask are left out.
    share : float
        Of the nuclei to hold out, 0-1 (both excluded).
    seed : int
        The same seed gives the same split.

    Returns
    -------
    training, validation : list of Pair
        In the order given; both have nuclei. Images without nuclei are trained on.

    Raises
    ------
    ValueError
        If the share is no share, or a part would be without a nucleus.
    """
    if not 0 < share < 1:
        raise ValueError(
            f"The validation share must be between 0 and 1; received {share}."
        )
    pairs = [pair for pair in pairs if pair.known is None or pair.known.any()]
    counts = np.array([known_nuclei(pair).size for pair in pairs], int)
    if not counts.sum():
        raise ValueError("There is nothing to train on: no nucleus is painted.")
    rng = np.random.default_rng(seed)
    stacks: dict[tuple[str, int], list[int]] = {}
    for i in np.flatnonzero(counts):
        name = stack_name(pairs[i].name)
        # Images that have no name, or the same one, are still different images.
        key = (name, -1 if name != pairs[i].name else int(i))
        stacks.setdefault(key, []).append(int(i))
    groups = list(stacks.values())
    if len(groups) == 1:
        return _split_group(pairs, groups[0], counts, share, rng)
    totals = np.array([counts[group].sum() for group in groups])
    whole = _choose(totals, share, rng)
    if totals[whole].sum() > _TOO_MUCH * share * totals.sum():
        largest = int(np.argmax(totals))
        part = share * float(totals.sum() / totals[largest])
        try:
            return _split_group(pairs, groups[largest], counts, part, rng)
        except ValueError:
            pass  # it cannot be split
    return _part(pairs, {i for g in whole for i in groups[g]})


def hold_out_images(
    pairs: Sequence[Pair], share: float = 0.2, seed: int = 0
) -> tuple[list[Pair], list[Pair]]:
    """Hold out a share of the images at random, whatever is in them.

    Parameters
    ----------
    pairs : sequence of Pair
        At least two.
    share : float
        Of the images to hold out, 0-1 (both excluded).
    seed : int
        The same seed gives the same split.

    Returns
    -------
    training, validation : list of Pair
        In the order given, at least one each.

    Raises
    ------
    ValueError
        If there are fewer than two images.
    """
    if len(pairs) < 2:
        raise ValueError(
            f"Two images or more are needed to hold some out; received {len(pairs)}."
        )
    count = min(max(round(share * len(pairs)), 1), len(pairs) - 1)
    order = np.random.default_rng(seed).permutation(len(pairs))
    return _part(pairs, set(order[:count].tolist()))


def check_apart(pairs: Sequence[Pair], test: Sequence[Pair]) -> None:
    """Check that images to test on are not learnt from.

    Parameters
    ----------
    pairs, test : sequence of Pair
        What is learnt from, and what is tested on.

    Raises
    ------
    ValueError
        If an image is in both, pixel by pixel, whatever it is called.
    """
    learnt = {_print_of(pair): pair.name for pair in pairs} if test else {}
    for pair in test:
        other = learnt.get(_print_of(pair))
        if other is not None:
            raise ValueError(
                f"The image to test on, {pair.name or 'without a name'}, is the same "
                f"as {other or 'one'}, which is learnt from. A test is worth something "
                "only on images that were never learnt from: choose others."
            )


def _print_of(pair: Pair) -> tuple[tuple[int, ...], bytes]:
    image = np.ascontiguousarray(pair.image)
    return image.shape, hashlib.sha256(image.tobytes()).digest()


def _part(pairs: Sequence[Pair], held: set[int]) -> tuple[list[Pair], list[Pair]]:
    return (
        [pair for i, pair in enumerate(pairs) if i not in held],
        [pair for i, pair in enumerate(pairs) if i in held],
    )


def _split_group(
    pairs: list[Pair],
    group: Sequence[int],
    counts: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> tuple[list[Pair], list[Pair]]:
    """Hold out planes at one end of a stack, or a strip of a single image."""
    if len(group) == 1:
        return _split_one(pairs, group[0], share, rng)
    order = group if rng.integers(2) else group[::-1]
    return _part(pairs, set(order[: _nearest(counts[order], share)[0]]))


def _off(held: np.ndarray, total: int, share: float) -> np.ndarray:
    """Return how far a sum is from the share, in log odds.

    So that one nucleus of a hundred is as far from a fifth as it is of use.
    """
    return np.abs(np.log(held / (total - held)) - np.log(share / (1 - share)))


def _nearest(counts: np.ndarray, share: float) -> tuple[int, float]:
    """Return how many to take of the first to come near the share, and how near."""
    off = _off(np.cumsum(counts)[:-1], int(counts.sum()), share)
    return int(np.argmin(off)) + 1, float(off.min())


def _choose(counts: np.ndarray, share: float, rng: np.random.Generator) -> list[int]:
    """Return which to hold out so that the sum of their counts is near the share."""
    orders = [rng.permutation(counts.size) for _ in range(_ORDERS)]
    found = [_nearest(counts[order], share) for order in orders]
    best = int(np.argmin([round(off, 9) for _, off in found]))
    return orders[best][: found[best][0]].tolist()


@dataclass(frozen=True)
class _Cut:
    """A straight cut through an image: the strip on one side is held out."""

    axis: int
    at: int  # first row or column of the second part
    first: bool  # whether the first part is the one held out
    off: float  # how bad it is


def _split_one(
    pairs: list[Pair], which: int, share: float, rng: np.random.Generator
) -> tuple[list[Pair], list[Pair]]:
    pair = pairs[which]
    longer = int(pair.labels.shape[1] >= pair.labels.shape[0])
    first = bool(rng.integers(2))
    cut = _best_cut(pair, longer, first, share) or _best_cut(
        pair, 1 - longer, first, share
    )
    if cut is None:
        raise ValueError(
            f"The nuclei of {pair.name or 'the image'} ({known_nuclei(pair).size}) "
            "cannot be split by a straight cut into some to train on and some for "
            "validation. Paint a few more, or add an image."
        )
    ends = (slice(0, cut.at), slice(cut.at, None))
    halves = [
        tuple(end if axis == cut.axis else slice(None) for axis in (0, 1))
        for end in ends
    ]
    both = np.intersect1d(pair.labels[halves[0]], pair.labels[halves[1]])
    known = ~np.isin(pair.labels, both[both > 0])
    if pair.known is not None:
        known &= pair.known
    parts = [
        replace(
            pair,
            image=pair.image[half],
            labels=pair.labels[half],
            known=None if known[half].all() else known[half],
        )
        for half in halves
    ]
    held, rest = parts if cut.first else parts[::-1]
    name = pair.name or "image"
    training = [rest if i == which else other for i, other in enumerate(pairs)]
    if not name.endswith(HELD_OUT):
        name += HELD_OUT
    return training, [replace(held, name=name)]


def _best_cut(pair: Pair, axis: int, first: bool, share: float) -> _Cut | None:
    """Return the cut that splits the nuclei best, or None if there is none.

    Best is a share near the wanted one, and few nuclei on the cut.
    """
    counted = set(known_nuclei(pair).tolist())
    spans = np.array(
        [
            (box[axis].start, box[axis].stop)
            for number, box in enumerate(ndi.find_objects(pair.labels), start=1)
            if box is not None and number in counted
        ]
    )
    at = np.arange(1, pair.labels.shape[axis])
    before = np.searchsorted(np.sort(spans[:, 1]), at, "right")
    after = len(spans) - np.searchsorted(np.sort(spans[:, 0]), at, "left")
    whole = np.maximum(before + after, 1)
    options = []
    for held, is_first in ((before, True), (after, False)):
        off = np.abs(held / whole - share) + 1 - whole / len(spans)
        off[(before == 0) | (after == 0)] = np.inf
        best = np.flatnonzero(off <= off.min() + 1e-9)
        if np.isfinite(off.min()):
            # Cuts between the same nuclei are equal: the middle one is farthest off.
            here = int(best[best.size // 2])
            options.append(_Cut(axis, int(at[here]), is_first, float(off[here])))
    # The seed chooses the side where both are as good.
    return min(options, key=lambda c: (c.off, c.first != first), default=None)
