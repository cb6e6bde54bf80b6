"""A training whose window is killed: it ends with its epoch, or goes on if it may."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.training.run_folder import Order, RunFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals on Windows")

#: The child: its epochs are nothing but time. Keras in it is seen in
#: tests/models_keras/test_process.py.
CHILD = """
import time
from napari_nucleiseg.core.monitor import Progress
from napari_nucleiseg.training import process, run
from napari_nucleiseg.training.checkpoint import TrainState

def execute(folder, monitor):
    folder.acquire()
    rows = []
    for epoch in range(1, 40):
        if monitor.should_stop():
            break
        for step in range(5):
            time.sleep(0.02)
            monitor.report(Progress("Training", step, 5, {"loss": 1.0}))
        rows.append({"epoch": epoch, "val_loss": 1.0, "val_AP50": 0.5})
        values = {"best_epoch": epoch}
        folder.save(TrainState([], [], [], rows, values), [], better=True)
        monitor.report(Progress("Epoch", epoch, 8, rows[-1]))
    (folder.path / "to_the_end").touch()
    raise ValueError("That is all.")

run.execute = execute
process.main()
"""

#: The window: it starts the training, and is killed.
WINDOW = """
import subprocess, sys
from pathlib import Path
from types import SimpleNamespace
from napari_nucleiseg.training import process
from napari_nucleiseg.training.run_folder import RunFolder

def start(command, **options):
    at = command.index("-m")
    command[at : at + 2] = [sys.argv[2]]
    return subprocess.Popen(command, **options)

process.subprocess = SimpleNamespace(Popen=start, PIPE=subprocess.PIPE)
child = process.TrainingProcess(RunFolder(Path(sys.argv[1])))
print(child.pid, flush=True)
class Tell:
    def report(self, progress):
        if progress.stage == "Epoch":
            print("epoch", flush=True)
    def should_stop(self):
        return False
child.wait(Tell())
"""


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("go_on", [False, True])
def test_a_training_whose_window_is_killed(tmp_path, go_on):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    pairs = [Pair(np.zeros((9, 9)), np.eye(9, dtype=int), "a")]
    order = Order(name="mine", go_on=go_on)
    run = RunFolder.create(tmp_path / "mine", order, pairs, pairs)
    run.release()
    window = subprocess.Popen(
        [sys.executable, "-c", WINDOW, str(run.output), str(script)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with window:
        child = int(window.stdout.readline())
        other = RunFolder(run.output)  # as another window sees it
        assert window.stdout.readline() == "epoch\n"
        assert other.owner == f"another window (process {child})"
        assert [row["epoch"] for row in other.history][:1] == [1]
        os.kill(window.pid, signal.SIGKILL)
    if go_on:
        wait_for(lambda: other.owner == f"the background (process {child})")
    wait_for(lambda: not other.owner)
    assert (run.path / "to_the_end").exists() is go_on
    # Nothing is lost, and it says where it is.
    assert other.can_resume
    epochs = [row["epoch"] for row in other.history]
    assert epochs == list(range(1, len(epochs) + 1))
    assert (len(epochs) == 39) is go_on
    owner = json.loads((run.path / "process.json").read_text())
    assert owner["pid"] == child
