import csv

import numpy as np
import tifffile

from .conftest import run


def stack(path):
    labels = np.zeros((4, 40, 40), np.uint16)
    for z in range(4):
        labels[z, 5:15, 5 + z : 15 + z] = z + 1
        labels[z, 25:35, 25:35] = 9 - z
    tifffile.imwrite(path, labels, photometric="minisblack")
    return path


def test_depth_writes_one_number_a_nucleus(tmp_path):
    path = stack(tmp_path / "cells_labels.tif")
    done = run("link", path, "--output", tmp_path / "out")
    assert done.status == 0
    assert "2 nuclei in 4 planes" in done.err
    linked = tifffile.imread(tmp_path / "out" / "cells_labels_linked.tif")
    assert [set(np.unique(plane)) for plane in linked] == [{0, 1, 2}] * 4


def test_time_writes_a_table_too(tmp_path):
    path = stack(tmp_path / "cells.tif")
    done = run("link", path, "--through", "time", "--output", tmp_path)
    assert "2 tracks in 4 planes" in done.err
    with (tmp_path / "cells_tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert {row["track"] for row in rows} == {"1", "2"}
    assert rows[0].keys() == {"track", "frame", "parent", "label", "y", "x"}


def test_what_is_no_stack_is_said_and_the_others_are_done(tmp_path):
    flat = tmp_path / "flat.tif"
    tifffile.imwrite(flat, np.ones((20, 20), np.uint8))
    done = run("link", flat, stack(tmp_path / "good.tif"), "--output", tmp_path)
    assert done.status == 1
    assert "flat.tif: Labels of several planes are wanted" in done.err
    assert (tmp_path / "good_linked.tif").is_file()
