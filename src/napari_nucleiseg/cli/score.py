"""`nucleiseg score`: compare labels with true ones."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleiseg.cli.options import add_size_limit, folder_path
from napari_nucleiseg.cli.terminal import complain
from napari_nucleiseg.io.atomic import reason_of

if TYPE_CHECKING:
    import numpy as np


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the options of `nucleiseg score`, and what runs it."""
    sub.description = (
        "Compare predicted with true labels. Files belong together by name, as for "
        "training: X.tif, X_labels.tif or X_masks.tif in either folder."
    )
    sub.add_argument(
        "--labels", required=True, type=folder_path, metavar="DIR", help="truth"
    )
    sub.add_argument(
        "--predictions",
        required=True,
        type=folder_path,
        metavar="DIR",
        help="what was found",
    )
    add_size_limit(sub)
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub.set_defaults(run=_score)


def _score(args: argparse.Namespace) -> int:
    from napari_nucleiseg.core.score.matching import (
        format_summary,
        score_image,
        summarise,
    )
    from napari_nucleiseg.io.pairs import find_label_files

    truths = find_label_files(args.labels)
    predictions = find_label_files(args.predictions)
    if not truths:
        raise ValueError(f"there are no label images in {args.labels}")
    scores, failed = {}, 0
    for name, files in truths.items():
        try:
            if name not in predictions:
                raise ValueError(
                    f"{files[0]}: has no counterpart in {args.predictions}"
                )
            truth, found = (
                _read_one(paths, args.max_megapixels)
                for paths in (files, predictions[name])
            )
            try:
                scores[name] = score_image(truth, found)
            except ValueError as e:
                raise ValueError(f"{files[0]}: {e}") from e
        except (OSError, ValueError, MemoryError) as e:
            complain(str(e))
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
        print(format_summary(summary))
    return 1 if failed else 0


def _read_one(files: list[Path], max_megapixels: float) -> np.ndarray:
    """Read the one label file of an image; errors name it."""
    from napari_nucleiseg.core.labels.annotations import drop_single_axes, to_labels
    from napari_nucleiseg.io.pair_reading import read_labels

    if len(files) > 1:
        names = " and ".join(str(path) for path in files)
        raise ValueError(f"{names} are labels of one image; one file is wanted")
    try:
        found = read_labels(files[0], max_megapixels=max_megapixels)
        return to_labels(found.reshape(drop_single_axes(found.shape)), files[0].stem)
    except (OSError, ValueError, MemoryError) as e:
        raise ValueError(f"{files[0]}: {reason_of(e)}") from e
