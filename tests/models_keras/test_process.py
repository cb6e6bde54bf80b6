"""A training in a process of its own, as the window runs it."""

import os
import signal
import sys
import time

import pytest

from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.training.process import (
    TrainingFailed,
    TrainingKilled,
    TrainingProcess,
)
from napari_nucleiseg.training.run import prepare
from napari_nucleiseg.training.run_folder import Order


class Watch:
    """A monitor that does something after so many epochs."""

    def __init__(self, act, epochs=1):
        self.epochs, self.stages = [], []
        self._act, self._after = act, epochs

    def report(self, progress):
        self.stages.append(progress.stage)
        if progress.stage == "Epoch":
            self.epochs.append(progress.done)
            if len(self.epochs) == self._after:
                self._act()

    def should_stop(self):
        return False


@pytest.fixture
def run(tiny_model, quick, pairs, validation, tmp_path):
    order = Order(
        name="mine",
        params=quick.replace(epochs=500, steps_per_epoch=4),
        base=str(tiny_model.folder),
        keep_always=True,
    )
    return prepare(pairs, validation, tmp_path / "mine", order)


def test_stop_keeps_the_best_so_far(run):
    process = TrainingProcess(run)
    watch = Watch(process.stop, epochs=3)  # the first says how the base does
    result = process.wait(watch)
    assert result.stopped
    assert result.kept
    assert 2 <= result.epochs < 10
    assert find_model(result.folder).card.training["stopped_early"]
    assert not process.is_running
    assert not run.exists


@pytest.mark.skipif(sys.platform == "win32", reason="no signals on Windows")
def test_a_killed_training_says_so_and_can_be_resumed(run):
    process = TrainingProcess(run)
    watch = Watch(lambda: os.kill(process.pid, signal.SIGKILL), epochs=2)
    with pytest.raises(TrainingKilled, match=r"SIGKILL.*memory.*Resume continues"):
        process.wait(watch)
    assert run.can_resume
    done = run.load()[0].history[-1]["epoch"]
    again = TrainingProcess(run)
    watch = Watch(again.stop)
    result = again.wait(watch)
    assert watch.epochs[0] == done + 1
    assert result.kept


def test_left_alone_it_stops_and_keeps_the_best(run):
    """As when the window that started it is gone."""
    process = TrainingProcess(run)
    assert process.wait(Watch(process.let_go)) is None
    deadline = time.monotonic() + 120
    while process.is_running and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not process.is_running
    assert find_model(run.output).card.training["stopped_early"]


def test_what_went_wrong_is_said_in_words(run, tiny_model):
    (tiny_model.folder / "network.keras").unlink()
    with pytest.raises(TrainingFailed, match=r"network\.keras is missing"):
        TrainingProcess(run).wait()
