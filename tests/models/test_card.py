import dataclasses
import json
import os

import numpy as np
import pytest

from napari_nucleiseg.core.segment.confidence import Calibration
from napari_nucleiseg.models.card import (
    CARD_FILE,
    MOST_CARD_BYTES,
    ModelCard,
    format_card,
)
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
        ({"colour": 1}, "Unknown entry 'colour'; ModelCard has name, "),
        ({"name": 3}, "name must be a valid string; received 3"),
        ({"name": "nul"}, "'nul' is the name of a device on Windows"),
        ({"name": "../up"}, "must be 1 to 64 letters, digits, - or _"),
        ({"title": "red \x1b[31m"}, r"title: A text of one line is wanted; .*\\x1b"),
        ({"channels": "3"}, "channels must be a valid integer; received '3'"),
        ({"diameter": 1e999}, "diameter must be between 1 and 1000; .* inf"),
        ({"diameter_range": [1, 2, 3]}, r"diameter_range .* at most 2"),
        ({"diameter_range": [30, 20]}, "The lesser diameter must come first"),
        ({"maps": [1]}, "maps.0 must be a valid string; received 1"),
        ({"training": []}, r"training must be a valid dict.*; received \[\]"),
        ({"training": {"minutes": float("nan")}}, "must be a finite number"),
        ({"thresholds": {"probability": "high"}}, "probability must .* 'high'"),
        ({"thresholds": {"probability": 1e308}}, "probability must be between"),
        ({"thresholds": {"radius": 1}}, "Unknown entry 'radius'"),
        ({"calibration": 3}, "calibration must be .*; received 3"),
        ({"calibration": {"intercept": 1}}, r"weights is missing"),
        ({"calibration": {"intercept": 1, "weights": {}}}, "must have the weights"),
        ({"files": {"network.tflite": "0"}}, "files.* must match pattern"),
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
    calibration = Calibration(
        intercept=0.5, weights=weights, fitted_on={"split": "val"}
    )
    card = find_model(folder).card.replace(calibration=calibration)
    (folder / CARD_FILE).write_text(card.model_dump_json())
    found = find_model(folder)
    assert found.card == card
    running = LitePredictor(dataclasses.replace(built_in, card=found.card))
    assert running.spec.calibration == calibration


def test_a_card_as_text(built_in):
    card, rows = built_in.card, [{"epoch": 1, "minutes": 3.0}]
    longer = [*rows, {"epoch": 2, "minutes": 5.0}]
    training = {"before": [{"history": rows}], "history": longer, "best_epoch": 2}
    text = format_card(card.replace(training=training), "here", True)
    assert f"nuclei {find_model().card.version} (built in)" in text
    assert "3 epochs in 8 minutes, in 2 stretches" in text
    assert "best epoch   2 of 2" in text
    assert "test fluo" in text
    assert "verdict" not in text


def test_a_training_that_brought_nothing(built_in):
    rows = [{"epoch": epoch, "minutes": epoch * 2.0} for epoch in range(4)]
    training = {"history": rows, "best_epoch": 0}
    card = built_in.card.replace(training=training)
    text = format_card(card, "here", False)
    assert "3 epochs in 6 minutes" in text
    assert "best epoch   none of 3" in text


def test_the_verdict_is_in_the_text(built_in):
    zeros = dict.fromkeys(("missed", "false", "merged", "split", "misshapen"), 0)
    base, new = (
        Figures(AP50=x, AP75=x, mean_AP=x, nuclei=9, **zeros) for x in (0.5, 0.7)
    )
    verdict = Verdict(new=new, base=base, base_name="nuclei", images=2)
    card = built_in.card.replace(
        training={"base": "nuclei", "verdict": verdict.model_dump()}
    )
    text = format_card(card, "here", False)
    assert "started from nuclei" in text
    assert all(line in text for line in verdict.text.splitlines())


def test_a_card_with_figures_of_another_form_is_shown_all_the_same(built_in):
    card = built_in.card.replace(figures={"test": 3}, training={"verdict": {"new": 1}})
    text = format_card(card, "here", False)
    assert "training     (of an unknown form)" in text
    assert "figures      (of an unknown form)" in text


def test_what_is_no_plain_file_of_sane_size_is_no_card(mine):
    card = mine.folder / CARD_FILE
    card.write_bytes(b" " * (MOST_CARD_BYTES + 1))
    with pytest.raises(ValueError, match="must be a regular file of at most 16 MB"):
        ModelCard.read(mine.folder)
    card.unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(card)
        with pytest.raises(ValueError, match="must be a regular file of at most 16 MB"):
            ModelCard.read(mine.folder)  # and does not wait for a writer


def test_nothing_that_a_terminal_obeys_is_printed(built_in):
    card = built_in.card.replace(data={"source": "a\x1b[31mb\rc"})
    text = format_card(card, "here", False)
    assert (
        "trained on   a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c" in text
    )


#: What a value in a card may have been turned into.
WRONG = (
    None,
    True,
    "",
    "x\x1b",
    -1,
    0,
    3.5,
    1e308,
    -1e308,
    10**400,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    {"a": {}},
)


def test_a_card_that_was_altered_is_refused_or_makes_no_difference(built_in):
    """Seeded: values, entries and bytes of what the result depends on are changed."""
    random = np.random.default_rng(11)
    text = (built_in.folder / CARD_FILE).read_text()
    told = ("data", "training", "figures", "title", "version", "license")
    matters = {k: v for k, v in json.loads(text).items() if k not in told}
    right = working_values(ModelCard.read(built_in.folder))
    refusals = []
    for _ in range(400):
        values = json.loads(text)
        kind, altered = alter(values, matters, random)
        try:
            card = ModelCard.parse(altered, "The card")
        except ValueError as e:
            refusals.append(str(e))
            continue
        # A number that may be one is another model; a wrong one is not let through.
        assert kind == "plausible" or working_values(card) == right, altered[:300]
    assert len(refusals) > 200
    for message in refusals:
        assert message.startswith("The card is not a model's card: ")
        assert message.isprintable()
        assert len(message) < 600


#: What a calibration was fitted on is for the reader.
FITTED_ON = {"calibration": {"fitted_on": True}}


def working_values(card):
    told = ("data", "training", "figures", "normalisation")
    return card.model_dump(exclude={**dict.fromkeys(told, True), **FITTED_ON})


def alter(values, matters, random):
    """Return how a card was altered, and its JSON."""
    place, key = values, random.choice(sorted(matters))
    while isinstance(place[key], dict | list) and place[key] and random.random() < 0.8:
        place = place[key]
        key = (
            random.choice(sorted(place))
            if isinstance(place, dict)
            else int(random.integers(len(place)))
        )
    how = random.integers(3)
    if how == 0:
        old, new = place[key], WRONG[random.integers(len(WRONG))]
        place[key] = new
        # Of the same kind, or left to the default: the card of another model.
        number = isinstance(old, int | float) and isinstance(new, int | float)
        plausible = new is None or type(new) is type(old) or number
        bounded = not number or (isinstance(new, int | float) and abs(new) < 1e6)
        return ("plausible" if plausible and bounded else "wrong"), dump(values)
    if how == 1:
        if isinstance(place, dict):
            place["x\x1b" if random.random() < 0.5 else "unknown"] = 1
            return "wrong", dump(values)
        place.append(place[0])
        return "plausible", dump(values)
    cut = dump(values)
    return "wrong", cut[: random.integers(len(cut) - 1)]


def dump(values):
    return json.dumps(values).encode()
