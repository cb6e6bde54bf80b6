"""The check of pairs before training, in words for the user who painted them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_nucleiseg.core.labels.annotations import known_nuclei, to_labels
from napari_nucleiseg.core.labels.belonging import belongs
from napari_nucleiseg.core.labels.holdout import split_validation
from napari_nucleiseg.core.labels.pairs import Pair, diameter_of
from napari_nucleiseg.core.labels.pieces import find_pieces
from napari_nucleiseg.core.labels.resizing import (
    LEAST_RESIZED,
    diameter_by_area,
    resized_area,
)
from napari_nucleiseg.core.segment.image import Contrast

#: Fewer nuclei cannot be trained on; up to `FEW`, at 80:20 fewer than five are held
#: out, and nothing is judged by so few (see `models.verdict`).
LEAST, FEW = 5, 25

#: A label is no nucleus if it covers more of the image than this; a nucleus smaller
#: than this share of the median area is probably none.
BACKGROUND_SHARE, TINY_SHARE = 0.5, 0.05

#: An image with a side shorter than this (pixels) is mostly its own mirror image in
#: the patches that are cut for training.
SMALL_IMAGE = 48


@dataclass(frozen=True)
class Finding:
    """One thing that the check found.

    Parameters
    ----------
    level : str
        ``"error"`` (training would fail, or learn what is wrong), ``"warning"`` or
        ``"note"``.
    code : str
        What it is, for programs, such as ``"pieces"``.
    text : str
        What it is, for people, and what to do about it.
    names : tuple of str
        The pairs it is about; empty if it is about all of them.
    """

    level: str
    code: str
    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """What `check_pairs` found.

    Parameters
    ----------
    findings : tuple of Finding
        The worst first.
    nuclei : int
        How many can be learnt from or judged by; in a mask of nucleus and background
        its separate pieces.
    diameter : float
        Their median diameter, pixels; 0 if there are none.
    """

    findings: tuple[Finding, ...]
    nuclei: int
    diameter: float

    @property
    def usable(self) -> bool:
        """Whether training can start: there is no error."""
        return not self.of_level("error")

    def of_level(self, level: str) -> tuple[Finding, ...]:
        """Return the findings of one level."""
        return tuple(found for found in self.findings if found.level == level)


def check_pairs(
    pairs: Sequence[Pair],
    *,
    diameter: float,
    diameter_range: tuple[float, float],
    share: float | None = 0.2,
    seed: int = 0,
    resize: int | None = None,
    also: Sequence[Finding] = (),
    segment: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Check:
    """Check pairs before training on them.

    Parameters
    ----------
    pairs : sequence of Pair
        What is to be trained on; they may be wrong in any way.
    diameter, diameter_range : float and tuple of float
        The nuclear diameter that the model was made for, and those it copes with as
        they are, pixels.
    share, seed : float or None, int
        How they will be split; see `split_validation`. None if they will not be.
    resize : int, optional
        Side of the square that images will be resized to, pixels.
    also : sequence of Finding
        What was found before, such as files that could not be read.
    segment : callable, optional
        Given an image, returns the labels that a model finds in it: it is asked
        where the labels do not follow the light, and may not be of the image.

    Returns
    -------
    Check
        Codes: ``"shape"``, ``"labels"``, ``"foreign"``, ``"semantic"``, ``"pieces"``,
        ``"constant"``, ``"background"``, ``"empty"``, ``"unknown"``, ``"tiny"``,
        ``"small"``, ``"none"``, ``"few"``, ``"split"``, ``"size"`` and ``"summary"``,
        besides those of `also`.
    """
    findings = list(also)
    looks: list[_Look] = []
    for pair in pairs:
        look = _look(pair)
        if isinstance(look, Finding):
            findings.append(look)
        else:
            looks.append(look)
    areas = np.concatenate([look.areas for look in looks] or [np.zeros(0, int)])
    findings += _about_foreign(looks, segment)
    findings += _about_images(looks, float(np.median(areas)) if areas.size else 0.0)
    width = diameter_of(areas)
    if resize is not None:
        diameter_range = (0.0, math.inf)  # they are whatever resizing makes of them
    findings += _about_all(looks, int(areas.size), width, diameter, diameter_range)
    if resize is not None and areas.size:
        findings.append(_about_resizing(looks, resize))
    semantic = any(look.semantic for look in looks)
    if areas.size >= LEAST and share is not None and not semantic:
        try:
            split_validation([look.pair for look in looks], share, seed)
        except ValueError as e:
            findings.append(Finding("error", "split", str(e)))
    order = {"error": 0, "warning": 1, "note": 2}
    findings.sort(key=lambda found: order[found.level])
    return Check(tuple(findings), int(areas.size), width)


@dataclass(frozen=True)
class _Look:
    """What one pair shows."""

    pair: Pair
    areas: np.ndarray  # of the nuclei that count, pixels; of pieces if semantic
    labels: int  # how many numbers there are where something is known
    pieces: int  # how many separate pieces they make, without slips of the brush
    several: np.ndarray  # numbers that have more than one piece
    covered: float  # largest share of the image under one number
    constant: bool

    @property
    def semantic(self) -> bool:
        """Whether this is a mask of nucleus and background."""
        return self.labels == 1 and self.pieces > 1


def _look(pair: Pair) -> _Look | Finding:
    """Inspect a pair, or return why it cannot be used."""
    name, shape = pair.name or "a pair", pair.labels.shape
    for what, other in (("image", pair.image), ("annotation mask", pair.known)):
        if other is not None and other.shape[:2] != shape:
            return Finding(
                "error",
                "shape",
                f"The {what} and the labels of {name} must have one size; received "
                f"{_size(other.shape[:2])} and {_size(shape)} pixels. Do they belong "
                "together?",
                (pair.name,),
            )
    try:
        labels = to_labels(pair.labels, name)
    except ValueError as e:
        return Finding("error", "labels", str(e), (pair.name,))
    pair = replace(pair, labels=labels)
    known = np.ones(shape, bool) if pair.known is None else pair.known
    pieces, numbers, main = find_pieces(labels)
    sizes = np.bincount(pieces.ravel(), minlength=numbers.size)
    main &= 2 * np.bincount(pieces[known], minlength=numbers.size) >= sizes
    owners = np.bincount(numbers[main], minlength=1)
    semantic = np.count_nonzero(owners) == 1 and main.sum() > 1
    image = np.asarray(pair.image)
    image = image[..., None] if image.ndim == 2 else image[..., :3]
    return _Look(
        pair,
        sizes[main] if semantic else np.bincount(labels.ravel())[known_nuclei(pair)],
        int(np.count_nonzero(owners)),
        int(main.sum()),
        np.flatnonzero(owners > 1),
        float(np.bincount(labels[known])[1:].max(initial=0) / labels.size),
        Contrast.of(image).constant,
    )


def _about_images(looks: Sequence[_Look], median_area: float) -> list[Finding]:
    """Return what is wrong with single images, each fault once for all of them."""
    found = []

    def tell(level: str, code: str, which: Sequence[_Look], text: str) -> None:
        if which:
            names = tuple(look.pair.name for look in which)
            text = text.format(where=_list(names), n=len(which))
            found.append(Finding(level, code, text, names))

    semantic = [look for look in looks if look.semantic]
    tell(
        "error",
        "semantic",
        semantic,
        f"{_many(sum(look.pieces for look in semantic), 'separate piece')} have one "
        "and the same number in {where}: this looks like a mask of nucleus and "
        "background. Every nucleus needs a number of its own. Split numbers each "
        "piece; nuclei that touch must then be parted by hand.",
    )
    several = [look for look in looks if look.labels > 1 and look.several.size]
    # Most numbers in several pieces are classes, or a brush never changed.
    classes = [look for look in several if look.pieces >= 2 * look.labels]
    slips = [look for look in several if look.pieces < 2 * look.labels]
    for level, group in (("error", classes), ("warning", slips)):
        count = sum(look.several.size for look in group)
        example = f" (such as {group[0].several[0]})" if group else ""
        tell(
            level,
            "pieces",
            group,
            f"{_many(count, 'label')}{example} {'has' if count == 1 else 'have'} "
            "several separate pieces in {where}, and would be taught as one nucleus. "
            "Split gives each piece a number of its own.",
        )
    tell(
        "error",
        "constant",
        [look for look in looks if look.constant and look.areas.size],
        "There is no contrast in {where}: all pixels have one value, yet nuclei are "
        "painted. Is it the right channel?",
    )
    tell(
        "warning",
        "background",
        [look for look in looks if look.covered > BACKGROUND_SHARE],
        "One label covers more than half of {where}. Is the background numbered? It "
        "must be 0.",
    )
    blank = [look for look in looks if not look.areas.size]
    unknown = [
        look
        for look in blank
        if look.pair.known is not None and not look.pair.known.any()
    ]
    tell(
        "note",
        "unknown",
        unknown,
        "Nothing is painted or marked as complete in {where}: not used.",
    )
    tell(
        "warning",
        "empty",
        [look for look in blank if not any(look is other for other in unknown)],
        "No nucleus is painted in {where}: all of it will be learnt as background. If "
        "there are nuclei, paint them, mark a complete region, or choose that only "
        "some nuclei are painted.",
    )
    tiny = [
        look for look in looks if (look.areas < max(TINY_SHARE * median_area, 2)).any()
    ]
    count = sum(
        int((look.areas < max(TINY_SHARE * median_area, 2)).sum()) for look in tiny
    )
    tell(
        "note",
        "tiny",
        tiny,
        f"{_many(count, 'label')} {'is' if count == 1 else 'are'} less than a "
        "twentieth of a typical nucleus in {where}. Slips of the brush?",
    )
    tell(
        "note",
        "small",
        [look for look in looks if min(look.pair.labels.shape) < SMALL_IMAGE],
        f"Less than {SMALL_IMAGE} pixels wide or high, and mirrored to fill a patch: "
        "{where}.",
    )
    return found


def _about_foreign(
    looks: Sequence[_Look], segment: Callable[[np.ndarray], np.ndarray] | None
) -> list[Finding]:
    """Return which labels cannot be of the image they lie on."""
    foreign = [
        look.pair.name
        for look in looks
        if segment is not None
        and not look.semantic
        and not look.constant
        and not belongs(look.pair.image, look.pair.labels, segment)
    ]
    if not foreign:
        return []
    text = (
        f"The labels do not fit the image in {_list(foreign)}: the model finds next to "
        "none of these nuclei, and their rims do not follow the light. Are they of "
        "another image, shifted, rotated or mirrored?"
    )
    # If they are right all the same, it is the user who knows.
    return [Finding("warning", "foreign", text, tuple(foreign))]


def _about_all(
    looks: Sequence[_Look],
    nuclei: int,
    width: float,
    diameter: float,
    diameter_range: tuple[float, float],
) -> list[Finding]:
    """Return how many nuclei there are, how large, and whether that will do."""
    images = sum(look.areas.size > 0 for look in looks)
    if not nuclei:
        return [Finding("error", "none", "No nucleus is painted: nothing to train on.")]
    found = [
        Finding(
            "note",
            "summary",
            f"{_many(nuclei, 'nucleus', 'nuclei')} in {_many(images, 'image')} or "
            f"plane{'' if images == 1 else 's'}, {_px(width)} wide (median).",
        )
    ]
    low, high = diameter_range
    if not low <= width <= high:
        change = "shrunk" if width > high else "enlarged"
        found.append(
            Finding(
                "note",
                "size",
                f"The model was made for nuclei {_px(diameter)} wide "
                f"({low:.0f}–{high:.0f}); yours are {_px(width)}. Images are "
                f"{change} to fit, in training and afterwards.",
            )
        )
    if nuclei < LEAST:
        text = f"at least {LEAST} are needed, some of them for validation."
        found.append(Finding("error", "few", _painted(nuclei, text)))
    elif nuclei < FEW:
        text = (
            "so few are held out that it cannot be told whether the new model is "
            "better. Some 125 tell, or images to test on."
        )
        found.append(Finding("warning", "few", _painted(nuclei, text)))
    return found


def _about_resizing(looks: Sequence[_Look], side: int) -> Finding:
    """Return how large nuclei will be, and whether they can then be told apart."""
    resized = [look.areas * resized_area(look.pair, side) for look in looks]
    width = diameter_by_area(np.concatenate(resized))
    begin = f"Resized to {side} × {side} px, your nuclei are {width:.1f} px wide"
    if width < LEAST_RESIZED:
        text = f"{begin}; {LEAST_RESIZED:g} px is the least that can be learnt."
        text += " Choose a larger size, or learn from patches (Auto)."
        return Finding("error", "size", text)
    return Finding("note", "size", f"{begin}, and the model will be made for that.")


def _painted(nuclei: int, rest: str) -> str:
    return f"Only {_many(nuclei, 'nucleus', 'nuclei')} painted: {rest}"


def _many(n: int, one: str, more: str = "") -> str:
    return f"{n} {one if n == 1 else more or one + 's'}"


def _px(length: float) -> str:
    return f"{length:.0f}\N{NO-BREAK SPACE}px"


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def _list(names: Sequence[str], most: int = 3) -> str:
    """Return names as part of a sentence; of many, the first ones."""
    shown = [name or "an image without a name" for name in names]
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
