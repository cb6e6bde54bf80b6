"""A project: examples that add up, models in order, and all of it as one file."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_nucleiseg.cli import main
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.images import write_labels
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.registry import (
    RUN_FILE,
    find_model,
    list_models,
    save_model,
)
from napari_nucleiseg.models.verdict import Figures, Verdict
from napari_nucleiseg.training.checkpoint import TrainState
from napari_nucleiseg.training.outcome import TrainOutcome
from napari_nucleiseg.training.project import project as projects
from napari_nucleiseg.training.project.notes import NOTE_FILE
from napari_nucleiseg.training.project.project import Project
from napari_nucleiseg.training.project.sharing import export_project, import_project


@pytest.fixture(autouse=True)
def own_models(monkeypatch, tmp_path):
    folder = tmp_path / "models"
    monkeypatch.setenv("NUCLEISEG_MODELS", str(folder))
    return folder


def figures(ap):
    return Figures(
        AP50=ap,
        AP75=ap,
        mean_AP=ap,
        nuclei=9,
        missed=0,
        false=0,
        merged=0,
        split=0,
        misshapen=0,
    )


def outcome_of(folder, gain=0.1):
    verdict = Verdict(
        new=figures(0.5 + gain), base=figures(0.5), base_name="nuclei", images=1
    )
    history = [{"epoch": 1, "minutes": 2.0}]
    return TrainOutcome(folder=folder, kept=True, verdict=verdict, history=history)


@pytest.fixture
def taught(monkeypatch):
    """What each training learns from; instead of one, the bundled network is saved."""
    seen = []

    def execute(run, monitor=None, gain=0.1):
        base = find_model()
        order = run.order()
        training, validation, _ = run.pairs()
        seen.append(training + validation)
        card = base.card.replace(
            name=order.name, data=order.data, title=order.title, training={}
        )
        save_model(run.finished_model, card, {RUN_FILE: b"network"})
        run.acquire()
        run.accept()
        run.release()
        return outcome_of(run.output, gain)

    monkeypatch.setattr(projects, "execute", execute)
    return seen


@pytest.fixture
def sample():
    sample = load_sample("small")
    return sample.image[:200, :240], sample.labels[:200, :240]


def part(sample, box, name="a"):
    """What is known inside a box of the image."""
    image, labels = sample
    known = np.zeros(labels.shape, bool)
    known[box] = True
    return Pair(image, np.where(known, labels, 0), name, known=known)


def test_what_is_known_of_an_image_adds_up(tmp_path, sample):
    image, labels = sample
    project = Project.create(tmp_path / "mine")
    left, right = np.s_[:, :140], np.s_[:, 100:]
    assert project.add([part(sample, left)], sources=["a.tif"]) > 5
    again = part(sample, right)
    again.labels[again.labels > 0] += 7  # numbers are made anew at each run
    more = project.add([again])
    assert more > 0
    (example,) = project.examples
    assert example.source == "a.tif"
    assert len(list((project.folder / "examples").iterdir())) == 1
    (pair,) = Project(project.folder).pairs()
    np.testing.assert_array_equal(pair.image, image)
    known = np.ones(labels.shape, bool) if pair.known is None else pair.known
    assert known[again.known].all()
    # What is known is right, and every nucleus is one.
    assert ((pair.labels > 0) == (labels > 0))[known].all()
    truths = [
        np.unique(labels[(pair.labels == n) & known])
        for n in np.unique(pair.labels)[1:]
    ]
    assert all(len(found) == 1 for found in truths)
    other = Pair(255 - image, labels, "b")
    project.add([other])
    assert [x.name for x in project.examples] == ["a", "b"]
    project.remove([example.file])
    assert [x.name for x in project.examples] == ["b"]
    assert project.pairs()[0].known is None


def test_what_is_tested_on_is_remembered_and_never_learnt_from(
    tmp_path, sample, taught, monkeypatch
):
    seen = []
    execute = projects.execute

    def and_tests(run, monitor=None):
        seen.append(run.pairs()[2])
        return execute(run, monitor)

    monkeypatch.setattr(projects, "execute", and_tests)
    project = Project.create(tmp_path / "mine")
    project.add([part(sample, np.s_[:])])
    other = Pair(255 - sample[0], sample[1], "b")
    assert project.add([other], sources=["b.tif"], test=True) > 5
    nuclei = project.nuclei
    for pair, test in ((other, False), (part(sample, np.s_[:]), True)):
        with pytest.raises(ValueError, match="cannot be for both"):
            project.add([pair], test=test)
    assert (project.nuclei, len(project.examples)) == (nuclei, 1)
    project.teach()
    assert {pair.name.removesuffix(" (held out)") for pair in taught[0]} == {"a"}
    (test,) = seen[0]
    np.testing.assert_array_equal(test.image, other.image)
    # The next day, and at a colleague's.
    file = export_project(project, tmp_path)
    for again in (
        Project(project.folder),
        import_project(file, tmp_path / "elsewhere" / "theirs"),
    ):
        (one,) = again.tests
        assert (one.name, one.source) == ("b", "b.tif")
        np.testing.assert_array_equal(again.test_pairs()[0].labels, other.labels)
    project.remove([one.file])
    project.teach()
    assert seen[1] == []


def test_rounds_learn_from_all_examples_and_can_be_gone_back_on(
    tmp_path, sample, taught
):
    params = TrainParams(epochs=2)
    project = Project.create(tmp_path / "my cells", params=params)
    assert project.model.card.name == "nuclei"
    project.add([part(sample, np.s_[:])])
    project.teach()
    one = project.model
    assert one.card.name == "my-cells-1"
    assert project.published.card.name == "my-cells"
    assert [x.card.name for x in list_models()] == ["nuclei", "my-cells"]
    project.add([Pair(255 - sample[0], sample[1], "b")])
    project.teach()
    assert {pair.name.removesuffix(" (held out)") for pair in taught[1]} == {"a", "b"}
    assert project.model.card.name == "my-cells-2"
    # One line in the list of models, which follows.
    assert project.published.card.data["round"] == 2
    assert len(list_models()) == 2
    assert [(x.state, x.examples) for x in project.rounds] == [("kept", 1), ("kept", 2)]
    assert project.rounds[0].verdict.better
    assert project.rounds[0].minutes == 2.0
    assert project.back().card.data["round"] == 1
    assert project.model == one
    assert project.published.card.data["round"] == 1
    project.back()
    assert project.model.card.name == "nuclei"
    assert project.published is None
    project.teach()
    assert project.model.card.name == "my-cells-3"  # a number is never used twice


def test_a_training_that_ended_alone_is_found_and_one_that_did_not_is_forgotten(
    tmp_path, sample, taught, monkeypatch
):
    project = Project.create(tmp_path / "mine")
    project.add([part(sample, np.s_[:])])
    run = project.prepare()
    assert "process" in Project(project.folder).busy
    with pytest.raises(ValueError, match="is being taught by"):
        Project(project.folder).prepare()
    run.release()
    again = Project(project.folder)
    assert not again.busy
    again.tidy()
    assert again.rounds == []
    assert not run.path.exists()
    assert len(again.examples) == 1
    run = project.prepare()
    projects.execute(run)  # napari has been killed meanwhile: nobody noted the end
    again = Project(project.folder)
    assert again.waiting is None
    again.tidy()
    assert again.waiting.model == "mine-2"
    assert again.keep().card.name == "mine"

    def fail(run, monitor):
        run.acquire()
        raise OSError("the disk is full")

    monkeypatch.setattr(projects, "execute", fail)
    with pytest.raises(OSError, match="full"):
        project.teach()
    assert [x.model for x in project.rounds] == ["mine-2"]
    assert [x.name for x in (project.folder / "models").iterdir()] == ["mine-2"]


def test_a_round_that_saved_something_can_be_resumed(
    tmp_path, sample, taught, monkeypatch, capsys
):
    ends = projects.execute
    project = Project.create(tmp_path / "mine")
    project.add([part(sample, np.s_[:])])

    def fail(run, monitor):
        run.acquire()
        run.save(TrainState([], [], [], [{"epoch": 1}], {}), [], better=True)
        raise OSError("the disk is full")

    for discards in (False, True):
        monkeypatch.setattr(projects, "execute", fail)
        with pytest.raises(OSError, match="full"):
            project.teach()
        again = Project(project.folder)
        again.tidy()
        assert again.rounds[-1].state == "training"
        assert again.interrupted.history == [{"epoch": 1}]
        monkeypatch.setattr(projects, "execute", ends)
        if discards:
            again.abandon()
            assert not list((project.folder / "models").glob("*.training"))
            assert main(["project", "teach", str(project.folder), "--resume"]) == 2
            assert "No round of mine was interrupted" in capsys.readouterr().err
        else:
            assert main(["project", "teach", str(project.folder), "--resume"]) == 0
            assert [x.state for x in again.rounds] == ["kept"]
    assert len(again.examples) == 1


def test_it_goes_to_a_colleague_as_one_file(tmp_path, sample, taught, own_models):
    project = Project.create(tmp_path / "mine")
    project.add([part(sample, np.s_[:])], sources=["a.tif"])
    project.teach()
    file = export_project(project, tmp_path)
    assert file.name == "mine.nucleiproject"
    with pytest.raises(FileExistsError):
        export_project(project, file)
    shutil.rmtree(own_models)  # another computer
    there = import_project(file, tmp_path / "elsewhere" / "theirs")
    assert there.note == project.note
    assert there.model.card.name == "mine-1"
    np.testing.assert_array_equal(there.pairs()[0].labels, project.pairs()[0].labels)
    assert there.keep().card.name == "mine"
    with pytest.raises(ValueError, match="is not empty"):
        import_project(file, there.folder)


def test_where_the_models_cannot_be_written_a_round_still_waits(
    tmp_path, sample, taught, monkeypatch
):
    project = Project.create(tmp_path / "mine")
    project.add([part(sample, np.s_[:])])
    project.teach(keep=True)
    kept = project.published
    projects.execute(project.prepare())
    project = Project(project.folder)
    project.tidy()
    assert project.waiting

    def fail(*args):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as broken:
        broken.setattr(projects, "publish", fail)
        broken.setattr(projects, "withdraw", fail)
        with pytest.raises(OSError, match="Read-only"):
            project.keep()
        assert Project(project.folder).waiting
        project.back()  # the one that waited
        with pytest.raises(OSError, match="Read-only"):
            project.back()
    again = Project(project.folder)
    assert [one.state for one in again.rounds] == ["kept", "refused"]
    assert again.model.card.name == "mine-1"
    assert again.published.folder == kept.folder


def test_a_file_that_was_tampered_with_is_refused(tmp_path, sample, taught):
    project = Project.create(tmp_path / "mine")
    project.add([part(sample, np.s_[:])])
    project.teach()
    good = export_project(project, tmp_path / "good.zip")
    bad = tmp_path / "bad.zip"
    for name, content in (
        ("../evil.txt", b"x"),
        ("run.py", b"x"),
        ("models/mine-1/evil.py", b"x"),
        (NOTE_FILE, b"{}"),
        ("examples/0001.npz", b"no arrays"),
    ):
        with zipfile.ZipFile(good) as old, zipfile.ZipFile(bad, "w") as new:
            for info in old.infolist():
                if info.filename != name:
                    new.writestr(info, old.read(info))
            new.writestr(name, content)
        with pytest.raises(ValueError, match=r"bad\.zip"):
            import_project(bad, tmp_path / "theirs")
        assert not (tmp_path / "theirs").exists()
        assert not list(tmp_path.glob(".import-*"))


def test_what_is_no_project_is_said(tmp_path):
    with pytest.raises(ValueError, match="is no project"):
        Project(tmp_path)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine.tif").touch()
    with pytest.raises(ValueError, match="is not empty"):
        Project.create(tmp_path / "x")


def test_the_shell_fills_and_teaches_a_project(tmp_path, sample, taught, capsys):
    images = tmp_path / "images"
    images.mkdir()
    image, labels = sample
    write_labels(images / "a.tif", image.astype(np.int32))
    write_labels(images / "a_labels.tif", labels)
    folder = tmp_path / "mine"
    assert main(["project", "new", str(folder), "--epochs", "3"]) == 0
    assert Project(folder).note.params.epochs == 3
    assert main(["project", "add", str(folder), "--images", str(images)]) == 0
    (example,) = Project(folder).examples
    assert Path(example.source) == (images / "a.tif").resolve()
    others = tmp_path / "others"
    others.mkdir()
    write_labels(others / "b.tif", 255 - image.astype(np.int32))
    write_labels(others / "b_labels.tif", np.roll(labels, (60, 80), (0, 1)))
    add = ["project", "add", str(folder), "--images"]
    assert main([*add, str(others), "--test"]) == 0
    captured = capsys.readouterr()
    assert "more nuclei to test on, in 1 image" in captured.out
    assert "labels do not fit the image in b" in captured.err
    assert main([*add, str(others)]) == 2
    assert "cannot be for both" in capsys.readouterr().err
    assert len(Project(folder).examples) == 1
    assert main(["project", "teach", str(folder)]) == 0
    assert "The model is mine-1" in capsys.readouterr().out
    assert main(["project", "export", str(folder), str(tmp_path / "out.zip")]) == 0
    theirs = tmp_path / "theirs"
    assert main(["project", "import", str(theirs), str(tmp_path / "out.zip")]) == 0
    capsys.readouterr()
    assert main(["project", "show", str(theirs), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["rounds"][0]["state"] == "kept"
    assert main(["project", "show", str(theirs)]) == 0
    assert "mine-1: kept" in capsys.readouterr().out
    assert main(["project", "teach", str(theirs), "--back"]) == 0
    assert main(["project", "show", str(tmp_path)]) == 2
