"""What the user chooses before pressing Segment: image, channel, model, values."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import Container, FileEdit
from napari.layers import Image, Labels, Layer, Shapes
from psygnal import Signal

from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.region import Region
from napari_nucleiseg.models.recipe import SavedRecipe
from napari_nucleiseg.models.registry import Model, list_models
from napari_nucleiseg.widgets.segment import large, places
from napari_nucleiseg.widgets.shared.axes import AxesEdit
from napari_nucleiseg.widgets.shared.controls import LayerBox, NarrowBox, quoted
from napari_nucleiseg.widgets.shared.layers import (
    MARK,
    RECORD,
    ChannelChoice,
)
from napari_nucleiseg.widgets.shared.leaving import Leaving
from napari_nucleiseg.widgets.shared.param_form import ParamForm

if TYPE_CHECKING:
    import napari

_PLACE_TIP = (
    "Where to find nuclei: everywhere, in the part of the image that is in view, or "
    "inside the rectangles, ellipses and polygons of a Shapes layer. Labels outside "
    "stay as they are."
)
_OUTPUT_TIP = (
    "The labels of an image this large are written to this folder (OME-Zarr), and "
    "opened from there; a table of the nuclei goes beside it (Parquet). What is "
    "finished of a cancelled run stays, and Segment goes on after it."
)


class SegmentForm(Container):
    """Image, channel and model, and beside them the forms of the values.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose active layer is followed.
    """

    #: Emitted when another image or channel is chosen.
    source_changed = Signal()
    #: Emitted when another model is chosen, or the list of models was read again.
    model_changed = Signal()
    #: Emitted with a field's name when its value was changed.
    value_changed = Signal(str)

    image: LayerBox
    axes: AxesEdit
    channel: NarrowBox
    model: NarrowBox
    place: NarrowBox
    output: FileEdit

    def __init__(self, viewer: napari.Viewer) -> None:
        image = LayerBox(
            Image,
            name="image",
            label="Image",
            tooltip="The image layer to find nuclei in.",
        )
        channel = NarrowBox(
            name="channel",
            label="Channel",
            tooltip="The channel that shows the nuclei. “Every plane” treats the image "
            "as a stack or time-lapse, and segments each plane separately.",
        )
        model = NarrowBox(
            name="model", label="Model", tooltip="The trained network to use."
        )
        place = NarrowBox(name="place", label="Where", tooltip=_PLACE_TIP)
        output = FileEdit(
            name="output",
            label="Labels to",
            mode=FileDialogMode.OPTIONAL_FILE,
            filter="*.zarr",
            tooltip=_OUTPUT_TIP,
        )
        output.choose_btn.tooltip = _OUTPUT_TIP
        super().__init__(widgets=[image, AxesEdit(), channel, model, place, output])
        self.margins = (0, 0, 0, 0)
        self.viewer = viewer
        self.values_form = ParamForm(SegmentParams, advanced=False)
        self.more_form = ParamForm(SegmentParams, advanced=True)
        # The values as they were set for the model; what differs, the user has set.
        self._values_set: dict[str, Any] = {}
        # Where the labels of large images go, by layer, where the user has said it.
        self._outputs: weakref.WeakKeyDictionary[Image, Path] = (
            weakref.WeakKeyDictionary()
        )
        self._connect()
        self._follow(viewer.layers.selection.active)
        self._offer_places()
        self._on_image_chosen()
        self.refresh_models()

    def _connect(self) -> None:
        self.image.changed.connect(self._on_image_chosen)
        self.axes.changed.connect(self._offer_channels)
        self.channel.changed.connect(lambda _: self.source_changed.emit())
        self.model.changed.connect(self._on_model_chosen)
        self.output.changed.connect(self._on_output_set)
        for form in (self.values_form, self.more_form):
            form.param_changed.connect(self.value_changed.emit)
        active = self.viewer.layers.selection.events.active
        Leaving(self.native).listen(active, self._on_active_changed)

    # ---- what is chosen -----------------------------------------------------------

    def chosen_layer(self) -> Image | None:
        """Return the image layer that is chosen, if there is one."""
        return self.image.value

    def chosen_channel(self) -> ChannelChoice:
        """Return how the image is to be read."""
        return self.channel.value or ChannelChoice("All", "YX")

    def chosen_model(self) -> Model | None:
        """Return the model that is chosen, if there is one."""
        return self.model.value

    def is_large(self) -> bool:
        """Return whether the image is segmented by blocks, and its labels to a file."""
        image = self.chosen_layer()
        return image is not None and large.is_large(image, self.chosen_channel())

    def chosen_output(self) -> Path | None:
        """Return where the labels of a large image go, if that is said."""
        path = self.output.value
        return None if path is None or not str(path).strip() else Path(path)

    def chosen_region(self) -> Region | None:
        """Return where nuclei are to be looked for; None for everywhere.

        Raises
        ------
        ValueError
            If nothing of the image is there, or it cannot be told.
        """
        image, place = self.chosen_layer(), self.place.value
        if image is None or place in (None, places.WHOLE):
            return None
        if place == places.VIEW:
            return places.region_in_view(self.viewer, image, self.chosen_channel())
        return places.region_in_shapes(place, image, self.chosen_channel())

    def place_name(self) -> str:
        """Return what the region is, for a sentence."""
        place = self.place.value
        if place in (None, places.WHOLE):
            return "the whole image"
        if place == places.VIEW:
            return "what was in view"
        return f"inside {quoted(place.name)}"

    def choose_model(self, name: str) -> None:
        """Choose a model by its name, if it is there."""
        for model in self.model.choices:
            if model.card.name == name:
                self.model.value = model

    def params(self) -> SegmentParams:
        """Return the values in the form.

        Raises
        ------
        ValueError
            If one is outside its limits.
        """
        return SegmentParams(**self._values())

    def _values(self) -> dict[str, Any]:
        return {**self.values_form.values(), **self.more_form.values()}

    # ---- images -------------------------------------------------------------------

    def reset_choices(self, *_: object) -> None:
        """Offer the layers there are now; called by napari when they change."""
        self.image.reset_choices()
        self._offer_places()

    def choose(self, image: Image) -> None:
        """Choose an image layer, if it is there."""
        if image in self.image.choices:
            self.image.value = image

    def _on_active_changed(self, event: Any) -> None:
        self._follow(event.value)

    def _follow(self, layer: Layer | None) -> None:
        """Choose the image that is active, or whose labels are."""
        if isinstance(layer, Image):
            self.choose(layer)
        elif isinstance(layer, Labels):
            image_id = layer.metadata.get(RECORD, {}).get("image_id")
            for image in self.image.choices:
                if image.unique_id == image_id:
                    self.choose(image)

    def _on_image_chosen(self, _: object = None) -> None:
        self.axes.follow(self.chosen_layer())
        self._offer_channels()

    def _offer_channels(self, _: object = None) -> None:
        choices = self.axes.choices()
        if tuple(choices) != self.channel.choices:
            self.channel.offer([(choice.label, choice) for choice in choices], None)
        self.channel.visible = len(choices) > 1
        self._offer_output()
        self.source_changed.emit()

    def _offer_places(self) -> None:
        shapes = [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Shapes) and MARK not in layer.metadata
        ]
        choices = [("The whole image", places.WHOLE), ("What is in view", places.VIEW)]
        choices += [(f"Inside {layer.name}", layer) for layer in shapes]
        chosen = self.place.value
        values = [value for _, value in choices]
        self.place.offer(choices, chosen if chosen in values else places.WHOLE)

    def _offer_output(self) -> None:
        """Show where the labels of a large image will go."""
        image = self.chosen_layer()
        self.output.visible = self.is_large()
        if image is not None and self.is_large():
            path = self._outputs.get(image) or large.default_output(image)
            with self.output.changed.blocked():
                self.output.value = path

    def _on_output_set(self, path: Path | None) -> None:
        image = self.chosen_layer()
        if image is not None and path is not None:
            self._outputs[image] = path

    # ---- models and values ----------------------------------------------------------

    def refresh_models(self) -> None:
        """Read the list of models again, keeping the chosen one and the values.

        If the chosen one is gone or was trained again, the values that the user has
        set stay, and the others become those of the model chosen now. That does not
        count as a change of values: existing labels stay as they are.
        """
        chosen = self.chosen_model()
        models = list_models()
        names = {model.card.name: model for model in models}
        same = names.get(chosen.card.name) if chosen is not None else None
        self.model.offer(list(names.items()), same or next(iter(models), None))
        if self.chosen_model() != chosen:
            self._follow_model()
        self.model_changed.emit()

    def _follow_model(self) -> None:
        before = self._values_set
        mine = {
            name: value
            for name, value in self._values().items()
            if name in before and value != before[name]
        }
        told = self.values_form.param_changed, self.more_form.param_changed
        with told[0].blocked(), told[1].blocked():
            self.reset_values()
            self._set_values(mine)

    def reset_values(self) -> None:
        """Set the thresholds to the chosen model's own, and the diameter to Auto."""
        model = self.chosen_model()
        if model is not None:
            own = model.card.thresholds.model_dump()
            self._set_values(own | {"diameter": None, "accurate": False})
            self._values_set = self._values()

    def take(self, recipe: SavedRecipe) -> str:
        """Take the model and values of a recipe, and its channel if the image has it.

        Returns
        -------
        str
            What could not be taken; empty if everything was.

        Raises
        ------
        ValueError
            If its model is not in the list.
        """
        names = {model.card.name: model for model in list_models()}
        if recipe.model is not None:
            if recipe.model not in names:
                raise ValueError(
                    f"The recipe needs the model {recipe.model}, which is not in the "
                    f"list: {', '.join(names)}. Nothing was changed."
                )
            self.refresh_models()
            self.model.value = names[recipe.model]
        self.reset_values()
        given = {name: x for name, x in recipe.segment if x is not None}
        self._set_values(given)
        return self._take_channel(recipe)

    def _take_channel(self, recipe: SavedRecipe) -> str:
        if self.chosen_layer() is None or (
            recipe.axes is None and recipe.channel is None
        ):
            return ""
        before = self.axes.value
        if recipe.axes is not None:
            self.axes.value = recipe.axes
        for choice in self.channel.choices:
            alike = recipe.axes in (None, choice.axes)
            if alike and choice.channel == recipe.channel:
                self.channel.value = choice
                return ""
        self.axes.value = before
        channel = "" if recipe.channel is None else f", channel {recipe.channel}"
        return (
            f"This image has not the recipe's axes {recipe.axes or '–'}{channel}: "
            "choose its channel."
        )

    def _set_values(self, values: dict[str, Any]) -> None:
        for form in (self.values_form, self.more_form):
            form.set_values(values)

    def _on_model_chosen(self, _: object = None) -> None:
        self.reset_values()
        self.model_changed.emit()
