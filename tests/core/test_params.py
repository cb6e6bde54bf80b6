import json

import numpy as np
import pytest

from napari_nucleiseg.core.parameter import parameter_specs
from napari_nucleiseg.core.params import SegmentParams, TrainParams


@pytest.mark.parametrize("kind", [SegmentParams, TrainParams])
def test_every_parameter_can_be_shown_and_its_limits_hold(kind):
    defaults = kind()
    for spec in parameter_specs(kind):
        name = spec.name
        assert spec.label[0].isupper()
        assert len(spec.tip) > 20
        if spec.choices:
            for choice in spec.choices:
                assert kind(**{name: choice})
            with pytest.raises(ValueError, match=f"{name} must be '.* or '.*'; rec"):
                kind(**{name: "anything"})
        elif spec.kind is bool:
            assert getattr(kind(**{name: True}), name) is True
            with pytest.raises(ValueError, match=f"{name} must be .* boolean; .* 1"):
                kind(**{name: 1})
        else:
            for end in (spec.low, spec.high):
                assert getattr(defaults.replace(**{name: end}), name) == end
            for outside in (spec.low - 1, spec.high + 1, np.nan, np.inf, -np.inf):
                with pytest.raises(ValueError, match=f"{name} must be "):
                    kind(**{name: outside})
        if not spec.optional:
            with pytest.raises(ValueError, match=f"{name} must be .*; received None"):
                kind(**{name: None})


@pytest.mark.parametrize("kind", [SegmentParams, TrainParams])
def test_round_trip_through_json(kind):
    params = kind()
    assert kind.from_json(params.model_dump_json()) == params
    assert kind(**json.loads(json.dumps(params.model_dump()))) == params


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"probability": 7}, r"probability must be between 0\.05 and 0\.95; .* 7\."),
        ({"probability": np.nan}, "probability must be between .*; received nan"),
        ({"diameter": "big"}, "diameter must be a valid number; received 'big'"),
        ({"diameter": "20"}, "diameter must be a valid number; received '20'"),
        ({"min_area": 3.5}, r"min_area must be a valid integer.*; received 3\.5"),
        ({"min_area": True}, "min_area must be a valid integer; received True"),
        ({"radius": 3}, "Unknown entry 'radius'; SegmentParams has diameter, "),
        ({"radius": 3, "diameter": 1}, r"diameter must .* 1\. Unknown entry 'radius'"),
    ],
)
def test_message_says_what_was_wanted_and_what_came(values, message):
    with pytest.raises(ValueError, match=message):
        SegmentParams(**values)
    with pytest.raises(ValueError, match=r"^[^\n]*$"):
        SegmentParams(**values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"diameter": NaN}', "diameter must be between 3 and 1000; received nan"),
        ('{"diameter": 1e999}', "diameter must be between 3 and 1000; received inf"),
        ("[1]", r"A JSON object is wanted; received \[1\]"),
        ("{", "This is not JSON"),
        (b"\xff\xfe{", "This is not JSON"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_json_that_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        SegmentParams.from_json(text)


def test_numpy_numbers_become_plain_ones():
    params = SegmentParams(diameter=np.float32(20), min_area=np.int64(5))
    assert type(params.diameter) is float
    assert type(params.min_area) is int
    assert SegmentParams(min_area=5.0).min_area == 5


def test_changing_a_copy_checks_it_too():
    params = TrainParams()
    assert params.replace(epochs=3).epochs == 3
    assert params.epochs != 3
    with pytest.raises(ValueError, match="epochs must be between"):
        params.replace(epochs=0)
    with pytest.raises(ValueError, match="frozen"):
        params.epochs = 3
