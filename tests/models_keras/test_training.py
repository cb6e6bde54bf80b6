from dataclasses import replace

import numpy as np
import pytest

from napari_nucleiseg.networks.losses import nuclei_loss
from napari_nucleiseg.training.loop import fit_network
from napari_nucleiseg.training.schedule import Average, Schedule
from napari_nucleiseg.training.validation import ValidationSet


def loss_of(target, weight, maps):
    y = np.concatenate([target, weight[..., None]], axis=-1).astype(np.float32)
    return float(nuclei_loss(y, maps.astype(np.float32)))


@pytest.fixture
def target():
    target = np.zeros((2, 16, 16, 3), np.float32)
    target[:, 4:12, 4:12, 0] = 1
    target[:, 6:10, 6:10, 1] = 1
    return target


def test_the_better_maps_have_the_lower_loss(target):
    weight = np.ones(target.shape[:3])
    maps = [np.abs(target - error) for error in (0.01, 0.2, 0.5, 0.9)]
    losses = [loss_of(target, weight, found) for found in maps]
    assert losses == sorted(losses)
    assert 0 <= losses[0] < 0.1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_certain_maps_have_a_finite_loss(target, value):
    weight = np.ones(target.shape[:3])
    assert np.isfinite(loss_of(target, weight, np.full_like(target, value)))


def test_pixels_of_weight_0_are_left_out(target):
    weight = np.ones(target.shape[:3])
    weight[:, :, 8:] = 0
    maps = np.full_like(target, 0.3)
    before = loss_of(target, weight, maps)
    maps[:, :, 8:] = 0.9
    target[:, :, 8:] = 1 - target[:, :, 8:]
    assert loss_of(target, weight, maps) == pytest.approx(before, abs=1e-6)
    maps[:, :, :8] = 0.9
    assert loss_of(target, weight, maps) != pytest.approx(before, abs=1e-3)


def test_nothing_known_at_all_is_no_trouble(target):
    loss = loss_of(target, np.zeros(target.shape[:3]), np.full_like(target, 0.3))
    assert np.isfinite(loss)


def test_training_lowers_the_loss_and_keeps_the_best(
    tiny, quick, pairs, validation, make_monitor, tile
):
    monitor = make_monitor()
    kept = []

    def keep(training, better):
        if better:
            now = training.network.get_weights()
            training.network.set_weights(training.best_weights)
            found = training.network.predict_on_batch(tile)
            kept.append((training.best_epoch, found))
            training.network.set_weights(now)

    result = fit_network(
        pairs,
        validation,
        params=quick.replace(epochs=3, steps_per_epoch=8),
        network=tiny,
        monitor=monitor,
        on_epoch=keep,
    )
    history = result.history
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["loss"] < history[0]["loss"]
    best = min(row["val_loss"] for row in history)
    assert history[result.best_epoch - 1]["val_loss"] == best
    assert kept[-1][0] == result.best_epoch
    assert np.allclose(result.network.predict_on_batch(tile), kept[-1][1], atol=1e-6)
    assert not result.stopped
    steps = monitor.of("Training")
    assert [report.done for report in steps] == list(range(1, 25))
    assert {report.total for report in steps} == {24}
    told = np.reshape([report.metrics["loss"] for report in steps], (3, 8))
    # The curve shows an epoch, not its last batch; so does what is told meanwhile.
    assert [row["loss"] for row in history] == pytest.approx(told[:, -1])
    assert len(np.unique(told)) == told.size
    assert [report.done for report in monitor.of("Epoch")] == [1, 2, 3]


@pytest.mark.parametrize("steps", [1, 8])
def test_it_stops_within_one_batch_and_keeps_what_it_has(
    tiny, quick, pairs, validation, make_monitor, steps
):
    def enough(reports):
        return sum(report.stage == "Training" for report in reports) >= steps

    monitor = make_monitor(enough)
    result = fit_network(
        pairs,
        validation,
        params=quick.replace(epochs=50),
        network=tiny,
        monitor=monitor,
    )
    assert result.stopped
    assert len(monitor.of("Training")) == steps
    # Something to keep even where not one epoch was over.
    assert result.best_epoch == len(result.history) == 1


def test_the_time_limit_ends_it(tiny, quick, pairs, validation, monkeypatch):
    ticks = iter(range(0, 100_000, 2))
    monkeypatch.setattr(
        "napari_nucleiseg.training.loop.time.monotonic", lambda: float(next(ticks))
    )
    result = fit_network(
        pairs,
        validation,
        params=quick.replace(epochs=1000, minutes=0.5),
        network=tiny,
    )
    assert not result.stopped
    assert 1 <= len(result.history) <= 4


def test_a_loss_that_is_no_number_is_an_error_that_says_so(
    tiny, quick, pairs, validation
):
    weights = tiny.get_weights()
    weights[0] = np.full_like(weights[0], np.nan)
    tiny.set_weights(weights)
    with pytest.raises(
        FloatingPointError, match=r"loss became nan in epoch 1: the learning rate 0\.01"
    ):
        fit_network(pairs, validation, params=quick, network=tiny)


def test_there_must_be_something_to_learn_from(tiny, quick, pairs):
    for given in (([], pairs), (pairs, [])):
        with pytest.raises(ValueError, match="at least one image"):
            fit_network(*given, params=quick, network=tiny)


def test_what_is_kept_is_a_blend_of_the_base_and_of_what_was_learnt(tiny):
    base = tiny.get_weights()
    learnt = [w + 1 for w in base]
    kept = {}
    for blend in (0.25, 1.0):
        tiny.set_weights(base)
        average = Average(tiny, 0.0, blend=blend)
        tiny.set_weights(learnt)
        average.update()
        now = average.swap()
        kept[blend] = tiny.get_weights()
        assert all(np.array_equal(a, b) for a, b in zip(now, learnt, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(kept[1.0], learnt, strict=True))
    for first, some in zip(base, kept[0.25], strict=True):
        assert np.allclose(some, first + 0.25, atol=1e-6)


@pytest.mark.parametrize("first", [True, False])
def test_only_what_goes_on_from_a_model_is_blended(
    tiny, quick, pairs, validation, first
):
    base = [np.array(w) for w in tiny.get_weights()]
    share = []

    def look(training, better):
        learnt = training.average.weights
        now = training.average.swap()
        kept = training.network.get_weights()
        training.network.set_weights(now)
        moved, whole = (
            sum(float(np.abs(b - a).sum()) for a, b in zip(base, to, strict=True))
            for to in (kept, learnt)
        )
        share.append(moved / whole)

    fit_network(
        pairs,
        validation,
        params=quick.replace(epochs=1, blend=0.3),
        network=tiny,
        first=first,
        on_epoch=look,
    )
    assert share == [pytest.approx(0.3 if first else 1.0, abs=0.01)]


def rates_of(params):
    schedule = Schedule(params)
    return [schedule.rate(share) for share in np.linspace(0, 1, 101)]


def test_a_cosine_warms_up_and_ends_low(quick):
    rates = rates_of(quick.replace(learning_rate=1.0, schedule="cosine"))
    assert rates[0] < 0.1
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates[-1] == pytest.approx(0.01)
    top = int(np.argmax(rates))
    assert (np.diff(rates[top:]) <= 0).all()


def test_on_a_plateau_the_learning_rate_is_halved(quick):
    schedule = Schedule(quick.replace(learning_rate=1.0, plateau_patience=2))
    rates = []
    losses = (0.5, 0.5, 0.6, 0.7, 0.8, 0.4, 0.5)
    for epoch, loss in enumerate(losses, start=1):
        schedule.note({"epoch": epoch, "val_loss": loss})
        assert not schedule.patience_is_out
        rates.append(schedule.rate(0.5))
    assert rates == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_patience_ends_it_and_of_equals_the_first_is_kept(
    tiny, quick, pairs, validation, monkeypatch
):
    losses = iter([0.5, 0.4, 0.3, 0.35, 0.3, 0.2, 0.1])
    evaluate = ValidationSet.evaluate

    def told(self, predictor, loss):
        found = evaluate(self, predictor, loss)
        found.row["val_loss"] = next(losses)
        return found

    monkeypatch.setattr(ValidationSet, "evaluate", told)
    params = quick.replace(epochs=30, steps_per_epoch=1, patience=2)
    result = fit_network(pairs, validation, params=params, network=tiny, first=True)
    assert [row["val_loss"] for row in result.history] == [0.5, 0.4, 0.3, 0.35, 0.3]
    assert result.best_epoch == 2


def test_what_is_not_known_changes_nothing(tiny, quick, pairs, validation):
    """Two sets of labels that differ outside the known part teach the same."""
    known = np.zeros(pairs[0].labels.shape, bool)
    known[:, : known.shape[1] // 2] = True
    weights = tiny.get_weights()
    losses = []
    for fill in (0, 7):
        labels = np.where(known, pairs[0].labels, fill)
        # Nuclei across the edge would be cut differently: leave them out.
        labels[:, known.shape[1] // 2 - 30 : known.shape[1] // 2] = 0
        pair = replace(pairs[0], labels=labels, known=known)
        tiny.set_weights(weights)
        params = quick.replace(epochs=1, steps_per_epoch=3, augmentation=0)
        result = fit_network([pair], validation, params=params, network=tiny)
        losses.append(result.history[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
