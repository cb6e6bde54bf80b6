"""One run of Segment: its input, its result, and the sentences about it."""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_nucleiseg.core.monitor import Monitor, Stages
from napari_nucleiseg.core.params import SegmentParams, needs_run
from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.core.segment.planes import to_planes
from napari_nucleiseg.core.segment.predictor import Predictor
from napari_nucleiseg.core.segment.region import Region
from napari_nucleiseg.core.segment.result import (
    Segmentation,
    relabel,
    resolve_settings,
)
from napari_nucleiseg.models.predictor import LitePredictor, load_model
from napari_nucleiseg.models.recipe import SavedRecipe, own_left_out
from napari_nucleiseg.models.registry import Model
from napari_nucleiseg.widgets.segment.edits import EditedTable
from napari_nucleiseg.widgets.shared.controls import quoted
from napari_nucleiseg.widgets.shared.layers import ChannelChoice, make_features

if TYPE_CHECKING:
    import pandas as pd

#: The maps of several images are kept in this much memory, bytes; the oldest go first.
MOST_MEMORY = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Run:
    """What one press of the button asks for, recorded on the GUI thread.

    Parameters
    ----------
    choice : ChannelChoice
        How to read the image.
    params : SegmentParams
        As asked for.
    model : Model
        The model to use.
    region : Region or None
        Where nuclei are looked for; None for everywhere.
    place : str
        What that is, in words.
    started : float
        When, by `time.monotonic`.
    """

    choice: ChannelChoice
    params: SegmentParams
    model: Model
    region: Region | None = None
    place: str = "the whole image"
    started: float = field(default_factory=time.monotonic)

    def load(self) -> LitePredictor:
        """Return the network; for another thread than the GUI's."""
        return load_model(self.model.folder, self.params.engine)

    @functools.cached_property
    def recipe(self) -> SavedRecipe:
        """What asks for this run, through any door."""
        return SavedRecipe.of_model(
            self.model,
            axes=self.choice.axes,
            channel=self.choice.channel,
            segment=own_left_out(self.params, self.model.card.thresholds),
        )


@dataclass(frozen=True, eq=False)
class Found:
    """A result to show, from whose maps the sliders make new labels.

    Parameters
    ----------
    run : Run
        What it came from.
    result : Segmentation
        The nuclei.
    intensity : numpy.ndarray
        The image in the shape of its labels, colours averaged.
    table : pandas.DataFrame
        One row a nucleus, not rounded; see `layers.make_features`.
    seconds : float or None
        How long the network took; None for labels remade from its maps.
    """

    run: Run
    result: Segmentation
    intensity: np.ndarray
    table: pd.DataFrame
    seconds: float | None

    @property
    def nbytes(self) -> int:
        """Approximate memory use, bytes."""
        maps = sum(plane.maps.nbytes for plane in self.result.planes)
        flooded = (self.result.flooded or {}).values()
        kept = maps + sum(plane.nbytes for plane in flooded)
        return kept + self.result.labels.nbytes + self.intensity.nbytes

    @property
    def recipe(self) -> SavedRecipe:
        """What made these labels."""
        asked = self.result.params.replace(diameter=self.run.params.diameter)
        own = own_left_out(asked, self.result.model_settings)
        return self.run.recipe.replace(segment=own)

    def editable(self) -> EditedTable:
        """Return the table of these labels, which follows edits."""
        result = self.result
        return EditedTable(result.labels, self.intensity, self.table, result.axes)


def find_nuclei(data: Any, run: Run, predictor: Predictor, monitor: Monitor) -> Found:
    """Find the nuclei; for another thread than the GUI's.

    Parameters
    ----------
    data : array-like
        ``(…, y, x[, c])``, the layer's at full resolution; perhaps lazy.
    run : Run
        What is asked for.
    predictor : Predictor
        The network.
    monitor : Monitor
        Told of progress, and asked whether to stop.

    Raises
    ------
    Cancelled
        If the monitor asked for it.
    TypeError, ValueError
        If the layer's data cannot be an image.
    """
    data, channel = _only_channel(data, run.choice)
    image = np.asanyarray(data)  # once: lazy data is read or computed here
    how: dict[str, Any] = {"axes": run.choice.axes, "channel": channel}
    result = segment(
        image,
        predictor,
        params=run.params,
        region=run.region,
        keep=True,
        monitor=Stages(monitor, STAGES),
        **how,
    )
    result = replace(result, channel=run.choice.channel)
    planes, shape = to_planes(image, **how)
    intensity = planes.mean(axis=-1, dtype=np.float64).reshape(shape)
    seconds = time.monotonic() - run.started
    return Found(run, result, intensity, make_features(result, intensity), seconds)


def _only_channel(data: Any, choice: ChannelChoice) -> tuple[Any, int | None]:
    """Return of lazy data what is asked for, and where in that the channel is."""
    at = choice.axes.find("C")
    if isinstance(data, np.ndarray) or choice.channel is None or at < 0:
        return data, choice.channel
    where = [slice(None)] * len(choice.axes)
    where[at] = slice(choice.channel, choice.channel + 1)
    return data[tuple(where)], 0


#: How long the stages take, in relation to each other.
STAGES = {"Measuring nuclei": 10.0, "Finding nuclei": 75.0, "Separating nuclei": 15.0}


def find_again(found: Found, params: SegmentParams, monitor: Monitor) -> Found:
    """Make the labels again with other thresholds; the network does not run.

    Raises
    ------
    Cancelled
        If the monitor asked for it.
    """
    result = relabel(found.result, params, monitor=monitor)
    table = make_features(result, found.intensity)
    return replace(found, result=result, table=table, seconds=None)


# ---- keeping several ---------------------------------------------------------------


@dataclass(eq=False)
class Kept:
    """What is remembered of an image after it was segmented.

    Parameters
    ----------
    found : Found
        The last result.
    labels : weakref.ref or None
        To the layer that shows it; None if there was nothing to show.
    corrections : int
        How many nuclei touched by hand are among these labels.
    """

    found: Found
    labels: weakref.ref[Labels] | None
    corrections: int = 0


#: By image layer, the latest last. Docks come and go; this goes with the layers.
_KEPT: weakref.WeakKeyDictionary[Image, Kept] = weakref.WeakKeyDictionary()


def keep(
    image: Image, found: Found, labels: Labels | None, corrections: int = 0
) -> None:
    """Remember a result, and forget the oldest ones that memory has no room for."""
    _KEPT.pop(image, None)
    shown = None if labels is None else weakref.ref(labels)
    _KEPT[image] = Kept(found, shown, corrections)
    total = sum(kept.found.nbytes for kept in _KEPT.values())
    for other in list(_KEPT):
        if total <= MOST_MEMORY or other is image:
            break
        total -= _KEPT.pop(other).found.nbytes


def kept_for(image: Image | None) -> Kept | None:
    """Return what is remembered of an image."""
    return None if image is None else _KEPT.get(image)


def forget(image: Image) -> None:
    """Forget what is remembered of an image."""
    _KEPT.pop(image, None)


# ---- what differs, and what is said of it -------------------------------------------


def new_source(run: Run, now: Run) -> list[str]:
    """Return why a run's maps no longer do: "channel", "model"."""
    changed = {"channel": run.choice != now.choice, "model": run.model != now.model}
    return [word for word, is_changed in changed.items() if is_changed]


def new_values(found: Found, params: SegmentParams) -> list[str]:
    """Return the fields whose values differ from those the labels were made with."""
    result, asked = found.result, found.run.params
    wanted = dict(resolve_settings(params, result.model_settings, result.diameter))
    had = dict(result.settings)
    return needs_run(dict(asked), params) + [
        name for name in had if had[name] != wanted[name]
    ]


def label_of(name: str) -> str:
    """Return what the form calls a value."""
    return SegmentParams.model_fields[name].title or name


def describe(
    found: Found, name: str, changed: Sequence[str], corrections: int = 0
) -> str:
    """Return what was found in an image, in a few sentences.

    Parameters
    ----------
    found : Found
        The nuclei.
    name : str
        The image's.
    changed : sequence of str
        What was changed since and is not applied yet, in words.
    corrections : int
        How many nuclei touched by hand were kept.
    """
    result = found.result
    parts = [f"{result.summary} found in {quoted(name)}"]
    if changed:
        these = "it" if len(changed) == 1 else "them"
        parts[0] += f". Changed since: {', '.join(changed)}."
        parts.append(f"Press Segment to use {these}.")
    elif found.seconds is None:
        parts[0] += " with these values."
    else:
        where = "" if found.run.region is None else f" ({found.run.place})"
        parts[0] += f"{where} in {found.seconds:.1f} s."
        if result.count:
            measured = " (measured)" if found.run.params.diameter is None else ""
            parts.append(f"Nuclei are {result.diameter:.0f} px wide{measured}.")
    if corrections:
        nuclei = "nucleus" if corrections == 1 else "nuclei"
        parts.append(f"{corrections} {nuclei} corrected or accepted by hand kept.")
    return " ".join([*parts, *result.warnings])
