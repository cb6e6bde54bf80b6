"""What fine-tuning on another lab's images brings there, and costs elsewhere.

    python benchmarks/fine_tuning.py --data MNFINDER_FOLDER --dsb DSB2018_FOLDER
        [--model NAME|FOLDER] [--quick] [--epochs N] [--steps N] [--json FILE]
        [--docs docs/accuracy.md]
    python benchmarks/fine_tuning.py --data GUT_FOLDER --dsb DSB2018_FOLDER
        --images 6 --minutes 5 [--docs docs/accuracy.md]

Trains with the package's defaults, in a process of its own, as the widget does:

- on files 07, 08 and 09, labelled completely;
- on file 07 with a region labelled: the middle of the image, as large as it takes to
  hold 30 nuclei, as one who has not the patience for the whole image would do it;

each with and without rehearsal of the package's own images. Scores the model it began
from and what came of it on files 10 to 15 and 22, which are of the same kind, and on
the test split of DSB2018, to see what it forgot. `--quick` scores 12 images of that.

`--images` takes any folder: it learns from so many files of it, evenly spaced, with
rehearsal, for as long as `--minutes` allows, and scores the others.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from images import KINDS, TestImage, list_images, read_numbered, thin
from napari_nucleiseg.core.labels.annotations import known_inside, known_nuclei
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.score.matching import ImageScore, score_image
from napari_nucleiseg.models.registry import DEFAULT_MODEL
from napari_nucleiseg.models.segmenting import segment
from napari_nucleiseg.training.process import TrainingProcess
from napari_nucleiseg.training.run import prepare
from napari_nucleiseg.training.run_folder import Order
from report import markdown, put

LEARN = ("07", "08", "09")
SCORE = ("10", "11", "12", "13", "14", "15", "22")

#: Nuclei in the region that is labelled of one image.
REGION_NUCLEI = 30

QUICK = 12

#: Epochs that a time limit comes before.
LONG = 60

Images = list[tuple[np.ndarray, np.ndarray]]


@dataclass
class Outcome:
    """One row of the table.

    Parameters
    ----------
    what : str
        What was labelled.
    images, nuclei : int
        How much of it.
    rehearsal, minutes, verdict : str
        How it was trained, how long it took, and what the training said of itself.
    own : dict
        AP on the other images of the lab: ``AP50, AP75, mean_AP``.
    dsb : dict
        AP at IoU 0.5 on the test split by kind, and on all of it.
    """

    what: str
    images: int = 0
    nuclei: int = 0
    rehearsal: str = "–"
    minutes: str = "–"
    verdict: str = "–"
    own: dict[str, float] = field(default_factory=dict)
    dsb: dict[str, float] = field(default_factory=dict)


def middle_region(labels: np.ndarray, nuclei: int) -> np.ndarray:
    """Return the smallest rectangle round the middle that holds so many nuclei.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(y, x)`` complete labels.
    nuclei : int
        How many whole ones; all of the image if it has no more.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` bool, of the image's proportions.
    """
    region = np.ones(labels.shape, bool)
    for share in np.arange(0.05, 1, 0.01):
        part = np.zeros(labels.shape, bool)
        part[
            tuple(
                slice(round(n * (1 - share) / 2), round(n * (1 + share) / 2))
                for n in labels.shape
            )
        ] = True
        pair = Pair(labels, labels, known=known_inside(labels, part))
        if known_nuclei(pair).size >= nuclei:
            return part
    return region


def tasks(folder: Path) -> tuple[dict[str, list[Pair]], Images]:
    """Return what to learn from, by what was labelled, and what to score on."""
    found = {name: (image, labels) for name, image, labels in read_numbered(folder)}
    missing = sorted({*LEARN, *SCORE} - set(found))
    if missing:
        raise SystemExit(f"--data must have the file {missing[0]}_image.tif.")
    whole = [Pair(*found[name], name=name) for name in LEARN]
    image, labels = found[LEARN[0]]
    region = middle_region(labels, REGION_NUCLEI)
    part = Pair(image, labels, LEARN[0], known=known_inside(labels, region))
    return (
        {"three images": whole, f"{region.mean():.0%} of one image": [part]},
        [found[name] for name in SCORE],
    )


def spaced_task(folder: Path, count: int) -> tuple[dict[str, list[Pair]], Images]:
    """Return so many images to learn from, evenly spaced, and the others to score."""
    found = list(read_numbered(folder))
    at = {i * len(found) // count for i in range(count)}
    pairs = [Pair(found[i][1], found[i][2], name=found[i][0]) for i in sorted(at)]
    own = [found[i][1:] for i in range(len(found)) if i not in at]
    return {f"{count} images of {folder.name}": pairs}, own


def train(pairs: list[Pair], output: Path, model: str, params: TrainParams) -> Outcome:
    """Train in a process of its own; keep what comes of it, better or not."""
    order = Order(name=output.name, params=params, base=model, keep_always=True)
    start = time.perf_counter()
    process = TrainingProcess(prepare(pairs, None, output, order))
    try:
        result = process.wait()
    finally:
        process.kill()
    assert result is not None  # it was not let go
    minutes = (time.perf_counter() - start) / 60
    return Outcome(
        what="",
        images=len(pairs),
        nuclei=sum(known_nuclei(pair).size for pair in pairs),
        rehearsal=f"{params.rehearsal:.0%}" if params.rehearsal else "none",
        minutes=f"{minutes:.1f}",
        verdict="better" if result.verdict.better else "not better",
    )


def score(outcome: Outcome, model: str, own: Images, dsb: list[TestImage]) -> None:
    """Write a model's figures into its row."""
    scores = [score_image(truth, segment(image, model).labels) for image, truth in own]
    outcome.own = {
        "AP50": _mean_ap(scores, 0.5),
        "AP75": _mean_ap(scores, 0.75),
        "mean_AP": float(np.mean([s.mean_average_precision() for s in scores])),
    }
    by_kind: dict[str, list[ImageScore]] = {kind: [] for kind in KINDS}
    for one in dsb:
        image, truth = one.read()
        labels = segment(image, model).labels
        by_kind[one.kind].append(score_image(truth, labels))
    everything = [s for some in by_kind.values() for s in some]
    outcome.dsb = {
        kind: _mean_ap(some, 0.5)
        for kind, some in (*by_kind.items(), ("all", everything))
    }


def _mean_ap(scores: list[ImageScore], threshold: float) -> float:
    if not scores:
        return float("nan")
    return float(np.mean([s.average_precision(threshold) for s in scores]))


def table(outcomes: list[Outcome]) -> str:
    """Return the rows as a Markdown table; the first is what was started from."""
    header = ["labelled", "images", "nuclei", "rehearsal", "minutes"]
    header += ["held-out part says", "AP@0.5", "@0.75", "mean .5:.95"]
    header += [f"DSB2018 test {kind}: AP@0.5" for kind in (*KINDS, "all")]
    rows: list[list[object]] = [
        [
            *(one.what, one.images or "–", one.nuclei or "–", one.rehearsal),
            *(one.minutes, one.verdict, *one.own.values(), *one.dsb.values()),
        ]
        for one in outcomes
    ]
    return markdown(header, rows)


def main() -> None:
    """Print the table; write it down where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dsb", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--epochs", type=int, help="instead of the default")
    parser.add_argument("--steps", type=int, help="an epoch, instead of the default")
    parser.add_argument("--images", type=int, help="learn from so many of --data")
    parser.add_argument("--minutes", type=float, help="train for so long")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    given = {"epochs": args.epochs, "steps_per_epoch": args.steps}
    if args.minutes:
        # The time ends it.
        given = {"epochs": LONG, "patience": None, "minutes": args.minutes}
        params = TrainParams(**given)
    else:
        params = TrainParams(**{k: v for k, v in given.items() if v is not None})
    dsb = thin(list_images(args.dsb, "test"), QUICK if args.quick else None)
    learn, own = (
        spaced_task(args.data, args.images) if args.images else tasks(args.data)
    )
    outcomes = [Outcome("(before)")]
    score(outcomes[0], args.model, own, dsb)
    with tempfile.TemporaryDirectory() as folder:
        for what, pairs in learn.items():
            for rehearsal in (params.rehearsal, 0.0)[: 1 if args.images else 2]:
                output = Path(folder) / f"tuned-{len(outcomes)}"
                changed = params.replace(rehearsal=rehearsal)
                outcome = train(pairs, output, args.model, changed)
                outcome.what = what
                score(outcome, str(output), own, dsb)
                outcomes.append(outcome)
                print(table([outcomes[0], outcome]) + "\n", flush=True)
    text = table(outcomes)
    print(f"\n{len(own)} images of the lab, {len(dsb)} of DSB2018\n\n{text}")
    if args.json:
        record = [vars(outcome) for outcome in outcomes]
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if args.docs:
        put(args.docs, "fine-tuning-dense" if args.images else "fine-tuning", text)


if __name__ == "__main__":
    main()
