import dataclasses
import json

import numpy as np
import pytest

from napari_nucleiseg.core.params import SegmentParams, TrainParams


@pytest.mark.parametrize("kind", [SegmentParams, TrainParams])
def test_every_parameter_can_be_shown_and_its_limits_hold(kind):
    defaults = kind()
    for spec in dataclasses.fields(kind):
        meta = spec.metadata
        assert meta["label"]
        assert len(meta["tip"]) > 20
        if meta["choices"]:
            for choice in meta["choices"]:
                assert kind(**{spec.name: choice})
            with pytest.raises(ValueError, match=f"{spec.name} must be one of"):
                kind(**{spec.name: "anything"})
            continue
        if spec.type == "bool":
            assert getattr(kind(**{spec.name: True}), spec.name) is True
            with pytest.raises(TypeError, match=f"{spec.name} must be True or False"):
                kind(**{spec.name: 1})
            continue
        for end in ("low", "high"):
            assert (
                getattr(defaults.replace(**{spec.name: meta[end]}), spec.name)
                == (meta[end])
            )
        for outside in (meta["low"] - 1, meta["high"] + 1):
            with pytest.raises(ValueError, match=f"{spec.name} must be between"):
                kind(**{spec.name: outside})


@pytest.mark.parametrize("kind", [SegmentParams, TrainParams])
def test_round_trip_through_json(kind):
    params = kind()
    assert kind.from_dict(json.loads(json.dumps(params.to_dict()))) == params


def test_message_says_what_was_wanted_and_what_came():
    with pytest.raises(
        ValueError, match=r"probability must be between 0\.05 and 0\.95; received 7"
    ):
        SegmentParams(probability=7)
    with pytest.raises(TypeError, match="diameter must be a number; received 'big'"):
        SegmentParams(diameter="big")
    with pytest.raises(TypeError, match=r"min_area must be a whole .* received 3\.5"):
        SegmentParams(min_area=3.5)
    with pytest.raises(TypeError, match="epochs must be given; received None"):
        TrainParams(epochs=None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_must_be_finite(value):
    with pytest.raises(ValueError, match="diameter must be between"):
        SegmentParams(diameter=value)


def test_true_is_not_a_number():
    with pytest.raises(TypeError, match="must be a number"):
        SegmentParams(min_area=True)


def test_numpy_numbers_become_plain_ones():
    params = SegmentParams(diameter=np.float32(20), min_area=np.int64(5))
    assert type(params.diameter) is float
    assert type(params.min_area) is int
    json.dumps(params.to_dict())


def test_unknown_names_are_listed_beside_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown parameter radius; .*diameter"):
        SegmentParams.from_dict({"radius": 3})


def test_changing_a_copy_checks_it_too():
    params = TrainParams()
    assert params.replace(epochs=3).epochs == 3
    assert params.epochs != 3
    with pytest.raises(ValueError, match="epochs must be between"):
        params.replace(epochs=0)
