"""`nucleiseg train` up to the engine, which a stand-in takes the place of."""

import json
import shutil
import sys

import numpy as np
import pytest
import tifffile

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.networks.architectures import PretrainedWeightsError
from napari_nucleiseg.training.recipes import RECIPES

from .conftest import run
from .engine import a_verdict


def test_a_bare_name_becomes_a_model_of_ones_own(folder, engine, own_models):
    done = run("train", "--images", folder, "--labels", folder, "--output", "mine")
    assert done.status == 0, done.err
    (call,) = engine.calls
    assert call["base"] == "nuclei"
    assert call["output"] == own_models / "mine"
    assert call["params"] == TrainParams()
    assert {pair.name for pair in call["pairs"]} == {"small", "crowded"}
    labels = {pair.name: pair.labels for pair in call["pairs"]}
    assert np.array_equal(labels["small"], load_sample("small").labels)
    assert all(pair.known is None for pair in call["pairs"])
    assert "nuclei in 2 images" in done.err  # what the check found
    assert "Epoch 1 of 3  loss 0.500  val_loss 0.250  AP@0.5 0.750" in done.err
    assert a_verdict().text in done.out
    assert f"Saved {own_models / 'mine'}" in done.out
    assert "mine" in run("models").out


def test_a_path_is_a_folder(folder, engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("train", "--images", folder, "--output", "./mine")
    assert done.status == 0, done.err
    assert engine.calls[0]["output"] == tmp_path / "mine"


def test_options_reach_the_engine(folder, engine):
    argv = "--epochs 3 --minutes 2.5 --seed 7 --learning-rate 1e-3 --no-rehearsal"
    argv += " --batch-size 4 --patch-size 128 --augmentation 1 --patience auto --keep"
    argv += " --validation-share 0.3 --base nuclei --resize 256"
    assert run("train", "--images", folder, "--output", "m", *argv.split()).status == 0
    (call,) = engine.calls
    assert call["params"] == TrainParams(
        epochs=3,
        minutes=2.5,
        seed=7,
        learning_rate=1e-3,
        rehearsal=0.0,
        batch_size=4,
        patch_size=128,
        resize=256,
        augmentation=1,
        patience=None,
        validation_share=0.3,
    )
    assert call["keep_always"]


def test_only_what_is_painted_is_known(folder, engine):
    argv = ("--images", folder, "--output", "m", "--labelled", "painted")
    assert run("train", *argv).status == 0
    for pair in engine.calls[0]["pairs"]:
        assert pair.known[pair.labels > 0].all()
        assert not pair.known.all()


def test_a_mask_of_nucleus_and_background_is_split_when_asked(folder, engine):
    for path in folder.glob("*_labels.tif"):
        tifffile.imwrite(path, (tifffile.imread(path) > 0).astype(np.uint8))
    done = run("train", "--images", folder, "--output", "m")
    assert done.status == 2
    assert "looks like a mask of nucleus and background" in done.err
    assert not engine.calls
    done = run("train", "--images", folder, "--output", "m", "--split")
    assert done.status == 0, done.err
    assert all(pair.labels.max() > 5 for pair in engine.calls[0]["pairs"])


def test_a_model_that_is_not_better_is_not_kept(folder, engine, own_models):
    engine.better = False
    done = run("train", "--images", folder, "--output", "mine")
    assert done.status == 1
    assert "Not better than nuclei" in done.out
    assert f"waits in {own_models / 'mine.training' / 'model' / 'mine'}" in done.out
    assert run("train", "--images", folder, "--output", "m", "--keep").status == 0


def test_the_outcome_as_json(folder, engine, own_models):
    done = run("train", "--images", folder, "--output", "mine", "--json")
    assert json.loads(done.out) == {
        "model": str(own_models / "mine"),
        "epochs": 2,
        "stopped": False,
        "problem": "",
        "word": "better",
        "verdict": json.loads(json.dumps(a_verdict().model_dump())),
    }


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--images must be given"),
        (["--images", "none"], "There is no folder none"),
        (["--images", "HERE", "--labels", "none"], "There is no folder none"),
        (["--images", "HERE", "--base", "x"], "no model named 'x'"),
        (["--images", "HERE", "--epochs", "0"], "epochs must be between"),
        (["--images", "HERE", "--no-pretrained"], "goes with --recipe"),
        (["--data", "HERE"], "--data goes with --recipe"),
        (["--data", "HERE", "--recipe", "x"], "no recipe named 'x'"),
        (
            ["--data", "HERE", "--recipe", "unet", "--images", "HERE", "--split"],
            "--images, --split cannot be given with --data",
        ),
        (["--images", "HERE", "--recipe", "unet", "--keep"], "is always kept"),
        (
            ["--images", "HERE", "--recipe", "unet", "--no-pretrained"],
            "--no-pretrained does not apply",
        ),
        (["--images", "HERE", "--resume"], "holds no training to resume"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(folder, engine, argv, message):
    argv = [str(folder) if word == "HERE" else word for word in argv]
    done = run("train", "--output", "m", *argv)
    assert done.status == 2
    assert message in done.err
    assert not engine.calls


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("nuclei", "name of a built-in model"),
        ("a b", "1 to 64 letters"),
        ("..", "1 to 64 letters|is not a model"),
        ("HERE", "exists and is not a model"),
    ],
)
def test_outputs_that_will_not_do(folder, engine, output, message):
    output = folder if output == "HERE" else output
    done = run("train", "--images", folder, "--output", output)
    assert done.status == 2
    assert any(text in done.err for text in message.split("|"))
    assert not engine.calls


# ---- by a recipe ------------------------------------------------------------------


def test_a_recipe_on_its_data_set(engine, tmp_path, own_models):
    argv = ("--recipe", "nuclei", "--data", tmp_path, "--minutes", 3, "--seed", 4)
    done = run("train", *argv, "--output", "mine")
    assert done.status == 0, done.err
    (call,) = engine.calls
    assert call["recipe"] == RECIPES["nuclei"]
    assert (call["data"], call["output"]) == ([tmp_path], own_models / "mine")
    assert (call["minutes"], call["seed"], call["epochs"]) == (3, 4, None)
    assert a_verdict().text in done.out


def test_a_recipe_on_ones_own_images(engine, folder):
    argv = ("--recipe", "unet-mobilenetv2", "--images", folder, "--no-pretrained")
    more = ("--batch-size", 4, "--epochs", 2, "--patience", "auto")
    done = run("train", *argv, *more, "--output", "mine")
    assert done.status == 0, done.err
    (call,) = engine.calls
    assert {pair.name for pair in call["data"]} == {"small", "crowded"}
    (stage,) = call["recipe"].stages
    own = RECIPES["unet-mobilenetv2"].stages[0].params
    assert stage.params == own.replace(batch_size=4, patience=None)
    assert (call["epochs"], call["pretrained"]) == (2, False)


def test_pretrained_weights_that_cannot_be_had(engine, folder):
    def fail(monitor):
        raise PretrainedWeightsError("The weights cannot be fetched.")

    engine.during = fail
    argv = ("--recipe", "unet-mobilenetv2", "--images", folder)
    done = run("train", *argv, "--output", "mine")
    assert done.status == 2
    assert "cannot be fetched. --no-pretrained trains without them." in done.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--recipe", "cells"], "no recipe named 'cells'; there are generalist"),
        (["--recipe", "nuclei"], "must hold images/, masks/ and split.csv"),
        (["--recipe", "nuclei", "--minutes", "0"], "minutes must be between"),
    ],
)
def test_training_by_what_is_not_there(tmp_path, argv, message):
    done = run("train", *argv, "--data", tmp_path / "none", "--output", tmp_path / "m")
    assert done.status == 2, done.err
    assert message in done.err
    assert not (tmp_path / "m").exists()


def test_two_files_of_labels_for_one_image_are_refused(folder, engine):
    labels = (folder / "small_labels.tif").read_bytes()
    (folder / "small_masks.tif").write_bytes(labels)
    done = run("train", "--images", folder, "--output", "mine")
    assert done.status == 2
    assert "error: small.tif, small_labels.tif, small_masks.tif: one image" in done.err
    assert not engine.calls


def test_hours_are_asked_about_where_somebody_can_answer(folder, engine, monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "n\n", raising=False)
    hours = ["train", "--images", folder, "--output", "m", "--epochs", "10000"]
    done = run(*hours)
    assert done.status == 2
    assert "this will take up to" in done.err
    assert not engine.calls
    assert run(*hours, "--yes").status == 0
    assert run("train", "--images", folder, "--output", "n").status == 0


def test_the_images_to_test_on_are_handed_on(folder, engine, tmp_path):
    test = tmp_path / "test"
    shutil.copytree(folder, test)
    done = run("train", "--images", folder, "--output", "m", "--test", test)
    assert done.status == 0, done.err
    assert len(engine.calls[0]["test"]) == len(engine.calls[0]["pairs"])
    done = run("train", "--images", folder, "--output", "n", "--test", tmp_path / "no")
    assert done.status == 2
    assert "There is no folder" in done.err
