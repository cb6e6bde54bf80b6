"""What holds the accuracy back: outlines, or telling touching nuclei apart.

    python benchmarks/limits.py --data DSB2018_FOLDER [--model NAME|FOLDER]
        [--split val] [--docs docs/bundled-model.md]

Scores the model as it is, and with half of its work done by the truth: its own nucleus
pixels, divided among the true nuclei (so that only the outlines are its own), and the
true nucleus pixels, divided among the nuclei it found (so that only finding and
separating is). And how large nuclei were drawn by hand in images that look alike,
beside what the model draws: where that differs, no model can be right.
"""

import argparse
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi

from images import KINDS, list_images
from napari_nucleiseg.core.labels.pairs import median_diameter
from napari_nucleiseg.core.score.matching import ImageScore, score_image, summarise
from napari_nucleiseg.core.segment.instances import renumber
from napari_nucleiseg.models.registry import DEFAULT_MODEL
from napari_nucleiseg.models.segmenting import segment
from report import markdown, put

#: A pixel farther than this from a nucleus (pixels) is not given to it.
REACH = 6


def divide(mask: np.ndarray, nuclei: np.ndarray) -> np.ndarray:
    """Give each pixel of a mask to the nearest nucleus, if one is near.

    Parameters
    ----------
    mask : numpy.ndarray
        ``(y, x)`` bool.
    nuclei : numpy.ndarray
        ``(y, x)`` int labels.

    Returns
    -------
    numpy.ndarray
        ``(y, x)`` int32 labels, numbered without holes.
    """
    far, nearest = ndi.distance_transform_edt(nuclei == 0, return_indices=True)
    shared = np.where(mask & (far < REACH), nuclei[tuple(nearest)], 0)
    return renumber(shared.astype(np.int32))


def outline_styles(data: Path, model: str) -> str:
    """Return how true areas compare with those drawn by the model, as Markdown.

    Of the images of `train`, which the model has learnt from, that look alike:
    fluorescence, 256 x 256, nuclei 17 to 30 px wide.
    """
    shares, right = [], []
    for one in list_images(data, "train"):
        image, truth = one.read()
        if one.kind != "fluo" or truth.shape != (256, 256):
            continue
        if not 17 < median_diameter(truth) < 30:
            continue
        drawn = segment(image, model).labels > 0
        shares.append((truth > 0).sum() / drawn.sum())
        right.append(((truth > 0) == drawn).mean())
    rows: list[list[object]] = []
    for name, low, high in (
        ("at least a tenth smaller", 0, 0.9),
        ("within a tenth", 0.9, 1.1),
        ("at least a tenth larger", 1.1, np.inf),
    ):
        at = [i for i, share in enumerate(shares) if low <= share < high]
        accuracy = np.mean([right[i] for i in at]) if at else float("nan")
        rows.append([name, len(at), float(accuracy)])
    return markdown(["true nuclei are drawn", "images", "pixel accuracy"], rows)


def main() -> None:
    """Print the tables; write them down where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--split", default="val")
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    ways = (
        "as it is",
        "true separation, its own pixels",
        "true pixels, its own nuclei",
    )
    scores: dict[tuple[str, str], list[ImageScore]] = {}
    for one in list_images(args.data, args.split):
        image, truth = one.read()
        found = segment(image, args.model)
        inside = found.maps[..., 0] > found.settings.probability
        labels = (found.labels, divide(inside, truth), divide(truth > 0, found.labels))
        for way, some in zip(ways, labels, strict=True):
            scores.setdefault((one.kind, way), []).append(score_image(truth, some))
    rows: list[list[object]] = []
    for kind in KINDS:
        for way in ways:
            mean = summarise(scores[kind, way])["per_image_mean"]
            ap = mean["AP"]
            rows.append(
                [kind, way, ap["0.50"], ap["0.75"], ap["0.90"], mean["mean_AP"]]
            )
    text = markdown([args.split, "", "AP@0.5", "@0.75", "@0.9", "mean .5:.95"], rows)
    styles = outline_styles(args.data, args.model)
    print(f"{text}\n\n{styles}")
    if args.docs:
        put(args.docs, "limits", text)
        put(args.docs, "styles", styles)


if __name__ == "__main__":
    main()
