import csv

import numpy as np
import pytest
import tifffile

from napari_nucleiseg.models.recipes import RECIPES, find_recipe, read_split
from napari_nucleiseg.sample_data import load_sample

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
    areas = [pairs[name].labels.size for name in ("crowded", "small")]
    assert pairs["crowded"].weight / pairs["small"].weight == pytest.approx(
        np.sqrt(areas[0] / areas[1])
    )


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


def test_recipes_are_found_by_name():
    assert find_recipe("nuclei") is RECIPES["nuclei"]
    for stage in RECIPES["nuclei"].stages:
        assert sum(stage.shares.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"no recipe named 'cells'.*nuclei"):
        find_recipe("cells")
