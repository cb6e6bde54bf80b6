"""Trainings that are judged by all nuclei, part by part."""

import pytest

from napari_nucleiseg.core.labels.annotations import known_nuclei
from napari_nucleiseg.core.labels.holdout import split_validation
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.training.folds import STAGE
from napari_nucleiseg.training.run import train
from napari_nucleiseg.training.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("no_export")


@pytest.fixture
def few(pairs):
    """Return an image with some forty nuclei."""
    one = pairs[0]
    width = one.image.shape[1] // 2
    return [Pair(one.image[:, :width], one.labels[:, :width], "mine")]


@pytest.fixture
def params(quick):
    return quick.replace(judging="all", epochs=2, validation_share=0.34)


def start(few, tmp_path, tiny_model, params, monitor, **more):
    given = {"base": tiny_model.folder, "params": params, "keep_always": True, **more}
    return train(few, tmp_path / "mine", monitor=monitor, **given)


def test_the_verdict_is_on_all_nuclei_and_the_card_says_how(
    few, tmp_path, tiny_model, params, make_monitor
):
    monitor = make_monitor()
    outcome = start(few, tmp_path, tiny_model, params, monitor)
    verdict = outcome.verdict
    held = split_validation(few, 0.34, params.seed)[1]
    assert verdict.trainings == 3
    assert verdict.images == 1
    total = known_nuclei(few[0]).size
    assert known_nuclei(held[0]).size < 0.5 * total < verdict.new.nuclei <= total
    assert "each judged in one of 3 trainings" in verdict.sentence
    assert find_model(tmp_path / "mine").card.verdict == verdict
    steps = monitor.of(STAGE)
    assert [one.done for one in steps] == list(range(1, steps[0].total + 1))
    # What is kept is the first training, as it was before it was judged.
    assert [row["epoch"] for row in outcome.history] == [0, 1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {"tiny", "mine"}


def test_the_part_held_out_alone_takes_one_training(
    few, tmp_path, tiny_model, params, make_monitor
):
    monitor = make_monitor()
    params = params.replace(judging="part")
    outcome = start(few, tmp_path, tiny_model, params, monitor)
    assert outcome.verdict.trainings == 1
    assert not monitor.of(STAGE)


def test_stopping_while_it_is_judged_keeps_the_model_and_what_was_judged(
    few, tmp_path, tiny_model, params, make_monitor
):
    def enough(reports):
        steps = [one for one in reports if one.stage == STAGE]
        return len(steps) > 0 and steps[-1].done > steps[-1].total // 2

    monitor = make_monitor(enough)
    outcome = start(few, tmp_path, tiny_model, params, monitor)
    assert outcome.verdict.trainings == 2
    assert outcome.kept


class Killed(Exception):
    pass


def test_what_was_killed_while_it_was_judged_goes_on_there(
    few, tmp_path, tiny_model, params, make_monitor
):
    def die(reports):
        steps = [one for one in reports if one.stage == STAGE]
        if steps and steps[-1].done > steps[-1].total // 2:
            raise Killed
        return False

    with pytest.raises(Killed):
        start(few, tmp_path, tiny_model, params, make_monitor(die))
    run = RunFolder(tmp_path / "mine")
    assert run.can_resume
    monitor = make_monitor()
    outcome = start(few, tmp_path, tiny_model, params, monitor, resume=True)
    assert outcome.verdict.trainings == 3
    assert [row["epoch"] for row in outcome.history] == [0, 1, 2]
    assert not monitor.of("Training")  # nothing that was done is done again
    steps = monitor.of(STAGE)
    assert steps[0].done == steps[0].total // 2 + 1
