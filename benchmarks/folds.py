"""What judging by all nuclei in turn is worth, beside judging by those held out.

    python benchmarks/folds.py
        --pairs FOLDER --only 07 08 …  |  --data FOLDER --field NAME [--split test]
        [--cases N …] [--regions N] [--epochs N] [--steps N] [--patch N]
        --json FILE [--docs docs/training.md]

In each case regions of about 25 nuclei are drawn from random images of the set, the
built-in model is trained on them as a user would, with a fifth held out, and then once
more without each other fifth. The verdict on the fifth, and that on all nuclei in turn,
are compared with the truth: the gain of the model that is kept on all other images of
the set. ``--json`` gathers cases over several runs, and ``--docs`` writes the table.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from labelling import Labelled, add_source, at_random, read_images
from napari_nucleiseg.core.labels.annotations import known_nuclei
from napari_nucleiseg.core.labels.holdout import split_validation
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.score.comparing import score_of, tally
from napari_nucleiseg.core.segment import pipeline
from napari_nucleiseg.models.registry import DEFAULT_MODEL, find_model
from napari_nucleiseg.models.segmenting import segment
from report import markdown, put

#: How many nuclei are labelled: from, to.
BINS = ((0, 40), (40, 70), (70, 200))


def said(verdict: Any) -> dict[str, Any]:
    """Return what matters of a verdict."""
    return {
        "nuclei": verdict.new.nuclei,
        "gain": verdict.gain,
        "interval": list(verdict.interval),
        "word": verdict.word,
        "trainings": verdict.trainings,
    }


def try_case(images: Any, case: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train on a few regions, judge in both ways, and measure the truth."""
    from napari_nucleiseg.networks.architectures import find_architecture
    from napari_nucleiseg.training.folds import further_folds, train_folds
    from napari_nucleiseg.training.judging import judge, judge_by_all
    from napari_nucleiseg.training.loop import fit_network
    from napari_nucleiseg.training.rehearsal import rehearsal_pairs
    from napari_nucleiseg.training.saving import load_network
    from napari_nucleiseg.training.specs import spec_for

    labelled = Labelled(images)
    regions = at_random(labelled, DEFAULT_MODEL, args.regions, case)
    pairs = []
    for number, (index, box) in enumerate(regions):
        known = labelled.add(index, box)
        name, image, labels = images[index]
        pairs.append(
            Pair(image[box], labels[box], f"{name} {number}", known=known[box])
        )
    used = {index for index, _ in regions}
    params = TrainParams(
        epochs=args.epochs, steps_per_epoch=args.steps, patch_size=args.patch
    )
    base = find_model(DEFAULT_MODEL)
    design = find_architecture(base.card.architecture)
    spec = spec_for(design.name, None, base.card)
    learnt, held = split_validation(pairs, params.validation_share, params.seed)
    began = time.monotonic()
    training = fit_network(
        learnt,
        held,
        params=params,
        network=load_network(base.folder),
        architecture=design.name,
        spec=spec,
        rehearsal=rehearsal_pairs(),
        first=True,
    )
    once = time.monotonic()
    verdict = judge(training, base, [], params.validation_share)
    row: dict[str, Any] = {
        "labelled": int(sum(known_nuclei(pair).size for pair in pairs)),
        "case": case,
        "best_epoch": training.best_epoch,
        "minutes": (once - began) / 60,
        "part": said(verdict),
    }
    if training.best_epoch:
        folds = further_folds(learnt, held, params)
        judged = train_folds(
            folds,
            training,
            lambda: load_network(base.folder),
            spec=spec,
            rehearsal=rehearsal_pairs(),
        )
        row["more_minutes"] = (time.monotonic() - once) / 60
        row["three"] = said(judge_by_all(verdict, training, judged[:2]))
        row["all"] = said(judge_by_all(verdict, training, judged))
    sums = [np.zeros(5), np.zeros(5)]
    count = 0
    for index, (_, image, labels) in enumerate(images):
        if index in used:
            continue
        axes = "YXS" if image.ndim == 3 else "YX"
        found = pipeline.segment(image, training.predictor, axes=axes).labels
        sums[0] += tally(labels, segment(image, DEFAULT_MODEL).labels).sum(0)
        sums[1] += tally(labels, found).sum(0)
        count += 1
    row |= {
        "true": float(score_of(sums[1]) - score_of(sums[0])),
        "unseen": count,
        "unseen_nuclei": int(sums[0][0]),
    }
    return row


def table(sets: dict[str, list[dict[str, Any]]]) -> str:
    """Return how far off each way was, by how many nuclei were labelled."""
    rows = [row for some in sets.values() for row in some if "all" in row]
    cells = []
    for low, high in BINS:
        some = [row for row in rows if low <= row["labelled"] < high]
        if not some:
            continue
        for way, name in (
            ("part", "a fifth held out"),
            ("three", "three fifths, in turn"),
            ("all", "all, in turn"),
        ):
            off = np.array([row[way]["gain"] - row["true"] for row in some])
            told = sum(row[way]["word"] != "can't tell" for row in some)
            wide = np.mean([np.diff(row[way]["interval"])[0] for row in some])
            holds = [
                row[way]["interval"][0] <= row["true"] <= row[way]["interval"][1]
                for row in some
            ]
            wrong = sum(
                (row[way]["word"] == "better" and row["true"] <= 0)
                or (row[way]["word"] == "not better" and row["true"] > 0.005)
                for row in some
            )
            cells.append(
                [
                    f"{low or 1}–{high - 1}",
                    len(some),
                    name,
                    round(np.mean([row[way]["nuclei"] for row in some])),
                    f"{np.abs(off).mean():.3f}",
                    f"{off.mean():+.3f}",
                    f"{wide:.3f}",
                    f"{sum(holds)} of {len(some)}",
                    f"{told} ({wrong})",
                ]
            )
    header = [
        "nuclei labelled",
        "trainings",
        "judged by",
        "nuclei",
        "off the true gain by",
        "too high by",
        "width of the interval",
        "it holds the truth",
        "told *better* or *not better* (wrongly)",
    ]
    return markdown(header, cells)


def main() -> None:
    """Try the cases asked for; print the table, and write it down where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_source(parser)
    parser.add_argument("--called", help="name of the set")
    parser.add_argument("--cases", type=int, nargs="+", default=[0])
    parser.add_argument("--regions", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    sets: dict[str, Any] = {}
    if args.json.is_file():
        sets = json.loads(args.json.read_text(encoding="utf-8"))
    if args.pairs is not None or args.data is not None:
        images = read_images(args)
        name = args.called or args.field or args.pairs.name
        for case in args.cases:
            row = try_case(images, case, args)
            print(name, json.dumps(row), flush=True)
            sets.setdefault(name, []).append(row)
            args.json.write_text(json.dumps(sets, indent=1) + "\n", encoding="utf-8")
    text = table(sets)
    print(f"\n{text}")
    if args.docs:
        put(args.docs, "folds", text)


if __name__ == "__main__":
    main()
