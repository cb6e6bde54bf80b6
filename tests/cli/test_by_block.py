"""Images of any size: by blocks, to OME-Zarr, interrupted and in shares."""

import json
import shutil
from contextlib import closing

import dask.array
import numpy as np
import pyarrow.parquet
import pytest
import tifffile
import yaozarrs
import zarr

from napari_nucleiseg import segment
from napari_nucleiseg.core.monitor import Cancelled
from napari_nucleiseg.io.atomic import NotWritten
from napari_nucleiseg.io.lazy_images import open_image
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models import block_plan, by_block, finishing
from napari_nucleiseg.models.by_block import segment_blocks
from napari_nucleiseg.models.finishing import finish
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.recipe import SavedRecipe, read_recipe

from .conftest import names_in, run


@pytest.fixture(scope="module")
def image():
    """A dense image that is larger than a tile, and than a small block."""
    part = load_sample("tissue").image[:150, :300]
    row = np.concatenate([part, part[:, ::-1]], axis=1)
    return np.concatenate([row, row[::-1]])


@pytest.fixture(scope="module")
def whole(image):
    return segment(image)


@pytest.fixture
def path(tmp_path, image):
    file = tmp_path / "image.ome.tif"
    tifffile.imwrite(
        file,
        image,
        tile=(128, 128),
        photometric="rgb",
        metadata={
            "axes": "YXS",
            "PhysicalSizeX": 0.5,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 0.5,
            "PhysicalSizeYUnit": "µm",
        },
    )
    return file


def labels_in(out):
    return np.asarray(zarr.open_group(out, mode="r")["s0"])


def test_the_labels_are_those_of_a_run_in_memory(path, tmp_path, whole):
    out = tmp_path / "out.zarr"
    done = run("segment", path, "--output", out)
    assert done.status == 0, done.err
    assert f"{whole.count} nuclei" in done.err
    np.testing.assert_array_equal(labels_in(out), whole.labels)
    assert names_in(tmp_path) == ["image.ome.tif", "out.parquet", "out.zarr"]
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pydict()
    wanted = whole.measure()
    for name in ("label", "area", "centroid_y", "centroid_x", "confidence"):
        np.testing.assert_allclose(table[name], wanted[name], rtol=1e-6)
    recipe = read_recipe(tmp_path / "out.recipe.json")
    assert recipe == SavedRecipe.of("nuclei").on_engine()
    again = run("segment", path, "--output", out)
    assert again.status == 1
    assert "is there already" in again.err


def test_what_is_written_is_a_valid_label_image(path, tmp_path):
    out = tmp_path / "out.zarr"
    assert run("segment", path, "--output", out).status == 0
    yaozarrs.validate_zarr_store(str(out))
    root = zarr.open_group(out, mode="r")
    first, second = (root[name] for name in ("s0", "s1"))
    assert first.dtype == np.uint32
    assert first.shards == (1024, 1024)
    np.testing.assert_array_equal(np.asarray(second), np.asarray(first)[::2, ::2])
    ome = root.attrs["ome"]
    assert "image-label" in ome
    (scales,) = ome["multiscales"]
    assert [axis["unit"] for axis in scales["axes"]] == ["micrometer"] * 2
    sizes = [one["coordinateTransformations"][0]["scale"] for one in scales["datasets"]]
    assert sizes == [[0.5, 0.5], [1.0, 1.0]]
    assert root.attrs["nucleiseg"]["model"] == "nuclei"


class Stop:
    """A monitor that stops at the n-th report."""

    def __init__(self, after):
        self.left = after

    def report(self, progress):
        self.left -= 1

    def should_stop(self):
        return self.left < 0


def test_what_was_stopped_goes_on_to_the_same_labels(
    path, tmp_path, whole, monkeypatch
):
    out, found = tmp_path / "out.zarr", []
    by_hand = {"block": 256}
    find = by_block.find_basins

    def noted(maps, window, *args, **kwargs):
        found.append(window)
        return find(maps, window, *args, **kwargs)

    monkeypatch.setattr(by_block, "find_basins", noted)
    image, model = open_image(path), load_model()
    with pytest.raises(Cancelled):
        segment_blocks(image, out, model, monitor=Stop(4), **by_hand)
    assert 0 < len(found) < 6
    with pytest.raises(ValueError, match="of 6 blocks are not there"):
        finish(out)

    def full(self, index, *args, **arrays):
        raise NotWritten(out, OSError(28, "No space left on device"))

    with monkeypatch.context() as patch:
        patch.setattr(by_block.BlockFiles, "write", full)
        with pytest.raises(NotWritten, match="No space"):
            segment_blocks(image, out, model, **by_hand)
    kept = len(list((tmp_path / "out.zarr.part").glob("block-*")))
    found.clear()
    segment_blocks(image, out, model, **by_hand)
    assert len(found) == 6 - kept
    with pytest.raises(Cancelled):
        finish(out, monitor=Stop(3))
    assert not out.exists()

    def killed(table, columns):
        table.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            finish(out)
    assert finish(out).counts == [whole.count]
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == whole.count
    np.testing.assert_array_equal(labels_in(out), whole.labels)
    image.close()


def test_shares_in_any_order_and_twice_make_the_same_labels(
    path, tmp_path, whole, monkeypatch
):
    monkeypatch.setattr("napari_nucleiseg.models.by_block.BLOCK", 256)
    out = tmp_path / "out.zarr"
    for share in ("3/3", "1/3", "3/3"):
        done = run("segment", path, "--output", out, "--blocks", share)
        assert done.status == 0, done.err
    early = run("finish", out)
    assert early.status == 1
    assert "2 of 6 blocks are not there yet" in early.err
    assert run("segment", path, "--output", out, "--blocks", "2/3").status == 0
    assert run("finish", out).status == 0
    np.testing.assert_array_equal(labels_in(out), whole.labels)


def test_another_image_or_other_settings_are_refused(path, tmp_path, image):
    out = tmp_path / "out.zarr"
    assert run("segment", path, "--output", out, "--blocks", "1/2").status == 0
    plan = json.loads((tmp_path / "out.zarr.part" / "plan.json").read_text())
    other = run("segment", path, "--output", out, "--probability", "0.3")
    assert other.status == 1
    assert "blocks of another run: the settings are others" in other.err
    tifffile.imwrite(path, image[::-1] // 2, photometric="rgb")
    another = run("segment", path, "--output", out)
    assert another.status == 1
    assert "the image is another" in another.err
    assert json.loads((tmp_path / "out.zarr.part" / "plan.json").read_text()) == plan
    assert "--restart" in another.err
    anew = run("segment", path, "--output", out, "--restart")
    assert anew.status == 0, anew.err
    assert out.is_dir()


def test_beginning_anew_removes_nothing_but_blocks(path, tmp_path):
    mine = tmp_path / "out.zarr.part"
    mine.mkdir()
    (mine / "notes.txt").write_text("of another kind")
    done = run("segment", path, "--output", tmp_path / "out.zarr", "--restart")
    assert done.status == 1
    assert "holds no blocks" in done.err
    assert (mine / "notes.txt").exists()


def test_blocks_that_are_done_are_compared_with_a_file_that_was_written_to(
    path, tmp_path, image, monkeypatch
):
    # As if the image were so large that next to nothing of it is sampled.
    monkeypatch.setattr(block_plan, "_WINDOWS", 1)
    monkeypatch.setattr(block_plan, "LARGE", 4)
    out = tmp_path / "out.zarr"
    by_hand = {"share": (1, 6), "block": 256}
    with closing(open_image(path)) as source:
        segment_blocks(source, out, load_model(), **by_hand)
    tifffile.imwrite(path, image, photometric="rgb")
    with closing(open_image(path)) as source:
        segment_blocks(source, out, load_model(), **by_hand)
    changed = image.copy()
    changed[100, 100] += 1
    tifffile.imwrite(path, changed, photometric="rgb")
    with (
        closing(open_image(path)) as source,
        pytest.raises(ValueError, match="the image has been changed"),
    ):
        segment_blocks(source, out, load_model(), **by_hand)


def test_a_stack_in_ome_zarr_is_read_by_its_axes(tmp_path, image):
    grey = image[:120, :150].mean(axis=-1)
    stack = np.stack([grey, np.zeros_like(grey), grey[::-1]])[:, None]
    source, out = tmp_path / "image.zarr", tmp_path / "out.zarr"
    root = zarr.create_group(source, zarr_format=2)
    root.create_array("0", data=stack, chunks=(1, 1, 64, 64))
    root.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [
                {"name": "t", "type": "time", "unit": "second"},
                {"name": "c", "type": "channel"},
                {"name": "y", "type": "space", "unit": "micrometer"},
                {"name": "x", "type": "space", "unit": "micrometer"},
            ],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [5, 1, 0.2, 0.3]}
                    ],
                }
            ],
        }
    ]
    done = run("segment", source, "--output", out)
    assert done.status == 0, done.err
    expected = segment(stack, axes="TCYX", channel=0)
    np.testing.assert_array_equal(labels_in(out), expected.labels)
    yaozarrs.validate_zarr_store(str(out))
    (scales,) = zarr.open_group(out, mode="r").attrs["ome"]["multiscales"]
    transform = scales["datasets"][0]["coordinateTransformations"][0]
    assert transform["scale"] == [5.0, 0.2, 0.3]
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pydict()
    assert set(table["t"]) == {0, 2}


def write_zarr(path, image):
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array(
        "0",
        shape=image.shape,
        chunks=(64, 64),
        dtype=image.dtype,
        dimension_names=["y", "x"],
    )
    array[:] = image
    scale = {"type": "scale", "scale": [0.5, 0.5]}
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    levels = [{"path": "0", "coordinateTransformations": [scale]}]
    multiscales = [{"axes": axes, "datasets": levels}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": multiscales}


def write_pyramid(path, image):
    with tifffile.TiffWriter(path) as file:
        file.write(image, subifds=1, tile=(64, 64), metadata={"axes": "YX"})
        file.write(image[::2, ::2], subfiletype=1, tile=(64, 64))


def test_labels_can_be_written_into_the_image(tmp_path):
    image = load_sample("small").image[:128, :160]
    path = tmp_path / "i.zarr"
    write_zarr(path, image)
    for name in ("nuclei", "surer"):
        out, options = path / "labels" / name, ("--min-confidence", "0.6")
        done = run("segment", path, "--output", out, *options[: 2 * (name == "surer")])
        assert done.status == 0, done.err
    np.testing.assert_array_equal(
        labels_in(path / "labels" / "nuclei"), segment(image).labels
    )
    yaozarrs.validate_zarr_store(str(path))
    yaozarrs.validate_zarr_store(str(path / "labels"))
    yaozarrs.validate_zarr_store(str(path / "labels" / "nuclei"))
    group = zarr.open_group(path / "labels", mode="r")
    assert group.attrs["ome"]["labels"] == ["nuclei", "surer"]
    assert group["nuclei"].attrs["ome"]["image-label"]["source"] == {"image": "../../"}
    np.testing.assert_array_equal(np.asarray(zarr.open_group(path)["0"]), image)


def test_labels_cannot_be_part_of_an_image_of_another_version(tmp_path):
    path = tmp_path / "i.zarr"
    zarr.create_group(path, zarr_format=2)
    done = run("segment", path, "--output", path / "labels" / "nuclei")
    assert done.status == 2
    assert "is OME-Zarr 0.4" in done.err


@pytest.mark.parametrize(
    ("name", "write"), [("i.zarr", write_zarr), ("i.ome.tif", write_pyramid)]
)
def test_of_a_pyramid_the_first_level_is_segmented(tmp_path, name, write):
    image = load_sample("small").image
    write(tmp_path / name, image)
    done = run("segment", tmp_path / name, "--output", tmp_path / "out.zarr")
    assert done.status == 0, done.err
    wanted = segment(image).labels
    np.testing.assert_array_equal(labels_in(tmp_path / "out.zarr"), wanted)
    lazy = dask.array.from_array(image, chunks=60)
    np.testing.assert_array_equal(segment(lazy).labels, wanted)
    levels = [image, image[::2, ::2], image[::4, ::4]]
    np.testing.assert_array_equal(segment(levels).labels, wanted)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--blocks", "3/2"], 2, "i from 1 to N"),
        (["--blocks", "1/2", "--restart"], 2, "would discard the blocks"),
        (["--overlay"], 2, "one image at a time"),
    ],
)
def test_what_cannot_be_is_said(path, tmp_path, arguments, status, message):
    done = run("segment", path, "--output", tmp_path / "out.zarr", *arguments)
    assert done.status == status
    assert message in done.err
    assert run("finish", tmp_path / "none.zarr").status == 1
    shutil.copy(path, tmp_path / "folder")
    (tmp_path / "empty").mkdir()
    assert "no OME-Zarr" in (
        run("segment", tmp_path / "empty", "--output", tmp_path / "out.zarr").err
    )
