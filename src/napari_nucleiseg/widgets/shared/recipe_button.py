"""The button whose menu loads, saves and copies how a result was made."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QPushButton

from napari_nucleiseg.io.images import read_image
from napari_nucleiseg.models.recipe import RECIPE_FILE, SavedRecipe, read_recipe
from napari_nucleiseg.widgets.shared.controls import explain, quoted
from napari_nucleiseg.widgets.shared.layers import full_data

_TIP = (
    "Save how this result was made as a file, load such a file, or copy lines that "
    "make the same result in the shell or in Python."
)
_FILES = "Recipe (*.json)"


class RecipeButton(QPushButton):
    """Loads, saves and copies a recipe; what comes of it is said in the dock's line.

    Parameters
    ----------
    recipe : callable
        Returns what made the result, or is asked for; raises ValueError if there is
        nothing.
    command, python : callable
        Return the lines to be copied; raise ValueError or OSError if there are none.
    load : callable
        Takes the settings of a recipe over, and returns what is to be said.
    say : callable
        Shows a sentence.
    note : callable, optional
        Returns what the recipe does not do again; empty if it does everything.
    """

    def __init__(
        self,
        *,
        recipe: Callable[[], SavedRecipe],
        command: Callable[[], str],
        python: Callable[[], str],
        load: Callable[[SavedRecipe], str],
        say: Callable[[str], None],
        note: Callable[[], str] = str,
    ) -> None:
        super().__init__("Recipe")
        self.setObjectName("recipe_button")
        self.setToolTip(_TIP)
        self._recipe, self._load = recipe, load
        self._say, self._note = say, note
        menu = QMenu(self)
        menu.addAction("Load settings…", self._on_load_clicked)
        menu.addAction("Save settings…", self._on_save_clicked)
        menu.addSeparator()
        for what, lines in (("command", command), ("Python", python)):
            copy = functools.partial(self._copy_lines, lines, what)
            menu.addAction(f"Copy as {what}", copy)
        self.setMenu(menu)

    def load(self, path: Path) -> None:
        """Take the settings of a file over."""
        self._try(lambda: self._load(read_recipe(path)))

    def save(self, path: Path) -> None:
        """Write the settings into a file."""

        def write() -> str:
            self._recipe().write(path)
            return f"Saved as {path}.{self._note()}"

        self._try(write)

    def _copy_lines(self, make: Callable[[], str], what: str) -> None:
        def copy() -> str:
            QApplication.clipboard().setText(make())
            return f"Copied as {what}: paste it where you need it.{self._note()}"

        self._try(copy)

    def _try(self, do: Callable[[], str]) -> None:
        try:
            text = do()
        except (OSError, ValueError, MemoryError) as e:
            text = explain(e)
        self._say(text)

    def _on_load_clicked(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self.window(), "Load settings", "", _FILES
        )
        if path:
            self.load(Path(path))

    def _on_save_clicked(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self.window(), "Save settings", RECIPE_FILE, _FILES
        )
        if path:
            self.save(Path(path))


def file_of(layer: Image) -> Path:
    """Return the file that a layer's image is in, as the shell would read it.

    Raises
    ------
    ValueError
        If it is in none, or the file holds something else.
    OSError
        If the file cannot be read.
    """
    path, name = layer.source.path, quoted(layer.name)
    if not path:
        raise ValueError(
            f"{name} is in no file, which a command needs. Save it with File → Save "
            "Selected Layers and open that, or copy as Python."
        )
    data = full_data(layer)
    found = read_image(Path(path)).data
    if found.shape != tuple(data.shape) or not np.array_equal(found, np.asarray(data)):
        raise ValueError(
            f"{name} is not what {path} holds, so a command would give another result."
        )
    return Path(path)


def lines_for(recipe: SavedRecipe, layer: Image) -> str:
    """Return the lines of Python that do to a layer what a recipe says.

    Those for an image in no file are for napari's own console, which has the viewer.
    """
    if layer.source.path:
        return recipe.as_python(str(file_of(layer)))
    data = f"viewer.layers[{layer.name!r}].data" + ("[0]" if layer.multiscale else "")
    return recipe.as_python().replace("\n\n", f"\n\nimage = {data}\n", 1)
