import dataclasses
import json

import pytest

from napari_nucleiseg.core.segment.confidence import Calibration
from napari_nucleiseg.models.card import CARD_FILE, ModelCard, format_card
from napari_nucleiseg.models.predictor import LitePredictor
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.models.verdict import Figures, Verdict


@pytest.fixture
def built_in():
    return find_model()


def change_card(folder, change):
    card = json.loads((folder / CARD_FILE).read_text())
    change(card)
    (folder / CARD_FILE).write_text(json.dumps(card))


def test_cards_old_and_new(mine):
    folder = mine.folder
    change_card(folder, lambda card: card.pop("architecture"))
    assert find_model(folder).card.architecture == "nuclei"
    two = {"architecture": "unet", "maps": ["background", "nucleus"]}
    change_card(folder, lambda card: card.update(two))
    card = find_model(folder).card
    assert (card.architecture, card.maps) == ("unet", ("background", "nucleus"))
    assert "unet: background, nucleus" in format_card(card, "here", False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "has the entry 'colour', which this version .* does not know"),
        ({"name": 3}, "name cannot be 3"),
        ({"channels": "3"}, "channels cannot be '3'"),
        ({"diameter_range": [1, 2, 3]}, r"diameter_range cannot be \[1, 2, 3\]"),
        ({"maps": [1]}, "maps cannot be 1"),
        ({"training": []}, r"training cannot be \[\]"),
        ({"thresholds": {"probability": "high"}}, "probability cannot be 'high'"),
        ({"thresholds": {"radius": 1}}, "radius"),
        ({"calibration": 3}, "argument after .* must be a mapping"),
        ({"calibration": {"intercept": 1}}, "missing .* 'weights'"),
        ({"calibration": {"intercept": 1, "weights": {}}}, "must have the weights"),
    ],
)
def test_a_card_says_what_is_wrong_with_it(mine, change, message):
    folder = mine.folder
    change_card(folder, lambda card: card.update(change))
    with pytest.raises(ValueError, match=f"is not a model's card: .*{message}"):
        ModelCard.read(folder)


def test_a_calibration_is_kept_in_the_card(mine, built_in):
    """Cards written before there was one, and a user's own, do without."""
    folder = mine.folder
    change_card(folder, lambda card: card.pop("calibration", None))
    assert find_model(folder).card.calibration is None
    weights = {"sureness": 1, "contact": -2.5, "shallowness": 0, "excess": -1}
    calibration = Calibration(0.5, weights, {"split": "val"})
    card = dataclasses.replace(find_model(folder).card, calibration=calibration)
    (folder / CARD_FILE).write_text(card.to_json())
    found = find_model(folder)
    assert found.card == card
    running = LitePredictor(dataclasses.replace(built_in, card=found.card))
    assert running.spec.calibration == calibration


def test_a_card_as_text(built_in):
    card, rows = built_in.card, [{"epoch": 1, "minutes": 3.0}]
    longer = [*rows, {"epoch": 2, "minutes": 5.0}]
    training = {"before": [{"history": rows}], "history": longer, "best_epoch": 2}
    text = format_card(dataclasses.replace(card, training=training), "here", True)
    assert "nuclei 1 (built in)" in text
    assert "3 epochs in 8 minutes, in 2 stretches" in text
    assert "best epoch   2 of 2" in text
    assert "test fluo" in text
    assert "verdict" not in text


def test_a_training_that_brought_nothing(built_in):
    rows = [{"epoch": epoch, "minutes": epoch * 2.0} for epoch in range(4)]
    training = {"history": rows, "best_epoch": 0}
    card = dataclasses.replace(built_in.card, training=training)
    text = format_card(card, "here", False)
    assert "3 epochs in 6 minutes" in text
    assert "best epoch   none of 3" in text


def test_the_verdict_is_in_the_text(built_in):
    zeros = dict.fromkeys(("missed", "false", "merged", "split", "misshapen"), 0)
    base, new = (
        Figures(AP50=x, AP75=x, mean_AP=x, nuclei=9, **zeros) for x in (0.5, 0.7)
    )
    verdict = Verdict(new, base, "nuclei", 2)
    card = dataclasses.replace(
        built_in.card, training={"base": "nuclei", "verdict": verdict.to_dict()}
    )
    text = format_card(card, "here", False)
    assert "started from nuclei" in text
    assert all(line in text for line in verdict.text.splitlines())


def test_a_card_with_figures_of_another_form_is_shown_all_the_same(built_in):
    card = dataclasses.replace(
        built_in.card, figures={"test": 3}, training={"verdict": {"new": 1}}
    )
    text = format_card(card, "here", False)
    assert "training     (of an unknown form)" in text
    assert "figures      (of an unknown form)" in text
