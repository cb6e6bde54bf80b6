"""What is measured in what: the choices of the Measure widget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import Container, Select
from napari.layers import Image, Labels, Shapes
from pydantic import Field

from napari_nucleiseg.core.measure.channels import split_channels
from napari_nucleiseg.core.measure.nuclei import measure
from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import MeasureParams
from napari_nucleiseg.core.record import Record
from napari_nucleiseg.core.segment.planes import from_image_axes
from napari_nucleiseg.io.pixel_size import read_pixel_size
from napari_nucleiseg.widgets.measure.painting import data_axes
from napari_nucleiseg.widgets.measure.recipe import Asked, made_by
from napari_nucleiseg.widgets.segment.edits import watch_of
from napari_nucleiseg.widgets.shared.controls import LayerBox, NarrowBox
from napari_nucleiseg.widgets.shared.layers import (
    ERRORS_OF,
    RECORD,
    full_data,
    layer_axes,
    snapshot,
)

if TYPE_CHECKING:
    import napari
    import pandas as pd

#: Height of the list of images, pixels.
_LIST_HEIGHT = 70


class PixelSize(Record):
    """How large a pixel is."""

    pixel_size: float | None = Field(
        default=None,
        ge=1e-4,
        le=10_000,
        title="Pixel size",
        description="How large a pixel is. Auto is the scale of the labels layer, else "
        "what the image's file says; without either, lengths are in pixels.",
        json_schema_extra={"unit": "µm", "start": 1.0},
    )


@dataclass(frozen=True)
class Measured:
    """A table, and what it is of.

    Parameters
    ----------
    layer : napari.layers.Labels
        The labels.
    table : pandas.DataFrame
        See `core.measure.nuclei.measure`.
    scale : (float, float) or None
        Size of a pixel along y and x, µm.
    shape : tuple of int
        ``(…, y, x)`` of the labels.
    asked : Asked
        How it was made.
    """

    layer: Labels
    table: pd.DataFrame
    scale: tuple[float, float] | None
    shape: tuple[int, ...]
    asked: Asked


class MeasureForm(Container):
    """Which labels are measured, in which images and regions."""

    labels_layer: LayerBox
    images: Select
    regions: NarrowBox

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        super().__init__(
            widgets=[
                LayerBox(
                    Labels,
                    lambda layer: ERRORS_OF not in layer.metadata,
                    name="labels_layer",
                    label="Labels",
                    tooltip="The nuclei.",
                ),
                Select(
                    name="images",
                    label="Images",
                    choices=self._images,
                    tooltip="What intensities are measured in: every channel of each "
                    "image that is chosen. Ctrl chooses several.",
                ),
                NarrowBox(
                    name="regions",
                    label="Regions",
                    tooltip="A shapes layer: the table says in which of its shapes "
                    "each nucleus lies.",
                ),
            ]
        )
        self.margins = (0, 0, 0, 0)
        self.images.native.setFixedHeight(_LIST_HEIGHT)

    def _images(self, _: object = None) -> list[tuple[str, Image]]:
        layers = self._viewer.layers
        return [(layer.name, layer) for layer in layers if isinstance(layer, Image)]

    def offer_layers(self) -> None:
        """Offer the layers there are now, keeping what is chosen."""
        images, regions = self.images.value, self.regions.value
        with self.labels_layer.changed.blocked():
            self.labels_layer.reset_choices()
        offered = [layer for _, layer in self._images()]
        with self.images.changed.blocked():
            self.images.reset_choices()
            kept = [layer for layer in images if layer in offered]
            self.images.value = kept or self._suggested(offered)
        shapes = [x for x in self._viewer.layers if isinstance(x, Shapes)]
        choices = [("None", None), *((layer.name, layer) for layer in shapes)]
        self.regions.offer(choices, regions if regions in shapes else None)
        self.regions.visible = bool(shapes)

    def _suggested(self, offered: list[Image]) -> list[Image]:
        """Return the image that the labels were made from, else those that fit."""
        labels = self.labels_layer.value
        if labels is None:
            return []
        source = labels.metadata.get(RECORD, {}).get("image_id")
        made_from = [layer for layer in offered if layer.unique_id == source]
        shape = labels.data.shape[-2:]
        fitting = [x for x in offered if full_data(x).shape[-2:] == shape]
        return made_from or fitting[:1]


def pixel_size(layer: Labels) -> tuple[float, float] | None:
    """Return the size of a layer's pixels along y and x, µm; None if it has no scale.

    A scale without a unit is taken for µm.
    """
    axes = data_axes(layer)
    sizes = []
    for letter in "YX":
        at = axes.index(letter)
        size, unit = abs(float(layer.scale[at])), layer.units[at]
        if str(unit) not in ("pixel", "dimensionless"):
            size = float((size * unit).to("micrometer").magnitude)
        elif size == 1:
            return None
        sizes.append(size)
    return sizes[0], sizes[1]


def prepare(
    form: MeasureForm, params: MeasureParams, size: float | None
) -> tuple[Labels, Any]:
    """Note what is chosen, on the GUI thread.

    Parameters
    ----------
    form : MeasureForm
        The choices.
    params : MeasureParams
        How to measure.
    size : float or None
        Of a pixel, µm; None for the layer's.

    Returns
    -------
    layer : napari.layers.Labels
        The labels.
    work : callable
        Given a monitor, measures, in any thread; returns a `Measured`.
    """
    layer = form.labels_layer.value
    axes = data_axes(layer)
    labels = snapshot(layer)
    labels = from_image_axes(labels, axes) if axes[0].isalpha() else labels
    shape = tuple(labels.shape)
    letters = "".join(x for x in axes if x not in "CYX") + "YX"
    images = [(x.name, full_data(x), layer_axes(x)) for x in form.images.value]
    scale = _scale_of(form, layer) if size is None else (size, size)
    confidence = _confidence_of(layer)
    asked = Asked(layer, tuple(form.images.value), made_by(layer))
    name = form.images.value[0].name if asked.whole else ""
    pixel: Any = scale and (scale[0] if scale[0] == scale[1] else list(scale))
    recipe = asked.recipe.replace(pixel_size=pixel, image_name=name, measure=params)
    asked = replace(asked, recipe=recipe)
    regions, names = _regions_of(form.regions.value, layer, shape)

    def work(monitor: Monitor) -> Measured:
        channels: dict[str, Any] = {}
        for name, image, image_axes in images:
            channels |= split_channels(image, shape, axes=image_axes, name=name)
        table = measure(
            labels,
            channels,
            axes=letters if letters[0].isalpha() else None,
            scale=scale,
            confidence=confidence,
            regions=regions,
            region_names=names,
            monitor=monitor,
            **params.model_dump(),
        )
        return Measured(layer, table, scale, shape, asked)

    return layer, work


def _scale_of(form: MeasureForm, layer: Labels) -> tuple[float, float] | None:
    """Return the size of a pixel, as the layer or the file of its image says, µm."""
    own = pixel_size(layer)
    if own is not None:
        return own
    made_from = layer.metadata.get(RECORD, {}).get("image_id")
    images = [x for x in form.images.value if x.unique_id == made_from]
    path = images[0].source.path if images else None
    return read_pixel_size(Path(path)) if path else None


def _confidence_of(layer: Labels) -> dict[int, float] | None:
    """Return the confidence by label, as exact as it is known; None if it is not."""
    watch = watch_of(layer)
    features = layer.features
    if watch is not None:
        watch.update()
        features = watch.table.table()
    if not {"index", "confidence"} <= set(features):
        return None
    known = features.dropna(subset=["confidence"])
    return dict(zip(known["index"].astype(int), known["confidence"], strict=True))


def _regions_of(
    shapes: Shapes | None, layer: Labels, shape: tuple[int, ...]
) -> tuple[np.ndarray | None, dict[int, str]]:
    """Return the shapes as numbers on the pixels ``(y, x)``, and their names."""
    if shapes is None:
        return None, {}
    from skimage.draw import polygon2mask

    axes = data_axes(layer)
    at = [axes.index("Y"), axes.index("X")]
    regions = np.zeros(shape[-2:], np.int32)
    for number, outline in enumerate(_outlines(shapes), start=1):
        world = np.array([shapes.data_to_world(corner) for corner in outline])
        full = np.zeros((len(world), layer.ndim))
        width = min(world.shape[1], layer.ndim)
        full[:, -width:] = world[:, -width:]
        corners = np.array([layer.world_to_data(corner) for corner in full])[:, at]
        regions[polygon2mask(regions.shape, corners)] = number
    names = {n: f"{shapes.name} {n}" for n in range(1, len(shapes.data) + 1)}
    return regions, names


def _outlines(shapes: Shapes) -> list[np.ndarray]:
    """Return the corners of each shape; an ellipse as a polygon."""
    found = []
    for corners, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind == "ellipse":
            centre = corners.mean(axis=0)
            a, b = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
            turn = np.linspace(0, 2 * np.pi, 100, endpoint=False)[:, None]
            corners = centre + np.cos(turn) * a + np.sin(turn) * b
        found.append(corners)
    return found
