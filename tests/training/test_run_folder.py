"""A training's folder belongs to one process at a time."""

import subprocess
import sys

import numpy as np
import pytest

from napari_nucleiseg.cli import main
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.training import run_folder
from napari_nucleiseg.training.process import explain
from napari_nucleiseg.training.run_folder import (
    Order,
    RunFolder,
    TrainingBusy,
    list_runs,
)

PAIRS = [Pair(np.zeros((9, 9)), np.eye(9, dtype=int), "a")]

#: Another window: it takes a training, and is at it until it is killed.
ELSEWHERE = """
import sys
from pathlib import Path
from napari_nucleiseg.training.run_folder import RunFolder
run = RunFolder(Path(sys.argv[1]))
run.acquire()
print("training", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(run_folder, "_PATIENCE", 0.1)


def create(output):
    return RunFolder.create(output, Order(name=output.name), PAIRS, PAIRS)


@pytest.fixture
def waiting(tmp_path):
    """A training that was interrupted after an epoch."""
    run = create(tmp_path / "mine")
    (run.path / "state.npz").touch()
    run.release()
    return run


@pytest.fixture
def elsewhere(waiting):
    """The same training, resumed by another process."""
    process = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, str(waiting.output)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "training\n"
        yield process
        process.kill()


def test_a_training_under_way_elsewhere_is_named_and_left_alone(
    waiting, elsewhere, monkeypatch, capsys
):
    name = f"process {elsewhere.pid}"
    assert waiting.owner == name
    assert [run.owner for run in list_runs(waiting.path.parent)] == [name]
    for act in (waiting.discard, waiting.accept, lambda: create(waiting.output)):
        with pytest.raises(TrainingBusy, match=f"'mine' is being trained by {name}"):
            act()
    assert waiting.can_resume
    # The shell says the same, whatever it is asked to do.
    images = ["--images", str(waiting.path.parent)]
    for more in (["--resume"], ["--resume", "--keep"], images, [*images, "--force"]):
        assert main(["train", "--output", str(waiting.output), *more]) == 2
        assert f"mine is being trained by {name}" in capsys.readouterr().err
    # What it held is free once it is gone, however it went.
    elsewhere.kill()
    elsewhere.wait()
    assert waiting.owner == ""
    waiting.discard()
    assert not waiting.path.exists()


def test_a_new_training_has_its_name_to_itself_before_anything_is_saved(tmp_path):
    first = create(tmp_path / "mine")
    other = RunFolder(tmp_path / "mine")
    with pytest.raises(TrainingBusy, match="being trained by process"):
        create(tmp_path / "mine")
    other.discard_if_empty()
    assert first.exists
    first.release()
    # Left by a process that was killed before its first epoch ended.
    second = create(tmp_path / "mine")
    assert second.exists
    second.release()
    other.discard_if_empty()
    assert not second.path.exists()


def test_what_is_saved_is_said_only_if_something_is(waiting, tmp_path):
    full = OSError(28, "No space left on device", "/data/state.npz")
    nothing = RunFolder(tmp_path / "other")
    text = explain(full, waiting)
    assert text.startswith("The disk is full. /data/state.npz cannot be")
    assert "saved up to its last full epoch" in text
    for error in (full, MemoryError()):
        assert "saved" not in explain(error, nothing)
        assert "Errno" not in explain(error, nothing)
