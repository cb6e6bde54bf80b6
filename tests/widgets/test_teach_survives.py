"""A round whose window is killed: another window looks on, and resumes it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from qtpy.QtCore import Qt

from napari_nucleiseg.training.project.project import Project
from napari_nucleiseg.training.run_folder import RunFolder

from .conftest import wait_until_done

#: The child imports TensorFlow, on a machine that may be busy.
PATIENCE = 240_000

#: The first window: Segment, some nuclei accepted, Teach.
WINDOW = """
import napari
from qtpy.QtCore import QTimer
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.widgets.segment.edits import watch_of

viewer = napari.Viewer()
viewer.add_image(load_sample("small").image[:160, :200], name="a")
dock = viewer.window.add_plugin_dock_widget
_, segment = dock("napari-nucleiseg", "Segment nuclei")
_, teach = dock("napari-nucleiseg", "Teach the model")
segment.run_button.click()

def begin():
    if segment.is_running:
        QTimer.singleShot(50, begin)
        return
    labels = viewer.layers["a nuclei"]
    for label in range(1, 13):
        watch_of(labels).accept(label)
    teach.form.set_values({"epochs": 12})
    teach.more_form.set_values(
        {"steps_per_epoch": 2, "batch_size": 1, "patch_size": 64, "patience": None}
    )
    teach.enterEvent(None)
    teach.run_button.click()
    print("teaching" if teach.is_running else teach.reason_line.text(), flush=True)

QTimer.singleShot(50, begin)
napari.run()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals on Windows")
def test_napari_is_killed_in_a_round_and_another_window_resumes_it(
    viewer, qtbot, monkeypatch, tmp_path
):
    monkeypatch.setenv("NUCLEISEG_MODELS", str(tmp_path / "models"))
    first = subprocess.Popen(
        [sys.executable, "-c", WINDOW], stdout=subprocess.PIPE, text=True
    )
    folder, owner = tmp_path / "projects" / "my-cells", 0
    with first:
        try:
            assert first.stdout.readline() == "teaching\n"
            run = RunFolder(folder / "models" / "my-cells-1")
            # Not by qtbot: what the window has to paint may outlast the epochs.
            deadline = time.monotonic() + PATIENCE / 1000
            while not run.history and time.monotonic() < deadline:
                time.sleep(0.02)
            owner = json.loads((run.path / "process.json").read_text())["pid"]
            os.kill(owner, signal.SIGSTOP)  # however long the rest takes
            # A second window, meanwhile: it says who is at it, and lets it be.
            _, widget = viewer.window.add_plugin_dock_widget(
                "napari-nucleiseg", "Teach the model"
            )
            assert widget.projects.folder == folder
            said = widget.reason_line.text()
            assert "being taught by another window (process" in said
            assert not widget.run_button.isEnabled()
            assert not widget.interrupted.isVisible()
        finally:
            os.kill(first.pid, signal.SIGKILL)
            if owner:
                os.kill(owner, signal.SIGCONT)
    qtbot.waitUntil(lambda: not run.owner, timeout=PATIENCE)
    done = [row["epoch"] for row in run.history]
    assert 0 < done[-1] < 12

    def is_offered():
        widget.enterEvent(None)  # the mouse comes
        return widget.interrupted.isVisible()

    qtbot.waitUntil(is_offered, timeout=PATIENCE)
    assert "saved up to its last full epoch" in widget.interrupted.line.text()
    assert "held-out nuclei" in widget.interrupted.line.text()
    assert [row["epoch"] for row in widget.interrupted.curves.rows] == done
    assert "Resume the round" in widget.reason_line.text()
    project = Project(folder)
    assert project.nuclei == 12
    qtbot.mouseClick(widget.interrupted.resume_button, Qt.MouseButton.LeftButton)
    assert not widget.interrupted.isVisible()
    wait_until_done(qtbot, widget, PATIENCE)
    assert widget.is_undecided, widget.result_line.text()
    assert not widget.interrupted.isVisible()
    (one,) = project.rounds
    history = project.model_of(one).card.training["history"]
    assert [row["epoch"] for row in history] == list(range(13))
    qtbot.mouseClick(widget.round.keep_button, Qt.MouseButton.LeftButton)
    assert project.published.card.name == "my-cells"
