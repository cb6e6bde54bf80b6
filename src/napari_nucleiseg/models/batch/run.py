"""Segment and measure many images: what is done stays done, and a bad one is passed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleiseg.core.monitor import Cancelled, Monitor, Progress
from napari_nucleiseg.io.atomic import make_folder, reason_of
from napari_nucleiseg.io.inputs import CONTACT_SHEET
from napari_nucleiseg.models.batch.items import Item
from napari_nucleiseg.models.batch.watching import (
    Following,
    Outcome,
    SilentWatch,
    Watch,
)
from napari_nucleiseg.models.batch.work import ImageWork, Wanted
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.recipe import RECIPE_FILE, SavedRecipe

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

REPORT_FILE = "report.html"


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
        # What is done with one image, and what is known of it.
        self.work = ImageWork(folder, recipe, self.wanted)
        self.outcomes: list[Outcome] = []
        self.summary = ""

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
            if not again and self.work.is_done(item):
                entry = self.work.take_up(item)
                outcome = Outcome(item, "skipped", entry)
            else:
                entry = self.work.segment(item, watch.begin(item))
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
            if not item.problem and (again or not self.work.is_done(item))
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
                    self.work.take_up(item)
        finally:
            self.outcomes += [found[i] for i in sorted(found)]

    # ---- the end --------------------------------------------------------------------

    def _finish(self) -> None:
        there = [x for x in self.outcomes if x.state in ("done", "skipped")]
        if any(x.state == "done" for x in there):
            self.recipe.on_engine().write(self.folder / RECIPE_FILE)
        if not there:
            return
        if self.work.measures:
            self.work.tables.conditions = self._conditions()
            self.summary = self.work.tables.write()
        if self.wanted.sheet:
            from napari_nucleiseg.models.batch.sheet import write_sheet

            write_sheet(self.folder / CONTACT_SHEET, there, self.work.ledger)
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
