"""A training's folder belongs to one process at a time."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_nucleiseg.cli import main
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.segment.instances import InstanceSettings
from napari_nucleiseg.models.card import CARD_FILE, ModelCard
from napari_nucleiseg.models.registry import Model
from napari_nucleiseg.training import run_folder, run_lock
from napari_nucleiseg.training.process import TrainingProcess, explain
from napari_nucleiseg.training.run_folder import (
    Order,
    RunFolder,
    TrainingBusy,
)
from napari_nucleiseg.training.runs import list_runs, sweep_runs

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
    monkeypatch.setattr(run_lock, "_PATIENCE", 0.1)


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
    name = f"a terminal or script (process {elsewhere.pid})"
    assert waiting.owner == name
    assert [run.owner for run in list_runs(waiting.path.parent)] == [name]
    for act in (waiting.discard, waiting.accept, lambda: create(waiting.output)):
        with pytest.raises(TrainingBusy, match="'mine' is being trained in"):
            act()
    assert waiting.can_resume
    # The shell says the same, whatever it is asked to do.
    images = ["--images", str(waiting.path.parent)]
    for more in (["--resume"], ["--resume", "--keep"], images, [*images, "--force"]):
        assert main(["train", "--output", str(waiting.output), *more]) == 2
        assert f"mine is being trained in {name}" in capsys.readouterr().err
    # What it held is free once it is gone, however it went.
    elsewhere.kill()
    elsewhere.wait()
    assert waiting.owner == ""
    waiting.discard()
    assert not waiting.path.exists()


def test_a_new_training_has_its_name_to_itself_before_anything_is_saved(tmp_path):
    first = create(tmp_path / "mine")
    other = RunFolder(tmp_path / "mine")
    with pytest.raises(TrainingBusy, match=r"being trained in .*process"):
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


def test_a_folder_that_turned_read_only_is_named(waiting, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(30, "Read-only file system", str(waiting.path / "lock"))

    waiting.release()
    monkeypatch.setattr("filelock.BaseFileLock.acquire", refuse)
    with pytest.raises(OSError, match=r"training could not be written: Read-only"):
        waiting.acquire()


def test_what_tensorflow_prints_all_the_time_is_not_why_a_training_ended(waiting):
    waiting.log.write_text(
        "Bus error in the middle\n"
        "WARNING: All log messages before absl::InitializeLog() is called are written\n"
        "I0000 00:00:1796063480.805877    2906 port.cc:153] oneDNN custom operations\n"
    )
    (waiting.path / "state.npz").unlink()
    process = TrainingProcess.__new__(TrainingProcess)
    process.run = waiting
    text = process._epitaph(1)
    assert "(exit code 1): Bus error in the middle" in text
    assert "oneDNN" not in text


def write_model(folder, title="one"):
    folder.mkdir(parents=True)
    card = ModelCard(
        name=folder.name,
        title=title,
        version="1",
        license="your own",
        channels=1,
        diameter=20.0,
        diameter_range=(10.0, 40.0),
        thresholds=InstanceSettings(),
    )
    (folder / CARD_FILE).write_text(card.model_dump_json())


def title_of(folder):
    return ModelCard.read(folder).title


def test_what_a_training_left_that_never_began_is_swept_away(tmp_path, waiting):
    create(tmp_path / "never").release()  # as a process does that dies
    under_way = create(tmp_path / "now")
    sweep_runs(tmp_path)
    assert not (tmp_path / "never.training").exists()
    assert under_way.exists
    assert waiting.can_resume
    under_way.release()


def test_a_model_that_came_meanwhile_is_not_replaced(tmp_path):
    run = create(tmp_path / "mine")
    write_model(run.finished_model, "trained")
    write_model(tmp_path / "mine", "imported")
    assert run.accept() == tmp_path / "mine-2"
    assert title_of(tmp_path / "mine") == "imported"
    assert title_of(tmp_path / "mine-2") == "trained"
    assert ModelCard.read(tmp_path / "mine-2").name == "mine-2"
    # One that was to be replaced from the start is.
    run = create(tmp_path / "mine")
    write_model(run.finished_model, "trained again")
    assert run.accept() == tmp_path / "mine"
    assert title_of(tmp_path / "mine") == "trained again"
    assert not list(tmp_path.glob("*.training"))


def test_killed_while_it_replaced_a_model_neither_is_lost(tmp_path):
    write_model(tmp_path / "mine", "old")
    run = create(tmp_path / "mine")
    write_model(run.finished_model, "new")
    (tmp_path / "mine").rename(run.path / "replaced")
    run.release()
    sweep_runs(tmp_path)
    assert title_of(tmp_path / "mine") == "old"
    assert run.has_model
    run.accept()
    assert title_of(tmp_path / "mine") == "new"


def test_the_model_it_starts_from_may_go(tmp_path):
    write_model(tmp_path / "base", "its base")
    base = Model(tmp_path / "base", ModelCard.read(tmp_path / "base"), False)
    order = Order(name="mine", base=str(base.folder))
    run = RunFolder.create(tmp_path / "mine", order, PAIRS, PAIRS, base=base)
    shutil.rmtree(base.folder)
    assert title_of(Path(run.order().base)) == "its base"
    run.release()


def test_a_folder_that_cannot_be_removed_is_not_said_to_be(waiting, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run_folder.Path, "unlink", refuse)
    monkeypatch.setattr(run_folder.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(OSError, match="could not be removed"):
        waiting.discard()
    assert waiting.can_resume
