"""Judging by all nuclei, part by part."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_nucleiseg.core.labels.annotations import known_nuclei
from napari_nucleiseg.core.labels.holdout import split_validation
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.models.verdict import Figures, Verdict
from napari_nucleiseg.training.folds import (
    LONGEST,
    are_worth_it,
    further_folds,
    judging_minutes,
    judging_time,
)
from napari_nucleiseg.training.speed import (
    Speed,
    estimate_minutes,
    pixels_per_epoch,
    remember_speed,
)


def image_of_nuclei(count, seed):
    labels = np.zeros((60, 12 * count), np.int32)
    for i in range(count):
        labels[20:28, 12 * i + 2 : 12 * i + 10] = i + 1
    rng = np.random.default_rng(seed)
    return Pair(rng.random(labels.shape), labels, f"image {seed}")


def nuclei(pairs):
    return sum(known_nuclei(pair).size for pair in pairs)


@pytest.mark.parametrize("counts", [[30], [20, 20], [9, 12, 10, 11, 8, 10]])
def test_each_nucleus_is_held_out_once_and_never_learnt_from_then(counts):
    pairs = [image_of_nuclei(count, i) for i, count in enumerate(counts)]
    params = TrainParams()
    learnt, held = split_validation(pairs, params.validation_share, params.seed)
    folds = further_folds(learnt, held, params)
    assert len(folds) == 4
    in_turn = [held, *(fold.held for fold in folds)]
    # A nucleus on a cut belongs to neither side.
    assert sum(counts) - 8 <= sum(map(nuclei, in_turn)) <= sum(counts)
    for fold in folds:
        seen = {pair.image.tobytes() for pair in fold.learnt}
        assert not seen & {pair.image.tobytes() for pair in fold.held}
        assert nuclei(fold.learnt) > 2 * nuclei(fold.held)


def test_nuclei_that_cannot_be_divided_so_often_make_fewer_parts():
    params = TrainParams()
    learnt, held = split_validation([image_of_nuclei(3, 0)], 0.2, params.seed)
    folds = further_folds(learnt, held, params)
    assert 1 <= len(folds) <= 2
    assert all(nuclei(fold.held) and nuclei(fold.learnt) for fold in folds)


def verdict_on(count, interval):
    kinds = dict.fromkeys(("missed", "false", "merged", "split", "misshapen"), 0)
    new, base = (
        Figures(AP50=ap, AP75=ap, mean_AP=ap, nuclei=count, **kinds)
        for ap in (0.6, 0.5)
    )
    return Verdict(new=new, base=base, base_name="nuclei", images=1, interval=interval)


@pytest.mark.parametrize(
    ("held", "interval", "labelled", "seconds", "worth"),
    [
        (10, (-0.1, 0.3), 50, 1.0, True),
        (60, (0.02, 0.18), 300, 1.0, False),  # it is told already
        (60, (-0.1, 0.3), 300, 1.0, False),  # enough to judge by: more would not help
        (4, (-0.1, 0.3), 15, 1.0, False),  # too few however often
        (10, (-0.1, 0.3), 50, 30.0, False),  # it would take hours
    ],
)
def test_it_is_done_where_it_can_tell_more_and_soon(
    held, interval, labelled, seconds, worth
):
    pairs = [image_of_nuclei(labelled // 5, i) for i in range(4)]
    folds = further_folds(pairs, [], TrainParams(validation_share=0.25))
    training = SimpleNamespace(
        params=TrainParams(),
        best_epoch=6,
        seconds_per_megapixel=seconds,
        seconds_checking=2.0,
    )
    assert are_worth_it(verdict_on(held, interval), training, folds) is worth


def test_how_long_it_takes_is_said_before(tmp_path, monkeypatch):
    monkeypatch.setenv("NUCLEISEG_CACHE", str(tmp_path / "cache"))
    params = TrainParams(judging="all")
    remember_speed("generalist", Speed(1.5, 3.0), pixels_per_epoch(params))
    once = estimate_minutes(params, "generalist")
    minutes = judging_minutes(params, "generalist", 40)
    assert 2 * once < minutes < 4 * once
    assert "Judging by all nuclei takes up to" in judging_time(params, minutes)
    auto = params.replace(judging="auto")
    assert judging_minutes(auto, "generalist", 40) == min(minutes, LONGEST)
    assert "cannot tell" in judging_time(auto, minutes)
    # Enough are held out; or there are too few however they are judged.
    assert not judging_minutes(auto, "generalist", 400)
    assert not judging_minutes(auto, "generalist", 15)
    assert not judging_minutes(params.replace(judging="part"), "generalist", 40)
