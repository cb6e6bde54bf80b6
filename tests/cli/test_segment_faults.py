"""Files, options and disks that will not do: named, and nothing is lost."""

import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from .conftest import names_in, run


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
