"""The pictures of docs/accuracy.md: AP over IoU, and images with their outlines."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from skimage.segmentation import find_boundaries

from napari_nucleiseg.core.score.matching import THRESHOLDS
from napari_nucleiseg.core.segment.image import normalise

#: AP at IoU .5, .6 … .9 on the fluorescence part of DSB2018 in StarDist's split, as
#: published (per-image mean).
PUBLISHED = {
    "Mask R-CNN": (0.832, 0.773, 0.684, 0.489, 0.189),
    "StarDist": (0.864, 0.804, 0.685, 0.450, 0.119),
    "PatchPerPix": (0.868, 0.827, 0.755, 0.635, 0.379),
}
PUBLISHED_AT = (0.5, 0.6, 0.7, 0.8, 0.9)

#: Side of what is shown of an image, at most, and of its picture (pixels).
SHOWN, DRAWN, DPI = 220, 440, 110

TRUE, FOUND = (0.1, 0.85, 1.0), (1.0, 0.75, 0.0)


def draw_curve(curves: dict[str, Sequence[float]], path: Path) -> None:
    """Draw AP over IoU for each kind of image, beside what is published.

    Parameters
    ----------
    curves : dict
        What to call each curve, and its AP at each of `THRESHOLDS`.
    path : pathlib.Path
        PNG to write.
    """
    figure, axes = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for name, values in curves.items():
        axes.plot(THRESHOLDS, values, "o-", linewidth=2, markersize=4, label=name)
    for (name, values), style in zip(PUBLISHED.items(), (":", "--", "-."), strict=True):
        axes.plot(
            PUBLISHED_AT,
            values,
            style,
            color="0.45",
            label=f"{name}, published (fluorescence, their split)",
        )
    axes.set(
        xlabel="IoU threshold",
        ylabel="AP = TP / (TP + FP + FN), per-image mean",
        xlim=(0.48, 0.97),
        ylim=(0, 1),
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_gallery(
    shown: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]], path: Path
) -> None:
    """Draw images side by side, with their true and found outlines.

    Parameters
    ----------
    shown : sequence of tuple
        Title, image, true labels and labels found of each.
    path : pathlib.Path
        JPEG to write.
    """
    figure, axes = plt.subplots(
        1,
        len(shown),
        figsize=(1.05 * DRAWN / DPI * len(shown), 1.12 * DRAWN / DPI),
        squeeze=False,
        layout="constrained",
    )
    for ax, (title, image, truth, labels) in zip(axes[0], shown, strict=True):
        ax.axis("off")
        ax.imshow(outlined(image, truth, labels))
        ax.set_title(title, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, pil_kwargs={"quality": 85, "optimize": True})
    plt.close(figure)


def outlined(image: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the middle of an image, enlarged, with both outlines: RGB in 0-1."""
    window = tuple(
        slice(max(0, (n - SHOWN) // 2), max(0, (n - SHOWN) // 2) + SHOWN)
        for n in truth.shape
    )
    if image.ndim == 3:  # in its own colours
        picture = image[window][..., :3] / np.iinfo(image.dtype).max
    else:
        picture = normalise(image[..., None])[window].repeat(3, axis=2)
    times = max(1, DRAWN // max(picture.shape[:2]))

    def enlarge(array: np.ndarray) -> np.ndarray:
        return array.repeat(times, axis=0).repeat(times, axis=1)

    picture = enlarge(picture).copy()
    for numbers, colour in ((truth, TRUE), (labels, FOUND)):
        picture[find_boundaries(enlarge(numbers[window]), mode="inner")] = colour
    return picture
