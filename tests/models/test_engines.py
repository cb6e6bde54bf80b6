"""What the network runs on: chosen once for a computer, and said in every result."""

import shutil
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from ai_edge_litert.hardware_accelerator import HardwareAccelerator

from napari_nucleiseg import segment
from napari_nucleiseg.core.score.matching import score_image
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models import engines, graphics, predictor
from napari_nucleiseg.models.engines import ProcessorNetwork, choose_engine
from napari_nucleiseg.models.predictor import LitePredictor, load_model
from napari_nucleiseg.models.recipe import SavedRecipe
from napari_nucleiseg.models.registry import INT8_FILE, RUN_FILE, Model, find_model


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """As on a computer where nothing was timed or tried yet."""
    monkeypatch.setenv("NUCLEISEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NUCLEISEG_ENGINE", raising=False)
    monkeypatch.setattr(engines, "_shares", {})
    monkeypatch.setattr(graphics, "_found", {})
    monkeypatch.setattr(predictor, "_loaded", {})


@pytest.fixture
def float_only(tmp_path):
    """The built-in model, without its int8 network."""
    built_in = find_model()
    folder = tmp_path / built_in.card.name
    shutil.copytree(built_in.folder, folder)
    (folder / INT8_FILE).unlink()
    files = {k: v for k, v in built_in.card.files.items() if k != INT8_FILE}
    return Model(folder, built_in.card.replace(files=files), False)


@pytest.mark.parametrize("name", ["small", "large"])
def test_int8_finds_the_nuclei_that_float32_finds(name):
    image = load_sample(name).image
    exact, fast = (segment(image, engine=name) for name in ("float32", "int8"))
    assert exact.params.engine == "float32"
    assert fast.params.engine == "int8"
    assert fast.record()["params"]["engine"] == "int8"
    assert score_image(exact.labels, fast.labels).average_precision() > 0.9
    assert fast.diameter == pytest.approx(exact.diameter, rel=0.05)
    np.testing.assert_array_equal(segment(image, engine="int8").labels, fast.labels)


@pytest.mark.parametrize(("share", "chosen"), [(0.4, "int8"), (0.9, "float32")])
def test_the_faster_one_is_chosen_and_remembered(monkeypatch, share, chosen):
    timed = []
    monkeypatch.setattr(engines, "time_share", lambda model: timed.append(1) or share)
    assert choose_engine(find_model()) == chosen
    monkeypatch.setattr(engines, "_shares", {})  # another process
    assert choose_engine(find_model()) == chosen
    assert segment(np.zeros((64, 64), np.uint8)).params.engine == chosen
    assert len(timed) == 1
    recipe = SavedRecipe.of("nuclei")
    assert recipe.segment.engine == "auto"
    assert recipe.on_engine().segment.engine == chosen


def test_both_are_timed_for_real_and_what_was_noted_is_read_again(tmp_path):
    chosen = choose_engine(find_model())
    assert chosen in ("float32", "int8")
    path = tmp_path / "cache" / "engines.json"
    assert "LiteRT" in path.read_text()
    path.write_text("[]")
    engines._shares.clear()
    assert choose_engine(find_model()) in ("float32", "int8")


def test_the_environment_decides_where_nothing_is_asked(monkeypatch, float_only):
    monkeypatch.setenv("NUCLEISEG_ENGINE", "int8")
    assert load_model().spec.engine == "int8"
    assert load_model(engine="float32").spec.engine == "float32"
    assert choose_engine(float_only) == "float32"
    monkeypatch.setenv("NUCLEISEG_ENGINE", "quick")
    with pytest.raises(ValueError, match="must be one of auto, float32, int8, gpu"):
        load_model()


def test_a_model_without_int8_says_so(float_only):
    assert choose_engine(float_only) == "float32"
    with pytest.raises(ValueError, match="has no int8 network: choose float32"):
        choose_engine(float_only, "int8")


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (SimpleNamespace(returncode=-11, stdout=""), "its driver ended the trial"),
        (SimpleNamespace(returncode=1, stdout="a\nnone here\n"), "was: none here."),
        (subprocess.TimeoutExpired("", 60), "did not answer within 60 seconds"),
        (OSError(12, "Cannot allocate memory"), "Cannot allocate memory"),
    ],
)
def test_a_graphics_card_that_fails_is_not_used(monkeypatch, done, said):
    def run(*args, **kwargs):
        if isinstance(done, Exception):
            raise done
        return done

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(engines, "time_share", lambda model: 1.0)
    image = load_sample("small").image[:96, :96]
    result = segment(image, engine="gpu")
    assert result.params.engine == "float32"
    (why,) = result.warnings
    assert why.startswith("The graphics card could not be used, so the processor was")
    assert said in why
    wanted = segment(image, engine="float32").labels
    np.testing.assert_array_equal(result.labels, wanted)


def test_a_graphics_card_that_works_is_used(monkeypatch):
    # There is none here: LiteRT runs on the processor, by the same calls.
    monkeypatch.setattr(graphics, "accelerators", lambda: HardwareAccelerator.CPU)
    done = SimpleNamespace(returncode=0, stdout="")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: done)
    found = LitePredictor(find_model(), "gpu")
    assert (found.spec.engine, found.spec.note) == ("gpu", "")
    model = find_model()
    for side in (64, 96):
        tile = np.random.default_rng(side).random((2, side, 96, 3), np.float32)
        exact = ProcessorNetwork(model.folder / RUN_FILE, tile[:1].shape)
        wanted = np.concatenate([exact.run(one[None]) for one in tile])
        np.testing.assert_allclose(
            found.predict(tile)[..., :3], wanted[..., :3], atol=1e-4
        )


def test_the_trial_compares_the_maps(monkeypatch, capsys):
    path = str(find_model().folder / RUN_FILE)
    monkeypatch.setattr(graphics, "accelerators", lambda: HardwareAccelerator.CPU)
    assert graphics.main(path, "3") == 0
    run = graphics.GraphicsNetwork.run
    monkeypatch.setattr(
        graphics.GraphicsNetwork, "run", lambda self, x: run(self, x) * np.float32(0.5)
    )
    assert graphics.main(path, "3") == 1
    assert "maps differ from the processor's by up to" in capsys.readouterr().out
