"""How often the interval of a verdict holds what it says: the gain on other images.

    python benchmarks/interval.py --data FOLDER --models FOLDER [FOLDER …]
        [--split test] [--fields NAME …] [--most N] [--docs docs/training.md]

Each model is compared with the built-in one on parts of single images, as on a held-out
strip: a fifth at each side, each half, and the whole. The true gain is that on all the
other images of the same field of `split.csv`, such as an organ.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from images import list_images
from napari_nucleiseg.core.score.comparing import (
    WIDENED,
    gain_interval,
    score_of,
    tally,
)
from napari_nucleiseg.models.registry import DEFAULT_MODEL
from napari_nucleiseg.models.segmenting import segment
from napari_nucleiseg.models.verdict import LEAST_GAIN
from report import markdown, put

#: How many nuclei there are to judge by: from, to.
BINS = ((5, 12), (12, 25), (25, 50), (50, 100), (100, 1000))

#: Parts of an image: rows and columns from and to, in tenths.
PARTS = (
    (0, 10, 0, 10),
    (0, 2, 0, 10),
    (8, 10, 0, 10),
    (0, 10, 0, 2),
    (0, 10, 8, 10),
    (0, 5, 0, 10),
    (5, 10, 0, 10),
    (0, 10, 0, 5),
    (0, 10, 5, 10),
)

#: Of an image, by model and part: rows of `tally`.
Tallies = dict[str, list[np.ndarray]]


def tallies_of(image: np.ndarray, truth: np.ndarray, models: list[str]) -> Tallies:
    """Return what each model finds in each part of an image."""
    found: Tallies = {}
    for model in models:
        labels = segment(image, model).labels
        found[model] = []
        for top, bottom, left, right in PARTS:
            known = np.zeros(truth.shape, bool)
            height, width = truth.shape
            known[
                height * top // 10 : height * bottom // 10,
                width * left // 10 : width * right // 10,
            ] = True
            found[model].append(tally(truth, labels, known=known))
    return found


def gain(base: np.ndarray, new: np.ndarray) -> float:
    """Return how much the score rises, of sums of tallies."""
    return float(score_of(new) - score_of(base))


def compare(images: list[Tallies], model: str) -> list[tuple[int, float, np.ndarray]]:
    """Return of each part: nuclei, the true gain, and gain, low and high of it."""
    rows = []
    for i, mine in enumerate(images):
        others = [one for j, one in enumerate(images) if j != i]
        sums = [
            np.sum([one[name][0].sum(0) for one in others], axis=0)
            for name in (DEFAULT_MODEL, model)
        ]
        true = gain(*sums)
        for base, new in zip(mine[DEFAULT_MODEL], mine[model], strict=True):
            nuclei = int(base[:, 0].sum())
            told = gain(base.sum(0), new.sum(0))
            limits = gain_interval(base, new, widened=1.0)
            rows.append((nuclei, true, np.array([told, *limits])))
    return rows


def holds(rows: list[tuple[int, float, np.ndarray]], widened: float) -> list[object]:
    """Return how often the interval holds the true gain, and how often it misleads."""
    inside = better = wrong = 0
    for _, true, (told, low, high) in rows:
        low, high = told + widened * (low - told), told + widened * (high - told)
        inside += low <= true <= high
        sure = low > 0 and told >= LEAST_GAIN
        better += sure
        wrong += sure and true <= 0
    return [inside / len(rows), f"{wrong} of {better}"]


def main() -> None:
    """Print the table; write it down where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--fields", nargs="+")
    parser.add_argument("--most", type=int, default=12, help="images of a field")
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    fields = defaultdict(list)
    for image in list_images(args.data, args.split):
        if not args.fields or image.field in args.fields:
            fields[image.field].append(image)
    found: dict[tuple[int, int], list] = {limits: [] for limits in BINS}
    count = 0
    for name, images in fields.items():
        if len(images) < 4:
            continue
        count += 1
        seen = [
            tallies_of(*one.read(), [DEFAULT_MODEL, *args.models])
            for one in images[: args.most]
        ]
        for model in args.models:
            for row in compare(seen, model):
                for low, high in BINS:
                    if low <= row[0] < high:
                        found[low, high].append(row)
        print(name, len(seen), flush=True)
    table = [
        [f"{low}–{high - 1}", len(rows), *holds(rows, 1.0), *holds(rows, WIDENED)]
        for (low, high), rows in found.items()
        if rows
    ]
    header = ["nuclei to judge by", "comparisons"]
    for name in ("bootstrap", "widened"):
        header += [f"{name}: holds the true gain", "wrong where it says *better*"]
    text = markdown(header, table)
    print(f"\n{count} fields, {len(args.models)} models\n\n{text}")
    if args.docs:
        put(args.docs, "interval", text)


if __name__ == "__main__":
    main()
