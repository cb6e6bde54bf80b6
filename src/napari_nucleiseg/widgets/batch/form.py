"""What the user chooses before a batch is run: images, conditions, settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, FileEdit, LineEdit, Select
from napari.layers import Image
from psygnal import Signal

from napari_nucleiseg.core.parameter import parameter
from napari_nucleiseg.core.params import MeasureParams, SegmentParams, Settings
from napari_nucleiseg.io.conditions import conditions_of, table_columns
from napari_nucleiseg.io.images import ImageFile
from napari_nucleiseg.io.inputs import find_images_in
from napari_nucleiseg.models.batch.items import Item, file_name, plan_files
from napari_nucleiseg.models.recipe import SavedRecipe, own_left_out, read_recipe
from napari_nucleiseg.models.registry import Model, list_models
from napari_nucleiseg.widgets.batch.parts import (
    BY_PATTERN,
    BY_TABLE,
    FILES,
    FOLDER,
    LAYERS,
    image_parts,
    setting_parts,
)
from napari_nucleiseg.widgets.measure.form import pixel_size
from napari_nucleiseg.widgets.measure.widget import MeasureWidget
from napari_nucleiseg.widgets.segment.widget import SegmentWidget
from napari_nucleiseg.widgets.shared.controls import NarrowBox
from napari_nucleiseg.widgets.shared.layers import layer_axes, snapshot
from napari_nucleiseg.widgets.shared.param_form import ParamForm

if TYPE_CHECKING:
    import napari

#: Where results go, in the folder of the images.
RESULTS = "nuclei"

#: Height of the list of layers, pixels.
_LIST_HEIGHT = 70


class BatchParams(Settings):
    """What is done in a batch, beside how nuclei are found and measured."""

    channel: int | None = parameter(
        None, "Channel", 0, 100, step=1, auto="the first, or all colours"
    )
    """The channel that shows the nuclei, counted from 0. Auto is the first one, or all
    of a colour image."""

    measure: bool = parameter(True, "Measure the nuclei")
    """Write nuclei.csv, a row for each nucleus, and images.csv, a row for each image.
    What is measured is what the Measure widget says now, if it is open."""

    contact_sheet: bool = parameter(True, "Contact sheet")
    """Write contact_sheet.png: all images with their outlines."""

    report: bool = parameter(True, "Report")
    """Write report.html, to hand round: settings, counts by condition, plots and the
    least certain images."""

    again: bool = parameter(False, "Do finished images again")
    """Otherwise what was done with these settings is left as it is."""


class BatchForm(Container):
    """Which images, by what conditions, with which settings, and where to."""

    #: Emitted when something was changed that the list of images depends on.
    list_changed = Signal()

    source: ComboBox
    folder: FileEdit
    pattern: LineEdit
    files: FileEdit
    layers: Select
    conditions: ComboBox
    condition_pattern: LineEdit
    condition_table: FileEdit
    condition_column: NarrowBox
    settings: ComboBox
    recipe: FileEdit
    model: NarrowBox
    axes: LineEdit
    output: FileEdit

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._suggested = ""  # where results go, unless the user says
        super().__init__(widgets=[*image_parts(self._images), *setting_parts()])
        self.margins = (0, 0, 0, 0)
        self.more = ParamForm(BatchParams)
        self.layers.native.setFixedHeight(_LIST_HEIGHT)
        self.axes.native.setPlaceholderText("as each file says")
        self.refresh_models()
        segmenting = self._docked(SegmentWidget)
        if segmenting is not None and segmenting.chosen_model() is not None:
            self._choose_model(segmenting.chosen_model().card.name)
        for part in self:
            part.changed.connect(self._on_changed)
        self.more.param_changed.connect(lambda _: self.list_changed.emit())
        self.recipe.changed.connect(self._on_recipe_chosen)
        self.condition_table.changed.connect(self._offer_columns)
        for box in (self.folder, self.files):
            box.changed.connect(self._suggest_output)
        self._show_parts()

    def _images(self, _: object = None) -> list[tuple[str, Image]]:
        layers = self._viewer.layers
        return [(layer.name, layer) for layer in layers if isinstance(layer, Image)]

    def _docked(self, kind: type) -> Any:
        """Return the widget of a kind that is open in the window, if there is one."""
        docked = self._viewer.window.dock_widgets.values()
        return next((x for x in docked if isinstance(x, kind)), None)

    # ---- something changes ----------------------------------------------------------

    def offer_layers(self) -> None:
        """Offer the layers there are now: all but those that were taken out."""
        taken_out = set(self.layers.choices) - set(self.layers.value)
        with self.layers.changed.blocked():
            self.layers.reset_choices()
            there = [layer for _, layer in self._images()]
            self.layers.value = [layer for layer in there if layer not in taken_out]
        if self.source.value == LAYERS:
            self.list_changed.emit()

    def _on_changed(self, _: object = None) -> None:
        self._show_parts()
        self.list_changed.emit()

    def _show_parts(self) -> None:
        source, by = self.source.value, self.conditions.value
        self.folder.visible = self.pattern.visible = source == FOLDER
        self.files.visible = source == FILES
        self.layers.visible = source == LAYERS
        self.condition_pattern.visible = by == BY_PATTERN
        self.condition_table.visible = self.condition_column.visible = by == BY_TABLE
        self.recipe.visible = self.settings.value == "recipe"

    def _suggest_output(self, _: object = None) -> None:
        """Put results beside the images, unless the user has said where to."""
        if str(self.output.value) not in ("", ".", self._suggested):
            return
        if self.source.value == FOLDER:
            place = Path(self.folder.value)
        else:
            place = Path(self.files.value[0]).parent if self.files.value else Path()
        self._suggested = str(place / RESULTS)
        self.output.value = self._suggested

    def _offer_columns(self, _: object = None) -> None:
        try:
            columns = table_columns(Path(self.condition_table.value))
        except (ValueError, OSError):
            columns = []  # why, the list of images says
        last = columns[-1] if columns else None
        known = [x for x in columns if x.lower() in ("condition", "treatment", "group")]
        choices = [(name, name) for name in columns]
        self.condition_column.offer(choices, next(iter(known), last))

    def refresh_models(self) -> None:
        """Read the list of models anew, keeping the chosen one."""
        chosen = self.model.value
        names = {model.card.name: model for model in list_models()}
        same = names.get(chosen.card.name) if chosen is not None else None
        self.model.offer(list(names.items()), same or next(iter(names.values()), None))

    def _choose_model(self, name: str | None) -> None:
        known = [model for model in self.model.choices if model.card.name == name]
        if name is not None and not known:
            raise ValueError(f"The recipe needs the model {name}: it is not there.")
        if known:
            self.model.value = known[0]

    def _on_recipe_chosen(self, _: object = None) -> None:
        """Show the model, axes and channel of the recipe, which may be changed."""
        try:
            recipe = read_recipe(Path(self.recipe.value))
            self._choose_model(recipe.model)
        except (ValueError, OSError):
            return  # why, the list of images says
        self.axes.value = recipe.axes or ""
        self.more.set_values({"channel": recipe.channel})
        self.more.set_values({"measure": recipe.measure is not None})

    # ---- what is asked for ----------------------------------------------------------

    @property
    def rule(self) -> str:
        """The rule of the conditions; see `io.conditions.conditions_of`."""
        by = self.conditions.value
        if by == BY_PATTERN:
            return str(self.condition_pattern.value)
        if by == BY_TABLE:
            column = self.condition_column.value
            return f"{self.condition_table.value}{f':{column}' if column else ''}"
        return str(by)

    def chosen_recipe(self) -> SavedRecipe:
        """Return how nuclei are to be found and measured.

        Raises
        ------
        ValueError, OSError
            If there is no model, the recipe cannot be read, or a value is outside its
            limits.
        """
        model: Model | None = self.model.value
        if model is None:
            raise ValueError("No model is installed: reinstall napari-nucleiseg.")
        if self.settings.value == "recipe":
            if str(self.recipe.value) in ("", "."):
                raise ValueError("Choose a recipe.json, whose settings are to be used.")
            base = read_recipe(Path(self.recipe.value))
        else:
            base = self._as_in_the_widgets()
        own = SavedRecipe.of_model(model)
        measure = base.measure or MeasureParams()
        return base.replace(
            version=own.version,
            model=own.model,
            model_hash=own.model_hash,
            axes=self.axes.value.strip() or None,
            channel=self.more["channel"].value,
            measure=measure if self.more["measure"].value else None,
            condition=self.rule,
            corrected=False,
        )

    def _as_in_the_widgets(self) -> SavedRecipe:
        segmenting, measuring = self._docked(SegmentWidget), self._docked(MeasureWidget)
        segment, how = SegmentParams(), SavedRecipe()
        if segmenting is not None and segmenting.chosen_model() is not None:
            own = segmenting.chosen_model().card.thresholds
            segment = own_left_out(segmenting.params(), own)
        if measuring is not None:
            how = measuring.settings()
        return how.replace(segment=segment)

    def settings_in_words(self, recipe: SavedRecipe) -> str:
        """Return what a recipe says that is not in the form, in a line."""
        values = {name: x for name, x in recipe.segment if x not in (None, False)}
        words = ["diameter measured"] if recipe.segment.diameter is None else []
        fields = SegmentParams.model_fields
        words += [f"{(fields[x].title or x).lower()} {y}" for x, y in values.items()]
        known = [name for name in values if name != "diameter"]
        if not known:
            words.append("the model's own thresholds")
        if recipe.gates and recipe.measure is not None:
            words.append(f"gates {', '.join(gate.name for gate in recipe.gates)}")
        text = ", ".join(words)
        return text[:1].upper() + text[1:] + "."

    def images(self, *, keep_data: bool = False) -> Callable[[], list[Item]]:
        """Note which images are chosen; a large folder takes long to look through.

        Parameters
        ----------
        keep_data : bool
            Whether layers are to be copied, so that they may change meanwhile.

        Returns
        -------
        callable
            Returns the images, in any thread; raises ValueError or OSError if there
            are none, or the rule of the conditions is none.

        Raises
        ------
        ValueError
            If nothing is chosen.
        """
        output, rule = Path(self.output.value), self.rule
        if self.source.value == LAYERS:
            items = self._layer_items(output, keep_data)
            return lambda: _with_conditions(items, output, rule)
        if self.source.value == FILES:
            paths = [Path(path) for path in self.files.value or ()]
            if not paths:
                raise ValueError("Choose image files.")
            return lambda: plan_files(paths, output, condition=rule)
        folder, pattern = Path(self.folder.value), str(self.pattern.value)
        if str(folder) in ("", "."):
            raise ValueError("Choose a folder of images.")
        return lambda: plan_files(_find(folder, pattern), output, condition=rule)

    def _layer_items(self, output: Path, keep_data: bool) -> list[Item]:
        layers: list[Image] = list(self.layers.value)
        if not layers:
            raise ValueError("Open images, and choose some of them.")
        names = [file_name(layer.name) for layer in layers]
        items: list[Item] = []
        for layer, name in zip(layers, names, strict=True):
            data = snapshot(layer) if keep_data else layer.data
            image = ImageFile(data, layer_axes(layer))
            again = names.index(name) < len(items)
            items.append(
                Item(
                    name,
                    layer.name,
                    problem="another layer has the same name" if again else "",
                    load=functools.partial(_itself, image),
                    pixel_size=pixel_size(layer),
                )
            )
        return items


def _find(folder: Path, pattern: str) -> list[Path]:
    """Return the images of a folder; raise ValueError if there are none."""
    paths = find_images_in(folder, pattern)
    if not paths:
        raise ValueError(
            f"There are no images in this folder that {pattern!r} names. **/* looks in "
            "the folders within, too."
        )
    return paths


def _with_conditions(items: list[Item], output: Path, rule: str) -> list[Item]:
    """Return layers with their conditions, as if they were files of these names."""
    found = conditions_of([output / f"{item.name}.tif" for item in items], rule)
    return [
        replace(item, condition=condition)
        for item, condition in zip(items, found, strict=True)
    ]


def _itself(image: ImageFile) -> ImageFile:
    return image
