import csv
import dataclasses
import functools

import numpy as np
import tifffile

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.networks.architectures import ARCHITECTURES
from napari_nucleiseg.networks.generalist import GENERALIST, build_unet
from napari_nucleiseg.training.recipes import Recipe, Stage


def test_stages_follow_each_other_into_one_model(tmp_path, monkeypatch):
    build = functools.partial(build_unet, filters=(4, 8))
    small = dataclasses.replace(GENERALIST, builder=build)
    monkeypatch.setitem(ARCHITECTURES, "generalist", small)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    rows = [("small", "train", "fluo"), ("large", "val", "fluo")]
    with (tmp_path / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "split", "kind"), *rows])
    for name, _, _ in rows:
        sample = load_sample(name)
        part = np.s_[:160, :160]
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", sample.image[part])
        tifffile.imwrite(
            tmp_path / "masks" / f"{name}.tif", sample.labels[part].astype(np.uint16)
        )
    quick = TrainParams(
        epochs=1, steps_per_epoch=1, batch_size=1, patch_size=64, rehearsal=0.0
    )
    recipe = Recipe(
        name="quick",
        title="Quick",
        stages=(
            Stage(quick, {"fluo": 1.0}),
            Stage(quick.replace(seed=2, learning_rate=1e-4), {"fluo": 1.0}),
        ),
        source="two samples",
        license="CC0-1.0",
        architecture="generalist",
    )
    outcome = recipe.run(tmp_path, tmp_path / "mine")
    card = find_model(outcome.folder).card
    assert card.license == "CC0-1.0"
    assert card.data["recipe"] == "quick"
    assert card.training["params"]["seed"] == 2
    (before,) = card.training["before"]
    assert before["params"]["seed"] == 1
    assert [row["epoch"] for row in before["history"]] == [1]
    assert [row["epoch"] for row in card.training["history"]] == [0, 1]
