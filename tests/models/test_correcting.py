"""Parts of labels in an OME-Zarr: read, corrected, and written back with the table."""

from contextlib import closing

import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_nucleiseg.core.segment.region import everywhere
from napari_nucleiseg.io.label_zarr import open_labels
from napari_nucleiseg.io.lazy_images import open_image
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.by_block import segment_blocks
from napari_nucleiseg.models.correcting import is_corrected, read_part, write_part
from napari_nucleiseg.models.finishing import finish, finish_region
from napari_nucleiseg.models.predictor import load_model

WINDOW = (slice(60, 240), slice(80, 300))


@pytest.fixture
def done(tmp_path):
    """Labels of 300 × 600 pixels, of two blocks a row, and their plan."""
    part = load_sample("crowded").image[:300, :300]
    path, out = tmp_path / "a.tif", tmp_path / "a.zarr"
    tifffile.imwrite(path, np.concatenate([part, part[:, ::-1]], axis=1))
    with closing(open_image(path)) as image:
        plan = segment_blocks(image, out, load_model(), block=256)
    finish(out, keep=True)
    return out, plan


def table_of(out):
    return pd.read_parquet(out.with_suffix(".parquet")).set_index("label")


def test_what_is_not_touched_is_written_back_as_it_was(done):
    out, plan = done
    before, table = np.asarray(open_labels(out)[0]), table_of(out)
    part = read_part(out, plan, 0, WINDOW)
    labels = part.labels
    sure = part.known("confidence", np.nan)
    about = {n: {"confidence": x} for n, x in enumerate(sure, start=1)}
    # Other numbers for the same nuclei are the same nuclei.
    write_part(part, np.where(labels > 0, labels + 500, 0), about={})
    np.testing.assert_array_equal(open_labels(out)[0], before)
    write_part(part, labels, about)
    np.testing.assert_array_equal(open_labels(out)[0], before)
    after = table_of(out)
    assert not is_corrected(out)
    pd.testing.assert_frame_equal(after, table, check_dtype=False)


def test_corrections_go_into_all_levels_and_the_table(done):
    out, plan = done
    before = np.asarray(open_labels(out)[0])
    part = read_part(out, plan, 0, WINDOW)
    labels = part.labels.copy()
    inside = np.setdiff1d(part.file_labels, [0, *part.at_edge(part.file_labels)])
    first, second = (int(np.searchsorted(part.names, n)) for n in inside[:2])
    labels[labels == first] = 0  # deleted
    edge = labels == np.searchsorted(part.names, part.at_edge(part.file_labels)[0])
    labels[edge] = 0  # which is not taken
    new = int(labels.max()) + 1
    y, x = np.argwhere(part.labels == first)[0]
    labels[y : y + 4, x : x + 4] = new
    about = {new: {"by_hand": "drawn"}, second: {"by_hand": "accepted"}}
    write_part(part, labels, about)
    levels = open_labels(out)
    after, table = np.asarray(levels[0]), table_of(out)
    np.testing.assert_array_equal(np.asarray(levels[1]), after[::2, ::2])
    assert inside[0] not in after
    assert inside[0] not in table.index
    drawn = table[table["by_hand"] == "drawn"]
    assert len(drawn) == 1
    assert drawn.iloc[0]["area"] == 16
    assert np.isnan(drawn.iloc[0]["confidence"])
    assert drawn.iloc[0]["centroid_y"] == y + WINDOW[0].start + 1.5
    assert table.loc[inside[1], "by_hand"] == "accepted"
    assert sorted(table.index) == sorted(np.unique(after)[1:])
    areas = np.bincount(after.ravel())
    np.testing.assert_array_equal(table["area"], areas[table.index])
    outside = np.ones(before.shape, bool)
    outside[WINDOW] = False
    np.testing.assert_array_equal(after[outside], before[outside])
    stays = np.isin(before, part.at_edge(part.file_labels))
    np.testing.assert_array_equal(after[stays], before[stays])
    # Made anew, what was touched by hand stays, and nothing is there twice.
    assert is_corrected(out)
    finish_region(out, everywhere(plan.plane_shape))
    anew, table = np.asarray(open_labels(out)[0]), table_of(out)
    name = int(drawn.index[0])
    np.testing.assert_array_equal(anew == name, after == name)
    np.testing.assert_array_equal(anew == inside[1], before == inside[1])
    assert set(table["by_hand"].dropna()) == {"drawn", "accepted"}
    assert sorted(table.index) == sorted(np.unique(anew)[1:])
    with pytest.raises(ValueError, match="Open them again"):
        write_part(part, labels, about)


def test_a_part_cannot_be_of_any_size(done):
    out, plan = done
    with pytest.raises(ValueError, match="Zoom in"):
        read_part(out, plan, 0, (slice(0, 5000), slice(0, 100)))
