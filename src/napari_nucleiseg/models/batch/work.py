"""Segmenting and measuring one image of a batch, and knowing if that is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucleiseg.core.labels.annotations import to_labels
from napari_nucleiseg.core.measure.channels import split_channels
from napari_nucleiseg.core.monitor import Monitor, SilentMonitor
from napari_nucleiseg.core.segment.planes import to_planes
from napari_nucleiseg.io import MAX_MEGAPIXELS
from napari_nucleiseg.io.images import (
    ImageFile,
    write_labels,
    write_overlay,
    write_thumbnail,
)
from napari_nucleiseg.io.pair_reading import read_labels
from napari_nucleiseg.models.batch.items import Item, file_state
from napari_nucleiseg.models.batch.ledger import (
    Entry,
    Ledger,
    hash_of_measuring,
    hash_of_segmenting,
)
from napari_nucleiseg.models.batch.tables import Tables
from napari_nucleiseg.models.recipe import SavedRecipe
from napari_nucleiseg.models.segmenting import segment

#: What is said of labels that were corrected, or were there before.
FOREIGN = "These labels were corrected or made elsewhere; they are left as they are."


@dataclass(frozen=True)
class Wanted:
    """What is written beside the labels.

    Parameters
    ----------
    overlay : bool
        A picture of each image with its outlines.
    sheet, report : bool
        A contact sheet, and an HTML report.
    pictures : bool
        Small pictures, for a window to show; with a sheet or report in any case.
    suffix : str
        ``"csv"`` or ``"parquet"``.
    outlines : sequence of str
        ``"geojson"`` and ``"roi"``.
    max_megapixels : float
        Larger planes are not read.
    """

    overlay: bool = False
    sheet: bool = False
    report: bool = False
    pictures: bool = False
    suffix: str = "csv"
    outlines: Sequence[str] = ()
    max_megapixels: float = MAX_MEGAPIXELS


class ImageWork:
    """Does one image of a batch after the other, and keeps what is known of each.

    Parameters
    ----------
    folder : pathlib.Path
        Where results go.
    recipe : SavedRecipe
        How.
    wanted : Wanted
        What is written beside the labels.
    """

    def __init__(self, folder: Path, recipe: SavedRecipe, wanted: Wanted) -> None:
        self.folder, self.recipe, self.wanted = folder, recipe, wanted
        self.ledger = Ledger(folder)
        self.tables = Tables(
            folder, recipe, suffix=wanted.suffix, outlines=wanted.outlines
        )
        self._segmenting = hash_of_segmenting(recipe)
        self._measuring = hash_of_measuring(recipe)

    @property
    def measures(self) -> bool:
        """Whether the recipe says that nuclei are measured."""
        return bool(self._measuring)

    def is_done(self, item: Item) -> bool:
        """Return whether an image's labels are there, made of this image and like this.

        Labels that someone else has written since, or made by an older version, are
        left as they are.
        """
        labels = item.labels_in(self.folder)
        if item.problem or not labels.is_file():
            return False
        if self.wanted.overlay and not item.overlay_in(self.folder).is_file():
            return False
        entry = self.ledger.read(item.name)
        if entry is None or entry.foreign or entry.labels != file_state(labels):
            return True
        return entry.segmented == self._segmenting and entry.image == item.state()

    def known_of(self, item: Item) -> tuple[Entry | None, str]:
        """Return what is known of an image that is done, and what to say of it."""
        entry = self.ledger.read(item.name)
        if entry is not None and entry.labels != file_state(
            item.labels_in(self.folder)
        ):
            return None, FOREIGN
        return entry, " ".join(entry.warnings) if entry else ""

    def _read(self, item: Item) -> tuple[ImageFile, list[str]]:
        found = item.read(
            series=self.recipe.series or 0, max_megapixels=self.wanted.max_megapixels
        )
        notes = []
        if found.series > 1 and self.recipe.series is None:
            notes.append(f"has {found.series} series; using 0 (--series chooses)")
        return found, notes

    def segment(self, item: Item, monitor: Monitor) -> Entry:
        """Segment an image, measure it if so asked, and write what was found."""
        started = time.monotonic()
        recipe = self.recipe
        state = item.state()
        found, notes = self._read(item)
        axes = recipe.axes or found.axes
        assert recipe.model is not None
        result = segment(
            found.data,
            recipe.model,
            axes=axes,
            channel=recipe.channel,
            monitor=monitor,
            **recipe.segment.model_dump(),
        )
        target = item.labels_in(self.folder)
        write_labels(target, result.labels)
        if self.wanted.overlay:
            plane = to_planes(found.data, axes=axes, channel=recipe.channel)[0][0]
            write_overlay(item.overlay_in(self.folder), plane, _first(result.labels))
        entry = Entry(
            image=state,
            labels=file_state(target),
            segmented=self._segmenting,
            nuclei=result.count,
            summary=f"{result.summary}, diameter {result.diameter:.0f} px",
            warnings=[*notes, *result.warnings],
            confidence=result.confidence.astype(float).tolist(),
            axes=result.axes,
        )
        if recipe.measure is not None:
            entry = self._measure(item, entry, found, result.labels, monitor)
        self._draw(item, found, result.labels)
        entry = entry.replace(seconds=time.monotonic() - started)
        self.ledger.write(item.name, entry)
        return entry

    def take_up(self, item: Item) -> Entry | None:
        """Add an image that was done before to the tables."""
        entry = self.ledger.read(item.name)
        target = item.labels_in(self.folder)
        same = entry is not None and entry.labels == file_state(target)
        pictured = not self._draws or self.ledger.picture(item.name).is_file()
        if same and pictured and entry is not None:
            if not self._measuring:
                return entry
            table = self.ledger.read_table(item.name)
            known = entry.measured == self._measuring and table is not None
            if known and self.tables.has_outlines(item.name):
                self.tables.add(item.name, table, entry.area)
                return entry
        elif not self._measuring and not self._draws:
            return None  # what is not asked for need not be known
        found, _ = self._read(item)
        limit = self.wanted.max_megapixels
        labels = to_labels(read_labels(target, max_megapixels=limit), target.name)
        if not same or entry is None:  # the confidence of these is not known
            entry = Entry(
                image=item.state(),
                labels=file_state(target),
                segmented=self._segmenting,
                nuclei=len(np.unique(labels[labels > 0])),
                axes=self.recipe.axes or found.axes,
                warnings=[FOREIGN],
                foreign=True,
            )
        if self._measuring:
            entry = self._measure(item, entry, found, labels, SilentMonitor())
        self._draw(item, found, labels)
        self.ledger.write(item.name, entry)
        return entry

    def _measure(
        self,
        item: Item,
        entry: Entry,
        found: ImageFile,
        labels: np.ndarray,
        monitor: Monitor,
    ) -> Entry:
        channels = split_channels(
            found.data, labels.shape, axes=entry.axes, name=self.recipe.image_name
        )
        table = self.tables.measure(
            item.name,
            labels,
            channels,
            item.path or item.pixel_size,
            axes=entry.axes,
            confidence=dict(enumerate(entry.confidence, start=1)),
            monitor=monitor,
        )
        self.ledger.write_table(item.name, table)
        area = self.tables.area_of(item.name)
        return entry.replace(measured=self._measuring, area=area)

    @property
    def _draws(self) -> bool:
        return self.wanted.pictures or self.wanted.sheet or self.wanted.report

    def _draw(self, item: Item, found: ImageFile, labels: np.ndarray) -> None:
        """Keep a small picture of an image with its outlines."""
        if self._draws:
            how: dict[str, Any] = {"channel": self.recipe.channel}
            how["axes"] = self.recipe.axes or found.axes
            plane = to_planes(found.data, **how)[0][0]
            write_thumbnail(self.ledger.picture(item.name), plane, _first(labels))


def _first(labels: np.ndarray) -> np.ndarray:
    return labels.reshape(-1, *labels.shape[-2:])[0]
