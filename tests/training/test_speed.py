"""How long trainings took here is noted for the next estimate."""

import pytest

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.training.speed import (
    estimate_minutes,
    remember_speed,
    seconds_per_megapixel,
)


@pytest.fixture
def memory(monkeypatch, tmp_path):
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path))
    return tmp_path / "speed.json"


def test_what_was_measured_is_used_next_time(memory):
    guess = seconds_per_megapixel("nuclei")
    remember_speed("nuclei", 2 * guess)
    remember_speed("unet", 7.0)
    assert seconds_per_megapixel("nuclei") == pytest.approx(2 * guess, abs=0.01)
    hour = TrainParams(epochs=500, steps_per_epoch=500, minutes=60)
    assert 60 <= estimate_minutes(hour, "unet") < 61


@pytest.mark.parametrize(
    "text", ["[1, 2]", "7", "null", '"a"', "{", "", '{"nuclei": "NaN"}', "{}"]
)
def test_a_file_that_is_no_such_note_is_replaced(memory, text):
    guess = seconds_per_megapixel("nuclei")
    memory.write_text(text)
    assert seconds_per_megapixel("nuclei") == guess
    remember_speed("nuclei", 3.0)
    assert seconds_per_megapixel("nuclei") == 3.0
