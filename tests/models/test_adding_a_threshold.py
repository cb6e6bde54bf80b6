"""One field more in the thresholds, and all the rest has it."""

import argparse

import numpy as np
import pytest

from napari_nucleiseg.cli.options import add_options, given_options
from napari_nucleiseg.core import params
from napari_nucleiseg.core.parameter import parameter, parameter_specs
from napari_nucleiseg.core.segment.result import Segmentation, resolve_settings
from napari_nucleiseg.models.card import ModelCard, format_card
from napari_nucleiseg.models.registry import find_model


class Toys(params.InstanceSettings):
    """What would be written: one field."""

    roundness: float = parameter(0.2, "Roundness", 0, 0.9, step=0.01)
    """Nuclei that are less round than this are left out."""


class ToyParams(params.as_asked(Toys, params.Record)):
    """As `SegmentParams` is made from the thresholds there are."""


class ToyCard(ModelCard):
    """As `ModelCard` holds the thresholds there are."""

    thresholds: Toys


def test_it_is_in_the_form_and_the_shell():
    (spec,) = (x for x in parameter_specs(ToyParams) if x.name == "roundness")
    assert (spec.label, spec.low, spec.high, spec.default) == (
        "Roundness",
        0,
        0.9,
        None,
    )
    parser = argparse.ArgumentParser()
    add_options(parser, ToyParams)
    assert "less round than this" in " ".join(parser.format_help().split())
    given = given_options(parser.parse_args(["--roundness", "0.5"]), ToyParams)
    assert ToyParams(**given).roundness == 0.5
    with pytest.raises(ValueError, match=r"roundness must be between 0 and 0\.9"):
        ToyParams(roundness=1)


def test_it_is_in_the_card_and_the_record():
    values = find_model().card.model_dump(mode="json")
    assert ToyCard(**values).thresholds.roundness == 0.2
    values["thresholds"]["roundness"] = 0.4
    card = ToyCard.parse(ToyCard(**values).model_dump_json().encode(), "It")
    assert "roundness 0.4" in format_card(card, "here", False)
    for asked, used in ((None, 0.4), (0.7, 0.7)):
        wanted = ToyParams(roundness=asked)
        settings = resolve_settings(wanted, card.thresholds, 20.0)
        found = Segmentation(
            labels=np.zeros((4, 4), np.int32),
            confidence=np.zeros(0, np.float32),
            params=params.SegmentParams(),
            settings=settings,
            model="toy",
            model_settings=card.thresholds,
            diameter=20.0,
            scale=1.0,
            planes=(),
        )
        assert found.record()["roundness"] == used
