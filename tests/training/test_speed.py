import json

import pytest

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.networks.architectures import find_architecture
from napari_nucleiseg.training.speed import (
    Speed,
    estimate_minutes,
    find_speed,
    pixels_per_epoch,
    remember_around,
    remember_speed,
)


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEISEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path / "models"))
    return tmp_path / "cache" / "speed.json"


def test_the_estimate_is_by_how_fast_it_was_before(memory):
    params = TrainParams(epochs=100, minutes=None)
    remember_speed("nuclei", Speed(2.0, 4.0), 5e6)
    slow = estimate_minutes(params, "nuclei")
    remember_speed("nuclei", Speed(1.0, 2.0), 5e6)
    assert estimate_minutes(params, "nuclei") < 0.6 * slow
    assert estimate_minutes(params.replace(minutes=1.0), "nuclei") < 1.8
    assert not (memory.parents[1] / "models").exists()  # no place for a model's name


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2]",
        "3",
        "null",
        '"a"',
        "{",
        "",
        "{}",
        '{"nuclei": -1}',
        '{"nuclei": "NaN"}',
        '{"nuclei": 1.5}',
        '{"nuclei": [1.5, NaN]}',
    ],
)
def test_a_memory_that_is_no_such_thing_is_written_anew(memory, text):
    memory.parent.mkdir()
    memory.write_text(text)
    guess = find_speed("nuclei").per_megapixel
    assert 0 < guess <= find_architecture("nuclei").seconds_per_megapixel
    remember_speed("nuclei", Speed(1.5, 3.0), 5e6)
    assert json.loads(memory.read_text()) == {"nuclei": [1.5, 3.0]}
    assert find_speed("nuclei") == Speed(1.5, 3.0)


def test_the_estimate_is_what_such_a_training_takes(memory):
    """Epochs, the checks after them, and what is before and after."""
    params = TrainParams(epochs=10, minutes=None)
    remember_speed("nuclei", Speed(1.2, 9.0), 5e6)
    an_epoch = pixels_per_epoch(params) / 1e6 * 1.2 + 9.0
    seconds = 10 * an_epoch + 9.0
    assert seconds <= 60 * estimate_minutes(params, "nuclei") <= seconds + 60


def test_what_is_before_and_after_the_epochs_is_remembered(memory):
    """On a busy computer, Keras alone takes minutes to start."""
    params = TrainParams(epochs=1000, minutes=2.0)
    remember_around("nuclei", 240.0)  # of a network whose speed is not known: nothing
    assert not memory.exists()
    remember_speed("nuclei", Speed(1.2, 6.0), 5e6)
    assert estimate_minutes(params, "nuclei") < 3
    remember_around("nuclei", 240.0)
    assert 6.0 < estimate_minutes(params, "nuclei") < 6.5
    remember_speed("nuclei", Speed(1.1, 6.0), 5e6)
    assert find_speed("nuclei") == Speed(1.1, 6.0, 240.0)


def test_a_training_of_next_to_nothing_teaches_no_speed(memory):
    """As with tiny patches: each step is all overhead."""
    before = find_speed("nuclei")
    remember_speed("nuclei", Speed(13_000.0, 9.0), 8192)
    assert find_speed("nuclei") == before
