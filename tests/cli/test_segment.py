import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucleiseg import segment
from napari_nucleiseg.core.score.matching import score_image
from napari_nucleiseg.io.sample_data import load_sample

from .conftest import names_in, run, shell


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
    labels = tifffile.imread(next(out.glob("*.tif")))
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
    assert "has 2 channels; channel 0 was used" in done.err
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
    options = {
        "diameter": 14,
        "probability": 0.6,
        "separation": 0.4,
        "min_area": 40,
        "min_confidence": 0.6,
    }
    argv = [
        text
        for name, value in options.items()
        for text in (f"--{name.replace('_', '-')}", value)
    ]
    done = run("segment", tmp_path / "a.tif", "--output", out, *argv)
    assert done.status == 0, done.err
    labels = tifffile.imread(out / "a_labels.tif")
    assert np.array_equal(labels, segment(grey, **options).labels)
    done = run("segment", tmp_path / "a.tif", "--output", out, "--accurate")
    assert done.status == 0, done.err
    labels = tifffile.imread(out / "a_labels.tif")
    assert np.array_equal(labels, segment(grey, accurate=True).labels)
    assert not np.array_equal(labels, segment(grey).labels)


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


def test_the_command_in_a_shell(tmp_path, out, grey, expected):
    tifffile.imwrite(tmp_path / "näh er.tif", grey)
    (tmp_path / "text.tif").write_text("not a picture at all")
    files = (tmp_path / "text.tif", tmp_path / "näh er.tif")
    done = shell("segment", *files, "--output", out)
    assert done.returncode == 1
    assert "text.tif" in done.stderr
    assert "1 of 2 images failed" in done.stderr
    assert "Traceback" not in done.stderr
    labels = tifffile.imread(out / "näh er_labels.tif")
    assert np.array_equal(labels, expected)
