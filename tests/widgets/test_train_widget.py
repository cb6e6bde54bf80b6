"""The real training widget in a real napari window, used as a biologist would."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from PIL import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QCloseEvent, QColor
from qtpy.QtWidgets import QDialog, QLabel, QMessageBox

from napari_nucleiseg.core.labels import checking
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.score.matching import score_image
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.training.checkpoint import TrainState
from napari_nucleiseg.training.outcome import mark_unseen
from napari_nucleiseg.training.project.project import Project
from napari_nucleiseg.training.run_folder import Order, RunFolder
from napari_nucleiseg.widgets.segment.edits import watch_of
from napari_nucleiseg.widgets.shared.docks import bring_forward, dock_of
from napari_nucleiseg.widgets.teach.widget import TeachWidget
from napari_nucleiseg.widgets.train import filling, questions, view

from .conftest import press, squares, wait_until_done
from .test_models_panel import make_model

TITLE = "Train a nuclei model"

#: The child imports TensorFlow, on a machine that may be busy.
PATIENCE = 240_000


@pytest.fixture
def models(monkeypatch, tmp_path):
    """Keep the models made here out of the user's folder."""
    folder = tmp_path / "models"
    monkeypatch.setenv("NUCLEISEG_MODELS", str(folder))
    return folder


@pytest.fixture
def trainer(models, viewer, qtbot):
    """The widget, docked, with two small real pairs open."""
    for name, part in (("large", np.s_[:200, :200]), ("small", np.s_[:160, :160])):
        sample = load_sample(name)
        viewer.add_image(sample.image[part], name=name)
        viewer.add_labels(sample.labels[part], name=f"{name} nuclei")
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    wait_for_check(qtbot, widget)
    widget.form.more_form.set_values(
        {"steps_per_epoch": 2, "batch_size": 1, "patch_size": 64}
    )
    yield SimpleNamespace(viewer=viewer, widget=widget)
    if widget.is_training:
        widget.cancel()
        qtbot.waitUntil(lambda: not widget.is_training, timeout=20_000)


def wait_for_check(qtbot, widget):
    qtbot.waitUntil(lambda: widget.form.check is not None, timeout=20_000)


def in_front(widget):
    """Whether a widget is seen: Qt calls one behind another tab visible, and puts it
    far outside of the window.
    """
    return dock_of(widget).x() >= 0


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def wait_for_epochs(qtbot, widget, n):
    qtbot.waitUntil(
        lambda: len(widget.curves.rows) >= n or not widget.is_training,
        timeout=PATIENCE,
    )
    assert widget.is_training, widget.message_line.text()


def wait_for_end(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.is_training, timeout=PATIENCE)


def test_a_user_trains_stops_and_segments(trainer, qtbot):
    viewer, widget = trainer.viewer, trainer.widget
    _, segment = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Segment nuclei"
    )
    assert [row.image.name for row in widget.form.sources.rows] == ["large", "small"]
    assert "nuclei in 2 images" in widget.form.check_line.text()
    assert "on this computer" in widget.form.estimate_line.text()
    widget.form.name_edit.value = "mine"
    # Segment opens in front of it.
    qtbot.waitUntil(lambda: not in_front(widget), timeout=20_000)
    bring_forward(widget)
    click(qtbot, widget.train_button)
    assert widget.stop_button.isVisible()
    assert not widget.form.isEnabled()
    assert widget.progress.native.isVisible()
    wait_for_epochs(qtbot, widget, 2)
    assert widget.curves.isVisible()
    assert widget.curves.rows[-1]["val_loss"] > 0
    assert widget.picture.isVisible()
    assert not widget.picture.image.pixmap().isNull()
    click(qtbot, widget.stop_button)
    assert not widget.stop_button.isEnabled()
    wait_for_end(qtbot, widget)
    assert widget.verdict.isVisible()
    assert "held-out nuclei" in widget.verdict.sentence.text()
    if widget.waiting.isVisible():
        # Two patches are little to learn from: it may not be better.
        assert "mine" not in [
            segment.model_box.itemText(i) for i in range(segment.model_box.count())
        ]
        click(qtbot, widget.waiting.keep_button)
    assert not widget.waiting.isVisible()
    assert widget.train_button.isVisible()
    click(qtbot, widget.segment_button)
    qtbot.waitUntil(lambda: in_front(segment), timeout=10_000)
    assert segment.model_box.currentText() == "mine"
    segment.image_box.setCurrentIndex(segment.image_box.findText("large"))
    click(qtbot, segment.run_button)
    wait_until_done(qtbot, segment)
    (layer,) = (x for x in viewer.layers if x.metadata.get("nucleiseg"))
    assert layer.metadata["nucleiseg"]["model"] == "mine"
    truth = viewer.layers["large nuclei"].data
    assert score_image(truth, layer.data).average_precision(0.5) > 0.5
    card = find_model("mine").card
    assert card.training["base"] == "nuclei"
    assert (find_model("mine").folder / "report" / "curves.png").is_file()
    assert "tensorflow" not in sys.modules
    assert "keras" not in sys.modules


def test_cancel_throws_it_away_at_once(trainer, qtbot, models):
    widget = trainer.widget
    click(qtbot, widget.train_button)
    qtbot.waitUntil(lambda: widget.process is not None, timeout=20_000)
    start = time.monotonic()
    click(qtbot, widget.cancel_button)
    wait_for_end(qtbot, widget)
    assert time.monotonic() - start < 5
    assert widget.message_line.text().startswith("Cancelled; nothing was kept")
    assert not list(models.glob("my-nuclei*"))
    assert widget.train_button.isEnabled()


STAND_IN = """
import time
from napari_nucleiseg.core.monitor import Progress
from napari_nucleiseg.training import process, run
from napari_nucleiseg.training.checkpoint import TrainState

def execute(folder, monitor):
    folder.acquire()
    rows = list(folder.load()[0].history) if folder.can_resume else []
    while not monitor.should_stop():
        epoch = len(rows)
        rows.append({"epoch": epoch, "loss": 1.0, "val_loss": 1.0, "val_AP50": 0.5})
        values = {"best_epoch": epoch}
        folder.save(TrainState([], [], [], rows, values), [], better=True)
        monitor.report(Progress("Epoch", epoch, 8, rows[-1]))
        time.sleep(0.2)

run.execute = execute
process.main()
"""


@pytest.fixture
def quick_child(monkeypatch, tmp_path):
    """Train in a process as real as any, with a stand-in for Keras in it.

    That the real one resumes is seen in tests/models_keras/test_process.py.
    """
    from napari_nucleiseg.training import process

    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)

    def start(command, **options):
        at = command.index("-m")
        command[at : at + 2] = [str(script)]
        return subprocess.Popen(command, **options)

    fake = SimpleNamespace(Popen=start, PIPE=subprocess.PIPE)
    monkeypatch.setattr(process, "subprocess", fake)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals on Windows")
def test_a_killed_training_is_reported_and_resumed(trainer, qtbot, quick_child):
    widget = trainer.widget
    click(qtbot, widget.train_button)
    wait_for_epochs(qtbot, widget, 2)
    os.kill(widget.process.pid, signal.SIGKILL)
    wait_for_end(qtbot, widget)
    assert "ended by the system (SIGKILL)" in widget.message_line.text()
    assert "out of memory" in widget.message_line.text()
    assert widget.waiting.isVisible()
    # It waits, and the next one can be trained, under another name.
    assert widget.form.name_edit.value == "my-nuclei-2"
    assert widget.train_button.isEnabled()
    widget.form.name_edit.value = "my-nuclei"
    assert "There is a model named 'my-nuclei'" in widget.train_button.toolTip()
    seen = len(widget.curves.rows)
    click(qtbot, widget.waiting.resume_button)
    wait_for_epochs(qtbot, widget, seen + 1)
    epochs = [row["epoch"] for row in widget.curves.rows]
    assert epochs == sorted(set(epochs))
    click(qtbot, widget.cancel_button)
    wait_for_end(qtbot, widget)
    assert not widget.waiting.isVisible()


class FakeProcess:
    """A training that goes on until it is told to end."""

    def __init__(self, run):
        self.run, self.stopped, self.killed, self.released = run, False, False, False
        self.goes_on, self.pid = False, 0

    def wait(self, monitor):
        while not (self.stopped or self.killed or self.released or self.goes_on):
            time.sleep(0.02)

    def stop(self):
        self.stopped = True

    def kill(self):
        self.killed = True

    def let_go(self, *, go_on=False):
        self.goes_on, self.released = go_on, not go_on


@pytest.fixture
def fake(monkeypatch):
    from napari_nucleiseg.widgets.train import run as train_run

    monkeypatch.setattr(train_run, "TrainingProcess", FakeProcess)


@pytest.mark.parametrize(
    ("answer", "closes", "ending"),
    [
        ("Train on without napari", True, "goes_on"),
        ("Stop and keep the best", True, "released"),
        ("Discard it", True, "killed"),
        ("Do not close", False, None),
    ],
)
def test_closing_napari_asks_what_shall_become_of_it(
    trainer, qtbot, fake, answer, closes, ending
):
    widget = trainer.widget
    click(qtbot, widget.train_button)
    qtbot.waitUntil(lambda: widget.process is not None, timeout=20_000)
    process = widget.process

    def reply():
        window = trainer.viewer.window._qt_window
        (box,) = window.findChildren(QMessageBox)
        assert "being trained" in box.text()
        (button,) = (b for b in box.buttons() if b.text() == answer)
        button.click()

    QTimer.singleShot(200, reply)
    event = QCloseEvent()
    held = widget._guard.eventFilter(trainer.viewer.window._qt_window, event)
    assert held is not closes
    assert [x for x in ("goes_on", "released", "killed") if getattr(process, x)] == (
        [ending] if ending else []
    )
    process.killed = True
    qtbot.waitUntil(lambda: not widget.is_training, timeout=10_000)


def test_closing_the_dock_leaves_the_training_to_end_well(trainer, qtbot, fake):
    widget = trainer.widget
    click(qtbot, widget.train_button)
    qtbot.waitUntil(lambda: widget.process is not None, timeout=20_000)
    process = widget.process
    trainer.viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    qtbot.waitUntil(lambda: process.released, timeout=10_000)


def test_the_button_says_why_it_cannot_train(models, viewer, qtbot):
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    assert not widget.train_button.isEnabled()
    assert "Open an image, and a labels layer" in widget.train_button.toolTip()
    viewer.add_image(np.random.default_rng(0).random((90, 90)), name="a")
    labels = np.zeros((90, 90), int)
    labels[10:20, 10:20] = 1
    layer = viewer.add_labels(labels, name="b")
    wait_for_check(qtbot, widget)
    assert not widget.train_button.isEnabled()
    assert "Only 1 nucleus painted" in widget.train_button.toolTip()
    assert "Only 1 nucleus painted" in widget.form.check_line.text()
    # Painting more brings the check up to date by itself.
    for i in range(2, 9):
        layer.selected_label = i
        layer.brush_size = 5
        layer.paint((40 if i % 2 else 70, 10 * i), i)
    qtbot.waitUntil(lambda: "8 nuclei" in widget.form.check_line.text(), timeout=20_000)
    assert widget.train_button.isEnabled()
    widget.form.name_edit.value = ""
    assert widget.train_button.toolTip() == "Give the new model a name."


def test_the_student_projects_networks_learn_from_whole_images(
    trainer, qtbot, monkeypatch
):
    widget = trainer.widget
    form = widget.form
    assert form.params().resize is None
    (unet,) = [c for c in form.base_box.choices if getattr(c, "name", "") == "unet"]
    form.base_box.value = unet
    assert form.params().resize == 128
    wait_for_check(qtbot, widget)
    assert "Resized to 128 × 128 px, your nuclei are" in form.check_line.text()
    # Those of the sample are just large enough, whatever they are resized to.
    monkeypatch.setattr(checking, "LEAST_RESIZED", 9.0)
    form.more_form.set_values({"resize": 32})
    why = widget.train_button.toolTip
    qtbot.waitUntil(lambda: "9 px is the least" in why(), timeout=20_000)
    assert not widget.train_button.isEnabled()
    form.more_form.set_values({"resize": None})
    qtbot.waitUntil(widget.train_button.isEnabled, timeout=20_000)
    assert "Resized" not in form.check_line.text()


def test_a_name_that_will_not_do_is_said(trainer, qtbot, models):
    widget = trainer.widget
    widget.form.name_edit.value = "my model!"
    click(qtbot, widget.train_button)
    wait_for_end(qtbot, widget)
    assert "1 to 64 letters, digits" in widget.message_line.text()
    assert not list(models.glob("*.training"))


def test_a_mask_of_one_value_is_split_on_request(models, viewer, qtbot):
    sample = load_sample("large")
    viewer.add_image(sample.image, name="large")
    viewer.add_labels((sample.labels > 0).astype(int), name="mask")
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    wait_for_check(qtbot, widget)
    assert "looks like a mask" in widget.form.check_line.text()
    assert widget.form.split_button.isVisible()
    click(qtbot, widget.form.split_button)
    wait_for_check(qtbot, widget)
    assert not widget.form.split_button.isVisible()
    assert widget.train_button.isEnabled(), widget.train_button.toolTip()
    assert viewer.layers["mask"].data.max() == 1
    assert viewer.layers["mask (split)"].data.max() > 5


def test_only_what_lies_in_the_region_is_known(trainer, qtbot):
    viewer, widget = trainer.viewer, trainer.widget
    sources = widget.form.sources
    sources.remove_row(sources.rows[1])
    corners = np.array([[20, 20], [20, 120], [150, 120], [150, 20]])
    viewer.add_shapes([corners], shape_type="polygon", name="done")
    sources.labelled_box.value = "region"
    sources.region_box.value = viewer.layers["done"]
    from napari_nucleiseg.widgets.train.regions import read_sources

    (pair,), findings = read_sources(sources.sources())
    assert not findings
    assert not pair.known[:19].any()
    assert not pair.known[:, 122:].any()
    inside = pair.known[22:148, 22:118]
    # All of it but nuclei that end at its edge.
    assert inside[pair.labels[22:148, 22:118] == 0].all()
    sources.labelled_box.value = "painted"
    (pair,), _ = read_sources(sources.sources())
    assert pair.known[pair.labels > 0].all()
    assert not pair.known.all()


def test_what_the_model_found_is_not_learnt_from_without_a_question(
    docked, models, qtbot, monkeypatch, slow
):
    viewer, segment = docked.viewer, docked.widget
    viewer.add_image(squares((180, 220)), name="a")
    press(qtbot, segment)
    wait_until_done(qtbot, segment)
    for label in range(1, 13):
        watch_of(viewer.layers["a nuclei"]).accept(label)
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    assert widget.form.sources.labelled == "by hand"
    wait_for_check(qtbot, widget)
    assert "12 nuclei" in widget.form.check_line.text()
    asked, started = [], []
    monkeypatch.setattr(questions, "ask", lambda *a, **_: asked.append(a) or right)
    monkeypatch.setattr(widget, "_start", started.append)
    click(qtbot, widget.train_button)
    assert len(started) == 1
    assert not asked
    for right, starts in ((False, 1), (True, 2)):
        widget.form.sources.labelled_box.value = "all"
        wait_for_check(qtbot, widget)
        click(qtbot, widget.train_button)
        assert (
            "8 of 20 nuclei in “a nuclei” are as the model found them" in (asked[-1][2])
        )
        assert len(started) == starts
        wanted = "all" if right else "by hand"
        assert widget.form.sources.labelled == wanted


def test_a_folder_is_learnt_from(models, viewer, qtbot, tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("large", "small"):
        sample = load_sample(name)
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", sample.image)
        labels = sample.labels.astype(np.uint16)
        tifffile.imwrite(tmp_path / "masks" / f"{name}.tif", labels)
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    widget.form.sources.set_folder(tmp_path)
    wait_for_check(qtbot, widget)
    assert widget.train_button.isEnabled()
    assert "in 2 images" in widget.form.check_line.text()
    widget.form.sources.set_folder(tmp_path / "images")
    wait_for_check(qtbot, widget)
    assert not widget.train_button.isEnabled()
    assert "no images with labels" in widget.form.check_line.text()


def test_finished_masks_fill_a_project_and_teach_goes_on(
    trainer, qtbot, monkeypatch, tmp_path
):
    viewer, widget = trainer.viewer, trainer.widget
    sample = load_sample("crowded")
    tifffile.imwrite(tmp_path / "c.tif", sample.image[:200, :200])
    tifffile.imwrite(tmp_path / "c_labels.tif", sample.labels[:200, :200])
    panel = widget.filling
    assert panel.button.isEnabled()
    assert not panel.teach_button.isVisible()
    widget.form.test_edit.value = tmp_path
    widget.form.form.set_values({"epochs": 5})
    monkeypatch.setattr(
        filling.QInputDialog, "getText", lambda *_, **__: ("my masks", True)
    )
    (new,) = [x for x in actions_of(panel) if x.text() == "New project…"]
    new.trigger()
    qtbot.waitUntil(panel.teach_button.isVisible, timeout=60_000)
    assert "in the project my-masks, which has" in widget.message_line.text()
    assert "It tests on 1 image." in widget.message_line.text()
    project = Project(tmp_path / "projects" / "my-masks")
    assert [x.name for x in project.examples] == ["large", "small"]
    assert [x.source for x in project.tests] == [str(tmp_path)]
    assert project.note.params.epochs == 5
    # An image to test on is not learnt from, in whatever way it comes.
    widget.form.test_edit.value = None
    widget.form.sources.set_folder(tmp_path)
    wait_for_check(qtbot, widget)
    nuclei = project.nuclei
    offered = [x for x in actions_of(panel) if x.text() == "my-masks"]
    offered[0].trigger()
    qtbot.waitUntil(lambda: panel.button.isEnabled(), timeout=60_000)
    assert widget.message_line.text().startswith("Nothing was added: c is one to test")
    assert project.nuclei == nuclei
    click(qtbot, panel.teach_button)
    (teach,) = viewer.window._qt_window.findChildren(TeachWidget)
    qtbot.waitUntil(lambda: in_front(teach), timeout=20_000)
    assert teach.projects.project.folder == project.folder
    assert "never learnt from" in teach.projects.line.text()
    assert teach.form.values()["epochs"] == 5


def actions_of(panel):
    """The projects that are offered, as the menu has them when it opens."""
    panel.button.menu().aboutToShow.emit()
    return panel.button.menu().actions()


def test_layers_that_go_take_their_row_with_them(trainer, qtbot):
    viewer, widget = trainer.viewer, trainer.widget
    viewer.layers.remove("small")
    assert [row.image.name for row in widget.form.sources.rows] == ["large"]
    del viewer.layers["large nuclei"]
    assert not widget.form.sources.rows
    assert not widget.train_button.isEnabled()
    assert not [x for x in viewer.layers if isinstance(x, Labels) and x.name == "large"]


def test_an_interrupted_training_is_offered_when_the_widget_opens(
    models, viewer, qtbot, tmp_path
):
    run = RunFolder(models / "before")
    run.path.mkdir(parents=True)
    for name in ("order.json", "state.npz"):
        (run.path / name).write_text("{}")
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    qtbot.waitUntil(widget.waiting.isVisible, timeout=10_000)
    assert "“before” was interrupted" in widget.waiting.line.text()
    click(qtbot, widget.waiting.resume_button)
    # It is damaged: said, and nothing lost.
    assert "cannot be resumed" in widget.message_line.text()
    assert run.exists
    click(qtbot, widget.waiting.discard_button)
    assert not run.exists
    assert not widget.waiting.isVisible()


def test_no_code_of_the_current_folder_is_run(trainer, qtbot, monkeypatch, tmp_path):
    """As where somebody opens napari in a folder that was sent to them."""
    canary = tmp_path / "canary"
    here = tmp_path / "sent"
    here.mkdir()
    # The first is imported by numpy, the second by us, the third by matplotlib.
    for name in ("secrets.py", "tifffile.py", "napari_nucleiseg.py", "kiwisolver.py"):
        (here / name).write_text(f"open({str(canary)!r}, 'w').write({name!r})")
    monkeypatch.chdir(here)
    # An empty entry stands for the current folder as well.
    monkeypatch.setenv("PYTHONPATH", os.pathsep + os.environ.get("PYTHONPATH", ""))
    widget = trainer.widget
    click(qtbot, widget.train_button)
    # By then everything is imported but Keras.
    qtbot.waitUntil(
        lambda: "Keras" in widget.progress.line.value or not widget.is_training,
        timeout=PATIENCE,
    )
    assert widget.is_training, widget.message_line.text()
    click(qtbot, widget.cancel_button)
    wait_for_end(qtbot, widget)
    assert not canary.exists(), canary.read_text()


def test_it_stands_behind_segment_as_a_tab(models, viewer, qtbot):
    _, segment = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Segment nuclei"
    )
    qtbot.waitUntil(segment.isVisible, timeout=10_000)
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    window = viewer.window._qt_window
    qtbot.waitUntil(
        lambda: dock_of(segment) in window.tabifiedDockWidgets(dock_of(widget)),
        timeout=20_000,
    )
    qtbot.waitUntil(lambda: in_front(widget) and not in_front(segment))
    bring_forward(segment)
    qtbot.waitUntil(lambda: in_front(segment) and not in_front(widget))


def test_hours_and_labels_that_do_not_fit_are_asked_about(
    trainer, qtbot, fake, monkeypatch
):
    viewer, widget = trainer.viewer, trainer.widget
    asked = []

    def refuse(parent, text, detail, **_):
        asked.append(text)
        return False

    monkeypatch.setattr(questions, "ask", refuse)
    widget.form.form.set_values({"epochs": 10_000})
    widget.form.more_form.set_values({"steps_per_epoch": 500})
    wait_for_check(qtbot, widget)
    click(qtbot, widget.train_button)
    assert not widget.is_training
    assert "on this computer. Begin?" in asked.pop()
    widget.form.form.set_values({"epochs": 1})
    labels = viewer.layers["small nuclei"]
    labels.data = np.ascontiguousarray(labels.data[::-1, ::-1])
    qtbot.waitUntil(
        lambda: "do not fit the image in small" in widget.form.check_line.text(),
        timeout=30_000,
    )
    click(qtbot, widget.train_button)
    assert not widget.is_training
    assert "do not seem to be of these images" in asked.pop()


def test_a_picture_is_enlarged_on_a_click(models, viewer, qtbot, tmp_path):
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    path = tmp_path / "picture.png"
    Image.fromarray(np.zeros((90, 300, 3), np.uint8)).save(path)
    widget.picture.show_file(path)
    widget.picture.show()
    click(qtbot, widget.picture.image)
    (window,) = widget.window().findChildren(QDialog, "enlarged")
    assert window.isVisible()
    assert window.picture.pixmap().width() == 600
    window.close()


def test_the_curves_can_be_read_in_another_theme(viewer, qtbot):
    viewer.theme = "light"
    curves = view.Curves()
    viewer.window.add_dock_widget(curves)
    curves.show_rows([{"epoch": 0, "loss": 1.0, "val_loss": 1.0, "val_AP50": 0.5}])

    def written():
        return QColor(curves.figure.axes[1].xaxis.label.get_color())

    def is_light(colour):
        return colour.lightness() > 128

    for theme in ("dark", "light"):
        viewer.theme = theme
        qtbot.waitUntil(lambda dark=theme == "dark": is_light(written()) is dark)


def leave_a_training(folder, name, epochs):
    """Leave a training as one that is under way or was interrupted."""
    pairs = [Pair(np.zeros((9, 9)), np.eye(9, dtype=int), "a")]
    run = RunFolder.create(folder / name, Order(name=name), pairs, pairs)
    rows = [
        {"epoch": i, "loss": 1.0, "val_loss": 1.0, "val_AP50": i / 10}
        for i in range(1, epochs + 1)
    ]
    run.save(TrainState([], [], [], rows, {"best_epoch": 1}), [], better=True)
    return run


def test_a_training_of_another_window_is_left_alone_and_looked_at(
    models, viewer, qtbot, monkeypatch
):
    from napari_nucleiseg.widgets.train import waiting

    monkeypatch.setattr(waiting, "LOOK_MS", 100)
    run = leave_a_training(models, "before", 2)
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    panel = widget.waiting
    qtbot.waitUntil(panel.isVisible, timeout=10_000)
    said = f"“before” is being trained in a terminal or script (process {os.getpid()})"
    assert said in panel.line.text()
    assert not panel.resume_button.isVisible()
    assert not panel.discard_button.isVisible()
    # Its curves are there, and grow.
    qtbot.waitUntil(widget.curves.isVisible, timeout=10_000)
    assert [row["val_AP50"] for row in widget.curves.rows] == [0.1, 0.2]
    state = run.load()[0]
    state.history.append({"epoch": 3, "loss": 1.0, "val_loss": 1.0, "val_AP50": 0.9})
    run.save(state, [], better=True)
    qtbot.waitUntil(lambda: len(widget.curves.rows) == 3, timeout=10_000)
    # It has crashed: that is seen without a click.
    run.release()
    qtbot.waitUntil(panel.resume_button.isVisible, timeout=10_000)
    assert "was interrupted" in panel.line.text()
    assert panel.discard_button.isVisible()
    assert len(widget.curves.rows) == 3


def test_of_several_trainings_that_wait_one_is_chosen(models, viewer, qtbot):
    for name, epochs in (("first", 1), ("second", 2)):
        leave_a_training(models, name, epochs).release()
    done = make_model("third")
    (done.folder / "report").mkdir()
    mark_unseen(done.folder)
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    panel = widget.waiting
    qtbot.waitUntil(panel.isVisible, timeout=10_000)
    # What ended while nobody looked comes first, and is shown once.
    assert "“third” was trained to its end" in panel.line.text()
    assert not panel.resume_button.isVisible()
    click(qtbot, panel.seen_button)
    assert "“first” was interrupted" in panel.line.text()
    assert [entry.name for entry in panel.box.choices] == ["first", "second"]
    panel.box.value = panel.box.choices[1]
    assert "“second” was interrupted" in panel.line.text()
    assert len(widget.curves.rows) == 2
    click(qtbot, panel.discard_button)
    assert not (models / "second.training").exists()
    assert "“first”" in panel.line.text()
    assert len(widget.curves.rows) == 1


def test_what_is_typed_and_chosen_stays_when_the_models_change(models, viewer):
    make_model("mine")
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleiseg", TITLE)
    form, panel = widget.form, widget.models_panel
    form.base_box.value = next(
        m for m in form.base_box.choices if m == find_model("mine")
    )
    form.form.set_values({"epochs": 77})
    form.name_edit.value = "half a na"
    make_model("another")
    panel.changed.emit({})
    assert form.base_box.current_choice == "mine"
    assert form.name_edit.value == "half a na"
    (models / "mine").rename(models / "yours")
    make_model("yours")
    panel.changed.emit({"mine": "yours"})
    assert form.base_box.current_choice == "yours"
    assert form.form.values()["epochs"] == 77
    shutil.rmtree(models / "yours")
    panel.changed.emit({})
    assert form.base_box.current_choice == "nuclei"
    assert form.form.values()["epochs"] == 77
    assert form.name_edit.value == "half a na"
    # A name that was only proposed is replaced when it is taken.
    form.propose_name()
    assert form.name_edit.value == "my-nuclei"
    make_model("my-nuclei")
    panel.changed.emit({})
    assert form.name_edit.value == "my-nuclei-2"


def test_it_fits_a_small_window_whatever_is_said(trainer, qtbot):
    viewer, widget = trainer.viewer, trainer.widget
    viewer.window.resize(1000, 600)
    width = widget.width()
    url = "https://storage.example.com/" + "mobilenet_v2_weights/" * 12 + "no_top.h5"
    viewer.layers["large"].name = "a name as microscopes write it " * 4
    widget.form.sources.set_folder(Path("/") / ("long" * 60))
    for line in (widget.message_line, widget.models_panel.message, widget.waiting.line):
        line.setText(f"It could not be fetched from {url}.")
        line.show()
    assert url in widget.message_line.text()
    widget.form.advanced.expand(animate=False)
    for other in ("Score nuclei labels", "Segment nuclei"):
        viewer.window.add_plugin_dock_widget("napari-nucleiseg", other)
    qtbot.waitUntil(lambda: not in_front(widget), timeout=20_000)
    bring_forward(widget)
    qtbot.wait(200)
    # No label is cut, and the fields beside them stand in one column.
    labels = widget.form.more_form.native.findChildren(QLabel)
    beside = [label for label in labels if label.text().endswith("(epochs)")]
    assert len(beside) == 2
    assert all(label.width() >= label.sizeHint().width() for label in beside)
    fields = [part for part in widget.form.more_form if part.native.isVisible()]
    assert len({part.native.x() for part in fields}) == 1
    assert widget.width() <= max(width, 400)
    assert viewer.window._qt_window.width() <= 1000
    assert viewer.window._qt_window.height() <= 600
    assert widget.widget().width() <= widget.viewport().width()
    # Nothing is squeezed: what does not fit is scrolled to.
    box = widget.form.form["epochs"].native
    qtbot.waitUntil(lambda: box.height() >= box.sizeHint().height())
    assert widget.verticalScrollBar().maximum() > 0
    image_box = widget.form.sources.rows[0].image_box
    assert "a name as microscopes" in image_box.native.toolTip()
