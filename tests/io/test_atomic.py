import errno
import os
import stat
import sys

import numpy as np
import pytest

from napari_nucleiseg.io.atomic import make_folder, write_whole
from napari_nucleiseg.training import run_folder
from napari_nucleiseg.training.checkpoint import TrainState
from napari_nucleiseg.training.run_folder import Order, RunFolder

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")


def put(content):
    return lambda path: path.write_bytes(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def full_disk():
    """Make files end at 100 bytes, as those on a full disk do."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_is_replaced_and_nothing_else_is_there(tmp_path):
    path = tmp_path / "a.txt"
    for content in (b"old", b"new"):
        write_whole(path, put(content))
        assert path.read_bytes() == content
    assert names(tmp_path) == ["a.txt"]


@POSIX
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk_is_a_sentence_that_says_what_is_there(tmp_path, full_disk, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_bytes(old)
    with pytest.raises(OSError, match="could not be written") as caught:
        write_whole(path, put(b"x" * 1000))
    text = str(caught.value)
    assert text.startswith(f"{path} could not be written: ")
    assert "[Errno" not in text
    assert text.endswith("before is as it was." if old else "Nothing was left there.")
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(path)
    assert names(tmp_path) == (["a.txt"] if old else [])
    assert not old or path.read_bytes() == old


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_whatever_ends_the_writing_leaves_nothing_behind(tmp_path, error):
    def write(path):
        path.write_bytes(b"half of")
        raise error

    with pytest.raises(error):
        write_whole(tmp_path / "a.txt", write)
    assert not names(tmp_path)


def test_a_folder_that_is_not_there_or_cannot_be_is_named(tmp_path):
    with pytest.raises(OSError, match=r"a.txt could not be written: No such file"):
        write_whole(tmp_path / "nowhere" / "a.txt", put(b""))
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/b could not be written: Not a dir"):
        make_folder(tmp_path / "file" / "b")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"folder could not be written: "):
        write_whole(tmp_path / "folder", put(b""))
    assert names(tmp_path) == ["file", "folder"]


@POSIX
def test_it_has_the_permissions_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a.txt", put(b""))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640


@POSIX
def test_a_disk_that_is_full_at_the_first_checkpoint_leaves_no_file(
    tmp_path, full_disk, monkeypatch
):
    run = RunFolder(tmp_path / "mine")
    run.path.mkdir()
    state = TrainState([np.zeros(1000)], [], [])
    # The best weights still fit, the rest does not.
    best = [np.zeros(1)]
    monkeypatch.setattr(
        run_folder, "write_arrays", lambda path, *_: path.write_bytes(b"best")
    )
    with pytest.raises(OSError, match=r"state.npz could not be written.*Nothing was"):
        run.save(state, best, better=True)
    assert not names(run.path)
    assert not run.can_resume


@POSIX
def test_a_disk_that_is_full_at_once_leaves_no_training(tmp_path, full_disk):
    with pytest.raises(OSError, match="could not be written"):
        RunFolder.create(tmp_path / "mine", Order(name="mine"), [], [])
    assert not names(tmp_path)
