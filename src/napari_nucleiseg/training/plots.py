"""The drawings of a training's report (NumPy, Pillow, matplotlib).

matplotlib is used without pyplot: no window, and no state that a program around this
one could notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleiseg.core.score.matching import find_overlaps, match
from napari_nucleiseg.core.score.pixels import CLASSES
from napari_nucleiseg.core.segment import image as images

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Sides of a crop on a panel, pixels: smaller ones are enlarged, larger ones shrunk.
LEAST_SIDE, MOST_SIDE = 256, 448

#: Height of the line with the titles, width of the gaps, pixels.
_HEAD, _GAP = 22, 4

#: Outline of a nucleus that is found, and of one that is not or should not be. They
#: differ to colour-blind eyes too, and from grey images and common stains.
_RIGHT, _WRONG = (0.1, 0.85, 0.75), (1.0, 0.45, 0.0)

_TITLES = ("image", "true (orange: missed)", "predicted (orange: wrong)")


def panel(
    image: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Draw an image, its true and its predicted nuclei side by side.

    Parameters
    ----------
    image : numpy.ndarray
        ``(y, x)`` or ``(y, x, c)``, any real dtype.
    truth, predicted : numpy.ndarray
        ``(y, x)`` integer labels. True nuclei without a predicted one of IoU 0.5 or
        more, and predicted ones without such a true one, are outlined in orange.
    known : numpy.ndarray, optional
        ``(y, x)`` bool: the rest is darkened, and its nuclei are not compared.

    Returns
    -------
    numpy.ndarray
        ``(height, width, 3)`` uint8.

    Raises
    ------
    ValueError
        If the sizes differ.
    """
    if not image.shape[:2] == truth.shape == predicted.shape:
        raise ValueError(
            "Image, true and predicted labels must have one size; received "
            f"{image.shape[:2]}, {truth.shape} and {predicted.shape}."
        )
    from skimage.transform import resize

    found = find_overlaps(truth, predicted, known=known)
    rows, columns = match(found.iou(), 0.5)
    missed = np.delete(found.true_ids, rows)
    wrong = np.delete(found.predicted_ids, columns)
    shape = _drawn_shape(truth.shape)
    nearest = partial(
        resize, output_shape=shape, order=0, preserve_range=True, anti_aliasing=False
    )
    picture = _as_rgb(image, shape)
    dark = picture * 0.8
    if known is not None:
        dark = dark * np.where(nearest(known), 1.0, 0.35)[..., None]
    tiles = (
        picture,
        _outlined(dark, nearest(truth), missed),
        _outlined(dark, nearest(predicted), wrong),
    )
    gap = np.full((_HEAD + shape[0], _GAP, 3), 255, np.uint8)
    parts: list[np.ndarray] = []
    for title, tile in zip(_TITLES, tiles, strict=True):
        drawn = (np.clip(tile, 0, 1) * 255 + 0.5).astype(np.uint8)
        parts += [gap, np.concatenate([_headline(title, shape[1]), drawn])]
    return np.concatenate([*parts[1:]], axis=1)


def draw_panels(crops: Sequence[tuple[Any, ...]]) -> np.ndarray:
    """Draw the panels of some crops below each other, ``(height, width, 3)`` uint8.

    Parameters
    ----------
    crops : sequence of tuple
        What `panel` takes of each; at least one.
    """
    panels = [panel(*crop) for crop in crops]
    width = max(one.shape[1] for one in panels)
    return np.concatenate(
        [
            np.pad(
                one,
                ((0, _GAP), (0, width - one.shape[1]), (0, 0)),
                constant_values=255,
            )
            for one in panels
        ]
    )


def _drawn_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    longest = max(shape)
    if longest > MOST_SIDE:
        scale = MOST_SIDE / longest
    else:
        scale = float(max(1, LEAST_SIDE // longest))
    # A strip one pixel wide still shows.
    y, x = (max(8, round(side * scale)) for side in shape)
    return y, x


def _as_rgb(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image as ``(*shape, 3)`` float32 in 0-1, contrast stretched."""
    plane = image[..., None] if image.ndim == 2 else image[..., :3]
    plane = images.normalise(plane if plane.shape[-1] == 3 else plane[..., :1])
    return images.resize(images.match_channels(plane, 3), shape)


def _outlined(picture: np.ndarray, labels: np.ndarray, bad: np.ndarray) -> np.ndarray:
    from skimage.segmentation import find_boundaries

    out = picture.copy()
    edge = find_boundaries(labels, mode="inner")
    failed = np.isin(labels, bad)
    for colour, inside in ((_RIGHT, ~failed), (_WRONG, failed)):
        nuclei = inside & (labels > 0)
        out[nuclei] = 0.8 * out[nuclei] + 0.2 * np.array(colour)
        out[edge & inside] = colour
    return out


def _headline(text: str, width: int) -> np.ndarray:
    """Return a line of text, ``(_HEAD, width, 3)`` uint8, black on white."""
    from PIL import Image, ImageDraw, ImageFont

    size = 14
    while size > 7 and ImageFont.load_default(size).getlength(text) > width - 8:
        size -= 1
    line = Image.new("RGB", (width, _HEAD), "white")
    ImageDraw.Draw(line).text(
        (4, _HEAD / 2), text, "black", ImageFont.load_default(size), anchor="lm"
    )
    return np.asarray(line)


def draw_curves(history: Sequence[Mapping[str, float]]) -> Figure:
    """Draw loss, pixel accuracy, AP and learning rate over the epochs.

    Parameters
    ----------
    history : sequence of dict
        One row an epoch; see `report.COLUMNS`. What a row lacks is not drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", dpi=100, figsize=(9, 6.4))
    (loss, accuracy), (precision, rate) = figure.subplots(2, 2)
    _lines(loss, "Loss", history, {"loss": "training", "val_loss": "validation"})
    both = {"accuracy": "training", "val_accuracy": "validation"}
    _lines(accuracy, "Pixel accuracy", history, both)
    found = {"val_AP50": "at IoU 0.5", "val_AP75": "at IoU 0.75"}
    _lines(precision, "Nuclei found: AP, validation", history, found)
    precision.set_ylim(0, 1)
    _lines(rate, "Learning rate", history, {"learning_rate": ""})
    if any(row.get("learning_rate", 0) > 0 for row in history):
        rate.set_yscale("log")
    return figure


def _lines(
    axes: Axes,
    title: str,
    history: Sequence[Mapping[str, float]],
    columns: Mapping[str, str],
) -> None:
    from matplotlib.ticker import MaxNLocator

    for i, (name, label) in enumerate(columns.items()):
        rows = [row for row in history if row.get(name) is not None]
        axes.plot(
            [row["epoch"] for row in rows],
            [row[name] for row in rows],
            marker="o",
            markersize=3,
            color=f"C{i}",
            label=label or None,
        )
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if any(columns.values()):
        axes.legend()


def draw_confusion(matrix: np.ndarray) -> Figure:
    """Draw a confusion matrix of pixels: shares of each true class, and counts.

    Parameters
    ----------
    matrix : numpy.ndarray
        ``(2, 2)`` counts; see `core.score.pixels.confusion`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", dpi=100, figsize=(4.6, 4.2))
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column,
            row,
            f"{share:.1%}\n{matrix[row, column]:,}",
            ha="center",
            va="center",
            color="white" if share > 0.5 else "black",
        )
    axes.set_xticks(range(len(CLASSES)), CLASSES)
    axes.set_yticks(range(len(CLASSES)), CLASSES, rotation=90, va="center")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("Pixels, by true class")
    return figure
