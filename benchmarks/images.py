"""The images that models are measured on, one row each."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

#: Kinds that images are spread over by `thin`, as DSB2018 names them.
KINDS = ("fluo", "color", "brightfield-gray")

#: What the images of a source are called, by the first part of their id.
SOURCES = {"nuinsseg": "NuInsSeg H&E", "tnbc": "TNBC H&E", "u2os": "U2OS fluo"}


def kind_of(row: dict[str, str]) -> str:
    """Return a row's kind, or its source where the id begins with one."""
    return SOURCES.get(row["id"].split("_")[0], row["kind"])


@dataclass(frozen=True)
class TestImage:
    """An image of the data set.

    Parameters
    ----------
    name, split, kind, field : str
        Its id, and what `split.csv` says of it; images cut from one field of view
        share that.
    folder : pathlib.Path
        The data set.
    """

    name: str
    split: str
    kind: str
    field: str
    folder: Path

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the image, ``(y, x)`` or ``(y, x, 3)``, and its true labels."""
        return (
            tifffile.imread(self.folder / "images" / f"{self.name}.tif"),
            tifffile.imread(self.folder / "masks" / f"{self.name}.tif"),
        )


def list_images(data: Path, split: str) -> list[TestImage]:
    """Return the images of a split in the order of `split.csv`.

    Raises
    ------
    SystemExit
        If the folder is no such data set, or has no such split.
    """
    table = data / "split.csv"
    if not table.is_file():
        raise SystemExit(f"--data must be a folder with a split.csv; received {data}.")
    with table.open(newline="", encoding="utf-8") as file:
        found = [
            TestImage(row["id"], split, kind_of(row), row.get("field", row["id"]), data)
            for row in csv.DictReader(file)
            if row["split"] == split
        ]
    if not found:
        raise SystemExit(f"{table} has no image of the split {split!r}.")
    return found


def thin(images: list[TestImage], limit: int | None) -> list[TestImage]:
    """Return at most `limit` images, evenly spaced, and at least one of each kind."""
    if limit is None or limit >= len(images):
        return images
    by_kind = [image for kind in KINDS for image in images if image.kind == kind]
    at = np.linspace(0, len(by_kind) - 1, max(limit, 1)).round().astype(int)
    kept = {by_kind[i].name for i in at}
    for kind in {image.kind for image in images}:
        some = [image.name for image in images if image.kind == kind]
        if not kept & set(some):
            kept.add(some[len(some) // 2])
    return [image for image in images if image.name in kept]


def read_numbered(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Give name, image and labels of every X_image.tif and X_labels.tif of a folder.

    Raises
    ------
    SystemExit
        If there is none.
    """
    paths = sorted(folder.glob("*_image.tif"))
    if not paths:
        raise SystemExit(f"{folder} has no X_image.tif and X_labels.tif.")
    for path in paths:
        name = path.name.removesuffix("_image.tif")
        labels = tifffile.imread(path.with_name(f"{name}_labels.tif"))
        yield name, tifffile.imread(path), labels
