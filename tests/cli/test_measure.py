import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_nucleiseg import measure
from napari_nucleiseg.io.pixel_size import read_pixel_size
from napari_nucleiseg.io.sample_data import load_sample

from .conftest import names_in, run


@pytest.fixture
def stained(tmp_path):
    """Two fields, with two channels in folders of their own, and labels."""
    sample = load_sample("fields")
    for i, name in enumerate(("one", "two")):
        crop = np.s_[i, 100:180, 100:200]
        files = {
            "blue": sample.image[crop],
            "green": 255 - sample.image[crop],
            "labels": sample.labels[crop].astype(np.uint16),
        }
        for folder, data in files.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            ending = "_labels" if folder == "labels" else ""
            how = {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "um"}}
            tifffile.imwrite(tmp_path / folder / f"{name}{ending}.tif", data, **how)
    return tmp_path


def test_folders_of_two_channels_become_two_tables(stained, out):
    done = run(
        "measure", "--labels", stained / "labels", "--output", out, "--outlines",
        "geojson", "roi", "--images",
        f"DAPI={stained / 'blue'}", f"GFP={stained / 'green'}",
    )  # fmt: skip
    assert done.status == 0, done.err
    assert names_in(out) == [
        "images.csv", "nuclei.csv", "one.geojson", "one_rois.zip", "two.geojson",
        "two_rois.zip",
    ]  # fmt: skip
    nuclei = pd.read_csv(out / "nuclei.csv")
    labels, blue = (
        tifffile.imread(stained / name)
        for name in ("labels/two_labels.tif", "blue/two.tif")
    )
    own = measure(labels, {"DAPI": blue, "GFP": 255 - blue}, scale=0.5)
    own.insert(0, "image", "two")
    found = nuclei[nuclei["image"] == "two"].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, own, check_dtype=False, rtol=0, atol=0)
    images = pd.read_csv(out / "images.csv")
    assert images["area_mm2"].tolist() == [80 * 100 * 0.25 / 1e6] * 2
    assert images["nuclei"].sum() == len(nuclei)
    assert "nuclei_per_mm2" in done.out


def test_one_file_as_parquet_with_a_ring(stained, out):
    labels = stained / "labels" / "one_labels.tif"
    how = ("--pixel-size", "1", "--around", "ring", "--around-width", "2")
    argv = ("measure", "--labels", labels, "--images", stained / "blue/one.tif", *how)
    done = run(*argv, "--table", "parquet", "--output", out)
    assert done.status == 0, done.err
    nuclei = pd.read_parquet(out / "nuclei.parquet")
    assert (nuclei["ring_mean_intensity"] < nuclei["mean_intensity"]).all()
    assert nuclei["area_um2"].max() > 20


def test_without_images_there_are_areas_and_places_alone(stained, out):
    argv = ("measure", "--labels", stained / "labels", "--output", out, "--no-shape")
    done = run(*argv)
    assert done.status == 0, done.err
    assert "solidity" not in pd.read_csv(out / "nuclei.csv")
    assert not [x for x in pd.read_csv(out / "nuclei.csv") if x.startswith("mean_")]


def test_a_broken_file_is_named_and_the_others_are_done(stained, out):
    (stained / "labels" / "one_labels.tif").write_bytes(b"II*\0")
    argv = ("measure", "--labels", stained / "labels", "--output", out)
    done = run(*argv, "--images", stained / "blue")
    assert done.status == 1
    assert "one_labels.tif: " in done.err
    assert set(pd.read_csv(out / "nuclei.csv")["image"]) == {"two"}


def test_what_cannot_be_is_said(stained, out):
    labels = stained / "labels"
    two = ("--images", stained / "blue", stained / "green")
    done = run("measure", "--labels", labels, *two, "--output", out)
    assert done.status == 2
    assert "need a name each" in done.err
    done = run("measure", "--labels", labels, "--output", out, "--around-width", "-1")
    assert done.status == 2
    assert "around_width must be between" in done.err
    one = labels / "one_labels.tif"
    done = run("measure", "--labels", one, "--images", labels, "--output", out)
    assert "is a file, and so must its image be" in done.err
    assert not out.exists()


def test_the_pixel_size_is_read_from_ome_and_imagej(tmp_path):
    path, image = tmp_path / "x.tif", np.zeros((9, 9), np.uint8)
    about = {"PhysicalSizeX": 200, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25}
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "YX", **about})
    assert read_pixel_size(path) == pytest.approx((0.25, 0.2))
    how = {"resolution": (4, 2), "metadata": {"unit": "micron"}}
    tifffile.imwrite(path, image, imagej=True, **how)
    assert read_pixel_size(path) == pytest.approx((0.5, 0.25))
    tifffile.imwrite(path, image, resolution=(300, 300))
    assert read_pixel_size(path) is None
    path.write_bytes(b"no image")
    assert read_pixel_size(path) is None
