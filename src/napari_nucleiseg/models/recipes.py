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
from napari_nucleiseg.core.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.models.registry import Model


@dataclass(frozen=True)
class Stage:
    """One stretch of training.

    Parameters
    ----------
    params : TrainParams
        How to train.
    shares : mapping of str to float
        How much of the training each kind of image gets, whatever their number;
        within a kind an image counts by the square root of its area.
    """

    params: TrainParams
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Recipe:
    """How to make a model from a data set with a fixed split.

    Parameters
    ----------
    name, title : str
        Its name, and what the model that comes out is for.
    stages : tuple of Stage
        One after the other, each going on from what the one before left.
    source, license : str
        What the data are, and the licence of the weights, for the card.
    """

    name: str
    title: str
    stages: tuple[Stage, ...]
    source: str
    license: str

    def run(
        self,
        data: str | os.PathLike[str],
        output: str | os.PathLike[str],
        *,
        minutes: float | None = None,
        seed: int | None = None,
        monitor: Monitor | None = None,
    ) -> Model:
        """Train on a data set's ``train`` split and choose by its ``val`` split.

        Parameters
        ----------
        data : path
            See `read_split`.
        output : path
            Model folder to write; it holds a sound model after each stage.
        minutes : float, optional
            Time limit for all stages together, shared as the recipe shares its own.
        seed : int, optional
            Instead of the recipe's.
        monitor : Monitor, optional
            See `export.train`. If it asks to stop, the stages that follow are left
            out.

        Returns
        -------
        Model
        """
        if minutes is not None:
            self.stages[0].params.replace(minutes=minutes)  # says if it will not do
        sets = [
            [read_split(data, split, stage.shares) for split in ("train", "val")]
            for stage in self.stages
        ]
        # Keras takes seconds to import: a mistyped folder shall not wait for it.
        from napari_nucleiseg.models.export import train

        planned = sum(stage.params.minutes or 0 for stage in self.stages)
        model: Model | None = None
        for stage, (pairs, validation) in zip(self.stages, sets, strict=True):
            params = stage.params
            if minutes is not None and planned:
                share = (params.minutes or 0) / planned
                params = params.replace(minutes=max(minutes * share, 0.1))
            if seed is not None:
                params = params.replace(seed=seed)
            model = train(
                pairs,
                validation,
                output,
                title=self.title,
                license=self.license,
                base=None if model is None else model.folder,
                params=params,
                data={"source": self.source, "recipe": self.name},
                monitor=monitor,
            )
            if monitor is not None and monitor.should_stop():
                break
        assert model is not None  # every recipe has a stage
        return model


RECIPES = {
    "nuclei": Recipe(
        name="nuclei",
        title="Nuclei of any kind: fluorescence, stained tissue, brightfield",
        stages=(
            # The time limits are what ends them.
            Stage(
                TrainParams(
                    epochs=300, steps_per_epoch=250, minutes=92, ema_momentum=0.998
                ),
                {"fluo": 0.58, "color": 0.30, "brightfield-gray": 0.12},
            ),
            Stage(
                TrainParams(
                    epochs=300,
                    steps_per_epoch=250,
                    minutes=26,
                    ema_momentum=0.998,
                    learning_rate=1e-3,
                    augmentation=0.7,
                    seed=2,
                ),
                {"fluo": 0.68, "color": 0.22, "brightfield-gray": 0.10},
            ),
        ),
        source="2018 Data Science Bowl stage 1, corrected masks (BBBC038, CC0), "
        "train split",
        license="CC0-1.0",
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
