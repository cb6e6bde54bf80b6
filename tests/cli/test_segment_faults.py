"""Files, options and disks that will not do: named, and nothing is lost."""

import errno
import signal
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleiseg.core.monitor import Progress
from napari_nucleiseg.io.sample_data import load_sample

from .conftest import names_in, run


@pytest.fixture(scope="module")
def quick():
    """An image that is done in no time."""
    return load_sample("small").image[:48, :64]


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


@pytest.mark.parametrize(
    "error",
    [
        IndexError("tuple index out of range"),
        struct.error("unpack requires 8 bytes"),
        AssertionError(),
        RuntimeError("a loop of links"),
        MemoryError("Unable to allocate 3 TiB"),
    ],
)
def test_whatever_a_reader_raises_is_the_failure_of_one_file(
    tmp_path, out, quick, monkeypatch, error
):
    real = tifffile.TiffFile

    def read(path, *args, **kwargs):
        if path.name == "bad.tif":
            raise error
        return real(path, *args, **kwargs)

    monkeypatch.setattr(tifffile, "TiffFile", read)
    for name in ("bad.tif", "good.tif"):
        tifffile.imwrite(tmp_path / name, quick)
    inputs = (tmp_path / "bad.tif", tmp_path / "good.tif")
    done = run("segment", *inputs, "--output", out)
    assert done.status == 1
    assert f"{inputs[0]}: " in done.err
    assert "1 of 2 images failed" in done.err
    if isinstance(error, MemoryError):
        assert "there is not enough memory: Unable to allocate" in done.err
    assert names_in(out) == ["good_labels.tif"]


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_a_loop_of_links_is_the_failure_of_one_file(tmp_path, out, quick):
    (tmp_path / "a.tif").symlink_to(tmp_path / "b.tif")
    (tmp_path / "b.tif").symlink_to(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "good.tif", quick)
    inputs = (tmp_path / "a.tif", tmp_path / "good.tif")
    done = run("segment", *inputs, "--output", out)
    assert done.status == 1
    assert f"{inputs[0]}: " in done.err
    assert names_in(out) == ["good_labels.tif"]


def test_a_cut_file_is_a_failure_and_leaves_no_labels(tmp_path, out):
    tissue = load_sample("tissue").image[:128, :128]
    tifffile.imwrite(
        tmp_path / "a.tif", tissue, compression="jpeg", photometric="rgb", tile=(64, 64)
    )
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: int(0.7 * len(content))])
    done = run("segment", tmp_path / "a.tif", "--output", out)
    assert done.status == 1
    assert "a.tif: is truncated" in done.err
    assert not names_in(out)


def test_a_failure_leaves_the_bar_where_it_is(tmp_path, out, quick, monkeypatch):
    def fail(image, *_, monitor, **__):
        monitor.report(Progress("Finding nuclei", 1, 4))
        raise ValueError("the network is gone")

    monkeypatch.setattr("napari_nucleiseg.models.batch.work.segment", fail)
    tifffile.imwrite(tmp_path / "a.tif", quick)
    done = run("segment", tmp_path / "a.tif", "--output", out)
    assert done.status == 1
    assert "25%" in done.err
    assert "failed" in done.err
    assert "100%" not in done.err


def test_an_output_without_a_name_is_an_error(tmp_path, quick, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite(tmp_path / "a.tif", quick)
    done = run("segment", "a.tif", "--output", "")
    assert done.status == 2
    assert "--output: must name a folder; received nothing" in done.err
    assert names_in(tmp_path) == ["a.tif"]


def test_a_folder_that_cannot_be_written_to_is_a_sentence(
    tmp_path, out, quick, monkeypatch
):
    out.mkdir()
    real = Path.replace

    def read_only(path, target):
        if path.parent == out:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", read_only)
    tifffile.imwrite(tmp_path / "a.tif", quick)
    done = run("segment", tmp_path / "a.tif", "--output", out)
    assert done.status == 1
    wanted = f"{out / 'a_labels.tif'} could not be written: Read-only file system."
    assert f"{wanted} Nothing was left there." in done.err
    assert "[Errno" not in done.err
    assert not names_in(out)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigterm_ends_it_and_leaves_nothing_half_written(
    tmp_path, out, quick, monkeypatch
):
    def write(path, *_, **__):
        path.write_bytes(b"half of")
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(tifffile, "imwrite", write)
    Image.fromarray(quick).save(tmp_path / "a.png")
    before = signal.getsignal(signal.SIGTERM)
    done = run("segment", tmp_path / "a.png", "--output", out)
    assert done.status == 143
    assert "terminated" in done.err
    assert not names_in(out)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_done_can_be_skipped(tmp_path, out, quick):
    for name in ("a", "b"):
        Image.fromarray(quick).save(tmp_path / f"{name}.png")
    inputs = (tmp_path / "a.png", tmp_path / "b.png")
    out.mkdir()
    (out / "a_labels.tif").write_text("done")
    argv = (*inputs, "--output", out, "--skip-existing")
    done = run("segment", *argv)
    assert done.status == 0, done.err
    assert "1 of 2 images skipped" in done.err
    assert (out / "a_labels.tif").read_text() == "done"
    assert names_in(out) == ["a_labels.tif", "b_labels.tif"]
    # An overlay that is wanted and not there is a result too.
    done = run("segment", *argv, "--overlay")
    assert "skipped" not in done.err
    assert "a_overlay.png" in names_in(out)


def test_the_size_limit_is_an_option(tmp_path, out, quick):
    Image.fromarray(quick).save(tmp_path / "a.png")
    argv = ("segment", tmp_path / "a.png", "--output", out, "--max-megapixels")
    done = run(*argv, 0.001)
    assert done.status == 1
    assert "is an image of 64 x 48 = 0.00307 megapixels; at most 0.001 a" in done.err
    done = run(*argv, 0)
    assert done.status == 2
    assert "must be more than 0; received 0" in done.err


def test_a_series_is_chosen_and_otherwise_the_first_is_said(tmp_path, out, quick):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(quick[:32], metadata={"axes": "YX"})
        tiff.write(quick, metadata={"axes": "YX"})
    argv = ("segment", tmp_path / "a.tif", "--output", out)
    for series, shape in ((None, (32, 64)), (1, (48, 64))):
        done = run(*argv, *(() if series is None else ("--series", series)))
        assert done.status == 0
        said = "has 2 series; using 0 (--series chooses)" in done.err
        assert said == (series is None)
        assert tifffile.imread(out / "a_labels.tif").shape == shape
    done = run(*argv, "--series", 2)
    assert done.status == 1
    assert "2 series of images, number 0 to 1; received series 2" in done.err


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
