"""What is said of two models, in words that do not contradict its figures."""

import re

import pytest

from napari_nucleiseg.models.verdict import Figures, Verdict

ZEROS = dict.fromkeys(("missed", "false", "merged", "split", "misshapen"), 0)


def figures(ap50, ap75, nuclei):
    return Figures(AP50=ap50, AP75=ap75, mean_AP=ap75, nuclei=nuclei, **ZEROS)


def verdict(base, new, interval, nuclei=60, **more):
    return Verdict(
        new=figures(*new, nuclei),
        base=figures(*base, nuclei),
        base_name="nuclei",
        images=2,
        interval=interval,
        **more,
    )


SURE = verdict((0.5, 0.3), (0.6, 0.4), (0.02, 0.18))
OPEN = verdict((0.5, 0.3), (0.54, 0.34), (-0.01, 0.09), worst="plate 3")
FEW = verdict((0.2, 0.2), (0.6, 0.4), (0.1, 0.5), nuclei=5)
WORSE = verdict((0.5, 0.3), (0.4, 0.2), (-0.2, -0.02))


@pytest.mark.parametrize(
    ("found", "word", "keeps"),
    [
        (SURE, "better", True),
        (OPEN, "can't tell", True),
        (FEW, "can't tell", True),
        (WORSE, "not better", False),
        # Worse on the few: that, too, can only be the strip of three.
        (verdict((0.5, 0.3), (0.4, 0.3), (-0.2, 0.1), nuclei=5), "can't tell", True),
        (verdict((0.5, 0.3), (0.4, 0.3), (-0.2, 0.1)), "can't tell", False),
        (FEW.replace(packaged=(0.7, 0.5)), "can't tell", False),
        (FEW.replace(packaged=(0.7, 0.69)), "can't tell", True),
        (SURE.replace(unchanged=True), "not better", False),
        # The mean rises, and yet fewer are found.
        (verdict((0.615, 0.3), (0.571, 0.5), (0.03, 0.12)), "not better", False),
        # It rises, and fewer are found, but either may be chance.
        (verdict((0.615, 0.3), (0.571, 0.5), (-0.03, 0.18)), "can't tell", True),
    ],
)
def test_the_word_and_whether_to_keep_it(found, word, keeps):
    assert found.word == word
    assert found.worth_keeping is keeps
    assert found.better is (word == "better")


def test_the_sentence_says_what_decides_it():
    assert SURE.sentence == (
        "Better than nuclei on 60 held-out nuclei in 2 images: AP 0.400 → 0.500 (90% "
        "interval of the gain: +0.020 to +0.180)."
    )
    assert OPEN.sentence.startswith("Can't tell yet whether it is better than nuclei")
    assert "−0.010 to +0.090" in OPEN.sentence
    assert re.search(r"Label about \d+ more, for instance in plate 3\.", OPEN.sentence)
    test = SURE.replace(on="test").sentence
    assert "on the 60 nuclei of 2 images to test on" in test
    less = verdict((0.615, 0.3), (0.571, 0.5), (0.03, 0.12)).sentence
    assert "finds less (AP@0.5 0.615 → 0.571)" in less
    assert "worse on the images that come" in FEW.replace(packaged=(0.7, 0.5)).sentence


def test_it_asks_for_enough_to_judge_by_and_not_for_thousands():
    # Five were held out, a fifth; 25 are the least.
    assert FEW.wanted >= (25 - 5) / 0.2
    assert 100 <= OPEN.wanted <= 300
    alike = verdict((0.5, 0.3), (0.5, 0.31), (-0.1, 0.11))
    assert "several hundred more" in alike.sentence
    assert not SURE.wanted


def test_a_verdict_of_an_earlier_version_is_still_one():
    old = verdict((0.5, 0.3), (0.6, 0.4), None)
    assert old.word == "better"
    assert old.sentence.endswith("AP 0.400 → 0.500.")
    assert Verdict(**old.model_dump(exclude={"better"})) == old
