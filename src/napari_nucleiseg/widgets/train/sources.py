"""What a user trains on: pairs of layers and folders, chosen in rows."""

from __future__ import annotations

import contextlib
from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.widgets.shared import layers as layer_tools
from napari_nucleiseg.widgets.shared.controls import combo
from napari_nucleiseg.widgets.train.regions import LABELLED, LayerSource, snapshot


class PairRow(QFrame):
    """One pair of layers: an image, its labels, and a channel where there are several.

    Parameters
    ----------
    parent : QWidget, optional
        See Qt.
    """

    changed = Signal()
    removed = Signal(object)  # the row

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.image_box = combo("The image layer to learn from.")
        self.labels_box = combo(
            "The labels layer with the nuclei in that image, one number a nucleus."
        )
        self.channel_box = combo("Which channel shows the nuclei.")
        self._channel_label = QLabel("Channel")
        remove = QToolButton()
        remove.setText("✕")
        remove.setToolTip("Do not learn from this pair.")
        remove.clicked.connect(lambda: self.removed.emit(self))
        first = QHBoxLayout()
        first.addWidget(self.image_box, 1)
        first.addWidget(remove)
        form = QFormLayout(self)
        form.setContentsMargins(6, 4, 6, 4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", first)
        form.addRow("Labels", self.labels_box)
        form.addRow(self._channel_label, self.channel_box)
        self.image_box.currentIndexChanged.connect(self._on_image_chosen)
        for box in (self.labels_box, self.channel_box):
            box.currentIndexChanged.connect(lambda *_: self.changed.emit())
        self._on_image_chosen()

    @property
    def image(self) -> Image | None:
        """The image layer chosen."""
        return self.image_box.currentData()

    @property
    def labels(self) -> Labels | None:
        """The labels layer chosen."""
        return self.labels_box.currentData()

    def offer(self, images: list[Image], labels: list[Labels]) -> None:
        """Offer these layers, keeping what is chosen if it is still there."""
        for box, layers in ((self.image_box, images), (self.labels_box, labels)):
            chosen = box.currentData()
            box.blockSignals(True)
            box.clear()
            for layer in layers:
                box.addItem(layer.name, layer)
            if chosen in layers:
                box.setCurrentIndex(layers.index(chosen))
            box.blockSignals(False)
        self._on_image_chosen()

    def choose(self, image: Image, labels: Labels) -> None:
        """Choose a pair."""
        for box, layer in ((self.image_box, image), (self.labels_box, labels)):
            # Compared by ==: a plugin's viewer hands out layers in wrappings.
            for i in range(box.count()):
                if box.itemData(i) == layer:
                    box.setCurrentIndex(i)
                    break

    def _on_image_chosen(self, *_: object) -> None:
        layer = self.image
        choices = layer_tools.channel_choices(layer) if layer is not None else []
        before = [self.channel_box.itemData(i) for i in range(self.channel_box.count())]
        if choices != before:
            self.channel_box.blockSignals(True)
            self.channel_box.clear()
            for choice in choices:
                self.channel_box.addItem(choice.label, choice)
            self.channel_box.blockSignals(False)
        for widget in (self.channel_box, self._channel_label):
            widget.setVisible(len(choices) > 1)
        self.changed.emit()


class SourcesPanel(QWidget):
    """The pairs and the folder to learn from, and how far the labels are complete.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are offered.
    parent : QWidget, optional
        See Qt.
    """

    #: Emitted when anything that is learnt from, or how, was changed.
    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.rows: list[PairRow] = []
        self.folder: Path | None = None
        self._lay_out()
        self._offered: list[Layer] = []
        self._watched: list[Labels | Shapes] = []
        self.refresh()

    def _lay_out(self) -> None:
        self._rows_box = QVBoxLayout()
        self._rows_box.setContentsMargins(0, 0, 0, 0)
        self.add_button = QPushButton("Add pair")
        self.add_button.setToolTip(
            "Learn from another image layer and the labels layer that belongs to it."
        )
        self.add_button.clicked.connect(lambda: self.add_row())
        self.folder_button = QPushButton("Folder …")
        self.folder_button.setToolTip(
            "Learn from image files: a folder with images/ and masks/ (equal names), "
            "or with X.tif and X_labels.tif (or X_masks.tif) side by side."
        )
        self.folder_button.clicked.connect(self._on_folder_clicked)
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button)
        buttons.addWidget(self.folder_button)
        self.folder_line = QLabel()
        self.folder_line.setWordWrap(True)
        self.forget_button = QToolButton()
        self.forget_button.setText("✕")
        self.forget_button.setToolTip("Do not learn from this folder.")
        self.forget_button.clicked.connect(lambda: self.set_folder(None))
        folder_row = QHBoxLayout()
        folder_row.addWidget(self.folder_line, 1)
        folder_row.addWidget(self.forget_button)
        self.labelled_box = combo(
            "How far the labels go. If only some nuclei are painted, say so: what is "
            "not painted would otherwise be taught as background."
        )
        for text, value in LABELLED:
            self.labelled_box.addItem(text, value)
        self.region_box = combo(
            "A Shapes or Labels layer that marks where every nucleus is painted. What "
            "lies outside is left alone."
        )
        self._region_label = QLabel("Region")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Labelled", self.labelled_box)
        form.addRow(self._region_label, self.region_box)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._rows_box)
        column.addLayout(buttons)
        column.addLayout(folder_row)
        column.addLayout(form)
        self.labelled_box.currentIndexChanged.connect(self._on_labelled_chosen)
        self.region_box.currentIndexChanged.connect(lambda *_: self.changed.emit())
        self.set_folder(None)
        self._on_labelled_chosen()

    # ---- rows --------------------------------------------------------------------

    def add_row(self) -> PairRow:
        """Add a row, on the first pair of layers that no row has yet."""
        row = PairRow()
        row.offer(*self._layers())
        pairs = self._matching()
        taken = [(r.image, r.labels) for r in self.rows]
        for pair in pairs:
            if pair not in taken:
                row.choose(*pair)
                break
        row.changed.connect(self._on_row_changed)
        row.removed.connect(self.remove_row)
        self.rows.append(row)
        self._rows_box.addWidget(row)
        self._on_row_changed()
        return row

    def remove_row(self, row: PairRow) -> None:
        """Take a row away."""
        self.rows.remove(row)
        self._rows_box.removeWidget(row)
        row.hide()
        row.deleteLater()
        self._on_row_changed()

    def _suggest(self) -> None:
        """Begin with the pairs that evidently belong together."""
        for _ in self._matching()[:8]:
            self.add_row()

    def _layers(self) -> tuple[list[Image], list[Labels]]:
        layers = list(self.viewer.layers)
        return (
            [layer for layer in layers if isinstance(layer, Image)],
            [
                layer
                for layer in layers
                if isinstance(layer, Labels)
                and layer_tools.ERRORS_OF not in layer.metadata
            ],
        )

    def _matching(self) -> list[tuple[Image, Labels]]:
        """Return pairs of layers that belong together, by what made them or by name."""
        images, labels = self._layers()
        found = []
        for layer in labels:
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

    def refresh(self) -> None:
        """Offer the layers that the viewer has now."""
        images, labels = self._layers()
        regions = [x for x in self.viewer.layers if isinstance(x, Labels | Shapes)]
        known = [*images, *labels, *regions]
        fresh = [layer for layer in known if layer not in self._offered]
        for row in list(self.rows):
            if (row.image is not None and row.image not in images) or (
                row.labels is not None and row.labels not in labels
            ):
                self.remove_row(row)
            else:
                row.offer(images, labels)
        chosen = self.region_box.currentData()
        self.region_box.blockSignals(True)
        self.region_box.clear()
        for layer in regions:
            self.region_box.addItem(layer.name, layer)
        if chosen in regions:
            self.region_box.setCurrentIndex(regions.index(chosen))
        self.region_box.blockSignals(False)
        self._offered = known
        if fresh and not self.rows:
            self._suggest()
        self._watch()
        self.changed.emit()

    # ---- what is painted while the widget is open --------------------------------

    def _watch(self) -> None:
        """Listen to the layers in use, so that painting brings the check up to date."""
        self.unwatch()
        wanted: list[Labels | Shapes] = [
            row.labels for row in self.rows if row.labels is not None
        ]
        if self.region is not None:
            wanted.append(self.region)
        for layer in dict.fromkeys(wanted):
            event = layer.events.labels_update if isinstance(layer, Labels) else None
            for emitter in (event, layer.events.set_data):
                if emitter is not None:
                    emitter.connect(self._on_painted)
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
        self.changed.emit()

    def _on_row_changed(self) -> None:
        self._watch()
        self.changed.emit()

    # ---- how far the labels go ---------------------------------------------------

    @property
    def labelled(self) -> str:
        """``"all"``, ``"painted"`` or ``"region"``."""
        return self.labelled_box.currentData()

    @property
    def region(self) -> Labels | Shapes | None:
        """The layer that marks what is complete, if that is how it is said."""
        if self.labelled != "region":
            return None
        layer = self.region_box.currentData()
        return layer if layer in self.viewer.layers else None

    def _on_labelled_chosen(self, *_: object) -> None:
        for widget in (self.region_box, self._region_label):
            widget.setVisible(self.labelled == "region")
        if hasattr(self, "_watched"):
            self._on_row_changed()

    # ---- folder ------------------------------------------------------------------

    def _on_folder_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "A folder of images and their masks", str(self.folder or Path.home())
        )
        if chosen:
            self.set_folder(Path(chosen))

    def set_folder(self, folder: Path | None) -> None:
        """Learn from a folder too, or from none."""
        self.folder = folder
        self.folder_line.setText(f"Folder {folder}" if folder else "")
        for widget in (self.folder_line, self.forget_button):
            widget.setVisible(folder is not None)
        self.changed.emit()

    # ---- what is chosen ----------------------------------------------------------

    def sources(self) -> list[LayerSource]:
        """Return what the rows hold, labels copied, for another thread to read."""
        return [
            snapshot(
                row.image,
                row.labels,
                row.channel_box.currentData(),
                self.labelled,
                self.region,
            )
            for row in self.rows
            if row.image is not None and row.labels is not None
        ]

    def used_labels(self) -> list[Labels]:
        """Return the labels layers in use."""
        return [row.labels for row in self.rows if row.labels is not None]


def _fits(image: Image, labels: Labels) -> bool:
    """Return whether labels have the size of an image's planes."""
    shape = layer_tools.full_data(image).shape
    planes = shape[:-1] if image.rgb else shape
    return planes[-2:] == layer_tools.full_data(labels).shape[-2:]
