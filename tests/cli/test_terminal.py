import contextlib
import io
import os
import signal
import sys

import pytest

from napari_nucleiseg.cli.terminal import TrainMonitor
from napari_nucleiseg.core.monitor import Progress

ROW = {"epoch": 1.0, "loss": 0.5, "val_loss": 0.25, "val_AP50": 0.75, "minutes": 1.0}


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        return 2


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when the test says so; starts at 1000 s."""
    now = [1000.0]
    for name in ("time.monotonic", "tqdm.std.time"):
        monkeypatch.setattr(name, lambda: now[0])
    return now


def resize(monkeypatch, columns):
    size = os.terminal_size((columns, 24))
    monkeypatch.setattr("os.get_terminal_size", lambda fd=None: size)


def lines_of(terminal):
    """Return all that stood on a line of a terminal, bars left out."""
    lines = terminal.getvalue().replace("\n", "\r").split("\r")
    return [line.split(" #")[0].rstrip() for line in lines]


def follow(monitor, clock, epochs=2, steps=10, seconds=1.0):
    """Report a training of some epochs, each step taking a while."""
    monitor.report(Progress("Starting Keras", 0, 0))
    for step in range(1, epochs * steps + 1):
        clock[0] += seconds
        monitor.report(Progress("Training", step, epochs * steps, {"loss": 0.5}))
        if step % steps == 0:
            epoch = step // steps
            monitor.report(Progress("Checking", epoch, epochs))
            monitor.report(Progress("Epoch", epoch, epochs, {**ROW, "epoch": epoch}))
    monitor.report(Progress("Saving the model", 0, 0))


def test_a_line_that_follows_and_a_new_one_each_epoch(clock, monkeypatch):
    resize(monkeypatch, 90)
    err = Terminal()
    with contextlib.redirect_stderr(err):
        monitor = TrainMonitor(epochs=2)
        with monitor.heeding_ctrl_c():
            follow(monitor, clock)
    kept = [x.rsplit("\r", 1)[-1].rstrip() for x in err.getvalue().split("\n")]
    assert kept == [
        "Epoch 1 of 2  loss 0.500  val_loss 0.250  AP@0.5 0.750",
        "Epoch 2 of 2  loss 0.500  val_loss 0.250  AP@0.5 0.750",
        "",
    ]
    lines = lines_of(err)
    assert "Epoch 1 of 2  loss 0.500  15\xa0s left" in lines
    after = "Epoch 2 of 2  loss 0.500  val_loss 0.250  AP@0.5 0.750  5\xa0s left"
    assert after in lines
    assert max(map(len, lines)) < 90


def test_each_stage_of_a_recipe_has_its_own_time_left(clock, monkeypatch):
    resize(monkeypatch, 200)
    err = Terminal()
    with contextlib.redirect_stderr(err):
        monitor = TrainMonitor(2, 60.0)
        for stage, minutes in ((1, 0.5), (2, 0.2)):
            limits = {"epochs": 2, "minutes": minutes}
            monitor.report(Progress("Stage", stage, 2, limits))
            follow(monitor, clock, steps=1000)
    lines = lines_of(err)
    assert "Stage 1 of 2  Epoch 1 of 2  loss 0.500  29\xa0s left in this stage" in lines
    assert "Stage 2 of 2  Epoch 1 of 2  loss 0.500  11\xa0s left in this stage" in lines


def test_in_a_file_there_are_only_whole_epochs(clock):
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        monitor = TrainMonitor()
        with monitor.heeding_ctrl_c():
            follow(monitor, clock)
    assert "\r" not in err.getvalue()
    assert [line[:12] for line in err.getvalue().splitlines()] == [
        "Epoch 1 of 2",
        "Epoch 2 of 2",
    ]


def test_a_time_limit_is_in_the_time_left(clock, monkeypatch):
    resize(monkeypatch, 200)
    err = Terminal()
    with contextlib.redirect_stderr(err):
        follow(TrainMonitor(2, 0.1), clock, steps=1000)
    assert " 5\xa0s left" in err.getvalue()
    assert "min left" not in err.getvalue()


def test_a_narrow_terminal_gets_what_fits(clock, monkeypatch):
    resize(monkeypatch, 30)
    err = Terminal()
    with contextlib.redirect_stderr(err):
        follow(TrainMonitor(), clock)
    # What stays may wrap; what is drawn over could not be then.
    drawn = [text for text in err.getvalue().split("\r") if "\n" not in text]
    assert max(map(len, drawn)) < 30


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_the_first_ctrl_c_asks_to_stop_and_the_second_gives_up():
    before = signal.getsignal(signal.SIGINT)
    err = io.StringIO()
    monitor = TrainMonitor()
    with contextlib.redirect_stderr(err), monitor.heeding_ctrl_c():
        assert not monitor.should_stop()
        signal.raise_signal(signal.SIGINT)
        assert monitor.should_stop()
        assert "Stopping; the best epoch so far is kept" in err.getvalue()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert sys.stderr is not err
