import json

import pytest

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.networks.architectures import find_architecture
from napari_nucleiseg.training.speed import (
    estimate_minutes,
    remember_speed,
    seconds_per_megapixel,
)


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEISEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path / "models"))
    return tmp_path / "cache" / "speed.json"


def test_the_estimate_is_by_how_fast_it_was_before(memory):
    params = TrainParams(epochs=100, minutes=None)
    remember_speed("nuclei", 2.0)
    slow = estimate_minutes(params, "nuclei")
    remember_speed("nuclei", 1.0)
    assert estimate_minutes(params, "nuclei") < 0.6 * slow
    assert estimate_minutes(params.replace(minutes=1.0), "nuclei") < 1.5
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
    ],
)
def test_a_memory_that_is_no_such_thing_is_written_anew(memory, text):
    memory.parent.mkdir()
    memory.write_text(text)
    guess = seconds_per_megapixel("nuclei")
    assert 0 < guess <= find_architecture("nuclei").seconds_per_megapixel
    remember_speed("nuclei", 1.5)
    assert json.loads(memory.read_text()) == {"nuclei": 1.5}
    assert seconds_per_megapixel("nuclei") == 1.5
