"""Training on whole resized images, as the student projects did: shell and Python."""

import csv
import dataclasses
import functools
import json

import numpy as np
import pytest
import tifffile

from napari_nucleiseg import segment
from napari_nucleiseg.cli import main
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.networks.architectures import ARCHITECTURES
from napari_nucleiseg.networks.unet import UNET, build_plain_unet
from napari_nucleiseg.training.run import train


@pytest.fixture(autouse=True)
def small_unet(monkeypatch):
    build = functools.partial(build_plain_unet, filters=(4, 8))
    small = dataclasses.replace(UNET, builder=build)
    monkeypatch.setitem(ARCHITECTURES, "unet", small)


@pytest.fixture
def data(tmp_path):
    """Five pieces of images, of other sides, four of which may be learnt from."""
    folder = tmp_path / "data"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    image, labels = (getattr(load_sample("small"), x) for x in ("image", "labels"))
    parts = [np.s_[:96, :96], np.s_[96:192, :128], np.s_[:96, 96:], np.s_[96:, :96]]
    with (folder / "split.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("id", "split", "kind"))
        for i, part in enumerate([*parts, np.s_[96:, 96:]]):
            table.writerow((i, "train" if i < 4 else "test", "fluo"))
            tifffile.imwrite(folder / "images" / f"{i}.tif", image[part])
            tifffile.imwrite(
                folder / "masks" / f"{i}.tif", labels[part].astype(np.uint16)
            )
    return folder


FEW = {"epochs": 2, "steps-per-epoch": 3, "batch-size": 2, "learning-rate": 0.01}


def run_recipe(data, output, **options):
    """Run the recipe of the plain U-Net in the shell."""
    given = [f"--{name}={value}" for name, value in options.items()]
    argv = ["train", "--recipe", "unet", "--data", str(data), "--output", str(output)]
    return main([*argv, *given])


def test_a_recipe_in_the_shell_trains_on_whole_images_and_its_model_segments(
    data, tmp_path, capsys
):
    output = tmp_path / "mine"
    assert run_recipe(data, output, resize=64, **FEW) == 0, capsys.readouterr().err
    card = find_model(output).card
    assert card.training["params"]["resize"] == 64
    assert (card.data["pairs"], card.data["validation_pairs"]) == (3, 1)
    # How wide nuclei are after resizing, by area, is what the model is made for.
    factors = []
    for path in sorted((data / "masks").glob("[0-3].tif")):
        labels = tifffile.imread(path)
        areas = np.bincount(labels.ravel())[1:]
        factors.append(areas[areas > 0] * 64 * 64 / labels.size)
    areas = np.sort(np.concatenate(factors))
    middle = areas[np.searchsorted(areas.cumsum(), areas.sum() / 2)]
    typical = 2 * np.sqrt(middle / np.pi)
    assert card.diameter == pytest.approx(typical, rel=0.15)
    low, high = card.diameter_range
    assert low < card.diameter < high
    history = card.training["history"]
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[1]["val_loss"] < history[0]["val_loss"]
    assert any((output / "report" / "tensorboard").rglob("*tfevents*"))
    report = json.loads((output / "report" / "report.json").read_text())
    resized = report["resized"]
    assert resized["side"] == 64
    assert sum(map(sum, resized["confusion"])) == 64 * 64
    best = min(history, key=lambda row: row["val_loss"])
    assert resized["loss"] == pytest.approx(best["val_loss"], abs=1e-4)
    assert resized["pixels"]["accuracy"] == pytest.approx(
        best["val_accuracy"], abs=1e-4
    )
    text = (output / "report" / "report.txt").read_text()
    assert "resized to 64 x 64 pixels" in text
    # Nuclei of an image are brought to that size.
    image = tifffile.imread(data / "images" / "4.tif")
    result = segment(image, output, diameter=2 * card.diameter)
    assert result.labels.shape == image.shape
    assert result.scale == pytest.approx(0.5, rel=0.01)


@pytest.mark.usefixtures("no_export")
def test_a_model_can_be_trained_further_so_with_rehearsal_mixed_in(
    tiny_model, quick, pairs, validation, tmp_path
):
    outcome = train(
        pairs,
        tmp_path / "mine",
        validation=validation,
        base=tiny_model.folder,
        params=quick.replace(
            epochs=1, steps_per_epoch=2, resize=96, rehearsal=0.5, augmentation=0.7
        ),
        keep_always=True,
    )
    card = outcome.model.card
    assert card.training["params"]["resize"] == 96
    assert card.diameter == card.training["params"]["diameter"] != 20
    assert np.isfinite(outcome.history[-1]["val_loss"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": 100}, "multiple of 16 for the network 'unet'; received 100"),
        ({"resize": 16}, "resize must be between 32 and 1024"),
        ({"resize": 64, "diameter": 12}, "diameter cannot be chosen for whole images"),
        ({"resize": 32}, "4 px is the least that can be learnt"),
    ],
)
def test_what_will_not_do_is_said_before_anything_is_trained(
    data, tmp_path, capsys, options, message
):
    assert run_recipe(data, tmp_path / "mine", **options) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("mine*"))


def test_patches_again_where_that_is_wanted(data, tmp_path):
    options = {**FEW, "resize": "auto", "patch-size": 64, "epochs": 1}
    output = tmp_path / "mine"
    assert run_recipe(data, output, **options) == 0
    assert find_model(output).card.diameter == UNET.diameter
    assert "resized" not in json.loads((output / "report" / "report.json").read_text())
