"""What the user chooses before pressing Segment: image, channel, model, values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.models.registry import Model, list_models
from napari_nucleiseg.widgets.shared.axes import AxesEdit
from napari_nucleiseg.widgets.shared.controls import combo, unwrapped
from napari_nucleiseg.widgets.shared.layers import ChannelChoice
from napari_nucleiseg.widgets.shared.param_form import ParamForm

if TYPE_CHECKING:
    import napari

NO_MODEL = "There is no model to run: reinstall napari-nucleiseg."


class SegmentForm(QWidget):
    """Everything above the button.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose image layers are offered.
    """

    #: Emitted when another image or channel is chosen, or the layers have changed.
    source_changed = Signal()
    #: Emitted with a layer that was taken out of the viewer.
    layer_removed = Signal(object)
    #: Emitted when another model is chosen, or the list of models was read anew.
    model_changed = Signal()
    #: Emitted with a field's name when its value was changed.
    value_changed = Signal(str)

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        # The values as they were set for the model; what differs, the user has set.
        self._values_set: dict[str, Any] = {}
        self._make_controls()
        self._lay_out()
        self._connect()
        self._on_layers_changed()
        self.refresh_models()

    # ---- building ---------------------------------------------------------------

    def _make_controls(self) -> None:
        self.image_box = combo("The image layer to find nuclei in.")
        self.channel_box = combo(
            "Which channel shows the nuclei. “Every plane” takes the image for a "
            "stack or time-lapse, and does each plane by itself."
        )
        self.axes = AxesEdit()
        self.model_box = combo("The trained network to use.")
        self.model_line = QLabel()
        self.model_line.setWordWrap(True)
        self.model_line.setObjectName("model_line")
        self.form = ParamForm(SegmentParams, advanced=False)
        self.more_form = ParamForm(SegmentParams, advanced=True)
        self.reset_button = QPushButton("Back to the model's own values")
        self.reset_button.setToolTip(
            "Set every value to what the model was tested with, and the diameter to "
            "Auto."
        )

    def _lay_out(self) -> None:
        top = QFormLayout()
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._channel_label = QLabel("Channel")
        self._axes_label = QLabel(self.axes.label)
        for text, box in (
            (QLabel("Image"), self.image_box),
            (self._axes_label, self.axes.native),
            (self._channel_label, self.channel_box),
            (QLabel("Model"), self.model_box),
        ):
            text.setBuddy(box)
            text.setToolTip(box.toolTip())
            top.addRow(text, box)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.more_form.native)
        column.addWidget(self.reset_button)
        self.advanced = QCollapsible("Advanced", expandedIcon="▾", collapsedIcon="▸")
        self.advanced.addWidget(inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(top)
        for widget in (self.model_line, self.form.native, self.advanced):
            layout.addWidget(widget)

    def _connect(self) -> None:
        layers = unwrapped(self.viewer).layers
        events = layers.events
        callbacks: list[tuple[Any, Callable]] = [
            (events.inserted, self._on_layers_changed),
            (events.removed, self._on_layer_removed),
            (events.reordered, self._on_layers_changed),
            (events.renamed, self._on_layers_changed),
            (layers.selection.events.active, self._on_active_changed),
        ]
        for event, callback in callbacks:
            event.connect(callback)
        self.image_box.currentIndexChanged.connect(self._on_image_chosen)
        self.channel_box.currentIndexChanged.connect(
            lambda *_: self.source_changed.emit()
        )
        self.axes.changed.connect(self._offer_channels)
        self.model_box.currentIndexChanged.connect(self._on_model_chosen)
        self.reset_button.clicked.connect(self.reset_values)
        self.form.param_changed.connect(self.value_changed.emit)
        self.more_form.param_changed.connect(self.value_changed.emit)
        # The viewer outlives the form.
        self.destroyed.connect(functools.partial(_let_go, callbacks))

    # ---- what is chosen -----------------------------------------------------------
    # napari hands plugins a viewer whose layers may come in a new wrapping each time:
    # layers are compared with ==, never with "is".

    def chosen_layer(self) -> Image | None:
        """Return the image layer that is chosen, if there is one."""
        layer = self.image_box.currentData()
        return layer if layer is not None and layer in self.viewer.layers else None

    def chosen_channel(self) -> ChannelChoice:
        """Return how the image is to be read."""
        return self.channel_box.currentData() or ChannelChoice("All", "YX")

    def chosen_model(self) -> Model | None:
        """Return the model that is chosen, if there is one."""
        return self.model_box.currentData()

    def params(self) -> SegmentParams:
        """Return the values in the form."""
        return SegmentParams(**self._values())

    def _values(self) -> dict[str, Any]:
        return {**self.form.values(), **self.more_form.values()}

    # ---- images -------------------------------------------------------------------

    def _on_layers_changed(self, event: Any = None) -> None:
        images = [x for x in self.viewer.layers if isinstance(x, Image)]
        chosen = self.image_box.currentData()
        active = self.viewer.layers.selection.active
        if chosen not in images:
            chosen = active if active in images else (images[-1] if images else None)
        self.image_box.blockSignals(True)
        self.image_box.clear()
        for layer in images:
            self.image_box.addItem(layer.name, layer)
        if chosen is not None:
            self.image_box.setCurrentIndex(images.index(chosen))
        self.image_box.blockSignals(False)
        self._on_image_chosen()

    def _on_layer_removed(self, event: Any) -> None:
        self.layer_removed.emit(event.value)
        self._on_layers_changed()

    def _on_active_changed(self, event: Any) -> None:
        for index in range(self.image_box.count()):
            if self.image_box.itemData(index) == event.value:
                self.image_box.setCurrentIndex(index)

    def _on_image_chosen(self, *_: object) -> None:
        self.axes.follow(self.chosen_layer())
        self._axes_label.setVisible(not self.axes.native.isHidden())
        self._offer_channels()

    def _offer_channels(self, *_: object) -> None:
        choices = self.axes.choices()
        before = [self.channel_box.itemData(i) for i in range(self.channel_box.count())]
        if choices != before:
            self.channel_box.blockSignals(True)
            self.channel_box.clear()
            for choice in choices:
                self.channel_box.addItem(choice.label, choice)
            self.channel_box.blockSignals(False)
        several = len(choices) > 1
        self.channel_box.setVisible(several)
        self._channel_label.setVisible(several)
        self.source_changed.emit()

    # ---- models and values ----------------------------------------------------------

    def refresh_models(self) -> None:
        """Read the list of models anew, keeping the chosen one and the values.

        If the chosen one is gone or was trained anew, the values that the user has
        set stay, and the others become those of the model chosen now. No change of a
        value is told then: labels that are there are not made anew by it.
        """
        chosen = self.chosen_model()
        models = list_models()
        self.model_box.blockSignals(True)
        self.model_box.clear()
        for model in models:
            self.model_box.addItem(model.card.name, model)
        if chosen is not None:
            index = self.model_box.findText(chosen.card.name)
            self.model_box.setCurrentIndex(max(index, 0))
        self.model_box.blockSignals(False)
        if self.chosen_model() != chosen:
            self._follow_model()
        self._show_model()

    def _follow_model(self) -> None:
        before = self._values_set
        mine = {
            name: value
            for name, value in self._values().items()
            if name in before and value != before[name]
        }
        with self.form.param_changed.blocked(), self.more_form.param_changed.blocked():
            self.reset_values()
            for form in (self.form, self.more_form):
                form.set_values(mine)

    def reset_values(self) -> None:
        """Set the thresholds to the chosen model's own, and the diameter to Auto."""
        model = self.chosen_model()
        if model is not None:
            own = model.card.thresholds.model_dump()
            own |= {"diameter": None, "accurate": False}
            self.form.set_values(own)
            self.more_form.set_values(own)
            self._values_set = self._values()

    def _on_model_chosen(self, *_: object) -> None:
        self.reset_values()
        self._show_model()

    def _show_model(self) -> None:
        model = self.chosen_model()
        self.model_line.setText(model.card.title if model else NO_MODEL)
        self.model_changed.emit()


def _let_go(callbacks: list[tuple[Any, Callable]], *_: Any) -> None:
    """Disconnect a form that is gone from the viewer."""
    for event, callback in callbacks:
        event.disconnect(callback)
