import csv
import dataclasses
import functools

import numpy as np
import tifffile

from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.networks.architectures import ARCHITECTURES
from napari_nucleiseg.networks.generalist import GENERALIST, MAPS, build_unet
from napari_nucleiseg.training.recipes import RECIPES


def test_the_built_in_models_recipe_runs_and_its_stages_follow_each_other(
    tmp_path, monkeypatch
):
    """With a smaller network, a few steps and two made-up sheets; twice."""
    build = functools.partial(build_unet, filters=(4, 8))
    small = dataclasses.replace(GENERALIST, builder=build)
    monkeypatch.setitem(ARCHITECTURES, "generalist", small)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    rows = [
        ("a", "train", "fluo", "small"),
        ("tnbc_b", "train", "color", "tissue"),
        ("c", "val", "fluo", "large"),
    ]
    with (tmp_path / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "split", "kind"), *(r[:3] for r in rows)])
    for name, _, _, of in rows:
        sample = load_sample(of)
        part = np.s_[:128, :128]
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", sample.image[part])
        tifffile.imwrite(
            tmp_path / "masks" / f"{name}.tif", sample.labels[part].astype(np.uint16)
        )
    recipe = RECIPES["generalist"]
    (stage,) = recipe.stages
    params = stage.params.replace(
        epochs=1, steps_per_epoch=2, batch_size=2, patch_size=64
    )
    first = dataclasses.replace(stage, params=params, sheets=2)
    again = dataclasses.replace(first, params=params.replace(seed=2))
    recipe = dataclasses.replace(recipe, stages=(first, again))
    outcome = recipe.run(tmp_path, tmp_path / "mine")
    assert outcome.kept
    card = find_model(outcome.folder).card
    assert card.license == recipe.license
    assert card.data["recipe"] == "generalist"
    assert card.data["pairs"] == 4
    assert (card.maps, card.diameter) == (MAPS, 26)
    assert card.training["params"]["seed"] == 2
    (before,) = card.training["before"]
    assert before["params"]["seed"] == 1
    assert [row["epoch"] for row in before["history"]] == [1]
    assert [row["epoch"] for row in card.training["history"]] == [0, 1]
    assert outcome.history == card.training["history"]
    assert all(np.isfinite(row["val_loss"]) for row in outcome.history)
