"""The loop in the real window: next, correct, teach, compare, keep, next."""

import functools
import time
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import tifffile
from napari.layers import Shapes
from qtpy.QtCore import Qt
from skimage.measure import find_contours

from napari_nucleiseg.core.monitor import Progress
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.score.fates import classify
from napari_nucleiseg.core.score.matching import score_image, summarise
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.registry import find_model, list_models, save_model
from napari_nucleiseg.models.segmenting import find_labels
from napari_nucleiseg.models.verdict import Figures, Verdict
from napari_nucleiseg.training.checkpoint import TrainState
from napari_nucleiseg.training.folds import STAGE
from napari_nucleiseg.training.outcome import TrainOutcome
from napari_nucleiseg.training.process import TrainingKilled, TrainingProcess
from napari_nucleiseg.training.project.project import Project
from napari_nucleiseg.training.project.sharing import export_project, import_project
from napari_nucleiseg.widgets.segment.corrector import Corrector
from napari_nucleiseg.widgets.segment.edits import watch_of
from napari_nucleiseg.widgets.shared.docks import bring_forward
from napari_nucleiseg.widgets.teach import next_shell, questions, work
from napari_nucleiseg.widgets.teach import widget as teach_widget
from napari_nucleiseg.widgets.teach.frames import frames_of, nuclei_inside
from napari_nucleiseg.widgets.teach.proposals import propose_regions
from napari_nucleiseg.widgets.train import questions as train_questions
from napari_nucleiseg.widgets.train.regions import mask_of, snapshot

from .conftest import press, squares, wait_until_done

TITLE = "Teach the model"

#: The child imports TensorFlow, on a machine that may be busy.
PATIENCE = 240_000


class FakeProcess:
    """A training that ends at once; its model is the base with other thresholds."""

    probability = (0.3, 0.7, 0.4)
    learnt: ClassVar[list] = []

    def __init__(self, run):
        run.release()
        self.run = run

    def wait(self, monitor):
        order = self.run.order()
        training, validation, _ = self.run.pairs()
        type(self).learnt.append(training + validation)
        base = find_model()
        at = self.probability[(order.data["round"] - 1) % len(self.probability)]
        card = base.card.replace(
            name=order.name,
            data=order.data,
            thresholds=base.card.thresholds.replace(probability=at),
        )
        files = {name: (base.folder / name).read_bytes() for name in base.card.files}
        save_model(self.run.finished_model, card, files)
        self.run.accept()
        self.run.release()
        figures = Figures(
            AP50=0.7,
            AP75=0.5,
            mean_AP=0.5,
            nuclei=9,
            missed=1,
            false=0,
            merged=0,
            split=0,
            misshapen=0,
        )
        base = figures.model_copy(update={"AP50": 0.6})
        verdict = Verdict(new=figures, base=base, base_name="nuclei", images=1)
        return TrainOutcome(folder=self.run.output, kept=True, verdict=verdict)

    def kill(self):
        pass


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(FakeProcess, "learnt", [])
    monkeypatch.setattr(work, "TrainingProcess", FakeProcess)
    return FakeProcess


@pytest.fixture
def loop(docked, qtbot, monkeypatch, tmp_path):
    """Segment and Teach side by side on part of a real image."""
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path / "models"))
    few = functools.partial(propose_regions, nuclei=11)  # the image is small
    monkeypatch.setattr(next_shell, "propose_regions", few)
    viewer, segment = docked.viewer, docked.widget
    sample = load_sample("crowded")
    part = np.s_[:320, :420]
    image = viewer.add_image(sample.image[part], name="a")
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    yield SimpleNamespace(
        viewer=viewer,
        segment=segment,
        widget=widget,
        image=image,
        truth=sample.labels[part],
        projects=tmp_path / "projects",
    )
    if widget.is_running:
        widget.cancel()
        wait_until_done(qtbot, widget, PATIENCE)


def click(qtbot, button):
    assert button.isVisible()
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def correct_frame(viewer, image, labels, truth):
    """Do in the frame what somebody does who knows the truth; return how much."""
    corrector = Corrector(viewer, labels)
    frames = frames_of(viewer, image)
    known = mask_of(snapshot(image, labels, None, "by hand", frames))
    fates = classify(truth, labels.data, known=known)
    done = 0
    wrong = fates.predicted_ids[fates.predicted_fates != "matched"]
    for label in wrong.tolist():
        corrector.delete(label)
        done += 1
    for label in fates.true_ids[fates.partners == 0].tolist():
        missed = np.pad(truth == label, 1)
        outline = max(find_contours(missed, 0.5), key=len) - 1
        try:
            corrector.draw(outline)
            done += 1
        except ValueError:
            pass  # all its pixels belong to other nuclei
    right = fates.predicted_ids[fates.predicted_fates == "matched"]
    if not done and right.size:
        corrector.accept(int(right[0]))
    return done


def test_three_rounds_of_the_loop(loop, qtbot, fake, monkeypatch):
    viewer, widget, image = loop.viewer, loop.widget, loop.image
    before = list(viewer.layers)
    assert not widget.run_button.isEnabled()
    assert "Press Next" in widget.reason_line.text()
    monkeypatch.setattr(questions, "ask", lambda *_, **__: pytest.fail("asked"))
    given = []
    for number in range(1, 4):
        click(qtbot, widget.next_panel.next_button)
        wait_until_done(qtbot, widget, PATIENCE)
        labels = viewer.layers["a nuclei"]
        frames = frames_of(viewer, image)
        assert frames is not None, widget.next_panel.line.text()
        inside, _ = nuclei_inside(image, labels, frames)
        assert 4 <= len(inside) <= 25
        correct_frame(viewer, image, labels, loop.truth)
        shown = labels.data.copy()
        if number == 1:  # a short training, but a real one, with the real process
            monkeypatch.setattr(work, "TrainingProcess", TrainingProcess)
            widget.form.set_values({"epochs": 1})
            few = {"steps_per_epoch": 1, "batch_size": 1, "patch_size": 64}
            widget.more_form.set_values(few)
        else:
            monkeypatch.setattr(work, "TrainingProcess", fake)
        widget.enterEvent(None)
        click(qtbot, widget.run_button)
        assert widget.run_button.text() == "Cancel"
        wait_until_done(qtbot, widget, PATIENCE)
        assert widget.is_undecided, widget.result_line.text()
        assert not widget.run_button.isEnabled()
        assert frames_of(viewer, image) is None
        text = widget.round.line.text()
        assert "held-out nuclei" in text
        assert "nuclei given here it finds" in text
        # Outlines before and after, each by itself, and both.
        names = ["a before", "a after"]
        assert not labels.visible
        for view, visible in (("Before", [1, 0]), ("After", [0, 1]), ("Both", [1, 1])):
            click(qtbot, widget.round.views[view])
            assert [viewer.layers[name].visible for name in names] == visible
        project = widget.projects.project
        given.append(project.nuclei)
        click(qtbot, widget.round.keep_button)
        assert [x for x in viewer.layers if x in before or x is labels] == list(
            viewer.layers
        )
        assert labels.visible
        # The labels are the new model's, and what was corrected is still there.
        assert labels.metadata["nucleiseg"]["model"] == "my-cells"
        held = list(watch_of(labels).table.by_hand())
        np.testing.assert_array_equal(
            np.isin(shown, held) & (shown > 0), np.isin(labels.data, held)
        )
        assert loop.segment.chosen_model().card.name == "my-cells"
        assert loop.segment.chosen_model().card.data["round"] == number
    assert given[0] < given[1] < given[2]
    # What is taught is right.
    (pair,) = project.pairs()
    fates = classify(loop.truth, pair.labels, known=pair.known).counts()
    assert fates["true"] >= 10
    assert fates["matched"] >= 0.9 * fates["true"]
    assert fates["false"] <= 0.1 * fates["true"]
    assert len(project.examples) == 1  # one image, of which more and more is known
    (first,), (last,) = fake.learnt[0][:1], fake.learnt[1][:1]
    assert first.name.startswith("a")
    assert last.name.startswith("a")
    assert [one.state for one in project.rounds] == ["kept"] * 3
    assert [model.card.name for model in list_models()] == ["nuclei", "my-cells"]
    assert project.folder == loop.projects / "my-cells"
    # A colleague opens it.
    file = export_project(project, loop.projects)
    theirs = import_project(file, loop.projects / "theirs")
    widget.projects.open(theirs.folder)
    assert f"{given[-1]} nuclei in 1 image." in widget.projects.line.text()


def underexposed(image):
    """A real image, but as dark and noisy as one of a very short exposure."""
    light = image.astype(float) - image.min()
    light = np.clip(light / np.percentile(light, 99.5), 0, 1)
    noise = np.random.default_rng(0).normal(0.4, 0.15, light.shape)
    return (255 * np.clip(0.25 * light + noise, 0, 1)).astype(np.uint8)


def test_three_rounds_make_it_better_on_images_it_has_not_seen(loop, qtbot):
    """Every step is real: the images, the corrections from the truth, the training."""
    viewer, widget, image = loop.viewer, loop.widget, loop.image
    sample = load_sample("crowded")
    picture = underexposed(sample.image)
    image.data = picture[:320, :420]
    unseen = [np.s_[:, 440:], np.s_[340:, :420]]

    def score(model):
        scores = [
            score_image(sample.labels[part], find_labels(picture[part], model))
            for part in unseen
        ]
        return summarise(scores)["pooled"]["AP"]["0.50"]

    # Few steps, but large ones.
    params = TrainParams(
        epochs=2,
        steps_per_epoch=6,
        batch_size=4,
        patch_size=96,
        learning_rate=1e-3,
        schedule="constant",
        augmentation=0.2,
        rehearsal=0.0,
        blend=1.0,
        ema_momentum=0.5,
        judging="part",
    )
    project = Project.create(loop.projects / "dark", params=params)
    widget.projects.open(project.folder)
    before, nuclei = score(project.model), [0]
    for _ in range(3):
        click(qtbot, widget.next_panel.next_button)
        wait_until_done(qtbot, widget, PATIENCE)
        correct_frame(viewer, image, viewer.layers["a nuclei"], loop.truth)
        widget.enterEvent(None)
        click(qtbot, widget.run_button)
        wait_until_done(qtbot, widget, PATIENCE)
        assert widget.is_undecided, widget.result_line.text()
        click(qtbot, widget.round.keep_button)
        nuclei.append(project.nuclei)
    assert nuclei == sorted(nuclei)  # a frame may hold what is known already
    assert nuclei[-1] > nuclei[1] > 0
    assert project.note.params == params
    assert before < 0.45
    assert score(project.model) > before + 0.1


def test_segment_opens_it_as_a_tab_in_front(docked, qtbot, slow):
    docked.viewer.add_image(squares((180, 220)), name="a")
    assert not docked.widget.teach_button.isVisible()
    press(qtbot, docked.widget)
    wait_until_done(qtbot, docked.widget)
    for _ in range(2):  # the second time it is there
        docked.widget.ensureWidgetVisible(docked.widget.teach_button)
        click(qtbot, docked.widget.teach_button)
        window = docked.viewer.window._qt_window
        (teach,) = window.findChildren(teach_widget.TeachWidget)
        assert teach.isVisible()
        assert not docked.widget.visibleRegion().boundingRect().height()
        bring_forward(docked.widget)


def test_going_back_leaves_all_as_it_was(loop, qtbot, fake):
    viewer, widget, segment = loop.viewer, loop.widget, loop.segment
    press(qtbot, segment)
    wait_until_done(qtbot, segment)
    labels = viewer.layers["a nuclei"]
    for label in range(1, 13):
        watch_of(labels).accept(label)
    shown = labels.data.copy()
    widget.enterEvent(None)
    said = widget.given_line.text()
    assert "On “a”: 12 nuclei accepted, corrected or drawn." in said
    assert "at most about" in said
    click(qtbot, widget.run_button)
    wait_until_done(qtbot, widget, PATIENCE)
    assert {len(np.unique(p.labels)) - 1 for p in fake.learnt[0]} <= set(range(13))
    click(qtbot, widget.round.back_button)
    np.testing.assert_array_equal(labels.data, shown)
    assert labels.visible
    assert segment.chosen_model().card.name == "nuclei"
    assert [model.card.name for model in list_models()] == ["nuclei"]
    project = Project(loop.projects / "my-cells")
    assert project.nuclei == 12
    assert project.rounds[0].state == "refused"
    assert "a before" not in viewer.layers
    # Tomorrow, in another window: nothing waits, and what was taught is there.
    widget.projects.refresh()
    assert widget.projects.line.text().startswith("Examples: 12 nuclei in 1 image.")


def test_a_frame_in_which_nothing_was_touched_is_asked_about(
    loop, qtbot, fake, monkeypatch
):
    viewer, widget = loop.viewer, loop.widget
    click(qtbot, widget.next_panel.next_button)
    wait_until_done(qtbot, widget, PATIENCE)
    assert widget.next_panel.list.count() > 0
    asked, answer = [], False
    monkeypatch.setattr(questions, "ask", lambda *a, **_: asked.append(a[1]) or answer)
    click(qtbot, widget.run_button)
    assert "Is every nucleus in the frame on “a” right?" in asked
    assert not widget.is_running
    assert fake.learnt == []
    answer = True
    click(qtbot, widget.run_button)
    wait_until_done(qtbot, widget, PATIENCE)
    assert len(fake.learnt) == 1
    # Undecided is undecided in the next window too, and without a comparison.
    _, again = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    again.projects.refresh()
    again._on_project_changed()
    assert again.is_undecided
    assert "before this window was opened" in again.round.line.text()


def test_a_folder_and_an_open_image_judge_and_are_never_learnt_from(
    loop, qtbot, fake, monkeypatch, tmp_path
):
    viewer, widget, segment = loop.viewer, loop.widget, loop.segment
    sample = load_sample("small")
    folder = tmp_path / "others"
    folder.mkdir()
    tifffile.imwrite(folder / "b.tif", sample.image)
    tifffile.imwrite(folder / "b_labels.tif", np.roll(sample.labels, 60, 1))
    asked = []
    monkeypatch.setattr(
        train_questions, "ask", lambda *a, **_: asked.append(a[2]) or len(asked) > 1
    )
    widget.projects.tested.emit(folder)
    wait_until_done(qtbot, widget, PATIENCE)
    assert "do not fit the image in b" in asked[0]
    project = Project(loop.projects / "my-cells")
    assert project.tests == []
    widget.projects.tested.emit(folder)  # and this time it is insisted on
    qtbot.waitUntil(lambda: len(asked) == 2, timeout=PATIENCE)
    wait_until_done(qtbot, widget, PATIENCE)
    assert [one.source for one in project.tests] == [str(folder)]
    press(qtbot, segment)
    wait_until_done(qtbot, segment)
    labels = viewer.layers["a nuclei"]
    viewer.layers.selection.active = loop.image
    widget.projects.tested.emit(None)
    assert "Nobody has accepted or corrected" in widget.result_line.text()
    for label in range(1, 13):
        watch_of(labels).accept(label)
    widget.projects.tested.emit(None)
    wait_until_done(qtbot, widget, PATIENCE)
    assert [one.name for one in project.tests] == ["b", "a"]
    assert "nuclei in 2 images, never learnt from" in widget.projects.line.text()
    # Tested on, it cannot be learnt from: by itself, nor beside another.
    widget.enterEvent(None)
    click(qtbot, widget.run_button)
    wait_until_done(qtbot, widget, PATIENCE)
    assert "tests on a: nothing is learnt from it" in widget.result_line.text()
    widget.projects._on_held_out()
    assert project.tests == []
    click(qtbot, widget.run_button)
    wait_until_done(qtbot, widget, PATIENCE)
    assert len(fake.learnt) == 1


class Patient(FakeProcess):
    """Trains until it is killed."""

    killed = False

    def wait(self, monitor):
        while not self.killed:
            monitor.report(Progress("Training", 1, 10, {"loss": 0.5}))
            monitor.should_stop()
            time.sleep(0.02)
        raise TrainingKilled("It was ended.")

    def kill(self):
        self.killed = True


def start_a_round(loop, qtbot):
    """Segment, accept twelve nuclei, press the button, and wait for the training."""
    viewer, widget, segment = loop.viewer, loop.widget, loop.segment
    press(qtbot, segment)
    wait_until_done(qtbot, segment)
    for label in range(1, 13):
        watch_of(viewer.layers["a nuclei"]).accept(label)
    widget.enterEvent(None)
    click(qtbot, widget.run_button)
    qtbot.waitUntil(lambda: widget.progress.bar.max == 10, timeout=20_000)


def test_a_model_that_is_judged_part_by_part_can_be_had_at_once(
    loop, qtbot, monkeypatch
):
    class Judged(FakeProcess):
        def wait(self, monitor):
            monitor.report(Progress("Training", 1, 4, {"loss": 0.5}))
            assert not monitor.should_stop()
            while not monitor.should_stop():
                monitor.report(Progress(STAGE, 1, 10, {"loss": 0.5}))
                time.sleep(0.02)
            return super().wait(monitor)

    monkeypatch.setattr(work, "TrainingProcess", Judged)
    widget = loop.widget
    start_a_round(loop, qtbot)
    qtbot.waitUntil(widget.enough_button.isVisible, timeout=20_000)
    assert STAGE in widget.progress.line.value
    click(qtbot, widget.enough_button)
    wait_until_done(qtbot, widget, PATIENCE)
    assert widget.is_undecided, widget.result_line.text()
    assert not widget.enough_button.isVisible()


def test_cancelling_keeps_the_examples_and_nothing_else(loop, qtbot, monkeypatch):
    monkeypatch.setattr(work, "TrainingProcess", Patient)
    widget = loop.widget
    start_a_round(loop, qtbot)
    click(qtbot, widget.run_button)
    wait_until_done(qtbot, widget, PATIENCE)
    assert widget.result_line.text().startswith("Cancelled")
    project = Project(loop.projects / "my-cells")
    assert (project.nuclei, project.rounds) == (12, [])
    assert not list((project.folder / "models").iterdir())
    assert widget.run_button.isEnabled()


def test_a_round_whose_dock_is_closed_can_be_resumed_or_discarded(
    loop, qtbot, monkeypatch
):
    class Saving(Patient):
        def wait(self, monitor):
            rows = [{"epoch": 1, "loss": 1.0, "val_loss": 1.0, "val_AP50": 0.5}]
            self.run.save(TrainState([], [], [], rows, {}), [], better=True)
            super().wait(monitor)

    monkeypatch.setattr(work, "TrainingProcess", Saving)
    widget = loop.widget
    start_a_round(loop, qtbot)
    widget.close()
    wait_until_done(qtbot, widget, PATIENCE)
    project = Project(loop.projects / "my-cells")
    assert project.interrupted is not None
    again = teach_widget.TeachWidget(loop.viewer)
    qtbot.addWidget(again)
    again.show()
    assert again.projects.folder == project.folder
    assert not again.run_button.isEnabled()
    assert "saved up to its last full epoch" in again.interrupted.line.text()
    click(qtbot, again.interrupted.discard_button)
    assert not again.interrupted.isVisible()
    assert again.run_button.isEnabled(), again.reason_line.text()
    assert (project.nuclei, project.rounds) == (12, [])
    assert not list((project.folder / "models").iterdir())


def test_too_little_is_said_and_a_folder_is_looked_through(loop, qtbot, tmp_path):
    viewer, widget, segment = loop.viewer, loop.widget, loop.segment
    press(qtbot, segment)
    wait_until_done(qtbot, segment)
    watch_of(viewer.layers["a nuclei"]).accept(1)
    widget.enterEvent(None)
    click(qtbot, widget.run_button)
    wait_until_done(qtbot, widget, PATIENCE)
    assert "at least 5 are needed" in widget.result_line.text()
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "b.tif", load_sample("small").image[:150, :200])
    tifffile.imwrite(folder / "b_labels.tif", np.zeros((150, 200), np.uint8))
    widget.next_panel.look_in(folder)
    wait_until_done(qtbot, widget, PATIENCE)
    assert "b" in viewer.layers
    assert "b nuclei" in viewer.layers
    assert "b_labels" not in viewer.layers
    (frames,) = (x for x in viewer.layers if isinstance(x, Shapes))
    assert frames.name == "b to learn"
    assert len(frames.data) == 1
