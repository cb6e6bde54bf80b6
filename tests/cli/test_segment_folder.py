"""`nucleiseg segment` of folders, with tables and recipes."""

import json
import shlex

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_nucleiseg.models.recipe import read_recipe

from .conftest import names_in, run


@pytest.fixture
def plate(tmp_path, grey):
    """Three images in two folders, one of them broken, and what is no image."""
    for name, data in (("a/one", grey), ("a/two", np.flipud(grey)), ("b/three", None)):
        path = tmp_path / "plate" / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        if data is None:
            path.write_bytes(b"II*\0")
        else:
            two = np.stack([data, 255 - data])
            tifffile.imwrite(path, two, ome=True, metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "plate/a/one_labels.tif", np.ones((9, 9), np.uint8))
    (tmp_path / "plate/a/notes.txt").touch()
    return tmp_path / "plate"


def test_a_folder_becomes_labels_tables_and_a_recipe_that_does_it_again(
    plate, out, grey, expected, tmp_path
):
    how = ("--pixel-size", "0.5", "--channel", "0", "--around", "ring")
    done = run("segment", plate / "a", "--output", out, "--measure", *how)
    assert done.status == 0, done.err
    assert names_in(out) == [
        "images.csv", "nuclei.csv", "one_labels.tif", "two_labels.tif"
    ]  # fmt: skip
    np.testing.assert_array_equal(tifffile.imread(out / "one_labels.tif"), expected)
    nuclei = pd.read_csv(out / "nuclei.csv")
    one = nuclei[nuclei["image"] == "one"]
    assert len(one) == expected.max()
    assert {"confidence", "ring_mean_channel_1", "area_um2"} <= set(nuclei)
    assert f"{len(nuclei)} nuclei in 2 images" in done.out

    # Through the shell again, by the recipe, and by the line that it gives.
    recipe = read_recipe(out / "recipe.json")
    line = recipe.as_command([str(plate / "a")], str(tmp_path / "third"))
    again = ("segment", plate / "a", "--recipe", out / "recipe.json")
    assert run(*again, "--output", tmp_path / "second").status == 0
    assert run(*shlex.split(line)[1:]).status == 0
    for folder in ("second", "third"):
        for name in (*names_in(out), "recipe.json"):
            same = (tmp_path / folder / name).read_bytes() == (out / name).read_bytes()
            assert same, f"{folder}/{name}"

    # And in Python.
    names = {}
    exec(recipe.as_python(str(plate / "a" / "one.tif")), names)
    np.testing.assert_array_equal(names["result"].labels, expected)
    table = one.drop(columns="image").reset_index(drop=True)
    pd.testing.assert_frame_equal(names["table"], table, check_dtype=False, rtol=1e-12)


def test_a_pattern_goes_on_past_a_broken_file_and_resumes(plate, out):
    pattern = ("segment", f"{plate}/*/*.tif", "--output", out, "--measure")
    done = run(*pattern)
    assert done.status == 1
    assert "three.tif: " in done.err
    assert "1 of 3 images failed" in done.err
    first = pd.read_csv(out / "nuclei.csv")
    done = run(*pattern, "--skip-existing")
    assert "2 of 3 images skipped" in done.err
    pd.testing.assert_frame_equal(pd.read_csv(out / "nuclei.csv"), first)


def test_gates_of_a_recipe_are_columns_and_shares(plate, out, tmp_path):
    run("segment", plate / "a", "--output", out, "--measure")
    saved = json.loads((out / "recipe.json").read_text())
    saved["gates"] = [{"name": "bright", "x": "mean_channel_0", "low": 1.0}]
    (tmp_path / "gated.json").write_text(json.dumps(saved))
    how = ("--recipe", tmp_path / "gated.json", "--output", out)
    assert run("segment", plate / "a", *how).status == 0
    assert pd.read_csv(out / "images.csv")["share(bright)"].tolist() == [1, 1]


def test_what_cannot_be_is_said(plate, out, tmp_path):
    done = run("segment", tmp_path / "plate" / "*.jpg", "--output", out)
    assert "there are no images" in done.err
    done = run("segment", plate, "--output", out, "--around", "ring")
    assert "--around is of measuring: add --measure" in done.err
    (tmp_path / "no.json").write_text("{}")
    how = ("--recipe", tmp_path / "no.json", "--output", out)
    assert "no.json is no recipe: version is missing" in run("segment", plate, *how).err
    assert not out.exists()


def test_a_recipe_of_another_network_is_refused(plate, out, tmp_path):
    from napari_nucleiseg.models.recipe import SavedRecipe

    recipe = SavedRecipe.of("nuclei").replace(model_hash="0" * 64)
    recipe.write(tmp_path / "r.json")
    done = run("segment", plate / "a", "--recipe", tmp_path / "r.json", "--output", out)
    assert done.status == 2
    assert "another model called nuclei" in done.err


@pytest.fixture
def experiment(tmp_path, grey):
    """Two conditions in two folders, with the same file names in both."""
    for condition, data in (("control", grey), ("drug", np.flipud(grey))):
        for field in ("f1", "f2"):
            path = tmp_path / "plate" / condition / f"{field}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, data[: 64 if field == "f1" else 128, :96])
    return tmp_path / "plate"


def test_conditions_are_columns_and_the_sheet_and_report_show_them(
    experiment, out, tmp_path
):
    command = ("segment", f"{experiment}/*/*.tif", "--output", out, "--measure")
    done = run(*command, "--condition", "folder", "--contact-sheet", "--report")
    assert done.status == 0, done.err
    names = [f"{c}_{f}" for c in ("control", "drug") for f in ("f1", "f2")]
    assert names_in(out) == sorted(
        [*(f"{name}_labels.tif" for name in names), "contact_sheet.png", "images.csv",
         "nuclei.csv", "report.html"]
    )  # fmt: skip
    images = pd.read_csv(out / "images.csv")
    assert images["image"].tolist() == names
    assert images["condition"].tolist() == ["control", "control", "drug", "drug"]
    nuclei = pd.read_csv(out / "nuclei.csv")
    assert list(nuclei.columns[:3]) == ["image", "condition", "label"]
    counts = nuclei.groupby("condition").size()
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.width > 2 * 160  # two beside each other, with room for a name
        colours = np.asarray(sheet.convert("RGB")).reshape(-1, 3)
        assert ((colours == (255, 217, 26)).all(axis=1)).sum() > 100  # outlines
    page = (out / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("data:image/png") >= 2 + 4
    for name in ("control", "drug"):
        row = f'<td>{name}</td><td class="number">2</td>'
        assert f'{row}<td class="number">{counts[name]:,}</td>' in page
    assert json.loads((out / "recipe.json").read_text())["condition"] == "folder"

    # A rule of another kind needs no image to be done again.
    table = experiment / "wells.csv"
    table.write_text("image,treatment\nf1,small\nf2,<large>\n")
    done = run(*command, "--condition", table, "--report", "--skip-existing")
    assert "4 of 4 images skipped" in done.err
    images = pd.read_csv(out / "images.csv")
    assert images["condition"].tolist() == ["small", "<large>"] * 2
    assert "&lt;large&gt;" in (out / "report.html").read_text()


def test_what_is_done_with_other_settings_is_not_done(experiment, out):
    command = ("segment", experiment / "drug", "--output", out, "--skip-existing")
    assert "nuclei in 2 images" in run(*command).out
    assert "nuclei in 0 images" in run(*command).out
    assert "nuclei in 2 images" in run(*command, "--min-area", "40").out
    # Labels that someone has corrected since stay, whatever the settings.
    file = out / "f1_labels.tif"
    labels = tifffile.imread(file)
    labels[labels == 1] = 0
    tifffile.imwrite(file, labels)
    done = run(*command, "--min-area", "90", "--measure")
    assert "1 of 2 images skipped" in done.err
    assert "1 of them: labels that were corrected" in done.err
    np.testing.assert_array_equal(tifffile.imread(file), labels)
    nuclei = pd.read_csv(out / "nuclei.csv")
    own = nuclei[nuclei["image"] == "f1"]
    assert set(own["label"]) == set(np.unique(labels)) - {0}
    assert own["confidence"].isna().all()
    # Not only once.
    done = run(*command, "--min-area", "50", "--measure")
    assert "1 of 2 images skipped" in done.err
    np.testing.assert_array_equal(tifffile.imread(file), labels)
