"""What the loop brings, round by round, and what its proposals are worth.

    python benchmarks/labelling.py
        --pairs FOLDER [--only 07 08 …] | --data FOLDER --field NAME
        [--called NAME] [--model NAME|FOLDER] [--regions 1 2 4 8] [--pool N] [--test N]
        [--seeds N …] [--timed] [--ways …] [--epochs N] [--steps N]
        [--batch N] [--patch N] [--json FILE] [--docs docs/training.md]

Every second image may be labelled, and the others, which are never learnt from, are
scored. In each round regions of about 25 nuclei are taken, in two ways: as they are
proposed by the model of the round before, and at random. In a region what that model
found is corrected from the truth: each wrong nucleus is deleted, and each one missing
drawn. Then the base is trained on all regions so far, as a project is. A seed draws
other regions at random, and other patches to learn from. A file of JSON gathers the
figures of several sets and runs, and ``--docs`` writes the tables of all of them. With
``--timed``, when nothing else runs, they say how long a round took.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from images import list_images, read_numbered
from napari_nucleiseg.core.labels.annotations import known_inside, known_nuclei
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.labels.proposing import NUCLEI, look_at, propose
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.score.fates import classify
from napari_nucleiseg.core.score.matching import score_image, summarise
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import DEFAULT_MODEL
from napari_nucleiseg.models.segmenting import segment
from napari_nucleiseg.training.process import TrainingProcess
from napari_nucleiseg.training.run import prepare
from napari_nucleiseg.training.run_folder import Order
from report import markdown, put

Images = list[tuple[str, np.ndarray, np.ndarray]]
Box = tuple[slice, slice]

#: Clicks of a round besides the corrections: Next, Teach the model, Keep.
CLICKS = 3


@dataclass
class Labelled:
    """The images of the pool, and what of each is labelled so far."""

    images: Images
    known: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with nothing known."""
        self.known = [np.zeros(labels.shape, bool) for _, _, labels in self.images]

    def add(self, index: int, box: Box) -> np.ndarray:
        """Label all nuclei in a region of an image; return what is known anew."""
        region = np.zeros(self.known[index].shape, bool)
        region[box] = True
        fresh = known_inside(self.images[index][2], region) & ~self.known[index]
        self.known[index] |= fresh
        return fresh

    def pairs(self) -> list[Pair]:
        """Return what can be learnt from."""
        return [
            Pair(image, labels, name, known=known)
            for (name, image, labels), known in zip(
                self.images, self.known, strict=True
            )
            if known.any()
        ]


#: Given what is labelled, the model, how many regions and a seed, says which to label.
Way = Callable[[Labelled, str, int, int], list[tuple[int, Box]]]


def as_proposed(
    labelled: Labelled, model: str, count: int, seed: int
) -> list[tuple[int, Box]]:
    """Return the regions that are proposed, which differ from each other."""
    predictor = load_model(model)
    looks = [
        look_at(
            image if image.ndim == 3 else image[..., None],
            predictor,
            before=None if model == DEFAULT_MODEL else load_model(DEFAULT_MODEL),
            known=known,
        )
        for (_, image, _), known in zip(labelled.images, labelled.known, strict=True)
    ]
    regions = propose(looks, labelled.pairs(), most=count)
    return [(region.index, region.box) for region in regions]


def at_random(
    labelled: Labelled, model: str, count: int, seed: int
) -> list[tuple[int, Box]]:
    """Return regions of as many nuclei anywhere, but not what is labelled already."""
    rng = np.random.default_rng(seed + 1000 * sum(map(np.any, labelled.known)))
    taken = [known.copy() for known in labelled.known]
    found: list[tuple[int, Box]] = []
    for _ in range(100 * count):
        index = int(rng.integers(len(labelled.images)))
        labels = labelled.images[index][2]
        nuclei = max(np.unique(labels).size - 1, 1)
        side = round((labels.size * NUCLEI / nuclei) ** 0.5)
        side = min(side, *labels.shape)
        top, left = (int(rng.integers(n - side + 1)) for n in labels.shape)
        box = (slice(top, top + side), slice(left, left + side))
        if taken[index][box].mean() < 0.2 and labels[box].any():
            taken[index][box] = True
            found.append((index, box))
        if len(found) == count:
            break
    return found


WAYS: dict[str, Way] = {"as proposed": as_proposed, "at random": at_random}


def corrections(truth: np.ndarray, found: np.ndarray, known: np.ndarray) -> int:
    """Return how many nuclei somebody deletes and draws to make what is known true."""
    counts = classify(truth, found, known=known).counts()
    wrong = ("false", "mergers", "pieces", "misshapen_predicted")
    missing = counts["true"] - counts["matched"]
    return int(sum(counts[name] for name in wrong) + missing)


def train(pairs: list[Pair], output: Path, model: str, params: TrainParams) -> None:
    """Train in a process of its own; keep what comes of it, better or not."""
    order = Order(name=output.name, params=params, base=model, keep_always=True)
    process = TrainingProcess(prepare(pairs, None, output, order))
    try:
        process.wait()
    finally:
        process.kill()


def score(model: str, images: Images) -> float:
    """Return the AP at IoU 0.5 on images, over all their nuclei."""
    scores = [
        score_image(labels, segment(image, model).labels) for _, image, labels in images
    ]
    return float(summarise(scores)["pooled"]["AP"]["0.50"])


def go_round(
    pool: Images,
    test: Images,
    way: str,
    seed: int,
    args: argparse.Namespace,
    params: TrainParams,
    folder: Path,
) -> list[dict[str, Any]]:
    """Go the rounds of the loop in one way, and return a row for each."""
    labelled, model, had, rows = Labelled(pool), args.model, 0, []
    for count in sorted(args.regions):
        began, done = time.monotonic(), 0
        for index, box in WAYS[way](labelled, model, count - had, seed):
            _, image, truth = pool[index]
            fresh = labelled.add(index, box)
            done += corrections(truth, segment(image, model).labels, fresh)
        looked, had = time.monotonic(), count
        pairs = labelled.pairs()
        output = folder / f"{way.replace(' ', '-')}-{seed}-{count}"
        train(pairs, output, args.model, params)
        trained, model = time.monotonic(), str(output)
        row = {
            "way": way,
            "seed": seed,
            "regions": count,
            "nuclei": int(sum(known_nuclei(pair).size for pair in pairs)),
            "corrections": done,
            "looking": (looked - began) / 60,
            "minutes": (trained - looked) / 60,
            "timed": args.timed,
            "AP": score(model, test),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


# ---- tables --------------------------------------------------------------------------


def tables(sets: dict[str, Any]) -> str:
    """Return a table for each set: the rounds, as proposed and at random."""
    parts = []
    for name, one in sets.items():
        counts = dict.fromkeys(sorted(row["regions"] for row in one["rows"]))
        cells = [
            [
                count,
                _minutes(one["rows"], count),
                *(cell for way in WAYS for cell in _cells(one["rows"], way, count)),
            ]
            for count in counts
        ]
        header = ["regions so far", "minutes of a round"]
        for way in WAYS:
            header += [f"{way}: nuclei", "clicks so far", "AP@0.5"]
        parts.append(
            f"**{name}**: {one['pool']} images to label, {one['test']} scored "
            f"({one['nuclei']} nuclei); AP@0.5 of the built-in model "
            f"{one['before']:.3f}; {one['steps']}; seeds: "
            f"{len({row['seed'] for row in one['rows']})}\n\n" + markdown(header, cells)
        )
    return "\n\n".join(parts)


def _minutes(rows: Sequence[dict[str, Any]], count: int) -> str:
    """Return how long timed rounds took: looking for regions, and training."""
    now = [x for x in rows if x["regions"] == count and x.get("timed")]
    if not now:
        return "–"
    proposed = [x["looking"] for x in now if x["way"] == "as proposed"]
    looking = f"{np.mean(proposed):.1f} + " if proposed else ""
    return f"{looking}{np.mean([x['minutes'] for x in now]):.1f}"


def _cells(rows: Sequence[dict[str, Any]], way: str, count: int) -> list[object]:
    """Return nuclei, clicks and AP after so many regions, means over the seeds."""
    mine = [row for row in rows if row["way"] == way]
    now = [row for row in mine if row["regions"] == count]
    if not now:
        return ["–"] * 3
    seeds = {row["seed"] for row in now}
    before = [x for x in mine if x["seed"] in seeds and x["regions"] <= count]
    clicks = sum(row["corrections"] + CLICKS for row in before) / len(seeds)
    aps = [row["AP"] for row in now]
    text = f"{np.mean(aps):.3f}"
    if len(aps) > 1:
        text += f" ({min(aps):.3f}–{max(aps):.3f})"
    return [round(np.mean([row["nuclei"] for row in now])), round(clicks), text]


def add_source(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add the options that say which images; see `read_images`."""
    source = parser.add_mutually_exclusive_group(required=required)
    source.add_argument("--pairs", type=Path, help="of X_image.tif and X_labels.tif")
    source.add_argument("--data", type=Path, help="a data set with a split.csv")
    parser.add_argument("--only", nargs="+", help="use only images of these names")
    parser.add_argument("--split", default="test")
    parser.add_argument("--field", help="use only images of this field of the data set")
    parser.add_argument("--crop", type=int, help="use this many pixels of each side")


def read_images(args: argparse.Namespace) -> Images:
    """Return the images of the set, cut if that is wanted."""
    if args.pairs is not None:
        found = list(read_numbered(args.pairs))
    else:
        listed = list_images(args.data, args.split)
        found = [(x.name, *x.read()) for x in listed if x.field == args.field]
    if args.only:
        found = [one for one in found if one[0] in args.only]
    if len(found) < 2:
        raise SystemExit("There are not two such images.")
    cut = np.s_[: args.crop, : args.crop]
    return [(name, image[cut], labels[cut]) for name, image, labels in found]


def main() -> None:
    """Go the rounds; print the tables, and write them down where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_source(parser)
    parser.add_argument("--called", help="name of the set in the tables")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--regions", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--pool", type=int, help="use so many images to label at most")
    parser.add_argument("--test", type=int, help="score so many images at most")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--timed", action="store_true", help="nothing else runs")
    parser.add_argument("--epochs", type=int, help="instead of the default")
    parser.add_argument("--steps", type=int, help="an epoch, instead of the default")
    parser.add_argument("--batch", type=int, help="patches, instead of the default")
    parser.add_argument("--patch", type=int, help="pixels, instead of the default")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    sets: dict[str, Any] = {}
    if args.json and args.json.is_file():
        sets = json.loads(args.json.read_text(encoding="utf-8"))
    if args.pairs is not None or args.data is not None:
        given = {
            "epochs": args.epochs,
            "steps_per_epoch": args.steps,
            "batch_size": args.batch,
            "patch_size": args.patch,
        }
        params = TrainParams(**{k: v for k, v in given.items() if v is not None})
        params = params.replace(judging="part")
        images = read_images(args)
        pool, test = images[::2][: args.pool], images[1::2][: args.test]
        one: dict[str, Any] = {
            "pool": len(pool),
            "test": len(test),
            "nuclei": int(sum(np.unique(x[2]).size - 1 for x in test)),
            "before": score(args.model, test),
            "steps": f"{params.epochs * params.steps_per_epoch} steps of "
            f"{params.batch_size} patches of {params.patch_size} px a round",
            "rows": [],
        }
        name = args.called or args.field or args.pairs.name
        ways = [(way, seed) for seed in args.seeds for way in args.ways]
        one["rows"] = [
            row
            for row in sets.get(name, {}).get("rows", [])
            if (row["way"], row["seed"]) not in ways
        ]
        print(f"{name}: before {one['before']:.3f}", flush=True)
        sets[name] = one
        with tempfile.TemporaryDirectory() as folder:
            for way, seed in ways:
                seeded = params.replace(seed=params.seed + seed)
                one["rows"] += go_round(
                    pool, test, way, seed, args, seeded, Path(folder)
                )
                if args.json:
                    text = json.dumps(sets, indent=1) + "\n"
                    args.json.write_text(text, encoding="utf-8")
    print(f"\n{tables(sets)}")
    if args.docs:
        put(args.docs, "labelling", tables(sets))


if __name__ == "__main__":
    main()
