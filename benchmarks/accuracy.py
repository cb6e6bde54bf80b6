"""Score a model on a data set with a fixed split: the figures in its card and the docs.

    python benchmarks/accuracy.py --data DSB2018_FOLDER [--model NAME|FOLDER]
        [--splits val test] [--pairs FOLDER] [--json FILE] [--update-card]

`--pairs` scores a folder of X_image.tif and X_labels.tif besides: another lab's images.

Everything is as a user gets it: `segment()` with nothing set but the model.
"""

import argparse
import csv
import dataclasses
import json
import time
from pathlib import Path

import tifffile

from napari_nucleiseg.core.score import ImageScore, score_image, summarise
from napari_nucleiseg.models.registry import DEFAULT_MODEL, find_model
from napari_nucleiseg.models.segmenting import segment

KINDS = ("fluo", "color", "brightfield-gray")


def score_split(
    data: Path, split: str, model: str, **how: float | None
) -> dict[str, list[ImageScore]]:
    """Segment and score every image of a split, by kind of image."""
    with (data / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    scores: dict[str, list[ImageScore]] = {kind: [] for kind in KINDS}
    for row in rows:
        image = tifffile.imread(data / "images" / f"{row['id']}.tif")
        truth = tifffile.imread(data / "masks" / f"{row['id']}.tif")
        result = segment(image, model, rgb=image.ndim == 3, **how)
        scores[row["kind"]].append(score_image(truth, result.labels))
    return scores


def score_pairs(folder: Path, model: str) -> list[ImageScore]:
    """Segment and score every X_image.tif of a folder against its X_labels.tif."""
    return [
        score_image(
            tifffile.imread(path.with_name(path.name.replace("_image", "_labels"))),
            segment(tifffile.imread(path), model).labels,
        )
        for path in sorted(folder.glob("*_image.tif"))
    ]


def figures(scores: list[ImageScore]) -> dict:
    """Return the figures that go into the card."""
    summary = summarise(scores)
    short: dict = {name: summary[name] for name in ("images", "nuclei", "predicted")}
    for how in ("per_image_mean", "pooled"):
        found = summary[how]
        short[how] = {
            "AP50": found["AP"]["0.50"],
            "AP75": found["AP"]["0.75"],
            "AP90": found["AP"]["0.90"],
            "mean_AP": found["mean_AP"],
            "precision": found["precision"],
            "recall": found["recall"],
            "F1": found["F1"],
            "pixel_accuracy": found["pixel_accuracy"],
            "pixel_IoU": found["pixel_IoU"],
        }
        short[how] = {name: round(value, 4) for name, value in short[how].items()}
    return short


def table(by_split: dict) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| split | kind | images | nuclei | AP@0.5 | @0.75 | @0.9 | mean .5:.95 | "
        "pooled AP@0.5 | pooled mean | pixel accuracy |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for split, kinds in by_split.items():
        for kind, found in kinds.items():
            mean, pooled = found["per_image_mean"], found["pooled"]
            cells = [mean["AP50"], mean["AP75"], mean["AP90"], mean["mean_AP"]]
            cells += [pooled["AP50"], pooled["mean_AP"], mean["pixel_accuracy"]]
            numbers = " | ".join(f"{cell:.3f}" for cell in cells)
            lines.append(
                f"| {split} | {kind} | {found['images']} | {found['nuclei']} | "
                f"{numbers} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Print the table; write it down where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--splits", nargs="+", default=["val", "test"])
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--update-card", action="store_true")
    args = parser.parse_args()
    start = time.perf_counter()
    by_split = {}
    for split in args.splits:
        scores = score_split(args.data, split, args.model)
        everything = [score for kind in scores.values() for score in kind]
        by_split[split] = {
            kind: figures(found)
            for kind, found in (*scores.items(), ("all", everything))
            if found
        }
    shown = dict(by_split)
    if args.pairs:
        found = figures(score_pairs(args.pairs, args.model))
        shown[args.pairs.name] = {"another lab's": found}
    print(table(shown))
    print(f"\n{time.perf_counter() - start:.0f} s")
    if args.json:
        args.json.write_text(json.dumps(by_split, indent=1) + "\n")
    if args.update_card:
        model = find_model(args.model)
        card = dataclasses.replace(model.card, figures=by_split)
        (model.folder / "card.json").write_text(card.to_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
