"""Score a model that learnt from whole resized images on such images, as they are.

    python benchmarks/resized.py --data FOLDER --model FOLDER [--side 128] [--seed 1]

Of the `train` split, the share that the recipes `unet` and `unet-mobilenetv2` hold out
with `--seed` is resized and segmented without another change of scale: AP of nuclei in
the conditions of the student projects, beside the figures of pixels in the model's own
`report.txt`.
"""

import argparse
from pathlib import Path

import numpy as np

from napari_nucleiseg.core.labels.holdout import hold_out_images
from napari_nucleiseg.core.labels.resizing import resize_pair
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.score.matching import score_image, summarise
from napari_nucleiseg.core.segment import pipeline
from napari_nucleiseg.io.splits import read_split
from napari_nucleiseg.models.predictor import load_model


def main() -> None:
    """Score it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--side", type=int, default=128, help="pixels")
    parser.add_argument("--share", type=float, default=0.2, help="that is held out")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    _, held = hold_out_images(read_split(args.data, "train"), args.share, args.seed)
    predictor = load_model(args.model)
    params = SegmentParams(diameter=predictor.spec.diameter)  # as they are
    scores = []
    for pair in held:
        small = resize_pair(pair, args.side)
        axes = "YXS" if small.image.shape[-1] == 3 else "YX"
        image = small.image if axes == "YXS" else small.image[..., 0]
        found = pipeline.segment(image, predictor, axes=axes, params=params)
        assert np.isclose(found.scale, 1), found.scale
        scores.append(score_image(small.labels, found.labels))
    summary = summarise(scores)
    print(f"{len(held)} images, {summary['nuclei']} nuclei")
    for how in ("per_image_mean", "pooled"):
        found = summary[how]
        ap = found["AP"]
        print(
            f"{how}: AP@0.5 {ap['0.50']:.3f}, @0.75 {ap['0.75']:.3f}, mean "
            f"{found['mean_AP']:.3f}, pixel accuracy {found['pixel_accuracy']:.4f}"
        )


if __name__ == "__main__":
    main()
