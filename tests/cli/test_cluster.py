"""Several processes at one image or folder, some of which are killed."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow.parquet
import pytest
import tifffile
import zarr

from napari_nucleiseg import segment
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models import by_block
from napari_nucleiseg.models.cluster import connect, segment_blocks_on
from napari_nucleiseg.models.finishing import finish

from .conftest import run


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    part = load_sample("crowded").image[:200, :300]
    row = np.concatenate([part, part[:, ::-1]], axis=1)
    file = tmp_path_factory.mktemp("image") / "image.tif"
    tifffile.imwrite(file, np.concatenate([row, row[::-1]]), tile=(128, 128))
    return file


@pytest.fixture(scope="module")
def whole(path):
    return segment(tifffile.imread(path))


def begin(path, out, *options):
    """Start the command in a process of its own, with small blocks."""
    code = (
        "import sys; from napari_nucleiseg.models import by_block; "
        "by_block.BLOCK = 256; "
        "from napari_nucleiseg.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["segment", str(path), "--output", str(out), *options]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stderr=subprocess.DEVNULL
    )


def wait_for(blocks, out, count):
    """Wait until so many blocks are finished."""
    for _ in range(20_000):
        if len(found := blocks(out)) >= count:
            return found
        time.sleep(0.005)
    raise AssertionError("no block was finished")


def blocks(out):
    return sorted(out.with_name(f"{out.name}.part").glob("block-*.npz"))


def check(out, whole):
    labels = np.asarray(zarr.open_group(out, mode="r")["s0"])
    np.testing.assert_array_equal(labels, whole.labels)
    table = pyarrow.parquet.read_table(out.with_suffix(".parquet"))
    assert table["label"].to_pylist() == list(range(1, whole.count + 1))


def test_a_run_that_is_killed_goes_on_to_the_same_labels(
    path, tmp_path, whole, monkeypatch
):
    out = tmp_path / "out.zarr"
    process = begin(path, out)
    wait_for(blocks, out, 2)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    done = {file: file.stat().st_mtime_ns for file in blocks(out)}
    assert 2 <= len(done) < 6
    monkeypatch.setattr(by_block, "BLOCK", 256)
    assert run("segment", path, "--output", out, "--blocks", "1/1").status == 0
    assert {file: file.stat().st_mtime_ns for file in done} == done
    assert run("finish", out).status == 0
    check(out, whole)


def test_shares_that_run_at_once_or_twice_change_nothing(path, tmp_path, whole):
    out = tmp_path / "out.zarr"
    processes = [begin(path, out, "--blocks", share) for share in ("1/2", "2/2", "1/2")]
    assert [process.wait(300) for process in processes] == [0, 0, 0]
    assert len(blocks(out)) == 6
    assert run("finish", out).status == 0
    check(out, whole)


def test_a_process_of_a_cluster_may_be_killed(path, tmp_path, whole):
    out = tmp_path / "out.zarr"
    with connect(workers=2) as client:
        first = next(iter(client.run(os.getpid).values()))

        def kill():
            wait_for(blocks, out, 1)
            os.kill(first, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        segment_blocks_on(client, path, out, "nuclei", block=256)
        killer.join()
        assert first not in client.run(os.getpid).values()
    assert finish(out).counts == [whole.count]
    check(out, whole)


def test_the_shell_takes_processes_for_an_image_and_for_a_folder(path, tmp_path, whole):
    distributed = pytest.importorskip("distributed")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in "ab":
        tifffile.imwrite(folder / f"{name}.tif", tifffile.imread(path)[:200, :300])
    (folder / "broken.tif").write_bytes(b"no image")
    alone = run("segment", folder, "--output", tmp_path / "alone", "--measure")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        where = ("--scheduler", cluster.scheduler_address)
        out = tmp_path / "out.zarr"
        done = run("segment", path, "--output", out, *where)
        assert done.status == 0, done.err
        check(out, whole)
        done = run(
            "segment", folder, "--output", tmp_path / "many", "--measure", *where
        )
    assert done.status == alone.status == 1
    assert "1 of 3 images failed" in done.err
    for name in ("a_labels.tif", "b_labels.tif"):
        found, wanted = (
            tifffile.imread(tmp_path / which / name) for which in ("many", "alone")
        )
        np.testing.assert_array_equal(found, wanted)
    for name in ("nuclei.csv", "images.csv"):
        assert (tmp_path / "many" / name).read_text() == (
            tmp_path / "alone" / name
        ).read_text()


def test_what_cannot_be_reached_is_said(path, tmp_path, monkeypatch):
    out = tmp_path / "out.zarr"
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = run("segment", path, "--output", out, "--workers", "2")
    assert done.status == 1
    assert 'pip install "napari-nucleiseg[cluster]"' in done.err
    assert run("segment", path, "--output", out, "--workers", "0").status == 2
