"""Which project is taught: a new one, one of those there are, or one from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from magicgui.widgets import Container, LineEdit
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.models.registry import DEFAULT_MODEL
from napari_nucleiseg.training.project.listing import (
    free_folder,
    list_projects,
    projects_folder,
)
from napari_nucleiseg.training.project.notes import NOTE_FILE, Example, model_name
from napari_nucleiseg.training.project.project import Project
from napari_nucleiseg.training.project.sharing import (
    SUFFIX,
    export_project,
    import_project,
)
from napari_nucleiseg.widgets.shared.controls import MessageLine, NarrowBox, explain

_NEW = "New project"


class ProjectBox(QWidget):
    """Chooses a project, and says what is in it."""

    #: Another project was chosen, or the chosen one was changed from here.
    changed = Signal()
    #: It is to test on a folder of images, or on the image that is chosen (None).
    tested = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._elsewhere: list[Path] = []
        self.box = NarrowBox(
            label="Project",
            tooltip="A folder with all that you have taught, and the models that came "
            "of it. Every round learns from all of it.",
        )
        self.name_edit = LineEdit(
            label="Call it",
            value="my-cells",
            tooltip="What the new project and its model are called.",
        )
        self.form = Container(widgets=[self.box, self.name_edit])
        self.form.margins = (0, 0, 0, 0)
        self.line = MessageLine("project_line")
        self.more_button = QPushButton("More")
        self.more_button.setToolTip("Open, give away or take back.")
        menu = QMenu(self.more_button)
        for text, act in (
            ("Open a project folder…", self._on_open),
            ("Take a project from a file…", self._on_import),
            ("Write this project as one file…", self._on_export),
            ("Back to the model before the one in use", self._on_back),
            ("Test on a folder of images…", self._on_test_folder),
            ("Test on the chosen image", self._on_test_image),
            ("Test on held-out nuclei again", self._on_held_out),
        ):
            menu.addAction(text).triggered.connect(self._guarded(act))
        self.more_button.setMenu(menu)
        row = QHBoxLayout()
        row.addWidget(self.line, 1)
        row.addWidget(self.more_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form.native)
        column.addLayout(row)
        self.refresh()
        self.box.changed.connect(self._on_chosen)

    # ---- what is chosen ----------------------------------------------------------

    @property
    def folder(self) -> Path | None:
        """The chosen project's; None for a new one."""
        return self.box.value

    @property
    def project(self) -> Project | None:
        """The chosen project; None for a new one, or if it cannot be read."""
        try:
            return None if self.folder is None else Project(self.folder)
        except ValueError:
            return None

    def why_not(self) -> str:
        """Return why the chosen project cannot be taught; empty if it can."""
        if self.folder is None:
            return "" if self.name_edit.value.strip() else "Give the project a name."
        try:
            Project(self.folder)
        except ValueError as e:
            return explain(e)
        return ""

    def make(self, base: str = DEFAULT_MODEL) -> Project:
        """Return the chosen project; a new one is made.

        Parameters
        ----------
        base : str
            The model that a new one starts from.

        Raises
        ------
        ValueError, OSError
            If it cannot be read or made.
        """
        if self.folder is not None:
            return Project(self.folder)
        folder = free_folder(model_name(self.name_edit.value))
        project = Project.create(folder, base=base)
        self.refresh(folder)
        return project

    def refresh(self, chosen: Path | None = None) -> None:
        """Read the list of projects anew, and choose one.

        Parameters
        ----------
        chosen : pathlib.Path, optional
            Which; by default the one that is chosen, or the one used last.
        """
        before = chosen or (self.folder if self.box.choices else None)
        folders = list(dict.fromkeys([*self._elsewhere, *list_projects()]))
        folders = [folder for folder in folders if (folder / NOTE_FILE).is_file()]
        choices = [(folder.name, folder) for folder in folders]
        first = before if before in folders else next(iter(list_projects()), None)
        self.box.offer([*choices, (_NEW, None)], first)
        if first is None:
            with self.box.changed.blocked():
                self.box.value = None
        self.tell()

    def tell(self) -> None:
        """Say what is in the chosen project."""
        self.name_edit.visible = self.folder is None
        project = self.project
        if project is None:
            self.line.setText(self.why_not() or "Nothing has been taught yet.")
            return
        note, model = project.note, project.model
        text = f"Examples: {_count(note.examples)}."
        if note.tests:
            text += f" Tested on {_count(note.tests)}, never learnt from."
        self.line.setText(f"{text} Model: {model.card.name}.")

    def _on_chosen(self, *_: object) -> None:
        self.tell()
        self.changed.emit()

    # ---- the menu ----------------------------------------------------------------

    def _guarded(self, act: Callable[[], None]) -> Callable[..., None]:
        def do(*_: object) -> None:
            try:
                act()
            except (OSError, ValueError) as e:
                self.line.setText(explain(e))

        return do

    def open(self, folder: Path) -> None:
        """Choose a project that lies anywhere.

        Raises
        ------
        ValueError
            If it is none.
        """
        folder = Project(folder).folder
        self._elsewhere.append(folder)
        self.refresh(folder)
        self.changed.emit()

    def _on_open(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "A project's folder", str(projects_folder())
        )
        if chosen:
            self.open(Path(chosen))

    def _on_import(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self, "A project as one file", str(Path.home()), f"Projects (*{SUFFIX})"
        )
        if chosen:
            folder = free_folder(Path(chosen).stem)
            self.open(import_project(chosen, folder).folder)

    def _on_export(self) -> None:
        project = self.project
        if project is None:
            raise ValueError("Choose a project first.")
        name = str(Path.home() / f"{project.note.name}{SUFFIX}")
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Write this project as one file", name, f"Projects (*{SUFFIX})"
        )
        if chosen:
            file = export_project(project, chosen, replace=True)
            self.line.setText(f"Written as {file}.")

    def _on_test_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "Images to test on, with their labels", str(Path.home())
        )
        if chosen:
            self.tested.emit(Path(chosen))

    def _on_test_image(self) -> None:
        self.tested.emit(None)

    def _on_held_out(self) -> None:
        project = self.project
        if project is None:
            raise ValueError("Choose a project first.")
        project.remove([one.file for one in project.tests])
        self.tell()

    def _on_back(self) -> None:
        project = self.project
        if project is None:
            raise ValueError("Choose a project first.")
        project.back()
        self.tell()
        self.changed.emit()


def _count(examples: Sequence[Example]) -> str:
    """Return how many nuclei there are in how many images, in words."""
    images, nuclei = len(examples), sum(one.nuclei for one in examples)
    return f"{nuclei} nuclei in {images} image{'' if images == 1 else 's'}"
