"""Choose and cut the rehearsal crops: `make_rehearsal.py --data DSB2018_FOLDER`.

All are from the `train` split: the bundled model has seen them, and no figure is made
on them. The images of a group are clustered by what they look like, and from each
cluster the one nearest its middle is taken, so that the crops are typical and varied;
of an image that is larger than a crop, the part that is most like the whole.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from scipy.cluster.vq import kmeans2
from skimage.segmentation import relabel_sequential

from napari_nucleiseg.core.labels.pieces import separate_pieces

OUT = Path(__file__).parents[1] / "src/napari_nucleiseg/training/rehearsal_data"


@dataclass(frozen=True)
class Group:
    """Images that are alike: of one kind, their median diameter within bounds."""

    kind: str
    low: float  # px
    high: float  # px, excluded
    crops: int
    side: int  # of a crop, px
    sections: bool = False  # the large tissue sections, which are a kind of their own
    also: str = ""  # first letters of the id of an image to take besides


#: Colour does not compress, so its crops are smaller.
GROUPS = (
    Group("fluo", 0, 12, 4, 192),
    Group("fluo", 12, 18, 5, 224),
    Group("fluo", 18, 32, 5, 256),
    Group("fluo", 32, 999, 4, 256),
    Group("fluo", 0, 999, 2, 256, sections=True),
    Group("color", 0, 22, 4, 192),
    # The odd one out, in pink, is what most stained sections look like elsewhere.
    Group("color", 22, 999, 4, 192, also="4193474b"),
    Group("brightfield-gray", 0, 999, 3, 256),
)

#: Shape of the tissue sections.
SECTION = ("603", "1272")

#: First letters of the ids of images that were looked at and left out, and why.
LEFT_OUT = {
    "b560db": "dim nuclei are not labelled, and specks are",
    "0acd2c": "a speck is labelled as a nucleus",
    "2255d5": "out of focus",
    "409460": "a nucleus is labelled in part",
    "8f94a8": "debris is labelled as nuclei",
    "2a1a29": "overlapping nuclei, one drawn through",
}


def read_group(data: Path, group: Group) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return id, image and labels of one group, one image a field of view."""
    with (data / "split.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["id"])
    fields: dict[str, str] = {}
    for row in rows:
        wide = 2 * np.sqrt(float(row["median_area_px"] or 0) / np.pi)
        if (
            row["split"] == "train"
            and row["kind"] == group.kind
            and group.low <= wide < group.high
            and ((row["height"], row["width"]) == SECTION) == group.sections
            and int(row["nuclei"]) >= 4
            and not row["id"].startswith(tuple(LEFT_OUT))
        ):
            fields.setdefault(row["field"], row["id"])
    return [
        (
            name,
            tifffile.imread(data / "images" / f"{name}.tif"),
            tifffile.imread(data / "masks" / f"{name}.tif"),
        )
        for name in fields.values()
    ]


def describe(image: np.ndarray, labels: np.ndarray) -> list[float]:
    """Return what an image looks like, in numbers of about the same range."""
    grey = image.mean(-1) if image.ndim == 3 else image.astype(float)
    low, middle, high = np.percentile(grey, (1, 50, 99.9))
    span = max(high - low, 1)
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    inside, outside = grey[labels > 0], grey[labels == 0]
    figures = [
        np.log(np.median(areas)),
        areas.std() / areas.mean(),
        4 * np.sqrt((labels > 0).mean()),
        4 * (middle - low) / span,
        4 * (inside.mean() - outside.mean()) / span,
        4 * outside.std() / span,
        np.log(span),
    ]
    if image.ndim == 3:
        figures += list((image.mean((0, 1)) - grey.mean()) / 10)
    return [float(f) for f in figures]


def best_part(image: np.ndarray, labels: np.ndarray, side: int) -> tuple[slice, slice]:
    """Return the window that is most like the whole image, with nuclei enough."""
    height, width = labels.shape
    whole = np.array(describe(image, labels))
    best = None
    for y in range(0, max(height - side, 0) + 1, 16):
        for x in range(0, max(width - side, 0) + 1, 16):
            part = (slice(y, y + side), slice(x, x + side))
            if np.unique(labels[part]).size < 4:
                continue
            off = np.abs(np.array(describe(image[part], labels[part])) - whole).sum()
            # Emptier than the whole is worse than fuller: there is less to learn.
            fuller = (labels[part] > 0).mean() / (labels > 0).mean()
            off += 5 * max(1 - fuller, 0)
            if best is None or off < best[0]:
                best = (off, part)
    assert best is not None
    return best[1]


def choose(features: np.ndarray, n: int) -> list[int]:
    """Return the n rows nearest the middles of n clusters."""
    spread = features.std(0)
    scaled = features / np.where(spread > 0, spread, 1)
    # Start along the line on which they differ most, so that no chance comes in.
    centred = scaled - scaled.mean(0)
    order = np.argsort(centred @ np.linalg.svd(centred, full_matrices=False)[2][0])
    start = order[((np.arange(n) + 0.5) * len(order) / n).astype(int)]
    middles, member = kmeans2(scaled, scaled[start], minit="matrix", iter=50)
    chosen = []
    for cluster in range(n):
        rows = np.flatnonzero(member == cluster)
        if rows.size:
            off = ((scaled[rows] - middles[cluster]) ** 2).sum(1)
            chosen.append(int(rows[off.argmin()]))
    return sorted(chosen)


def save(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG as small as it gets."""
    Image.fromarray(pixels).save(path, optimize=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the crops, and a table of where each is from."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=OUT)
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    for old in args.output.glob("*.png"):
        old.unlink()
    table = []
    for group in GROUPS:
        items = read_group(args.data, group)
        features = np.array([describe(image, labels) for _, image, labels in items])
        chosen = choose(features, group.crops)
        for i in range(len(items)) if group.also else ():
            if items[i][0].startswith(group.also) and i not in chosen:
                chosen.append(i)
        for i in chosen:
            name, image, labels = items[i]
            part = best_part(image, labels, group.side)
            short = f"{len(table):02d}"
            # A nucleus bent round the crop's edge comes back in as a second piece.
            numbers = relabel_sequential(separate_pieces(labels[part]))[0]
            if numbers.max() > 255:
                raise ValueError(f"{name} has more nuclei than a byte can count")
            save(args.output / f"{short}_image.png", image[part])
            save(args.output / f"{short}_labels.png", numbers.astype(np.uint8))
            corner = [s.start for s in part]
            table.append([short, group.kind, *corner, int(numbers.max()), name])
    with (args.output / "crops.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["crop", "kind", "y", "x", "nuclei", "id"])
        writer.writerows(table)
    size = sum(path.stat().st_size for path in args.output.iterdir())
    print(f"{len(table)} crops, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
