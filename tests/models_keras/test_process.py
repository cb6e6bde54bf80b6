"""A training in a process of its own, as the window runs it."""

import shutil
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


def test_a_killed_training_is_resumed_and_one_that_is_stopped_keeps_the_best(
    run, tiny_model
):
    # The model it started from may go: it is kept with the training.
    shutil.rmtree(tiny_model.folder)
    process = TrainingProcess(run)
    watch = Watch(process.kill, epochs=2)
    # Windows has no signals.
    killed = "" if sys.platform == "win32" else "SIGKILL.*memory.*"
    with pytest.raises(TrainingKilled, match=f"{killed}Resume continues"):
        process.wait(watch)
    assert run.can_resume
    done = run.load()[0].history[-1]["epoch"]
    again = TrainingProcess(run)
    watch = Watch(again.stop)
    outcome = again.wait(watch)
    assert watch.epochs[0] == done + 1
    assert outcome.stopped
    assert outcome.kept
    assert done + 1 <= outcome.epochs < done + 8
    assert outcome.folder == run.output
    assert outcome.model.card.training["stopped_early"]
    assert not again.is_running
    assert not run.exists


def test_left_alone_it_stops_and_keeps_the_best(run):
    """As when the window that started it is gone."""
    process = TrainingProcess(run)
    assert process.wait(Watch(process.let_go)) is None
    deadline = time.monotonic() + 120
    while process.is_running and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not process.is_running
    assert find_model(run.output).card.training["stopped_early"]


def test_what_went_wrong_is_said_in_words(run):
    (run.base / "network.keras").unlink()
    with pytest.raises(TrainingFailed, match=r"network\.keras is missing"):
        TrainingProcess(run).wait()
