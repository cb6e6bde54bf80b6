"""Recipes: named ways to train a model, from data set to model folder."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tifffile

from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.models.dataset import Pair
from napari_nucleiseg.models.registry import Model


@dataclass(frozen=True)
class Recipe:
    """How to make a model from a data set with a fixed split.

    Parameters
    ----------
    name, title : str
        Its name, and what the model that comes out is for.
    params : TrainParams
        How to train.
    shares : mapping of str to float
        How much of the training each kind of image gets, whatever their number;
        within a kind an image counts by the square root of its area.
    source : str
        What the data are, for the card.
    """

    name: str
    title: str
    params: TrainParams
    shares: Mapping[str, float]
    source: str

    def run(
        self,
        data: str | os.PathLike[str],
        output: str | os.PathLike[str],
        *,
        params: TrainParams | None = None,
        monitor: Monitor | None = None,
    ) -> Model:
        """Train on a data set's ``train`` split and choose by its ``val`` split.

        Parameters
        ----------
        data : path
            See `read_split`.
        output : path
            Model folder to write.
        params : TrainParams, optional
            Instead of the recipe's.
        monitor : Monitor, optional
            See `export.train`.

        Returns
        -------
        Model
        """
        pairs = read_split(data, "train", self.shares)
        validation = read_split(data, "val", self.shares)
        # Keras takes seconds to import: a mistyped folder shall not wait for it.
        from napari_nucleiseg.models.export import train

        return train(
            pairs,
            validation,
            output,
            title=self.title,
            params=params or self.params,
            data={"source": self.source, "recipe": self.name},
            monitor=monitor,
        )


RECIPES = {
    "nuclei": Recipe(
        name="nuclei",
        title="Nuclei of any kind: fluorescence, stained tissue, brightfield",
        # The time limit is what ends it.
        params=TrainParams(
            epochs=300, steps_per_epoch=250, minutes=92, ema_momentum=0.998
        ),
        shares={"fluo": 0.58, "color": 0.30, "brightfield-gray": 0.12},
        source="2018 Data Science Bowl stage 1, corrected masks (BBBC038, CC0), "
        "train split",
    )
}


def find_recipe(name: str) -> Recipe:
    """Return a recipe by name; an unknown one is a ValueError that lists them."""
    if name not in RECIPES:
        raise ValueError(
            f"There is no recipe named {name!r}; there are {', '.join(RECIPES)}."
        )
    return RECIPES[name]


def read_split(
    data: str | os.PathLike[str], split: str, shares: Mapping[str, float]
) -> list[Pair]:
    """Read one split of a data set.

    Parameters
    ----------
    data : path
        Folder with ``images/<id>.tif``, ``masks/<id>.tif`` and ``split.csv`` with
        the columns ``id, split, kind``.
    split : str
        Which rows to take.
    shares : mapping of str to float
        Kinds of image to take, and how much each counts.

    Returns
    -------
    list of Pair
        Weighted so that each kind has its share.

    Raises
    ------
    ValueError
        If the folder is no such data set, or the split is empty.
    """
    folder = Path(data)
    table = folder / "split.csv"
    if not table.is_file():
        raise ValueError(f"{folder} must hold images/, masks/ and split.csv.")
    with table.open(newline="", encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row.get("split") == split and row.get("kind") in shares
        ]
    if not rows:
        raise ValueError(f"{table} names no image of the split {split!r}.")
    pairs = [
        Pair(
            tifffile.imread(folder / "images" / f"{row['id']}.tif"),
            tifffile.imread(folder / "masks" / f"{row['id']}.tif"),
            row["id"],
        )
        for row in rows
    ]
    areas = [math.sqrt(pair.labels.size) for pair in pairs]
    totals = {
        kind: sum(a for a, row in zip(areas, rows, strict=True) if row["kind"] == kind)
        for kind in shares
    }
    return [
        Pair(
            pair.image,
            pair.labels,
            pair.name,
            shares[row["kind"]] * area / totals[row["kind"]],
        )
        for pair, row, area in zip(pairs, rows, areas, strict=True)
    ]
