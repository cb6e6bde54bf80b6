"""Trainings that were cut short, that fail, or whose place is taken."""

import json
import signal

import pytest

from napari_nucleiseg.models.registry import find_model

from .conftest import run
from .engine import interrupted_run, write_model


def test_a_model_is_replaced_only_when_asked(folder, engine, own_models):
    write_model(own_models / "mine")
    argv = ("train", "--images", folder, "--output", "mine")
    done = run(*argv)
    assert done.status == 2
    assert "--force replaces it" in done.err
    assert not engine.calls
    assert run(*argv, "--force").status == 0


def test_an_interrupted_training_is_resumed_or_given_up(folder, engine, own_models):
    waiting = interrupted_run(own_models / "mine")
    argv = ("train", "--output", "mine")
    done = run(*argv, "--images", folder)
    assert done.status == 2
    assert "--resume resumes it, --force discards it" in done.err
    assert waiting.can_resume
    done = run(*argv, "--resume")
    assert done.status == 0, done.err
    assert "the images and settings that the training began with" in done.err
    assert engine.calls[0]["resume"]
    assert waiting.exists  # the engine's to remove
    assert run(*argv, "--images", folder, "--force").status == 0
    assert not waiting.exists
    assert not engine.calls[1]["resume"]


def test_a_model_that_was_not_kept_at_first_can_be_kept(engine, folder, own_models):
    waiting = interrupted_run(own_models / "mine", ended=True)
    for argv in (["--resume"], ["--images", folder]):
        done = run("train", "--output", "mine", *argv)
        assert done.status == 2
        assert "--resume --keep keeps it" in done.err
    done = run("train", "--output", "mine", "--resume", "--keep")
    assert (done.status, done.out) == (0, f"Saved {own_models / 'mine'}\n")
    assert find_model("mine").card.name == "mine"
    assert not waiting.path.exists()
    assert not engine.calls


def test_a_training_is_resumed_the_way_it_began(engine, folder, own_models):
    interrupted_run(own_models / "mine", data={"recipe": "unet"})
    done = run("train", "--output", "mine", "--resume")
    assert done.status == 2
    assert "was started by --recipe unet; --resume needs the same" in done.err
    argv = ("--recipe", "unet", "--resume", "--images", folder)
    assert run("train", "--output", "mine", *argv).status == 0
    assert engine.calls[0]["resume"]


# ---- stopping ---------------------------------------------------------------------


def test_ctrl_c_stops_and_keeps_the_best(engine, folder):
    engine.during = lambda monitor: signal.raise_signal(signal.SIGINT)
    done = run("train", "--images", folder, "--output", "mine", "--json")
    assert done.status == 0, done.err
    assert "Stopping; the best epoch so far is kept" in done.err
    assert json.loads(done.out)["stopped"]


def test_ctrl_c_twice_gives_up_and_says_how_to_go_on(engine, folder, own_models):
    def twice(monitor):
        interrupted_run(own_models / "mine")
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    engine.during = twice
    done = run("train", "--images", folder, "--output", "mine")
    assert done.status == 130
    assert "--resume continues from the last epoch" in done.err
    assert "interrupted" in done.err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FloatingPointError("The loss became nan."), "The loss became nan."),
        (MemoryError(), "there is not enough memory"),
        (OSError("The model could not be saved."), "could not be saved"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence(engine, folder, error, message):
    def fail(monitor):
        raise error

    engine.during = fail
    done = run("train", "--images", folder, "--output", "mine")
    assert done.status == 2
    assert message in done.err
    assert "Traceback" not in done.err
