"""`nucleiseg score`: compare labels with true ones."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from napari_nucleiseg.cli.terminal import complain


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options of `nucleiseg score`, and what runs it."""
    sub.description = (
        "Compare predicted with true labels. Files belong together by name: X.tif, "
        "X_labels.tif or X_masks.tif in either folder."
    )
    sub.add_argument("--labels", required=True, type=Path, metavar="DIR", help="truth")
    sub.add_argument(
        "--predictions", required=True, type=Path, metavar="DIR", help="what was found"
    )
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub.set_defaults(run=_score)


#: What may stand behind an image's name in the name of its labels.
_LABEL_ENDINGS = ("_labels", "_masks", "_mask")


def _label_files(folder: Path) -> dict[str, Path]:
    """Return the label files of a folder by the name of their image."""
    from napari_nucleiseg.io.images import PICTURE_SUFFIXES, TIFF_SUFFIXES

    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (*TIFF_SUFFIXES, *PICTURE_SUFFIXES[:1]):
            continue
        stem = path.stem
        for ending in _LABEL_ENDINGS:
            stem = stem.removesuffix(ending)
        # Beside X_labels.tif a plain X.tif is the image.
        if stem not in found or path.stem != stem:
            found[stem] = path
    return found


def _score(args: argparse.Namespace) -> int:
    from napari_nucleiseg.core.score.matching import score_image, summarise
    from napari_nucleiseg.io.images import read_labels

    truths, predictions = _label_files(args.labels), _label_files(args.predictions)
    if not truths:
        raise ValueError(f"there are no label images in {args.labels}")
    scores, failed = {}, 0
    for name, path in truths.items():
        try:
            if name not in predictions:
                raise ValueError(f"has no counterpart in {args.predictions}")
            scores[name] = score_image(
                read_labels(path), read_labels(predictions[name])
            )
        except (OSError, ValueError) as e:
            complain(f"{path}: {e}")
            failed += 1
    if not scores:
        return 1
    summary = summarise(list(scores.values()))
    if args.json:
        per_image = {
            name: {
                "nuclei": score.true,
                "predicted": score.predicted,
                "AP50": score.average_precision(0.5),
                "mean_AP": score.mean_average_precision(),
            }
            for name, score in scores.items()
        }
        print(json.dumps({**summary, "per_image": per_image}, indent=1))
    else:
        print(format_score(summary))
    return 1 if failed else 0


def format_score(summary: dict[str, Any]) -> str:
    """Return the figures of `core.score.matching.summarise` as a table."""
    mean, pooled = summary["per_image_mean"], summary["pooled"]
    lines = [
        f"{summary['images']} images, {summary['nuclei']} true nuclei, "
        f"{summary['predicted']} found",
        f"{'':22}{'per-image mean':>16}{'pooled':>10}",
    ]

    def row(label: str, a: float, b: float) -> None:
        lines.append(f"{label:22}{a:16.3f}{b:10.3f}")

    for threshold in mean["AP"]:
        row(f"AP at IoU {threshold}", mean["AP"][threshold], pooled["AP"][threshold])
    row("AP, mean over IoU", mean["mean_AP"], pooled["mean_AP"])
    for key, label in (
        ("precision", "precision at IoU 0.50"),
        ("recall", "recall at IoU 0.50"),
        ("F1", "F1 at IoU 0.50"),
        ("pixel_accuracy", "pixel accuracy"),
        ("pixel_IoU", "pixel IoU"),
    ):
        row(label, mean[key], pooled[key])
    return "\n".join(lines)
