"""What a user trains on: pairs of layers and folders, chosen in rows."""

from __future__ import annotations

import contextlib
from pathlib import Path

from magicgui.widgets import ComboBox, Container, PushButton
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from psygnal import Signal
from qtpy.QtWidgets import QFileDialog, QSizePolicy

from napari_nucleiseg.core.labels.annotations import drop_single_axes
from napari_nucleiseg.widgets.segment.edits import untouched, watch_of
from napari_nucleiseg.widgets.shared import layers as layer_tools
from napari_nucleiseg.widgets.shared.controls import LayerBox, MessageLine, NarrowBox
from napari_nucleiseg.widgets.train.regions import LABELLED, LayerSource, snapshot

#: Pairs of layers that are proposed at first, at most.
MOST_PROPOSED = 8


def is_labels(layer: Layer) -> bool:
    """Return whether a labels layer holds nuclei, not errors or a comparison."""
    return not {layer_tools.ERRORS_OF, layer_tools.MARK} & set(layer.metadata)


class PairRow(Container):
    """One pair of layers: an image, its labels, and a channel where there are several.

    Attributes
    ----------
    removed : psygnal.Signal
        Emitted when the pair is not to be learnt from.
    """

    removed = Signal()

    labels_box: LayerBox
    channel_box: NarrowBox

    def __init__(self) -> None:
        image = LayerBox(Image, tooltip="The image layer to learn from.")
        remove = _small_button("Do not learn from this pair.")
        super().__init__()
        self.margins = (0, 0, 0, 6)
        self.image_box = image
        self.extend(
            [
                _side_by_side("Image", image, remove),
                LayerBox(
                    Labels,
                    accepts=is_labels,
                    name="labels_box",
                    label="Labels",
                    tooltip="The labels layer with the nuclei in that image, a number "
                    "for each nucleus.",
                ),
                NarrowBox(
                    name="channel_box",
                    label="Channel",
                    tooltip="Which channel shows the nuclei.",
                ),
            ]
        )
        image.changed.connect(self._on_image_chosen)
        remove.changed.connect(lambda _: self.removed.emit())
        self._on_image_chosen()

    @property
    def image(self) -> Image | None:
        """The image layer chosen."""
        return self.image_box.value

    @property
    def labels_layer(self) -> Labels | None:
        """The labels layer chosen."""
        return self.labels_box.value

    def choose(self, image: Image, labels: Labels) -> None:
        """Choose a pair, if it is there."""
        for box, layer in ((self.image_box, image), (self.labels_box, labels)):
            if layer in box.choices:
                box.value = layer

    def _on_image_chosen(self, *_: object) -> None:
        layer = self.image
        choices = [] if layer is None else layer_tools.channel_choices(layer)
        before = self.channel_box.value
        self.channel_box.offer(
            [(choice.label, choice) for choice in choices],
            before if before in choices else None,
        )
        self.channel_box.visible = len(choices) > 1


class SourcesPanel(Container):
    """The pairs and the folder to learn from, and how far the labels are complete.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are offered.

    Attributes
    ----------
    sources_changed : psygnal.Signal
        Emitted when anything that is learnt from, or how, was changed.
    """

    sources_changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self.viewer = viewer
        self.folder: Path | None = None
        self._offered: set[Layer] = set()
        self._watched: list[Labels | Shapes] = []
        self._labelled_is_said = False
        self._make_controls()
        self.set_folder(None)
        self._on_labelled_chosen()

    def _make_controls(self) -> None:
        self.pairs = Container(labels=False)
        self.pairs.margins = (0, 0, 0, 0)
        self.add_button = PushButton(
            text="Add pair",
            tooltip="Learn from another image layer and the labels layer that belongs "
            "to it.",
        )
        self.folder_button = PushButton(
            text="Folder…",
            tooltip="Learn from image files: a folder with images/ and masks/ (equal "
            "names), or with X.tif and X_labels.tif (or X_masks.tif) side by side.",
        )
        self.folder_line = MessageLine("folder_line")
        self.forget_button = _small_button("Do not learn from this folder.")
        self.folder_row = _side_by_side("", self.forget_button)
        self.folder_row.native.layout().insertWidget(0, self.folder_line, 1)
        self.labelled_box = ComboBox(
            label="Labelled",
            choices=LABELLED,
            tooltip="How far the labels are complete. If only some nuclei are painted, "
            "say so: what is not painted is otherwise learnt as background. Of labels "
            "that Segment made, only what you accepted, corrected or drew is known, "
            "unless you say otherwise.",
        )
        self.region_box = LayerBox(
            Layer,
            accepts=lambda layer: isinstance(layer, Labels | Shapes),
            label="Region",
            tooltip="A Shapes or Labels layer that marks where every nucleus is "
            "painted. What lies outside is ignored.",
        )
        self.extent = Container()
        self.extent.margins = (0, 0, 0, 0)
        self.extent.extend([self.labelled_box, self.region_box])
        buttons = _side_by_side("", self.add_button, self.folder_button)
        self.extend([self.pairs, buttons, self.folder_row, self.extent])
        self.add_button.changed.connect(lambda _: self.add_row())
        self.folder_button.changed.connect(lambda _: self._on_folder_clicked())
        self.forget_button.changed.connect(lambda _: self.set_folder(None))
        self.labelled_box.changed.connect(self._on_labelled_said)
        self.region_box.changed.connect(self._on_chosen)

    # ---- rows --------------------------------------------------------------------

    @property
    def rows(self) -> list[PairRow]:
        """The pairs of layers."""
        return list(self.pairs)

    def add_row(self) -> PairRow:
        """Add a row, on the first pair of layers that no row has yet."""
        row = PairRow()
        taken = [(r.image, r.labels_layer) for r in self.rows]
        self.pairs.append(row)
        row.reset_choices()
        for pair in matching(self.viewer):
            if pair not in taken:
                row.choose(*pair)
                break
        row.changed.connect(self._on_chosen)
        row.removed.connect(lambda: self.remove_row(row))
        self._on_chosen()
        return row

    def remove_row(self, row: PairRow) -> None:
        """Take a row away."""
        self.pairs.remove(row)
        row.native.deleteLater()
        self._on_chosen()

    def reset_choices(self, *_: object) -> None:
        """Offer the layers there are now; pairs that evidently belong are proposed."""
        layers = set(self.viewer.layers)
        for row in self.rows:
            if {row.image, row.labels_layer} - {None} <= layers:
                row.reset_choices()
            else:
                self.remove_row(row)
        self.region_box.reset_choices()
        fresh = layers - self._offered
        self._offered = layers
        if fresh and not self.rows:
            for _ in matching(self.viewer)[:MOST_PROPOSED]:
                self.add_row()

    # ---- what is painted while the widget is open --------------------------------

    def _watch(self) -> None:
        """Listen to the layers in use, so that painting brings the check up to date."""
        self.unwatch()
        wanted: list[Labels | Shapes] = [*self.used_labels()]
        if self.region is not None:
            wanted.append(self.region)
        for layer in dict.fromkeys(wanted):
            layer.events.set_data.connect(self._on_painted)
            if isinstance(layer, Labels):
                layer.events.labels_update.connect(self._on_painted)
            self._watched.append(layer)

    def unwatch(self) -> None:
        """Let go of the layers listened to."""
        for layer in self._watched:
            with contextlib.suppress(ValueError, TypeError, RuntimeError):
                layer.events.set_data.disconnect(self._on_painted)
                if isinstance(layer, Labels):
                    layer.events.labels_update.disconnect(self._on_painted)
        self._watched = []

    def _on_painted(self, *_: object) -> None:
        self.sources_changed.emit()

    def _on_chosen(self, *_: object) -> None:
        self._propose_labelled()
        self._watch()
        self.sources_changed.emit()

    # ---- how far the labels go ---------------------------------------------------

    @property
    def labelled(self) -> str:
        """``"all"``, ``"painted"``, ``"region"`` or ``"by hand"``."""
        return self.labelled_box.value

    @property
    def region(self) -> Labels | Shapes | None:
        """The layer that marks what is complete, if that is how it is said."""
        return self.region_box.value if self.labelled == "region" else None

    def unchecked(self) -> list[tuple[str, int, int]]:
        """Return the labels that would be learnt from though a model alone made them.

        Returns
        -------
        list of (str, int, int)
            Name of each layer, how many of its nuclei nobody has touched, and of how
            many.
        """
        if self.labelled == "by hand":
            return []
        found = [(layer.name, *untouched(layer)) for layer in self.used_labels()]
        return [one for one in found if one[1]]

    def _on_labelled_said(self, *_: object) -> None:
        self._labelled_is_said = True
        self._on_labelled_chosen()

    def _propose_labelled(self) -> None:
        """Take of labels that Segment made only what was touched, unless told else."""
        layers = self.used_labels()
        if self._labelled_is_said or not layers:
            return
        made = all(watch_of(layer) is not None for layer in layers)
        with self.labelled_box.changed.blocked():
            self.labelled_box.value = "by hand" if made else "all"
        self.region_box.visible = False

    def _on_labelled_chosen(self, *_: object) -> None:
        self.region_box.visible = self.labelled == "region"
        drawn = [
            layer for layer in self.region_box.choices if isinstance(layer, Shapes)
        ]
        if drawn and not isinstance(self.region_box.value, Shapes):
            self.region_box.value = drawn[-1]
        self._on_chosen()

    # ---- folder ------------------------------------------------------------------

    def _on_folder_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self.native,
            "A folder of images and their masks",
            str(self.folder or Path.home()),
        )
        if chosen:
            self.set_folder(Path(chosen))

    def set_folder(self, folder: Path | None) -> None:
        """Learn from a folder too, or from none."""
        self.folder = folder
        self.folder_line.setText(f"Folder {folder}" if folder else "")
        self.folder_row.visible = folder is not None
        self.sources_changed.emit()

    # ---- what is chosen ----------------------------------------------------------

    def sources(self) -> list[LayerSource]:
        """Return what the rows hold, labels copied, for another thread to read."""
        return [
            snapshot(
                row.image,
                row.labels_layer,
                row.channel_box.value,
                self.labelled,
                self.region,
            )
            for row in self.rows
            if row.image is not None and row.labels_layer is not None
        ]

    def used_labels(self) -> list[Labels]:
        """Return the labels layers in use."""
        return [row.labels_layer for row in self.rows if row.labels_layer is not None]


def matching(viewer: ViewerModel) -> list[tuple[Image, Labels]]:
    """Return pairs of layers that belong together, by what made them or by name."""
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    found = []
    for layer in viewer.layers:
        if not (isinstance(layer, Labels) and is_labels(layer)):
            continue
        record = layer.metadata.get(layer_tools.RECORD, {})
        same = [image for image in images if _fits(image, layer)]
        by_record = [
            image for image in same if image.unique_id == record.get("image_id")
        ]
        by_name = [image for image in same if image.name in layer.name]
        for choice in (by_record, by_name, same):
            if choice:
                found.append((choice[0], layer))
                break
    return found


def _small_button(tip: str) -> PushButton:
    button = PushButton(text="✕", tooltip=tip)
    button.native.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    button.native.setFixedWidth(button.native.sizeHint().height() + 6)
    return button


def _side_by_side(label: str, *widgets: object) -> Container:
    row = Container(widgets=widgets, layout="horizontal", labels=False, label=label)
    row.margins = (0, 0, 0, 0)
    return row


def _fits(image: Image, labels: Labels) -> bool:
    """Return whether labels have an image's shape, or lack one axis: its channels."""
    shape = layer_tools.full_data(image).shape
    planes = drop_single_axes(shape[:-1] if image.rgb else shape)
    painted = drop_single_axes(layer_tools.full_data(labels).shape)
    without_one = [planes[:i] + planes[i + 1 :] for i in range(len(planes))]
    return painted in (planes, *without_one)
