"""Parts of large images as layers of their own, to be corrected and written back."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.blocks.grid import widen
from napari_nucleiseg.core.segment.blocks.settling import widest_hole
from napari_nucleiseg.core.segment.confidence import Calibration
from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.core.segment.pipeline import planes_of
from napari_nucleiseg.core.segment.planes import read_as
from napari_nucleiseg.core.segment.result import PlaneMaps, Segmentation
from napari_nucleiseg.io.block_files import BlockFiles
from napari_nucleiseg.models.by_block import KeptMaps
from napari_nucleiseg.models.correcting import LabelPart, read_part
from napari_nucleiseg.models.finishing import count_by_plane
from napari_nucleiseg.widgets.segment import large
from napari_nucleiseg.widgets.segment.edits import BY_HAND, watch_of, watched_labels
from napari_nucleiseg.widgets.segment.large_labels import show_labels
from napari_nucleiseg.widgets.segment.putting import put_result
from napari_nucleiseg.widgets.segment.run import Found, Run
from napari_nucleiseg.widgets.shared.layers import (
    ChannelChoice,
    make_features,
    placement,
)

if TYPE_CHECKING:
    import napari


@dataclass(frozen=True, eq=False)
class OpenPart:
    """What is read of a part of a large image, before it is in the viewer.

    Parameters
    ----------
    part : LabelPart
        Its labels.
    pixels : numpy.ndarray
        The image there, with all of the image's axes.
    start : tuple of int
        Where that begins along each axis of the layer.
    maps : numpy.ndarray
        What the network has said, ``(y, x, maps)`` uint8; empty if that is not kept.
    """

    part: LabelPart
    pixels: np.ndarray
    start: tuple[int, ...]
    maps: np.ndarray


@dataclass(frozen=True, eq=False)
class _Link:
    """Where a part's labels go back to."""

    part: LabelPart
    image: weakref.ref[Image]


#: By the layer that shows a part of an image.
_LINKS: weakref.WeakKeyDictionary[Image, _Link] = weakref.WeakKeyDictionary()


def is_part(image: Image | None) -> bool:
    """Return whether an image layer shows a part that can be written back."""
    return image is not None and image in _LINKS


def read_open_part(
    data: Any, found: large.LargeFound, plane: int, window: Window
) -> OpenPart:
    """Read a part of a large image and its labels; for another thread than the GUI's.

    Parameters
    ----------
    data : array-like
        The large image.
    found : LargeFound
        What was found in it.
    plane : int
        Number of the plane.
    window : tuple of slice
        Of the plane: what is in view.

    Raises
    ------
    ValueError
        If it is too large.
    """
    # Nuclei in view are to be whole.
    plan = found.plan
    window = widen(window, plan.plane_shape, widest_hole(plan.scale))
    part = read_part(found.output, plan, plane, window)
    choice = found.run.choice
    stack = iter(part.place)
    where = []
    for letter in choice.axes:
        if letter in "YX":
            where.append(window["YX".index(letter)])
        elif letter == "S":
            where.append(slice(None))
        elif letter == "C" and choice.channel is not None:
            where.append(slice(choice.channel, choice.channel + 1))
        else:
            at = next(stack)
            where.append(slice(at, at + 1))
    files = BlockFiles(found.output)
    maps = np.zeros((0, 0, 0), np.uint8)
    if files.count():
        maps = KeptMaps(found.plan, files, plane).read(window)
    start = tuple(
        int(side.start or 0)
        for side, letter in zip(where, choice.axes, strict=True)
        if letter != "S"
    )
    return OpenPart(part, np.asarray(data[tuple(where)]), start, maps)


def add_part(
    viewer: napari.Viewer, image: Image, found: large.LargeFound, opened: OpenPart
) -> Image:
    """Show a part of a large image as a layer of its own, at its place."""
    letters = found.run.choice.axes.replace("S", "")
    how = placement(image)
    how["translate"] = how["translate"] + _shift(image, opened.start)
    how["axis_labels"] = [letter.lower() for letter in letters]
    layer = viewer.add_image(
        opened.pixels,
        name=f"{image.name} (part)",
        rgb=image.rgb,
        colormap=None if image.rgb else image.colormap.name,
        contrast_limits=None if image.rgb else image.contrast_limits,
        **how,
    )
    _LINKS[layer] = _Link(opened.part, weakref.ref(image))
    return layer


def add_labels(
    viewer: napari.Viewer,
    layer: Image,
    found: large.LargeFound,
    opened: OpenPart,
    choice: ChannelChoice,
) -> None:
    """Show the labels of a part on it, with the network's maps if they are kept.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    layer : napari.layers.Image
        From `add_part`.
    found, opened
        See there.
    choice : ChannelChoice
        How the layer is read.
    """
    plan, part = found.plan, opened.part
    asked = SegmentParams(**plan.params).replace(diameter=plan.diameter)
    reading = read_as(opened.pixels.shape, choice.axes, choice.channel)
    planes, shape = planes_of(opened.pixels, reading)
    judge = plan.judge
    sure = part.known("confidence", np.nan).astype(np.float32)
    # What the edge cuts stays as it is, and need not be looked at.
    sure[np.isin(part.names[1:], part.at_edge(part.file_labels))] = np.nan
    result = Segmentation(
        labels=part.labels.reshape(shape),
        confidence=sure,
        params=asked,
        settings=plan.thresholds,
        model=plan.model,
        model_settings=found.own,
        diameter=plan.diameter,
        scale=plan.scale,
        planes=(PlaneMaps(opened.maps, plan.scale),) if opened.maps.size else (),
        axes=choice.axes,
        channel=choice.channel,
        calibration=judge if isinstance(judge, Calibration) else None,
    )
    run = Run(choice, SegmentParams(**plan.params), found.run.model)
    intensity = np.asarray(planes).mean(axis=-1, dtype=np.float64).reshape(shape)
    table = make_features(result, intensity)
    hand = part.known(BY_HAND, None)
    table[BY_HAND] = np.array([each or None for each in hand.tolist()], object)
    put_result(viewer, layer, Found(run, result, intensity, table, seconds=None))


def write_back(viewer: napari.Viewer, layer: Image) -> tuple[LabelPart, Any, Any]:
    """Return what is to be written of a part: it, its labels, and what is said of them.

    Raises
    ------
    ValueError
        If its labels are gone.
    """
    labels = watched_labels(viewer, layer)
    watch = None if labels is None else watch_of(labels)
    if watch is None:
        raise ValueError("The labels of this part are gone: open it again.")
    watch.update()
    part = _LINKS[layer].part
    table = watch.table.table().set_index("index")
    columns = [name for name in ("confidence", BY_HAND) if name in table]
    about = table[columns].to_dict("index")
    return part, watch.table.labels.reshape(part.file_labels.shape).copy(), about


def after_writing(
    viewer: napari.Viewer, layer: Image, table: dict[str, np.ndarray]
) -> Image | None:
    """Remove the layers of a part that was written, and show the large labels anew.

    Returns
    -------
    napari.layers.Image or None
        The large image, if it is still there.
    """
    import pandas as pd

    image = _LINKS.pop(layer).image()
    for each in (watched_labels(viewer, layer), layer):
        if each is not None and each in viewer.layers:
            viewer.layers.remove(each)
    kept = large.kept_for(viewer, image)
    if image is None or kept is None:
        return None
    found = replace(
        kept.found,
        table=pd.DataFrame(table).rename(columns={"label": "index"}),
        counts=count_by_plane(table, kept.found.plan),
    )
    shown = show_labels(viewer, image, found, kept.labels())
    shown.visible = True
    large.keep(image, found, shown)
    return image


def hide_whole(viewer: napari.Viewer, image: Image) -> None:
    """Hide the labels of the whole while a part of them is corrected."""
    kept = large.kept_for(viewer, image)
    whole = None if kept is None else kept.labels()
    if isinstance(whole, Labels):
        whole.visible = False


def _shift(image: Image, start: tuple[int, ...]) -> np.ndarray:
    """Return how far a pixel lies from the first one, before the affine."""
    shear = np.eye(image.ndim)
    shear[np.triu_indices(image.ndim, 1)] = image.shear
    return np.asarray(image.rotate) @ shear @ (np.asarray(image.scale) * start)
