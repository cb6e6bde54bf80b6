import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from .conftest import run


@pytest.fixture
def scored(tmp_path):
    """Two images: one perfect, one with one of its two nuclei missed."""
    truth, found = tmp_path / "truth", tmp_path / "found"
    truth.mkdir()
    found.mkdir()
    labels = np.zeros((20, 20), np.uint16)
    labels[2:8, 2:8] = 1
    tifffile.imwrite(truth / "a.tif", labels)
    tifffile.imwrite(found / "a_labels.tif", labels * 7)
    both = labels.copy()
    both[12:18, 12:18] = 2
    Image.fromarray(both).save(truth / "b_masks.png")
    tifffile.imwrite(found / "b_labels.tif", labels)
    return truth, found


def test_score_prints_the_figures(scored):
    done = run("score", "--labels", scored[0], "--predictions", scored[1])
    assert done.status == 0, done.err
    assert "2 images, 3 true nuclei, 2 found" in done.out
    rows = {line[:22].strip(): line[22:].split() for line in done.out.splitlines()[2:]}
    assert rows["AP at IoU 0.50"] == ["0.750", "0.667"]
    assert rows["AP, mean over IoU"] == ["0.750", "0.667"]
    assert rows["precision at IoU 0.50"] == ["1.000", "1.000"]
    assert rows["recall at IoU 0.50"] == ["0.750", "0.667"]
    assert rows["F1 at IoU 0.50"] == ["0.833", "0.800"]
    assert rows["panoptic quality"] == ["0.833", "0.800"]
    assert rows["pixel accuracy"] == ["0.955", "0.955"]
    assert rows["pixel IoU"] == ["0.750", "0.667"]


def test_score_as_json(scored):
    done = run("score", "--labels", scored[0], "--predictions", scored[1], "--json")
    found = json.loads(done.out)
    assert (found["images"], found["nuclei"], found["predicted"]) == (2, 3, 2)
    assert found["per_image_mean"]["AP"]["0.50"] == 0.75
    assert found["per_image"]["a"]["AP50"] == 1
    assert found["per_image"]["b"] == {
        "nuclei": 2,
        "predicted": 1,
        "AP50": 0.5,
        "mean_AP": 0.5,
    }


def test_score_names_what_it_cannot_compare(scored):
    truth, found = scored
    tifffile.imwrite(truth / "c.tif", np.zeros((5, 5), np.uint8))
    tifffile.imwrite(truth / "d.tif", np.zeros((5, 5), np.uint8))
    tifffile.imwrite(found / "d_labels.tif", np.zeros((5, 6), np.uint8))
    tifffile.imwrite(truth / "e.tif", np.full((5, 5), np.float32(0.5)))
    tifffile.imwrite(found / "e.tif", np.zeros((5, 5), np.uint8))
    done = run("score", "--labels", truth, "--predictions", found)
    assert done.status == 1
    assert f"c.tif: has no counterpart in {found}" in done.err
    assert "d.tif: True and predicted labels must have one shape" in done.err
    assert "e.tif: The labels of e must be whole numbers" in done.err
    assert "2 images" in done.out


def test_score_of_nothing(tmp_path, scored):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run("score", "--labels", empty, "--predictions", scored[1])
    assert done.status == 2
    assert "no label images" in done.err
    done = run("score", "--labels", tmp_path / "x", "--predictions", scored[1])
    assert done.status == 2
    assert "no folder" in done.err
    done = run("score", "--labels", scored[0], "--predictions", empty)
    assert done.status == 1
    assert "counterpart" in done.err


def test_files_are_paired_by_the_rules_of_training(tmp_path):
    labels = np.zeros((20, 20), np.uint8)
    labels[2:8, 2:8] = 1
    truth, found = tmp_path / "truth", tmp_path / "found"
    for folder, names in (
        # Beside labels lie their images.
        (truth, ("a.tif", "a_labels.tif", "b_image.tif", "b_masks.tif")),
        (truth, ("c_cp_masks.tif", "d_label.tif", "e.tif", "e_overlay.png")),
        (found, ("a_labels.tif", "b_image_labels.tif", "c_labels.tif", "d.tif")),
        (found, ("e_mask.tif",)),
    ):
        folder.mkdir(exist_ok=True)
        for name in names:
            if name.endswith(".png"):
                Image.fromarray(labels).save(folder / name)
                continue
            is_image = name in ("a.tif", "b_image.tif")
            tifffile.imwrite(folder / name, 255 - labels if is_image else labels)
    done = run("score", "--labels", truth, "--predictions", found, "--json")
    assert done.status == 0, done.err
    scores = json.loads(done.out)["per_image"]
    assert sorted(scores) == list("abcde")
    assert {score["AP50"] for score in scores.values()} == {1.0}


def test_two_label_files_for_one_image_are_an_error_that_names_both(scored):
    truth, found = scored
    tifffile.imwrite(found / "a_masks.tif", np.zeros((20, 20), np.uint8))
    done = run("score", "--labels", truth, "--predictions", found)
    assert done.status == 1
    files = f"{found / 'a_labels.tif'} and {found / 'a_masks.tif'}"
    assert f"{files} are labels of one image; one file is wanted" in done.err
    assert "1 images" in done.out


def test_labels_shown_in_colour_are_their_numbers(scored):
    truth, found = scored
    numbers = tifffile.imread(truth / "a.tif").astype(np.uint8)
    table = np.random.default_rng(0).integers(0, 2**16, (3, 256), dtype=np.uint16)
    tifffile.imwrite(
        found / "a_labels.tif", numbers, photometric="palette", colormap=table
    )
    picture = Image.fromarray(numbers)
    picture.putpalette((table.T >> 8).astype(np.uint8).tobytes())
    (truth / "a.tif").unlink()
    picture.save(truth / "a.png")
    done = run("score", "--labels", truth, "--predictions", found, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["per_image"]["a"]["AP50"] == 1


def test_a_damaged_label_file_is_named_and_the_others_scored(scored):
    truth, found = scored
    content = (found / "a_labels.tif").read_bytes()
    (found / "a_labels.tif").write_bytes(content[:-30])
    done = run("score", "--labels", truth, "--predictions", found)
    assert done.status == 1
    assert f"{found / 'a_labels.tif'}: is truncated" in done.err
    assert "1 images" in done.out


def test_axes_of_length_1_make_no_difference(tmp_path):
    """Labels found in (time, channel, y, x) with one channel; the truth has none."""
    labels = np.zeros((3, 20, 20), np.uint16)
    labels[:, 2:8, 2:8] = 1
    truth, found = tmp_path / "truth", tmp_path / "found"
    for folder, shape in ((truth, (3, 20, 20)), (found, (3, 1, 20, 20))):
        folder.mkdir()
        data = labels.reshape(shape)
        tifffile.imwrite(folder / "a.tif", data, photometric="minisblack")
    done = run("score", "--labels", truth, "--predictions", found)
    assert done.status == 0, done.err
    assert "AP at IoU 0.50" in done.out
