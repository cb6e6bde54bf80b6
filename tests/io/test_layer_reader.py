"""Files as layers for napari: read window by window, with channels and tables."""

import gc

import numpy as np
import pytest
import tifffile
import zarr

from napari_nucleiseg.io.label_zarr import create_labels, shrink, write_table
from napari_nucleiseg.io.layer_reader import get_reader, read_layers

dask = pytest.importorskip("dask.array")


def write_image(path, image, axes, **attributes):
    """Write an OME-Zarr of two levels, pixels of 0.5 µm."""
    root = zarr.create_group(path, zarr_format=3)
    data_sets = []
    for level, step in enumerate((1, 2)):
        root.create_array(str(level), data=image[..., ::step, ::step])
        scale = [0.5 * step if a in "yx" else 1.0 for a in axes]
        change = {"type": "scale", "scale": scale}
        data_sets.append({"path": str(level), "coordinateTransformations": [change]})
    kinds = {"c": {"type": "channel"}}
    named = [
        {"name": a} | kinds.get(a, {"type": "space", "unit": "micrometer"})
        for a in axes
    ]
    root.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": named, "datasets": data_sets}],
        **attributes,
    }


def test_an_ome_zarr_opens_as_a_pyramid_a_layer_for_each_channel(tmp_path):
    path = tmp_path / "plate.zarr"
    image = np.arange(2 * 40 * 30, dtype=np.uint16).reshape(2, 40, 30)
    channels = {"channels": [{"label": "DAPI"}, {"label": "actin"}]}
    write_image(path, image, "cyx", omero=channels)
    read = get_reader(str(path))
    ((levels, how, kind),) = read(str(path))
    assert kind == "image"
    assert [level.shape for level in levels] == [(2, 40, 30), (2, 20, 15)]
    assert isinstance(levels[0], dask.Array)
    np.testing.assert_array_equal(levels[0], image)
    assert how["channel_axis"] == 0
    assert how["name"] == ["DAPI", "actin"]
    assert how["scale"] == [0.5, 0.5]
    assert how["units"] == ["micrometer", "micrometer"]


def test_labels_in_an_image_open_over_it_with_their_table(tmp_path):
    path = tmp_path / "a.zarr"
    write_image(path, np.zeros((40, 30), np.uint8), "yx")
    where = path / "labels" / "nuclei"
    group = zarr.open_group(path, mode="r+").create_group("labels")
    group.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    how = {"block": 256, "scale": {"Y": 0.5}, "units": {}, "record": {}}
    levels = create_labels(where, (40, 30), "YX", name="nuclei", **how)
    levels[0][5:9, 5:9] = 3
    shrink(levels, (), 256)
    write_table(where.with_suffix(".parquet"), {"label": np.array([3]), "area": [16]})
    image, labels = read_layers(path)
    assert image[2] == "image"
    data, how, kind = labels
    assert kind == "labels"
    assert isinstance(data, np.ndarray)  # which can be painted on
    assert data[6, 6] == 3
    assert how["name"] == "nuclei"
    assert how["scale"] == [0.5, 1.0]
    assert list(how["features"]["index"]) == [3]
    assert list(how["features"]["area"]) == [16]
    ((_, _, kind),) = read_layers(where)
    assert kind == "labels"


def test_a_pyramidal_tiff_opens_with_its_levels(tmp_path):
    path = tmp_path / "a.tif"
    image = np.random.default_rng(0).integers(0, 255, (96, 64, 3), np.uint8)
    how = {"tile": (32, 32), "photometric": "rgb"}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(image, subifds=1, **how)
        tiff.write(image[::2, ::2], subfiletype=1, **how)
    ((levels, how, _),) = read_layers(path)
    assert [level.shape for level in levels] == [(96, 64, 3), (48, 32, 3)]
    assert how["rgb"]
    np.testing.assert_array_equal(levels[0], image)
    assert get_reader(str(path)) is None  # napari's own
    del levels
    gc.collect()  # closes the file, or there is a warning


def test_what_is_no_image_is_left_to_others(tmp_path):
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(tmp_path / "a.zarr")]) is None
    (tmp_path / "b.zarr").mkdir()
    assert get_reader(str(tmp_path / "b.zarr")) is None
