"""Segment and measure many images: what is done stays done, and a bad one is passed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleiseg.core.labels.annotations import to_labels
from napari_nucleiseg.core.measure.channels import split_channels
from napari_nucleiseg.core.monitor import Cancelled, Monitor, Progress, SilentMonitor
from napari_nucleiseg.core.segment.planes import to_planes
from napari_nucleiseg.io import MAX_MEGAPIXELS
from napari_nucleiseg.io.atomic import make_folder, reason_of
from napari_nucleiseg.io.images import (
    ImageFile,
    write_labels,
    write_overlay,
    write_thumbnail,
)
from napari_nucleiseg.io.inputs import CONTACT_SHEET
from napari_nucleiseg.io.pair_reading import read_labels
from napari_nucleiseg.models.batch.items import Item, file_state
from napari_nucleiseg.models.batch.ledger import (
    Entry,
    Ledger,
    hash_of_measuring,
    hash_of_segmenting,
)
from napari_nucleiseg.models.batch.tables import Tables
from napari_nucleiseg.models.batch.watching import (
    Following,
    Outcome,
    SilentWatch,
    Watch,
)
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.recipe import RECIPE_FILE, SavedRecipe
from napari_nucleiseg.models.segmenting import segment

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

REPORT_FILE = "report.html"

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


class Batch:
    """Images that are segmented, and measured if the recipe says so, in the same way.

    Parameters
    ----------
    items : sequence of Item
        From `plan_files`.
    folder : pathlib.Path
        Where results go; made when it runs.
    recipe : SavedRecipe
        How.
    wanted : Wanted, optional
        What is written beside the labels.

    Examples
    --------
    >>> from pathlib import Path
    >>> from napari_nucleiseg.io.inputs import find_images
    >>> from napari_nucleiseg.models.batch.items import plan_files
    >>> recipe = SavedRecipe.of("nuclei")
    >>> items = plan_files(find_images(["plate"]), Path("out"))  # doctest: +SKIP
    >>> Batch(items, Path("out"), recipe).run()  # doctest: +SKIP
    """

    def __init__(
        self,
        items: Sequence[Item],
        folder: Path,
        recipe: SavedRecipe,
        wanted: Wanted | None = None,
    ) -> None:
        self.items, self.folder, self.recipe = items, folder, recipe
        self.wanted = wanted or Wanted()
        self.ledger = Ledger(folder)
        self.outcomes: list[Outcome] = []
        self.summary = ""
        self._segmenting = hash_of_segmenting(recipe)
        self._measuring = hash_of_measuring(recipe)
        w = self.wanted
        self.tables = Tables(folder, recipe, suffix=w.suffix, outlines=w.outlines)

    # ---- what is done ---------------------------------------------------------------

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

    # ---- running --------------------------------------------------------------------

    def run(
        self,
        watch: Watch | None = None,
        *,
        again: bool = False,
        client: Client | None = None,
    ) -> list[Outcome]:
        """Do what is not done yet, and write tables, recipe, sheet and report.

        Parameters
        ----------
        watch : Watch, optional
            Told of each image.
        again : bool
            Whether to do again what is done.
        client : Client, optional
            Processes to spread the images over; see `models.cluster.connect`.

        Returns
        -------
        list of Outcome
            One for each image.

        Raises
        ------
        Cancelled
            If a monitor asked to stop: what is done stays, and is in the tables.
        NotWritten
            If the folder or a table cannot be written.
        """
        watch = watch or SilentWatch()
        make_folder(self.folder)
        try:
            if client is None:
                for item in self.items:
                    self.outcomes.append(self._do(item, watch, again))
            else:
                self._spread(client, watch, again)
        except Cancelled:
            self._finish()
            raise
        self._finish()
        return self.outcomes

    def _do(self, item: Item, watch: Watch, again: bool) -> Outcome:
        outcome = Outcome(item, "stopped")
        try:
            if item.problem:
                raise ValueError(item.problem)
            if not again and self.is_done(item):
                entry = self._take_up(item)
                outcome = Outcome(item, "skipped", entry)
            else:
                entry = self._segment(item, watch.begin(item))
                outcome = Outcome(item, "done", entry)
        except Cancelled:
            raise
        # Whatever becomes of one image, the others are done.
        except Exception as e:
            log.debug("%s failed", item.title, exc_info=True)
            outcome = Outcome(item, "failed", message=reason_of(e))
        finally:
            watch.end(outcome)
        return outcome

    def _spread(self, client: Client, watch: Watch, again: bool) -> None:
        """Do images in other processes; they are known here by what those write."""
        from napari_nucleiseg.models.cluster import result_of, run_all

        todo = [
            i
            for i, item in enumerate(self.items)
            if not item.problem and (again or not self.is_done(item))
        ]
        how = {"folder": self.folder, "recipe": self.recipe, "wanted": self.wanted}
        found: dict[int, Outcome] = {}
        images = [self.items[i] for i in todo]
        try:
            for place, future in run_all(client, _do_one, images, how, self.folder):
                item = images[place]
                watch.begin(item).report(Progress("Finding nuclei", 1, 1))
                try:
                    outcome = result_of(future)
                # As where an image is done here.
                except Exception as e:
                    log.debug("%s failed", item.title, exc_info=True)
                    outcome = Outcome(item, "failed", message=reason_of(e))
                watch.end(outcome)
                found[todo[place]] = outcome
            for i, item in enumerate(self.items):
                if i not in found:
                    found[i] = self._do(item, watch, False)
                elif found[i].state == "done":
                    self._take_up(item)
        finally:
            self.outcomes += [found[i] for i in sorted(found)]

    def _read(self, item: Item) -> tuple[ImageFile, list[str]]:
        found = item.read(
            series=self.recipe.series or 0, max_megapixels=self.wanted.max_megapixels
        )
        notes = []
        if found.series > 1 and self.recipe.series is None:
            notes.append(f"has {found.series} series; using 0 (--series chooses)")
        return found, notes

    def _segment(self, item: Item, monitor: Monitor) -> Entry:
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

    def _take_up(self, item: Item) -> Entry | None:
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

    # ---- the end --------------------------------------------------------------------

    def _finish(self) -> None:
        there = [x for x in self.outcomes if x.state in ("done", "skipped")]
        if any(x.state == "done" for x in there):
            self.recipe.on_engine().write(self.folder / RECIPE_FILE)
        if not there:
            return
        if self._measuring:
            self.tables.conditions = self._conditions()
            self.summary = self.tables.write()
        if self.wanted.sheet:
            from napari_nucleiseg.models.batch.sheet import write_sheet

            write_sheet(self.folder / CONTACT_SHEET, there, self.ledger)
        if self.wanted.report:
            from napari_nucleiseg.models.batch.report import write_report

            write_report(self.folder / REPORT_FILE, self)

    def _conditions(self) -> dict[str, str] | None:
        """Return the conditions of the images by name; None if there are none."""
        if not any(item.condition for item in self.items):
            return None
        return {item.name: item.condition for item in self.items}


def _do_one(
    item: Item,
    *,
    folder: Path,
    recipe: SavedRecipe,
    wanted: Wanted,
    monitor: Monitor,
    threads: int,
) -> Outcome:
    """Do one image of a batch, in a process of its own."""
    load_model(str(recipe.model), recipe.segment.engine, threads=threads)
    batch = Batch([item], folder, recipe, wanted)
    return batch._do(item, Following(monitor), again=True)


def _first(labels: np.ndarray) -> np.ndarray:
    return labels.reshape(-1, *labels.shape[-2:])[0]
