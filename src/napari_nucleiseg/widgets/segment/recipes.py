"""What made the labels of an image, as a recipe, a command and lines of Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleiseg.models.recipe import SavedRecipe
from napari_nucleiseg.widgets.segment.edits import watch_of, watched_labels
from napari_nucleiseg.widgets.segment.form import SegmentForm
from napari_nucleiseg.widgets.segment.state import NO_MODEL, State
from napari_nucleiseg.widgets.shared.recipe_button import file_of, lines_for

if TYPE_CHECKING:
    import napari


class Recipes:
    """Gives and takes the recipe of what is chosen in the Segment widget.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose labels are looked at.
    form : SegmentForm
        What is chosen.
    state : State
        What is known of the image.
    """

    def __init__(self, viewer: napari.Viewer, form: SegmentForm, state: State) -> None:
        self._viewer, self._form, self._state = viewer, form, state

    def recipe(self) -> SavedRecipe:
        """Return what made the labels that are shown; else what the form asks for.

        Raises
        ------
        ValueError
            If there is no model, or a value is outside its limits.
        """
        image = self._form.chosen_layer()
        kept = None if image is None else self._state.kept(image)
        if kept is not None:
            return kept.found.recipe.replace(corrected=bool(self.left_out()))
        if self._form.chosen_model() is None:
            raise ValueError(NO_MODEL)
        recipe = self._state.as_asked().recipe
        return recipe if image is not None else recipe.replace(axes=None)

    def as_command(self) -> str:
        """Return the command that does the same to the image's file."""
        image = self._form.chosen_layer()
        if image is None:
            raise ValueError(self._state.why_not())
        return self.recipe().as_command([str(file_of(image))], "labels")

    def as_python(self) -> str:
        """Return lines of Python that do the same."""
        image = self._form.chosen_layer()
        if image is None:
            raise ValueError(self._state.why_not())
        return lines_for(self.recipe(), image)

    def left_out(self) -> str:
        """Return a sentence on what the recipe does not hold; empty if it holds all."""
        image = self._form.chosen_layer()
        layer = None if image is None else watched_labels(self._viewer, image)
        watch = None if layer is None else watch_of(layer)
        edited = watch is not None and watch.update()
        return " The corrections made by hand are not in it." if edited else ""

    def take(self, recipe: SavedRecipe) -> str:
        """Fill the form by a recipe, and return what is to be said of that."""
        text = self._form.take(recipe) or "Settings loaded. Press Segment to use them."
        if recipe.corrected:
            text += " Its labels were corrected by hand afterwards; that is not in it."
        return text
