"""Layers to pairs: what is read, what is known, region by region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Shapes

from napari_nucleiseg.core.labels.annotations import (
    known_from_corrections,
    known_from_paint,
    known_inside,
    split_planes,
)
from napari_nucleiseg.core.labels.checking import Finding
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.segment.planes import from_image_axes, to_planes
from napari_nucleiseg.widgets.segment.edits import watch_of
from napari_nucleiseg.widgets.shared import layers as layer_tools

#: How far labels may go: what a form says, and its value.
LABELLED = (
    ("Every nucleus is painted", "all"),
    ("Only some nuclei are painted", "painted"),
    ("Every nucleus inside a region", "region"),
    ("Nuclei corrected or accepted", "by hand"),
)

#: An ellipse is drawn with so many corners.
_CORNERS = 64


@dataclass(frozen=True)
class LayerSource:
    """One pair of layers, noted on the GUI thread, to be read in another.

    Parameters
    ----------
    name : str
        Of the image layer.
    image : array-like
        The image layer's data, perhaps lazy.
    choice : ChannelChoice
        Which channel.
    labels : numpy.ndarray
        A copy of the labels.
    labelled : str
        See `LABELLED`.
    polygons : tuple
        Of a region of shapes: the position on the axes before y and x (or None for
        all), and corners ``(n, 2)`` in the image's pixels.
    region : numpy.ndarray or None
        Of a region of labels: a copy, as bool.
    by_hand : tuple of int
        The labels that were touched by hand in the Segment widget.
    cleared : numpy.ndarray or None
        ``(…, y, x)`` bool, where nuclei were erased there.
    """

    name: str
    image: Any
    choice: layer_tools.ChannelChoice
    labels: np.ndarray
    labelled: str
    polygons: tuple[tuple[tuple[int, ...] | None, np.ndarray], ...] = ()
    region: np.ndarray | None = None
    by_hand: tuple[int, ...] = ()
    cleared: np.ndarray | None = None

    @property
    def has_region(self) -> bool:
        """Whether a part of it is marked as complete."""
        return bool(self.polygons) or self.region is not None


def snapshot(
    image: Image,
    labels: Labels,
    choice: layer_tools.ChannelChoice | None,
    labelled: str,
    region: Labels | Shapes | None,
) -> LayerSource:
    """Note what a pair of layers holds just now.

    Parameters
    ----------
    image, labels : layer
        The pair.
    choice : ChannelChoice or None
        Which channel of the image; the first way to read it if None.
    labelled : str
        See `LABELLED`.
    region : layer or None
        What marks the complete part, for ``"region"``, or one besides what was
        touched, for ``"by hand"``.

    Returns
    -------
    LayerSource
    """
    watch = watch_of(labels) if labelled == "by hand" else None
    if watch is not None:
        watch.update()
    return LayerSource(
        name=image.name,
        image=layer_tools.full_data(image),
        choice=choice or layer_tools.channel_choices(image)[0],
        labels=np.array(layer_tools.full_data(labels)),
        labelled=labelled,
        polygons=_polygons(region, labels) if isinstance(region, Shapes) else (),
        region=np.array(layer_tools.full_data(region)) > 0
        if isinstance(region, Labels)
        else None,
        by_hand=() if watch is None else tuple(watch.table.by_hand()),
        cleared=None if watch is None else watch.table.cleared,
    )


def _polygons(
    shapes: Shapes, labels: Labels
) -> tuple[tuple[tuple[int, ...] | None, np.ndarray], ...]:
    """Return a layer's shapes in the pixels of a labels layer."""
    found = []
    n = labels.ndim
    for corners, kind in zip(shapes.data, shapes.shape_type, strict=True):
        points = np.asarray(corners, float)
        if kind in ("line",):
            continue
        if kind == "ellipse":
            points = _ellipse(points)
        world = np.array([shapes.data_to_world(point) for point in points])
        # A flat drawing on a stack counts for every plane.
        missing = n - world.shape[1]
        if missing > 0:
            world = np.pad(world, ((0, 0), (missing, 0)))
        pixels = np.array([labels.world_to_data(point[-n:]) for point in world])
        plane = None
        if n > 2 and missing <= 0:
            plane = tuple(int(i) for i in np.rint(pixels[0, :-2]))
        found.append((plane, pixels[:, -2:]))
    return tuple(found)


def _ellipse(corners: np.ndarray) -> np.ndarray:
    """Return points on the ellipse inside a rectangle (four corners in turn)."""
    centre = corners.mean(axis=0)
    first = (corners[1] - corners[0]) / 2
    second = (corners[3] - corners[0]) / 2
    turn = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)[:, None]
    return centre + np.cos(turn) * first + np.sin(turn) * second


def mask_of(source: LayerSource) -> np.ndarray:
    """Return the region as a mask of the labels' shape."""
    from skimage.draw import polygon2mask

    shape = source.labels.shape
    if source.region is not None:
        if source.region.shape[-2:] != shape[-2:]:
            raise ValueError(
                f"The region must have the size of the labels of {source.name}, "
                f"{shape}; received {source.region.shape}."
            )
        return np.broadcast_to(source.region, shape)
    mask = np.zeros(shape, bool)
    for plane, corners in source.polygons:
        # Pixel centres lie on whole numbers in napari, as in polygon2mask.
        drawn = polygon2mask(shape[-2:], corners)
        if plane is None:
            mask |= drawn
        elif all(0 <= i < size for i, size in zip(plane, shape[:-2], strict=True)):
            mask[plane] |= drawn
    return mask


def read_sources(sources: Sequence[LayerSource]) -> tuple[list[Pair], list[Finding]]:
    """Read pairs of layers; what cannot be used becomes a finding.

    Parameters
    ----------
    sources : sequence of LayerSource
        From `snapshot`.

    Returns
    -------
    pairs : list of Pair
        One a plane.
    findings : list of Finding
        What was wrong.
    """
    pairs: list[Pair] = []
    findings = []
    for source in sources:
        try:
            pairs += _read(source)
        except (ValueError, TypeError) as e:
            findings.append(Finding("error", "labels", str(e), (source.name,)))
    return pairs, findings


def _read(source: LayerSource) -> list[Pair]:
    axes, channel = source.choice.axes, source.choice.channel
    planes, shape = to_planes(np.asanyarray(source.image), axes=axes, channel=channel)
    rgb = planes.shape[-1] > 1
    image = planes.reshape(*shape, 3) if rgb else planes.reshape(shape)
    labels = from_image_axes(source.labels, axes)
    if labels.ndim > 2 and len(shape) == 2 and labels.shape[0] == 1:
        labels = labels[0]
    region = mask_of(source) if source.labelled == "region" else None
    if source.labelled == "by hand":
        return _read_by_hand(source, image, labels, rgb)
    pairs = split_planes(image, labels, name=source.name, known=None, rgb=rgb)
    if source.labelled == "painted":
        return [replace(pair, known=known_from_paint(pair.labels)) for pair in pairs]
    if region is not None:
        regions = region.reshape(-1, *region.shape[-2:])
        if not regions.any():
            raise ValueError(
                f"No part of the region lies in {source.name}: draw it there, or "
                "choose another option under Labelled."
            )
        return [
            replace(pair, known=known_inside(pair.labels, mask))
            for pair, mask in zip(pairs, regions, strict=True)
        ]
    return pairs


def _read_by_hand(
    source: LayerSource, image: np.ndarray, labels: np.ndarray, rgb: bool
) -> list[Pair]:
    """Return pairs in which is known what was touched by hand, or lies in a region."""
    if not source.by_hand and source.cleared is None and not source.has_region:
        raise ValueError(
            f"No nucleus of {source.name} was drawn, corrected or accepted in the "
            "Segment widget: do that first, or choose another option under Labelled."
        )
    touched = np.array(source.by_hand, np.int64)
    cleared = np.zeros(labels.shape, bool) if source.cleared is None else source.cleared
    whole = np.zeros(labels.shape, bool)
    if source.has_region:
        whole = from_image_axes(mask_of(source), source.choice.axes).reshape(
            labels.shape
        )
    size = labels.shape[-2:]
    pairs = []
    for pair, erased, region in zip(
        split_planes(image, labels, name=source.name, rgb=rgb),
        cleared.reshape(-1, *size),
        whole.reshape(-1, *size),
        strict=True,
    ):
        known = known_from_corrections(pair.labels, touched, erased)
        if region.any():
            known |= known_inside(pair.labels, region)
        seen = np.isin(pair.labels, np.unique(pair.labels[known]))
        pairs.append(replace(pair, labels=np.where(seen, pair.labels, 0), known=known))
    return pairs
