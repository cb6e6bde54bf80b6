"""What the training form holds goes into a project, to be taught round by round."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QInputDialog, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_nucleiseg.core.labels.annotations import stack_name
from napari_nucleiseg.core.labels.holdout import check_apart
from napari_nucleiseg.models.registry import DEFAULT_MODEL, Model
from napari_nucleiseg.training.project.listing import free_folder, list_projects
from napari_nucleiseg.training.project.notes import model_name
from napari_nucleiseg.training.project.project import Project
from napari_nucleiseg.widgets.shared.controls import explain
from napari_nucleiseg.widgets.shared.docks import bring_forward, tab_behind
from napari_nucleiseg.widgets.shared.job import Job
from napari_nucleiseg.widgets.train.form import TrainForm
from napari_nucleiseg.widgets.train.preparing import Plan, read_plan, read_test
from napari_nucleiseg.widgets.train.questions import may_learn

_BUTTON, _BUSY = "Add to a project", "Adding to the project …"

_TIP = (
    "Add these images and labels to a project, which the Teach widget goes on with: "
    "every round learns from all examples in it."
)


@dataclass(frozen=True)
class Filled:
    """A project that was added to.

    Parameters
    ----------
    folder : pathlib.Path
        The project's.
    text : str
        What was added, in words.
    """

    folder: Path
    text: str


class FillPanel(QWidget):
    """Adds what a form holds to a project, and offers to go on with that.

    Parameters
    ----------
    widget : TrainWidget
        Whose viewer it is, beside whose dock the Teach widget is opened.
    form : TrainForm
        What is chosen.
    """

    #: What was done, in words.
    said = Signal(str)

    def __init__(self, widget: Any, form: TrainForm) -> None:
        super().__init__()
        self._widget, self._form = widget, form
        self._job: Job | None = None
        self._project: Path | None = None
        self.button = QPushButton(_BUTTON)
        menu = QMenu(self.button)
        menu.aboutToShow.connect(self._offer_projects)
        self.button.setMenu(menu)
        self.teach_button = QPushButton("Teach it on, round by round")
        self.teach_button.setToolTip(
            "Open the Teach widget with this project: it trains on all examples, shows "
            "what has changed, and what to label next."
        )
        self.teach_button.clicked.connect(self.teach)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.button)
        column.addWidget(self.teach_button)
        self.offer(None)
        self.refresh()

    def refresh(self) -> None:
        """Say why nothing can be added, if so, or that it is being added."""
        reason, busy = self._form.labels_reason(), self._job is not None
        self.button.setEnabled(not reason and not busy)
        self.button.setText(_BUSY if busy else _BUTTON)
        self.button.setToolTip(reason or _TIP)

    def offer(self, project: Path | None) -> None:
        """Offer to go on with a project, or with none."""
        self._project = project
        self.teach_button.setVisible(project is not None)

    def _offer_projects(self) -> None:
        menu = self.button.menu()
        menu.clear()
        for folder in list_projects():
            choose = functools.partial(self.add_to, folder)
            menu.addAction(folder.name).triggered.connect(choose)
        menu.addSeparator()
        menu.addAction("New project…").triggered.connect(self._on_new)

    def _on_new(self) -> None:
        name, said = QInputDialog.getText(
            self, "A new project", "What is it called?", text="my-cells"
        )
        if said and name.strip():
            self.add_to(name)

    def add_to(self, project: Path | str, *_: object) -> None:
        """Add what is chosen to a project: its folder, or the name of a new one."""
        if self._job is not None or self._form.labels_reason():
            return
        if not may_learn(self, self._form):
            return
        plan = self._form.plan()
        job = self._job = Job(lambda monitor: fill_project(plan, project))
        job.returned.connect(self._on_filled)
        job.errored.connect(self._on_failed)
        job.start()
        self.refresh()

    def _on_filled(self, filled: Filled) -> None:
        self._job = None
        self.offer(filled.folder)
        self.said.emit(filled.text)

    def _on_failed(self, error: Exception) -> None:
        self._job = None
        self.said.emit(f"Nothing was added: {explain(error)}")

    def teach(self) -> None:
        """Go on with the project in the Teach widget."""
        _, widget = self._widget.viewer.window.add_plugin_dock_widget(
            "napari-nucleiseg", "Teach the model"
        )
        tab_behind(widget, [self._widget])
        bring_forward(widget)
        if self._project is not None:
            widget.projects.open(self._project)


def fill_project(plan: Plan, into: Path | str) -> Filled:
    """Add what a plan would learn from, and what it would test on, to a project.

    Parameters
    ----------
    plan : Plan
        As the form has it.
    into : pathlib.Path or str
        A project's folder, or the name of a new one. That starts from the plan's
        model, and trains as the form says; from scratch, no project can start.

    Raises
    ------
    ValueError
        If something cannot be read, or an image would be both learnt from and tested
        on.
    OSError
        If it cannot be written.
    """
    pairs, findings = read_plan(plan)
    if wrong := [found.text for found in findings if found.level == "error"]:
        raise ValueError(" ".join(wrong))
    test = read_test(plan)
    check_apart(pairs, test)
    if isinstance(into, str):
        base = plan.base
        project = Project.create(
            free_folder(model_name(into)),
            base=_name(base),
            params=None if base is None else plan.params,
        )
    else:
        project = Project(into)
    before = len(project.tests)
    added = project.add(pairs, sources=[_source(plan, pair.name) for pair in pairs])
    project.add(test, sources=[str(plan.test)] * len(test), test=True)
    more = "nucleus is" if added == 1 else "nuclei are"
    text = (
        f"{added} more {more} in the project {project.note.name}, which has "
        f"{project.nuclei} in {_images(len(project.examples))} now."
    )
    if len(project.tests) > before:
        text += f" It tests on {_images(len(project.tests))}."
    return Filled(project.folder, text)


def _source(plan: Plan, name: str) -> str:
    """Return where an image came from: a layer, or the folder."""
    layers = {source.name for source in plan.sources}
    if plan.folder is None or stack_name(name) in layers:
        return name
    return f"{plan.folder}: {name}"


def _name(base: Model | None) -> str:
    """Return what finds a model again; the built-in one if there is none."""
    if base is None:
        return DEFAULT_MODEL
    return base.card.name if base.built_in else str(base.folder)


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"
