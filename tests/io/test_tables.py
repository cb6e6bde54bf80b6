import json

import numpy as np
import pandas as pd
import pytest
import roifile
from skimage.draw import polygon2mask

from napari_nucleiseg import measure
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.io.tables import write_geojson, write_rois, write_table


@pytest.fixture(scope="module")
def labels():
    crop = load_sample("fields").labels[:2, 100:220, 100:240]
    crop[1, 30:36, 60:66] = 900
    crop[1, 32:34, 62:64] = 0  # a hole
    crop[1, 50:53, 60:63] = 900  # and a second piece
    return crop


def fill(shape, corners):
    """Return which pixel centres lie inside of corners given as x and y."""
    return polygon2mask(shape, np.asarray(corners, float)[:, ::-1] - 0.5)


def test_geojson_gives_the_labels_back(tmp_path, labels):
    table = measure(labels, axes="TYX", neighbours=False)
    path = tmp_path / "nuclei.geojson"
    write_geojson(path, labels, table, axes="TYX")
    features = json.loads(path.read_text())["features"]
    assert len(features) == len(table)
    back = np.zeros_like(labels)
    for feature in features:
        geometry, about = feature["geometry"], feature["properties"]
        plane, shape = geometry["plane"]["t"], labels.shape[-2:]
        polygons = geometry["coordinates"]
        if geometry["type"] == "Polygon":
            polygons = [polygons]
        for outer, *holes in polygons:
            inside = fill(shape, outer)
            for hole in holes:
                inside &= ~fill(shape, hole)
            assert not back[plane][inside].any()
            back[plane][inside] = int(about["name"])
        assert about["objectType"] == "detection"
        row = table[(table["T"] == plane) & (table["label"] == int(about["name"]))]
        assert about["measurements"]["area_px2"] == row["area_px2"].item()
    np.testing.assert_array_equal(back, labels)


def test_rois_give_the_labels_back(tmp_path, labels):
    path = tmp_path / "nuclei.zip"
    write_rois(path, labels, axes="TYX")
    back = np.zeros_like(labels)
    for roi in roifile.roiread(path):
        inside = fill(labels.shape[-2:], roi.coordinates())
        back[roi.t_position - 1][inside] = int(roi.name.split("-")[1])
    filled = labels.copy()
    filled[1, 32:34, 62:64] = 900  # a ROI has no holes
    np.testing.assert_array_equal(back, filled)


def test_nothing_gives_empty_files(tmp_path):
    none = np.zeros((9, 9), int)
    write_rois(tmp_path / "none.zip", none)
    write_geojson(tmp_path / "none.geojson", none)
    assert roifile.roiread(tmp_path / "none.zip") == []
    assert json.loads((tmp_path / "none.geojson").read_text())["features"] == []


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_come_back(tmp_path, suffix):
    table = pd.DataFrame({"image": ["a", "b"], "x": [1 / 3, 2.0], "ok": [True, False]})
    path = tmp_path / f"t{suffix}"
    write_table(path, table)
    read = pd.read_csv if suffix == ".csv" else pd.read_parquet
    pd.testing.assert_frame_equal(read(path), table, check_dtype=False)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_table_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.csv or \.parquet; received t\.xls"):
        write_table(tmp_path / "t.xls", pd.DataFrame())
