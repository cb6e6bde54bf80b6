import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleiseg import __version__, cli, segment
from napari_nucleiseg.cli import main
from napari_nucleiseg.core.score import score_image
from napari_nucleiseg.sample_data import load_sample


def run(*argv):
    """Run the command in this process; returns status, output and complaints."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main([str(argument) for argument in argv])
        except SystemExit as e:
            status = e.code
    return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())


def shell(*argv):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "napari_nucleiseg", *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def grey():
    return load_sample("small").image[:128, :160]


@pytest.fixture(scope="module")
def expected(grey):
    return segment(grey).labels


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.tif", lambda path, image: tifffile.imwrite(path, image)),
        (
            "a.tiff",
            lambda path, image: tifffile.imwrite(path, image, compression="zlib"),
        ),
        ("a.ome.tif", lambda path, image: tifffile.imwrite(path, image)),
        (
            "A.TIF",
            lambda path, image: tifffile.imwrite(path, image, tile=(32, 32)),
        ),
        ("a.png", lambda path, image: Image.fromarray(image).save(path)),
        (
            "16 bit.png",
            lambda path, image: Image.fromarray(image.astype(np.uint16)).save(path),
        ),
        (
            "a.float.tif",
            lambda path, image: tifffile.imwrite(path, image.astype(np.float32)),
        ),
    ],
)
def test_labels_are_those_of_the_python_api(tmp_path, out, grey, expected, name, write):
    path = tmp_path / name
    write(path, grey)
    done = run("segment", path, "--output", out)
    assert done.status == 0, done.err
    assert names_in(out) == [f"{path.stem}_labels.tif"]
    labels = tifffile.imread(out / f"{path.stem}_labels.tif")
    assert labels.dtype == np.uint16
    assert np.array_equal(labels, expected)
    assert f"{expected.max()} nuclei" in done.err


def test_jpeg(tmp_path, out, grey, expected):
    Image.fromarray(grey).save(tmp_path / "a.jpg", quality=98)
    assert run("segment", tmp_path / "a.jpg", "--output", out).status == 0
    labels = tifffile.imread(out / "a_labels.tif")
    assert score_image(expected, labels).average_precision() > 0.8


def tissue():
    return load_sample("tissue").image[:128, :128]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "planar.tif", "rgba.png"])
def test_colour(tmp_path, out, name):
    image = tissue()
    if name == "a.tif":
        tifffile.imwrite(tmp_path / name, image, photometric="rgb")
    elif name == "planar.tif":
        planar = np.ascontiguousarray(np.moveaxis(image, -1, 0))
        tifffile.imwrite(
            tmp_path / name, planar, photometric="rgb", planarconfig="separate"
        )
    elif name == "rgba.png":
        alpha = np.full(image.shape[:2], 255, np.uint8)
        Image.fromarray(np.dstack([image, alpha])).save(tmp_path / name)
    else:
        Image.fromarray(image).save(tmp_path / name)
    done = run("segment", tmp_path / name, "--output", out)
    assert done.status == 0, done.err
    labels = tifffile.imread(next(out.iterdir()))
    assert np.array_equal(labels, segment(image).labels)


def test_palette_and_black_and_white_pictures(tmp_path, out, grey):
    Image.fromarray(tissue()).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(grey > grey.mean()).save(tmp_path / "two.png")
    done = run("segment", *tmp_path.glob("*.png"), "--output", out)
    assert done.status == 0, done.err
    assert tifffile.imread(out / "palette_labels.tif").shape == (128, 128)
    assert tifffile.imread(out / "two_labels.tif").shape == grey.shape


@pytest.mark.parametrize("name", ["a.ome.tif", "imagej.tif"])
def test_a_channel_is_chosen(tmp_path, out, grey, expected, name):
    image = np.stack([grey[::-1, ::-1], grey])
    if name == "imagej.tif":
        tifffile.imwrite(tmp_path / name, image, imagej=True, metadata={"axes": "CYX"})
    else:
        tifffile.imwrite(tmp_path / name, image, metadata={"axes": "CYX"})
    target = out / f"{name.removesuffix('.tif')}_labels.tif"
    done = run("segment", tmp_path / name, "--output", out, "--channel", 1)
    assert done.status == 0, done.err
    assert np.array_equal(tifffile.imread(target), expected)
    # Without a choice the first is used, and it says so.
    done = run("segment", tmp_path / name, "--output", out)
    assert done.status == 0
    assert "has 2 channels; using 0" in done.err
    first = segment(image[0]).labels
    assert np.array_equal(tifffile.imread(target), first)
    done = run("segment", tmp_path / name, "--output", out, "--channel", 2)
    assert done.status == 1
    assert "channel must be between 0 and 1; received 2" in done.err


def test_a_stack_is_done_plane_by_plane(tmp_path, out):
    stack = load_sample("fields").image[:2, :128, :128]
    tifffile.imwrite(tmp_path / "a.tif", stack)
    tifffile.imwrite(tmp_path / "t.ome.tif", stack, metadata={"axes": "TYX"})
    done = run("segment", *tmp_path.glob("*.tif"), "--output", out)
    assert done.status == 0, done.err
    wanted = segment(stack).labels
    for name in ("a_labels.tif", "t.ome_labels.tif"):
        assert np.array_equal(tifffile.imread(out / name), wanted)


def test_channels_of_a_time_lapse(tmp_path, out):
    stack = load_sample("fields").image[:2, :128, :128]
    image = np.stack([stack[:, ::-1], stack], axis=1)
    tifffile.imwrite(tmp_path / "a.ome.tif", image, metadata={"axes": "TCYX"})
    path = tmp_path / "a.ome.tif"
    assert run("segment", path, "--output", out, "--channel", 1).status == 0
    labels = tifffile.imread(out / "a.ome_labels.tif")
    assert np.array_equal(labels, segment(stack).labels)


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_a_channel_is_no_plane_of_a_stack(tmp_path, out, axes):
    # The file says that its first axis is depth or time, and has one channel.
    stack = load_sample("fields").image[:2, :64, :64]
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": axes})
    done = run("segment", tmp_path / "a.tif", "--output", out, "--channel", 0)
    assert done.status == 0, done.err
    assert tifffile.imread(out / "a_labels.tif").shape == stack.shape
    done = run("segment", tmp_path / "a.tif", "--output", out, "--channel", 1)
    assert done.status == 1
    assert "channel" in done.err


def test_options_are_those_of_the_python_api(tmp_path, out, grey):
    tifffile.imwrite(tmp_path / "a.tif", grey)
    options = {"diameter": 14, "probability": 0.6, "separation": 0.4, "min_area": 40}
    argv = [
        text
        for name, value in options.items()
        for text in (f"--{name.replace('_', '-')}", value)
    ]
    done = run("segment", tmp_path / "a.tif", "--output", out, *argv)
    assert done.status == 0, done.err
    labels = tifffile.imread(out / "a_labels.tif")
    assert np.array_equal(labels, segment(grey, **options).labels)


def test_bad_files_are_named_and_the_others_done(tmp_path, out, grey, expected):
    good = tmp_path / "good.tif"
    tifffile.imwrite(good, grey)
    (tmp_path / "torn.tif").write_bytes(good.read_bytes()[:300])
    (tmp_path / "text.tif").write_text("not a picture at all")
    (tmp_path / "empty.tif").touch()
    Image.fromarray(grey).save(tmp_path / "whole.png")
    half = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(half[: len(half) // 2])
    (tmp_path / "text.png").write_text("not a picture at all")
    (tmp_path / "film.mov").write_bytes(b"\0" * 100)
    (tmp_path / "folder.tif").mkdir()
    tifffile.imwrite(tmp_path / "complex.tif", grey.astype(np.complex64))
    bad = [
        *("torn.tif", "text.tif", "empty.tif", "half.png", "text.png", "film.mov"),
        *("folder.tif", "complex.tif", "missing.tif"),
    ]
    inputs = [tmp_path / name for name in bad]
    done = run("segment", *inputs[:4], good, *inputs[4:], "--output", out)
    assert done.status == 1
    for path in inputs:
        lines = [line for line in done.err.splitlines() if f"{path}: " in line]
        assert len(lines) == 1, (path.name, done.err)
        assert len(lines[0].split(f"{path}: ")[1]) > 10
    assert f"{len(bad)} of {len(bad) + 1} images failed" in done.err
    assert "Traceback" not in done.err
    assert names_in(out) == ["good_labels.tif"]
    assert np.array_equal(tifffile.imread(out / "good_labels.tif"), expected)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_torn_tiffs_stop_nothing(tmp_path, out, grey, compression):
    whole = tmp_path / "whole.tif"
    tifffile.imwrite(whole, grey, compression=compression)
    content = whole.read_bytes()
    inputs = []
    for number in range(16):
        torn = bytearray(content)
        if number % 4:
            # The structure stands at the start of the file.
            start = 4 + 12 * number
            torn[start : start + 8] = bytes(8)
        else:
            torn = torn[: len(torn) * (number + 1) // 17]
        inputs.append(tmp_path / f"torn{number}.tif")
        inputs[-1].write_bytes(torn)
    done = run("segment", *inputs, whole, "--output", out, "--diameter", 20)
    assert "whole_labels.tif" in names_in(out)
    assert done.status in (0, 1)


def test_a_gigantic_picture_stops_nothing(tmp_path, out, grey, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.fromarray(grey).save(tmp_path / "huge.png")
    tifffile.imwrite(tmp_path / "good.tif", grey)
    inputs = (tmp_path / "huge.png", tmp_path / "good.tif")
    run("segment", *inputs, "--output", out)
    assert "good_labels.tif" in names_in(out)


def test_an_input_is_never_overwritten(tmp_path, grey):
    first, second = tmp_path / "a.tif", tmp_path / "a_labels.tif"
    for path in (first, second):
        tifffile.imwrite(path, grey)
    before = [path.read_bytes() for path in (first, second)]
    done = run("segment", first, second, "--output", tmp_path)
    assert done.status == 1
    assert f"{first}: its result would overwrite the input a_labels.tif" in done.err
    assert [path.read_bytes() for path in (first, second)] == before
    assert names_in(tmp_path) == ["a.tif", "a_labels.tif", "a_labels_labels.tif"]


def test_an_input_is_not_overwritten_by_an_overlay(tmp_path, grey):
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(grey).save(tmp_path / "a_overlay.png")
    before = (tmp_path / "a_overlay.png").read_bytes()
    inputs = (tmp_path / "a.png", tmp_path / "a_overlay.png")
    done = run("segment", *inputs, "--output", tmp_path, "--overlay")
    assert done.status == 1
    assert (tmp_path / "a_overlay.png").read_bytes() == before


def test_inputs_of_one_name_do_not_overwrite_each_other(tmp_path, out, grey, expected):
    tifffile.imwrite(tmp_path / "a.tif", grey)
    Image.fromarray(grey[::-1]).save(tmp_path / "a.png")
    done = run("segment", tmp_path / "a.tif", tmp_path / "a.png", "--output", out)
    assert done.status == 1
    assert f"{tmp_path / 'a.png'}: {tmp_path / 'a.tif'} has the same name" in done.err
    assert np.array_equal(tifffile.imread(out / "a_labels.tif"), expected)


def test_the_same_input_twice_is_done_once(tmp_path, out, grey):
    tifffile.imwrite(tmp_path / "a.tif", grey)
    done = run("segment", tmp_path / "a.tif", tmp_path / "a.tif", "--output", out)
    assert done.status == 0
    assert done.err.count("\n") == 1  # one bar


def test_running_again_replaces_the_old_result(tmp_path, out, grey, expected):
    tifffile.imwrite(tmp_path / "a.tif", grey)
    out.mkdir()
    (out / "a_labels.tif").write_text("old")
    assert run("segment", tmp_path / "a.tif", "--output", out).status == 0
    assert np.array_equal(tifffile.imread(out / "a_labels.tif"), expected)


def test_a_failed_write_leaves_neither_half_a_file_nor_the_old_one_spoilt(
    tmp_path, out, grey, monkeypatch
):
    tifffile.imwrite(tmp_path / "a.tif", grey)
    tifffile.imwrite(tmp_path / "b.tif", grey)
    out.mkdir()
    (out / "a_labels.tif").write_text("the old result")

    def fail(path, *_, **__):
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(b"half of")
        raise OSError("No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", fail)
    inputs = (tmp_path / "a.tif", tmp_path / "b.tif")
    done = run("segment", *inputs, "--output", out)
    assert done.status == 1
    assert done.err.count("No space left on device") == 2
    assert names_in(out) == ["a_labels.tif"]
    assert (out / "a_labels.tif").read_text() == "the old result"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_results_have_the_permissions_of_any_new_file(tmp_path, out, grey):
    tifffile.imwrite(tmp_path / "a.tif", grey)
    (tmp_path / "plain").touch()
    run("segment", tmp_path / "a.tif", "--output", out)
    assert (out / "a_labels.tif").stat().st_mode == (
        (tmp_path / "plain").stat().st_mode
    )


@pytest.mark.parametrize("kind", ["grey", "colour", "stack"])
def test_overlay(tmp_path, out, grey, kind):
    image = {
        "grey": grey.astype(np.uint16) * 100,
        "colour": tissue(),
        "stack": load_sample("fields").image[:2, :128, :128],
    }[kind]
    tifffile.imwrite(tmp_path / "a.tif", image)
    assert run("segment", tmp_path / "a.tif", "--output", out, "--overlay").status == 0
    assert names_in(out) == ["a_labels.tif", "a_overlay.png"]
    labels = tifffile.imread(out / "a_labels.tif")
    first = labels[0] if kind == "stack" else labels
    picture = np.asarray(Image.open(out / "a_overlay.png")).astype(int)
    assert picture.shape == (*first.shape, 3)
    # A drawn outline is the one thing that is coloured in a grey picture.
    if kind != "colour":
        coloured = np.ptp(picture, axis=-1) > 50
        assert coloured.any()
        assert not (coloured & (first == 0)).any()
        assert len(np.unique(first[coloured])) == len(np.unique(first)) - 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--probability", "1.5"], "probability must be between 0.05 and 0.95"),
        (["--diameter", "nan"], "diameter must be between"),
        (["--min-area", "-1"], "min_area must be between"),
        (["--model", "nuclear"], "no model named 'nuclear'"),
        (["--diameter", "big"], "invalid float value: 'big'"),
    ],
)
def test_a_bad_option_is_named_before_anything_is_done(
    tmp_path, out, grey, argv, message
):
    tifffile.imwrite(tmp_path / "a.tif", grey)
    done = run("segment", tmp_path / "a.tif", "--output", out, *argv)
    assert done.status == 2
    assert message in done.err
    assert not out.exists()


def test_an_unknown_model_lists_what_there_is(tmp_path, out, grey):
    tifffile.imwrite(tmp_path / "a.tif", grey)
    done = run("segment", tmp_path / "a.tif", "--output", out, "--model", "x")
    assert "Models there are: nuclei" in done.err


def test_an_output_that_cannot_be_a_folder(tmp_path, grey):
    tifffile.imwrite(tmp_path / "a.tif", grey)
    (tmp_path / "file").write_text("precious")
    done = run("segment", tmp_path / "a.tif", "--output", tmp_path / "file")
    assert done.status == 2
    assert "file" in done.err
    assert (tmp_path / "file").read_text() == "precious"


def test_interrupting_says_so(tmp_path, out, grey, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "napari_nucleiseg.models.segmenting.pipeline.segment", interrupt
    )
    tifffile.imwrite(tmp_path / "a.tif", grey)
    done = run("segment", tmp_path / "a.tif", "--output", out)
    assert done.status == 130
    assert "interrupted" in done.err
    assert names_in(out) == []


def test_more_nuclei_than_16_bits_can_count(tmp_path, out, grey, monkeypatch):
    count = 70_000
    labels = np.arange(1, count + 1, dtype=np.int32).reshape(200, 350)

    few = segment(grey)

    def many(image, *_, **__):
        return replace(few, labels=labels, confidence=np.ones(count, np.float32))

    monkeypatch.setattr("napari_nucleiseg.models.segmenting.pipeline.segment", many)
    tifffile.imwrite(tmp_path / "a.tif", grey)
    assert run("segment", tmp_path / "a.tif", "--output", out).status == 0
    assert np.array_equal(tifffile.imread(out / "a_labels.tif"), labels)


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
    tifffile.imwrite(truth / "e.tif", np.zeros((5, 5), np.float32))
    tifffile.imwrite(found / "e.tif", np.zeros((5, 5), np.uint8))
    done = run("score", "--labels", truth, "--predictions", found)
    assert done.status == 1
    assert f"c.tif: has no counterpart in {found}" in done.err
    assert "d.tif: True and predicted labels must have one shape" in done.err
    assert "e.tif: must hold one whole number a pixel; received float32" in done.err
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


def test_segment_then_score(tmp_path, out):
    sample = load_sample("small")
    truth = tmp_path / "truth"
    truth.mkdir()
    tifffile.imwrite(truth / "small.tif", sample.labels.astype(np.uint16))
    run("segment", sample.path, "--output", out)
    done = run("score", "--labels", truth, "--predictions", out, "--json")
    wanted = score_image(sample.labels, segment(sample.image).labels)
    found = json.loads(done.out)["per_image"]["small"]
    assert found["AP50"] == pytest.approx(wanted.average_precision())


def test_models_are_listed_with_their_cards(tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path / "mine"))
    done = run("models")
    assert done.status == 0
    assert "nuclei" in done.out
    assert "built in" in done.out
    assert "CC0-1.0" in done.out
    assert str(tmp_path / "mine") in done.out
    cards = json.loads(run("models", "--json").out)
    assert [card["name"] for card in cards] == ["nuclei"]
    assert len(cards[0]["files"]["network.tflite"]) == 64


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--recipe", "cells"], "no recipe named 'cells'; there are nuclei"),
        (["--recipe", "nuclei"], "must hold images/, masks/ and split.csv"),
        (["--recipe", "nuclei", "--minutes", "0"], "minutes must be between"),
    ],
)
def test_training_by_what_is_not_there(tmp_path, argv, message):
    done = shell(
        "train", *argv, "--data", tmp_path / "none", "--output", tmp_path / "m"
    )
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "m").exists()


def test_the_command_in_a_shell(tmp_path, out, grey, expected):
    tifffile.imwrite(tmp_path / "näh er.tif", grey)
    done = shell("segment", tmp_path / "näh er.tif", "--output", out)
    assert done.returncode == 0, done.stderr
    labels = tifffile.imread(out / "näh er_labels.tif")
    assert np.array_equal(labels, expected)
    (tmp_path / "text.tif").write_text("not a picture at all")
    done = shell("segment", tmp_path / "text.tif", "--output", out)
    assert done.returncode == 1
    assert "text.tif" in done.stderr
    assert "Traceback" not in done.stderr


def test_version_help_and_no_command():
    assert run("--version").out.strip() == __version__
    for command in ("segment", "score", "models", "train", "demo"):
        assert command in run("--help").out
        assert run(command, "--help").status == 0
    assert run().status == 2
    assert run("segment").status == 2


def test_every_parameter_has_an_option():
    from napari_nucleiseg.core.params import SegmentParams

    text = run("segment", "--help").out
    for spec in fields(SegmentParams):
        assert f"--{spec.name.replace('_', '-')}" in text
    assert cli.main is main
