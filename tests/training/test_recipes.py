import csv
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.monitor import Progress
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.io.splits import read_split
from napari_nucleiseg.networks.architectures import ARCHITECTURES
from napari_nucleiseg.training.recipes import (
    RECIPES,
    Recipe,
    Stage,
    find_recipe,
)
from napari_nucleiseg.training.run_folder import Order, RunFolder

ROWS = [
    ("crowded", "train", "fluo"),
    ("small", "train", "fluo"),
    ("tissue", "train", "color"),
    ("large", "val", "fluo"),
    ("smear", "train", "other"),
]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with (tmp_path / "split.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("id", "split", "kind"))
        table.writerows(ROWS)
    for name, _, _ in ROWS:
        sample = load_sample(name)
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", sample.image)
        labels = sample.labels.astype(np.uint16)
        tifffile.imwrite(tmp_path / "masks" / f"{name}.tif", labels)
    return tmp_path


def test_a_split_holds_its_images_of_the_kinds_wanted(data):
    pairs = read_split(data, "train", {"fluo": 0.6, "color": 0.4})
    assert [pair.name for pair in pairs] == ["crowded", "small", "tissue"]
    sample = load_sample("tissue")
    assert np.array_equal(pairs[2].image, sample.image)
    assert np.array_equal(pairs[2].labels, sample.labels)
    assert [p.name for p in read_split(str(data), "val", {"fluo": 1})] == ["large"]


def test_each_kind_has_its_share(data):
    pairs = {p.name: p for p in read_split(data, "train", {"fluo": 0.6, "color": 0.4})}
    assert pairs["tissue"].weight == pytest.approx(0.4)
    assert pairs["crowded"].weight + pairs["small"].weight == pytest.approx(0.6)
    # The larger one, but not by its area alone.
    area = pairs["crowded"].labels.size / pairs["small"].labels.size
    assert 1 < pairs["crowded"].weight / pairs["small"].weight < area


def test_several_data_sets_by_source_and_sheets_besides(data, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(data, other, dirs_exist_ok=True)
    for folder in ("images", "masks"):
        (other / folder / "small.tif").rename(other / folder / "lab_1.tif")
    (other / "split.csv").write_text("id,split,kind\nlab_1,train,fluo\n")
    shares = {"fluo": 0.5, "lab_fluo": 0.3, "sheets": 0.2}
    stage = Stage(TrainParams(), shares, sheets=2)
    pairs = stage.training_set([data, other])
    weights = {pair.name: pair.weight for pair in pairs}
    assert set(weights) == {"crowded", "small", "lab_1", "sheet 0", "sheet 1"}
    assert weights["lab_1"] == pytest.approx(0.3)
    assert weights["sheet 0"] == weights["sheet 1"] == pytest.approx(0.1)


def test_a_folder_that_is_no_data_set_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"must hold images/, masks/ and split\.csv"):
        read_split(tmp_path, "train", {"fluo": 1})


def test_an_empty_split_is_named(data):
    with pytest.raises(ValueError, match="no image of the split 'test'"):
        read_split(data, "test", {"fluo": 1})


def test_a_missing_image_is_named(data):
    (data / "images" / "small.tif").unlink()
    with pytest.raises(OSError, match=r"small\.tif"):
        read_split(data, "train", {"fluo": 1})


def test_without_shares_every_image_counts_alike(data):
    pairs = read_split(data, "train")
    assert [pair.name for pair in pairs] == ["crowded", "small", "tissue", "smear"]
    assert {pair.weight for pair in pairs} == {1.0}
    with (data / "split.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "split"), ("small", "train")])
    assert [pair.name for pair in read_split(data, "train")] == ["small"]


def test_recipes_are_found_by_name():
    for name in ("nuclei", "unet", "unet-mobilenetv2"):
        recipe = find_recipe(name)
        assert recipe.name == name
        assert recipe.architecture in ARCHITECTURES
    for stage in RECIPES["nuclei"].stages:
        assert sum(stage.shares.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"no recipe named 'cells'.*nuclei, unet"):
        find_recipe("cells")


@pytest.mark.parametrize(
    ("name", "epochs", "patience"), [("unet", 10, 5), ("unet-mobilenetv2", 100, 20)]
)
def test_the_student_projects_trained_so(name, epochs, patience):
    (stage,) = RECIPES[name].stages
    params = stage.params
    assert (params.epochs, params.patience) == (epochs, patience)
    assert params.resize == ARCHITECTURES[name].resize == 128
    assert params.schedule == "plateau"
    assert params.validation_share == 0.2
    # Flips only, none but the user's images, no averaging, no weight decay.
    assert params.augmentation == params.rehearsal == 0
    assert params.ema_momentum == params.weight_decay == 0


# --- running one; the training itself is tested with Keras


@pytest.fixture
def trainings(monkeypatch):
    """Return the trainings that a recipe asks for, none of which is done."""
    asked = []

    def train(pairs, output, *, validation, **options):
        asked.append((pairs, validation, options))
        return SimpleNamespace(folder=output, stopped=False, problem="")

    module = SimpleNamespace(train=train)
    monkeypatch.setitem(sys.modules, "napari_nucleiseg.training.run", module)
    return asked


def two_stages(**changes):
    first = TrainParams(epochs=3, **changes)
    return Recipe(
        name="two",
        title="Two",
        stages=(Stage(first), Stage(first.replace(learning_rate=1e-4, seed=2))),
        source="samples",
        license="CC0-1.0",
        architecture="unet",
    )


def test_a_stage_goes_on_from_the_one_before(data, trainings, tmp_path):
    output = tmp_path / "mine"
    assert two_stages().run(data, output, pretrained=False).folder == output
    assert [options["base"] for *_, options in trainings] == [None, output]
    for pairs, validation, options in trainings:
        assert len(pairs) == 4
        assert [pair.name for pair in validation] == ["large"]
        assert options["architecture"] == "unet"
        assert options["pretrained"] is False
        assert options["keep_always"]
        assert options["license"] == "CC0-1.0"
    assert [options["data"]["stage"] for *_, options in trainings] == [1, 2]
    json.dumps([options["data"] for *_, options in trainings])


def test_the_student_projects_images_are_split_at_random(data, trainings, tmp_path):
    RECIPES["unet"].run(data, tmp_path / "mine")
    ((pairs, validation, options),) = trainings
    names = [[pair.name for pair in part] for part in (pairs, validation)]
    assert [len(part) for part in names] == [3, 1]
    assert set(names[0] + names[1]) == {"crowded", "small", "tissue", "smear"}
    assert options["params"].resize == 128


def test_epochs_minutes_and_seed_can_be_others(data, trainings, tmp_path):
    run = two_stages().run
    told = []
    monitor = SimpleNamespace(report=told.append, should_stop=lambda: False)
    run(data, tmp_path / "mine", epochs=7, minutes=4, seed=9, monitor=monitor)
    limits = {"epochs": 7, "minutes": 2}
    assert told == [Progress("Stage", i, 2, limits) for i in (1, 2)]
    params = [options["params"] for *_, options in trainings]
    assert [(p.epochs, p.minutes, p.seed) for p in params] == [(7, 2, 9)] * 2
    with pytest.raises(ValueError, match="minutes must be between"):
        run(data, tmp_path / "mine", minutes=-1)
    with pytest.raises(ValueError, match="epochs must be between"):
        run(data, tmp_path / "mine", epochs=0)
    assert len(trainings) == 2


def test_it_runs_on_pairs_and_holds_the_same_ones_out_of_every_stage(
    trainings, tmp_path
):
    pairs = []
    for name in ("small", "large", "crowded", "tissue"):
        sample = load_sample(name)
        pairs.append(Pair(sample.image, sample.labels, name))
    two_stages().run(pairs, tmp_path / "mine")
    held = [[pair.name for pair in validation] for _, validation, _ in trainings]
    assert held[0] == held[1]
    assert len(held[0]) == 1
    for learnt, validation, options in trainings:
        assert {p.name for p in learnt} | {p.name for p in validation} == {
            p.name for p in pairs
        }
        assert not {p.name for p in learnt} & {p.name for p in validation}
        assert options["license"] == "your own"
    with pytest.raises(ValueError, match="at least one image"):
        two_stages().run([], tmp_path / "mine")


def test_it_is_resumed_at_the_stage_that_was_interrupted(data, trainings, tmp_path):
    output = tmp_path / "mine"
    pair = Pair(np.zeros((8, 8)), np.ones((8, 8), int))
    order = Order(name="mine", data={"recipe": "two", "stage": 2})
    RunFolder.create(output, order, [pair], [pair]).release()
    two_stages().run(data, output, resume=True)
    ((*_, options),) = trainings
    assert options["resume"]
    assert options["data"]["stage"] == 2
    with pytest.raises(
        ValueError, match=r"not one of the recipe 'unet'; it is of 'two'"
    ):
        RECIPES["unet"].run(data, output, resume=True)
    with pytest.raises(ValueError, match="no training to resume"):
        two_stages().run(data, tmp_path / "other", resume=True)
