"""Score a model on a data set with a fixed split: the figures in its card and the docs.

    python benchmarks/accuracy.py --data FOLDER [FOLDER ...] [--model NAME|FOLDER]
        [--splits val test] [--pairs FOLDER [FOLDER ...]] [--json FILE]
        [--update-card] [--docs docs/accuracy.md] [--gallery]

`--update-card` fits the confidence on `val` and writes it and the figures into the
model's card; without it, the confidence is the card's own. `--docs` writes the tables
between the comments of that file, and the curve of AP over IoU into `images` beside it,
with `--gallery` the best, the typical and the worst image of each kind as well, of the
last split.
`--pairs` scores folders of X_image.tif and X_labels.tif besides: other labs' images.

Everything is as a user gets it: `segment()` with nothing set but the model, and the
engine: float32, which every computer has.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration import auroc, cross_validate, off, ranking_table, reliability_table
from images import list_images, read_numbered
from napari_nucleiseg.core.monitor import SilentMonitor
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.score.matching import (
    THRESHOLDS,
    ImageScore,
    find_overlaps,
    match,
    score_image,
    summarise,
)
from napari_nucleiseg.core.segment.confidence import (
    Calibration,
    fit_calibration,
    label_confidence,
    nucleus_features,
)
from napari_nucleiseg.core.segment.result import Segmentation, label_planes, relabel
from napari_nucleiseg.models.registry import DEFAULT_MODEL, Model, find_model
from napari_nucleiseg.models.segmenting import segment
from report import markdown, put

#: The split that the confidence is fitted on.
FIT_ON = "val"

#: Kinds of image, as a reader would call them.
IN_WORDS = {
    "fluo": "Fluorescence: cells",
    "U2OS fluo": "Fluorescence: cells with haze and micronuclei",
    "color": "Stained cells and tissue, many stains",
    "NuInsSeg H&E": "H&E: 31 organs",
    "TNBC H&E": "H&E: breast cancer",
    "brightfield-gray": "Brightfield smears",
    "mnfinder": "Fluorescence: cells, another laboratory",
    "gut": "Fluorescence: dense epithelium, another laboratory",
}


@dataclass(frozen=True)
class Scored:
    """An image, what was found in it, and how right that is.

    Parameters
    ----------
    name, kind, field : str
        Of the image; see `images.TestImage`.
    image, truth : numpy.ndarray
        The image, and its true labels.
    found : Segmentation
        All nuclei that were found, however unsure.
    features : numpy.ndarray
        ``(n, 4)`` of them; see `core.segment.confidence.nucleus_features`.
    plain : numpy.ndarray
        ``(n,)``, their mean nucleus maps.
    matched : numpy.ndarray
        ``(n,)`` bool: whether each matches a true nucleus at IoU 0.5.
    labels : numpy.ndarray
        As a user gets them: the least confident may be left out.
    score : ImageScore
        How they compare with the truth.
    """

    name: str
    kind: str
    field: str
    image: np.ndarray
    truth: np.ndarray
    found: Segmentation
    features: np.ndarray
    plain: np.ndarray
    matched: np.ndarray
    labels: np.ndarray | None = None
    score: ImageScore | None = None


def measure(
    name: str, kind: str, field: str, image: np.ndarray, truth: np.ndarray, model: str
) -> Scored:
    """Segment an image, and note of every nucleus whether it is a true one.

    None is left out yet for a low confidence: that is fitted on them. See `finish`.
    """
    found = segment(image, model, min_confidence=0.0, engine="float32")
    features, plain = (
        label_planes(
            found.planes,
            found.settings,
            found.labels.shape,
            SilentMonitor(),
            confidence=judge,
        )[1]
        for judge in (nucleus_features, label_confidence)
    )
    overlaps = find_overlaps(truth, found.labels)
    hit = overlaps.predicted_ids[match(overlaps.iou(), 0.5)[1]]
    matched = np.isin(np.arange(1, found.count + 1), hit)
    return Scored(name, kind, field, image, truth, found, features, plain, matched)


def finish(one: Scored, calibration: Calibration | None) -> Scored:
    """Make an image's labels as a user gets them, and score them."""
    judged = dataclasses.replace(one.found, calibration=calibration)
    labels = relabel(judged, SegmentParams()).labels
    score = score_image(one.truth, labels)
    return dataclasses.replace(one, labels=labels, score=score)


def score_split(data: Sequence[Path], split: str, model: str) -> list[Scored]:
    """Segment and score every image of a split of some data sets."""
    return [
        measure(one.name, one.kind, one.field, *one.read(), model)
        for folder in data
        for one in list_images(folder, split)
    ]


def score_pairs(folder: Path, model: str) -> list[Scored]:
    """Segment and score every X_image.tif of a folder against its X_labels.tif."""
    return [
        measure(name, folder.name, name, image, truth, model)
        for name, image, truth in read_numbered(folder)
    ]


def by_kind(scored: list[Scored]) -> dict[str, list[Scored]]:
    """Return the images of each kind there is, and all of them as a kind of its own."""
    kinds: dict[str, list[Scored]] = {}
    for one in scored:
        kinds.setdefault(one.kind, []).append(one)
    return {**kinds, "all": scored} if len(kinds) > 1 else kinds


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
            "PQ": found["panoptic_quality"],
            "pixel_accuracy": found["pixel_accuracy"],
            "pixel_IoU": found["pixel_IoU"],
        }
        short[how] = {name: round(value, 4) for name, value in short[how].items()}
    return short


def table(by_split: dict) -> str:
    """Return the figures as a Markdown table."""
    header = "split | kind | images | nuclei | AP@0.5 | @0.75 | @0.9 | mean .5:.95 | PQ"
    header += " | pooled AP@0.5 | pooled mean | pixel accuracy"
    rows: list[list[object]] = []
    for split, kinds in by_split.items():
        for kind, found in kinds.items():
            mean, pooled = found["per_image_mean"], found["pooled"]
            row = [split, kind, found["images"], found["nuclei"]]
            row += [mean[key] for key in ("AP50", "AP75", "AP90", "mean_AP", "PQ")]
            row += [pooled["AP50"], pooled["mean_AP"], mean["pixel_accuracy"]]
            rows.append(row)
    return markdown(header.split(" | "), rows)


def plain_table(kinds: dict[str, list[Scored]]) -> str:
    """Return what a user may expect of each kind of image, as a Markdown table.

    Of all nuclei at IoU 0.5; the count is the median error of an image.
    """
    header = ["images like these", "nuclei found", "of those marked, right"]
    header += ["count of an image off by"]
    rows: list[list[object]] = []
    for kind, words in IN_WORDS.items():
        if kind not in kinds:
            continue
        scores = [one.score for one in kinds[kind]]
        hits, true, marked = (
            sum(values)
            for values in zip(
                *((s.matched[0], s.true, s.predicted) for s in scores), strict=True
            )
        )
        errors = [abs(s.predicted - s.true) / max(s.true, 1) for s in scores]
        shares = hits / max(true, 1), hits / max(marked, 1), float(np.median(errors))
        rows.append([words, *(f"{share:.0%}" for share in shares)])
    return markdown(header, rows)


def curve(scored: list[Scored]) -> list[float]:
    """Return the per-image mean of AP at each of `THRESHOLDS`."""
    return [
        float(np.mean([one.score.average_precision(t) for one in scored]))
        for t in THRESHOLDS
    ]


def curve_table(curves: dict[str, list[float]]) -> str:
    """Return AP over IoU as a Markdown table."""
    header = ["AP at IoU", *(f"{t:.2f}" for t in THRESHOLDS)]
    return markdown(header, [[name, *values] for name, values in curves.items()])


def pool(scored: list[Scored]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, matched and mean nucleus maps of all nuclei of some images."""
    return (
        np.concatenate([one.features for one in scored]),
        np.concatenate([one.matched for one in scored]),
        np.concatenate([one.plain for one in scored]),
    )


def fit(scored: list[Scored]) -> Calibration:
    """Fit the confidence on scored images."""
    features, matched, _ = pool(scored)
    return fit_calibration(
        features,
        matched,
        fitted_on={"split": FIT_ON, "images": len(scored), "IoU": 0.5},
    )


def judge_confidence(
    sets: dict[str, list[Scored]], calibration: Calibration | None, fitted: bool
) -> tuple[str, dict]:
    """Return what the confidences are worth, as Markdown and as figures.

    Parameters
    ----------
    sets : dict
        Split to its scored images.
    calibration : Calibration or None
        The model's.
    fitted : bool
        Whether it was fitted on `FIT_ON` here: then that split's confidences are
        cross-validated.
    """
    reliability, ranking, record = {}, {}, {}
    for split, scored in sets.items():
        for kind, some in by_kind(scored).items():
            features, matched, plain = pool(some)
            if calibration is None:
                given = plain
            elif fitted and split == FIT_ON:
                if len(some) != len(scored):
                    continue
                groups = [one.field for one in some for _ in range(one.plain.size)]
                given = cross_validate(features, matched, groups)
                kind = "all, cross-validated"
            else:
                given = calibration.confidence(features)
            ranking[f"{split} {kind}"] = matched, given, plain
            if len(some) == len(scored):
                reliability[split] = matched, given
            record[f"{split} {kind}"] = {
                "AUROC": auroc(matched, given),
                "off_by": off(matched, given),
            }
    text = f"{reliability_table(reliability)}\n\n{ranking_table(ranking)}"
    return text, record


def pick(scored: list[Scored]) -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Return the best, the typical and the worst image, by mean AP."""
    order = sorted(scored, key=lambda one: one.score.mean_average_precision())
    places = {"best": -1, "typical": len(order) // 2, "worst": 0}
    if len(order) < 3:
        del places["typical"]
    out = []
    for word, place in places.items():
        one = order[place]
        ap, mean = one.score.average_precision(0.5), one.score.mean_average_precision()
        title = f"{word} image: AP@0.5 {ap:.2f}, mean {mean:.2f}"
        out.append((title, one.image, one.truth, one.labels))
    return out


def file_name(kind: str) -> str:
    """Return the name of a kind for a file: lower-case letters and digits."""
    return "".join(filter(str.isalnum, kind.split()[0])).lower()


def update_card(model: Model, by_split: dict, calibration: Calibration) -> None:
    """Write figures and confidence into the model's card."""
    card = model.card.replace(figures=by_split, calibration=calibration)
    (model.folder / "card.json").write_text(card.model_dump_json(), encoding="utf-8")


def main() -> None:
    """Print the tables; write them down where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--splits", nargs="+", default=["val", "test"])
    parser.add_argument("--pairs", type=Path, nargs="+", default=[])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--update-card", action="store_true")
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--gallery", action="store_true")
    args = parser.parse_args()
    if args.update_card and FIT_ON not in args.splits:
        parser.error(f"--update-card needs the split {FIT_ON}: the confidence's")
    if args.gallery and args.docs is None:
        parser.error("--gallery needs --docs, to know where the picture goes")
    start = time.perf_counter()
    model = find_model(args.model)
    sets = {split: score_split(args.data, split, args.model) for split in args.splits}
    for folder in args.pairs:
        sets[folder.name] = score_pairs(folder, args.model)
    calibration = fit(sets[FIT_ON]) if args.update_card else model.card.calibration
    sets = {
        split: [finish(one, calibration) for one in scored]
        for split, scored in sets.items()
    }
    by_split = {
        split: {
            kind: figures([one.score for one in some])
            for kind, some in by_kind(scored).items()
        }
        for split, scored in sets.items()
        if split in args.splits
    }
    if args.update_card:
        update_card(model, by_split, calibration)
    shown, last = dict(by_split), args.splits[-1]
    curves = {
        f"{last} {kind}": curve(some) for kind, some in by_kind(sets[last]).items()
    }
    for folder in args.pairs:
        name = folder.name
        shown[name] = {"another lab's": figures([one.score for one in sets[name]])}
        curves[f"{name} (another lab's)"] = curve(sets[name])
    worth, record = judge_confidence(sets, calibration, args.update_card)
    tested = by_kind(sets[last]) | {f.name: sets[f.name] for f in args.pairs}
    texts = {
        "expect": plain_table(tested),
        "table": table(shown),
        "curve": curve_table(curves),
        "confidence": worth,
    }
    print("\n\n".join(texts.values()))
    print(f"\n{time.perf_counter() - start:.0f} s")
    if args.json:
        record = {"figures": shown, "curves": curves, "confidence": record}
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if args.docs:
        # Imported when needed: Matplotlib takes its time.
        from pictures import draw_curve, draw_gallery

        for section, text in texts.items():
            put(args.docs, section, text)
        folder = args.docs.parent / "images"
        draw_curve(curves, folder / "ap_curve.png")
        for kind, some in by_kind(sets[last]).items() if args.gallery else ():
            if kind in IN_WORDS:
                draw_gallery(pick(some), folder / f"kind-{file_name(kind)}.jpg")


if __name__ == "__main__":
    main()
