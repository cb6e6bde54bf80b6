"""How a table was made: what the Measure widget saves, loads and copies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari.layers import Image, Labels

from napari_nucleiseg.core.measure.gates import Gate
from napari_nucleiseg.models.recipe import SavedRecipe
from napari_nucleiseg.widgets.segment.edits import watch_of
from napari_nucleiseg.widgets.shared.controls import quoted
from napari_nucleiseg.widgets.shared.layers import RECORD
from napari_nucleiseg.widgets.shared.recipe_button import file_of, lines_for


@dataclass(frozen=True, eq=False)
class Asked:
    """What a table was made of, and how.

    Parameters
    ----------
    layer : napari.layers.Labels
        The labels.
    images : tuple of napari.layers.Image
        The images measured.
    recipe : SavedRecipe
        How the labels were made, if Segment made them, and how they were measured.
    """

    layer: Labels
    images: tuple[Image, ...]
    recipe: SavedRecipe

    @property
    def whole(self) -> bool:
        """Whether the recipe makes the labels too, from the one image measured."""
        made_from = self.layer.metadata.get(RECORD, {}).get("image_id")
        one = len(self.images) == 1 and self.images[0].unique_id == made_from
        return one and self.recipe.model is not None

    @property
    def note(self) -> str:
        """What the recipe does not say."""
        watch = watch_of(self.layer)
        edited = self.whole and watch is not None and watch.table.edited
        return " The corrections made by hand are not in it." if edited else ""

    def with_gates(self, gates: list[Gate]) -> SavedRecipe:
        """Return the recipe with gates."""
        return self.recipe.replace(gates=gates, corrected=bool(self.note))

    def as_command(self, gates: list[Gate]) -> str:
        """Return the line for the shell.

        Raises
        ------
        ValueError, OSError
            If a layer is in no file that can be read.
        """
        recipe = self.with_gates(gates)
        if self.whole:
            return recipe.as_command([str(file_of(self.images[0]))], "tables")
        labels, images = self._files()
        return recipe.as_measure_command(labels, images, "tables")

    def as_python(self, gates: list[Gate]) -> str:
        """Return the lines of Python; see `as_command`."""
        recipe = self.with_gates(gates)
        if self.whole:
            return lines_for(recipe, self.images[0])
        return recipe.as_measure_python(*self._files())

    def _files(self) -> tuple[str, dict[str, str]]:
        path = self.layer.source.path
        if not path or not Path(path).is_file():
            raise ValueError(
                f"{quoted(self.layer.name)} is in no file, which these lines need. "
                "Save it with File → Save Selected Layers and open that."
            )
        return path, {layer.name: str(file_of(layer)) for layer in self.images}


def made_by(layer: Labels) -> SavedRecipe:
    """Return the recipe that made a layer's labels; an empty one if it is unknown."""
    known = layer.metadata.get(RECORD, {}).get("recipe")
    return SavedRecipe() if known is None else SavedRecipe(**known)
