import os
import subprocess
import sys

import pytest

from napari_nucleiseg import __version__, cli
from napari_nucleiseg.cli import main
from napari_nucleiseg.cli.options import given_options
from napari_nucleiseg.core.parameter import parameter_specs
from napari_nucleiseg.core.params import SegmentParams, TrainParams

from .conftest import run


def test_version_help_and_no_command():
    assert run("--version").out.strip() == __version__
    for command in ("segment", "score", "models", "train", "demo"):
        assert command in run("--help").out
        assert run(command, "--help").status == 0
    assert run().status == 2
    assert run("segment").status == 2


@pytest.mark.parametrize(
    ("command", "kind"), [("segment", SegmentParams), ("train", TrainParams)]
)
def test_every_parameter_has_an_option(command, kind):
    text = run(command, "--help").out
    for spec in parameter_specs(kind):
        assert f"--{spec.name.replace('_', '-')} " in text, spec.name
    words = " ".join(text.split())
    assert "held out" in words if command == "train" else "3 to 1000 px" in words


def test_a_reader_that_has_had_enough_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "napari_nucleiseg", "models"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_options_that_are_given_and_those_that_are_not():
    parser = cli.build_parser()
    argv = ["train", "--output", "x", "--images", "y"]
    assert given_options(parser.parse_args(argv), TrainParams) == {}
    argv += ["--patience", "auto", "--learning-rate", "1e-3", "--batch-size", "4"]
    argv += ["--schedule", "cosine", "--no-rehearsal"]
    given = given_options(parser.parse_args(argv), TrainParams)
    assert given == {
        "patience": None,
        "learning_rate": 1e-3,
        "batch_size": 4,
        "schedule": "cosine",
        "rehearsal": 0.0,
    }
    TrainParams(**given)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--epochs", "many"], "invalid int value: 'many'"),
        (["--epochs", "auto"], "invalid int value: 'auto'"),
        (["--schedule", "steep"], "invalid choice: 'steep'"),
        (["--base", "a", "--recipe", "b"], "not allowed with argument --base"),
        (["--resume", "--force"], "not allowed with argument --resume"),
    ],
)
def test_options_that_cannot_be_read(argv, message):
    done = run("train", "--output", "x", "--images", "y", *argv)
    assert done.status == 2
    assert message in done.err


def test_the_command_is_there_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "napari_nucleiseg", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == __version__
    assert cli.main is main
