import json

import numpy as np
import pytest

from napari_nucleiseg import segment
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.training import saving
from napari_nucleiseg.training.run import train
from napari_nucleiseg.training.run_folder import RunFolder
from napari_nucleiseg.training.saving import load_network


def paths_in(folder):
    return {path.name for path in folder.iterdir()}


def test_training_writes_a_model_that_segments(
    tiny_model, quick, pairs, validation, tmp_path, make_monitor
):
    monitor = make_monitor()
    outcome = train(
        pairs,
        tmp_path / "mine",
        validation=validation,
        title="Nuclei of mine",
        base=tiny_model.folder,
        params=quick,
        data={"where": "layers"},
        keep_always=True,
        monitor=monitor,
    )
    model = outcome.model
    assert paths_in(tmp_path) == {"tiny", "mine"}
    card = find_model(tmp_path / "mine").card
    assert card == model.card
    assert card.title == "Nuclei of mine"
    assert card.data["where"] == "layers"
    assert card.data["pairs"] == card.data["validation_pairs"] == 1
    assert card.data["nuclei"] == len(np.unique(pairs[0].labels)) - 1
    assert card.training["base"] == "tiny"
    assert card.training["params"] == quick.model_dump()
    assert [row["epoch"] for row in card.training["history"]] == [0, 1, 2]
    assert card.training["verdict"]["base_name"] == "tiny"
    json.loads(card.model_dump_json())
    result = segment(pairs[0].image, tmp_path / "mine")
    assert result.labels.shape == pairs[0].labels.shape
    assert result.model == "mine"
    assert monitor.reports[-1].stage == "Saving the model"


@pytest.mark.usefixtures("int8")
def test_going_on_from_the_bundled_model_starts_where_it_is(
    quick, pairs, validation, tmp_path, tile_of
):
    params = quick.replace(epochs=1, steps_per_epoch=1, learning_rate=1e-7)
    train(
        pairs,
        tmp_path / "mine",
        validation=validation,
        base="nuclei",
        params=params,
        keep_always=True,
    )
    tile = tile_of("small")
    # Hardly anything was learnt: it is still the same network, on either engine.
    for engine in ("float32", "int8"):
        base = load_model("nuclei", engine)
        mine = load_model(tmp_path / "mine", engine)
        assert mine.spec.engine == engine
        assert np.abs(base.predict(tile) - mine.predict(tile)).mean() < 0.02
    card = find_model(tmp_path / "mine").card
    assert card.training["base"] == "nuclei"
    assert card.thresholds == base.spec.settings
    assert card.multiple == 32


@pytest.mark.usefixtures("no_export")
def test_stopping_saves_what_there_is(
    tiny_model, quick, pairs, validation, tmp_path, make_monitor
):
    monitor = make_monitor(lambda reports: any(r.stage == "Training" for r in reports))
    outcome = train(
        pairs,
        tmp_path / "mine",
        validation=validation,
        base=tiny_model.folder,
        params=quick,
        keep_always=True,
        monitor=monitor,
    )
    assert outcome.stopped
    model = outcome.model
    assert len(monitor.of("Training")) == 1
    assert model.card.training["stopped_early"]
    assert [row["epoch"] for row in model.card.training["history"]] == [0, 1]


@pytest.mark.parametrize("step", ["to_lite", "to_keras_file"])
def test_a_failed_export_leaves_no_half_model(
    tiny_model, quick, pairs, validation, tmp_path, monkeypatch, step
):
    def fail(network):
        raise OSError("No space left on device")

    monkeypatch.setattr(saving, step, fail)
    with pytest.raises(OSError, match="No space left"):
        train(
            pairs,
            tmp_path / "mine",
            validation=validation,
            base=tiny_model.folder,
            params=quick,
        )
    # What was learnt is kept: hours of training are not lost with the export.
    assert paths_in(tmp_path) == {"tiny", "mine.training"}
    monkeypatch.undo()
    outcome = train([], tmp_path / "mine", resume=True)
    assert outcome.history[-1]["epoch"] == 2


def test_a_failed_retraining_leaves_the_old_model(
    tiny_model, quick, pairs, validation, tmp_path, monkeypatch
):
    def fail(network):
        raise OSError("No space left on device")

    monkeypatch.setattr(saving, "to_lite", fail)
    with pytest.raises(OSError, match="No space left"):
        train(
            pairs,
            tiny_model.folder,
            validation=validation,
            base=tiny_model.folder,
            params=quick,
        )
    assert find_model(tiny_model.folder).card == tiny_model.card


def test_a_name_that_will_not_do_is_refused_before_training(
    tiny_model, quick, pairs, validation, tmp_path, make_monitor
):
    monitor = make_monitor()
    with pytest.raises(ValueError, match="1 to 64 letters"):
        train(
            pairs,
            tmp_path / "my model",
            validation=validation,
            base=tiny_model.folder,
            params=quick,
            monitor=monitor,
        )
    assert not monitor.of("Training")
    assert paths_in(tmp_path) == {"tiny"}


def test_a_folder_with_something_else_is_refused_before_training(
    tiny_model, quick, pairs, validation, tmp_path, make_monitor
):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("Once upon a time")
    monitor = make_monitor()
    with pytest.raises(ValueError, match="exists and is not a model"):
        train(
            pairs,
            tmp_path / "thesis",
            validation=validation,
            base=tiny_model.folder,
            params=quick,
            monitor=monitor,
        )
    assert not monitor.of("Training")
    assert paths_in(tmp_path / "thesis") == {"chapter1.txt"}


def test_an_unknown_base_is_refused_before_training(pairs, validation, tmp_path):
    with pytest.raises(ValueError, match="no model named 'nuclear'"):
        train(pairs, tmp_path / "mine", validation=validation, base="nuclear")
    assert not paths_in(tmp_path)


@pytest.mark.usefixtures("no_export")
def test_a_model_that_is_not_better_is_not_kept(
    tiny_model, quick, pairs, validation, tmp_path
):
    # An untrained network finds nothing, and after one step at this rate no more.
    params = quick.replace(epochs=1, steps_per_epoch=1, learning_rate=1e-7)
    outcome = train(
        pairs,
        tmp_path / "mine",
        validation=validation,
        base=tiny_model.folder,
        params=params,
    )
    assert outcome.model is None
    assert not outcome.verdict.better
    assert outcome.verdict.sentence.startswith("Not better than tiny")
    assert not (tmp_path / "mine").exists()
    run = RunFolder(tmp_path / "mine")
    assert run.has_model
    assert outcome.folder == run.finished_model
    # Another training of that name does not silently take its place.
    with pytest.raises(ValueError, match="waits in"):
        train(pairs, tmp_path / "mine", validation=validation, base=tiny_model.folder)
    kept = find_model(run.accept())
    assert kept.card.name == "mine"
    assert not kept.card.training["verdict"]["better"]
    assert paths_in(tmp_path) == {"tiny", "mine"}


@pytest.mark.usefixtures("no_export")
def test_resuming_goes_on_where_it_was(
    tiny_model, quick, pairs, validation, tmp_path, make_monitor
):
    class Killed(BaseException):
        pass

    def die(reports):
        if sum(report.stage == "Training" for report in reports) > 8:
            raise Killed
        return False

    params = quick.replace(epochs=3, steps_per_epoch=4)
    with pytest.raises(Killed):
        train(
            pairs,
            tmp_path / "mine",
            validation=validation,
            base=tiny_model.folder,
            params=params,
            monitor=make_monitor(die),
        )
    run = RunFolder(tmp_path / "mine")
    assert run.can_resume
    assert [row["epoch"] for row in run.load()[0].history] == [0, 1, 2]
    monitor = make_monitor()
    outcome = train(
        [], tmp_path / "mine", resume=True, keep_always=True, monitor=monitor
    )
    assert [report.done for report in monitor.of("Training")] == [9, 10, 11, 12]
    assert [row["epoch"] for row in outcome.history] == [0, 1, 2, 3]
    assert not run.exists or outcome.model is None
    straight = train(
        pairs,
        tmp_path / "straight",
        validation=validation,
        base=tiny_model.folder,
        params=params,
    )
    # As if nothing had happened: the same patches, rates and averages.
    for before, after in zip(straight.history, outcome.history, strict=True):
        assert after["val_loss"] == pytest.approx(before["val_loss"], rel=1e-3)


def test_there_must_be_something_to_resume(tmp_path):
    with pytest.raises(ValueError, match="no interrupted training of 'mine'"):
        train([], tmp_path / "mine", resume=True)


def test_a_full_disk_while_training_is_said_and_leaves_what_was_saved(
    tiny_model, quick, pairs, validation, tmp_path, monkeypatch, make_monitor
):
    from napari_nucleiseg.training import checkpoint

    saved = np.savez

    def fail_later(file, **arrays):
        if len(list((tmp_path / "mine.training").glob("state.npz"))):
            raise OSError(28, "No space left on device")
        saved(file, **arrays)

    monkeypatch.setattr(checkpoint.np, "savez", fail_later)
    with pytest.raises(OSError, match=r"could not be written: No space left"):
        train(
            pairs,
            tmp_path / "mine",
            validation=validation,
            base=tiny_model.folder,
            params=quick,
        )
    run = RunFolder(tmp_path / "mine")
    assert run.can_resume
    assert run.load()[0].history[-1]["epoch"] == 1
    assert not list(run.path.glob(".*"))


@pytest.mark.usefixtures("no_export")
def test_a_loss_gone_wrong_keeps_the_best_so_far(
    tiny_model, quick, pairs, validation, tmp_path, monkeypatch
):
    from napari_nucleiseg.training.sampler import PatchSampler

    draw = PatchSampler.batch

    def spoil(self, n, seed):
        x, y, labels = draw(self, n, seed)
        if not isinstance(seed, int) and seed[1] >= 8:
            x[:] = np.nan
        return x, y, labels

    monkeypatch.setattr(PatchSampler, "batch", spoil)
    outcome = train(
        pairs,
        tmp_path / "mine",
        validation=validation,
        base=tiny_model.folder,
        params=quick,
        keep_always=True,
    )
    assert "loss became nan in epoch 2" in outcome.problem
    assert outcome.model.card.training["problem"] == outcome.problem
    assert outcome.best_epoch < 2
    best = load_network(outcome.folder).get_weights()
    assert all(np.isfinite(weights).all() for weights in best)


@pytest.mark.usefixtures("no_export")
def test_part_of_one_image_is_held_out(tiny_model, quick, pairs, tmp_path):
    outcome = train(
        pairs,
        tmp_path / "mine",
        base=tiny_model.folder,
        params=quick.replace(epochs=1, steps_per_epoch=1),
        keep_always=True,
    )
    card = outcome.model.card
    total = len(np.unique(pairs[0].labels)) - 1
    assert 0 < card.data["validation_nuclei"] < card.data["nuclei"] < total
    report = json.loads((outcome.model.folder / "report" / "report.json").read_text())
    assert report["nuclei"]["images"] == 1
    assert (outcome.model.folder / "report" / "curves.png").is_file()


@pytest.mark.usefixtures("no_export")
def test_rehearsal_is_mixed_in(tiny_model, quick, pairs, tmp_path, monkeypatch):
    drawn = []
    from napari_nucleiseg.training.sampler import PatchSampler

    draw = PatchSampler.batch

    def note(self, n, seed):
        if not isinstance(seed, int):
            drawn.append((len(seed), n))
        return draw(self, n, seed)

    monkeypatch.setattr(PatchSampler, "batch", note)
    train(
        pairs,
        tmp_path / "mine",
        base=tiny_model.folder,
        params=quick.replace(epochs=1, steps_per_epoch=8, rehearsal=0.5),
        keep_always=True,
    )
    assert sum(n for _, n in drawn) >= 16
    assert {length for length, _ in drawn} == {3}


def test_a_damaged_base_is_refused(tiny_model, quick, pairs, validation, tmp_path):
    file = tiny_model.folder / "network.keras"
    file.write_bytes(file.read_bytes()[:-10] + b"0123456789")
    with pytest.raises(ValueError, match="damaged or was changed"):
        train(pairs, tmp_path / "mine", validation=validation, base=tiny_model.folder)
    assert paths_in(tmp_path) == {"tiny"}
