"""The widget that segments and measures a whole folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QPushButton

from napari_nucleiseg.core.monitor import Monitor, Progress, check_cancelled
from napari_nucleiseg.models.batch.items import Item
from napari_nucleiseg.models.batch.run import REPORT_FILE, Batch
from napari_nucleiseg.models.batch.watching import Outcome, SharedMonitor
from napari_nucleiseg.models.batch.work import Wanted
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.widgets.batch.form import BatchForm
from napari_nucleiseg.widgets.batch.opening import open_result
from napari_nucleiseg.widgets.batch.panel import BatchPanel, Row
from napari_nucleiseg.widgets.batch.parts import LAYERS
from napari_nucleiseg.widgets.shared.bottom_dock import dock_below
from napari_nucleiseg.widgets.shared.controls import MessageLine, explain, one_shot
from napari_nucleiseg.widgets.shared.job_shell import JobShell

if TYPE_CHECKING:
    import napari

#: The list of images is made anew so long after the last change, milliseconds.
SETTLE_MS = 200

#: A list that took longer, seconds, is not made anew whenever the mouse comes by.
_LONG = 0.5

_RUN_TIP = (
    "Find and measure the nuclei in every image of the list that is not done yet. You "
    "can stop at any time and go on later."
)


@dataclass(frozen=True, eq=False)
class _Listed:
    """The images as they are now, and what can be said of them; or why there are none.

    Parameters
    ----------
    asked : str
        What was asked for.
    batch : Batch or None
        Of the images.
    rows : list of Row
        One for each.
    problem : str
        Why there are none.
    seconds : float
        How long it took.
    """

    asked: str
    batch: Batch | None = None
    rows: list[Row] = field(default_factory=list)
    problem: str = ""
    seconds: float = 0


class _Watch(QObject):
    """Passes what becomes of each image on to the GUI thread."""

    planned = Signal(object)  # a Batch
    began = Signal(object)  # an Item
    ended = Signal(object)  # an Outcome

    def __init__(self) -> None:
        super().__init__()
        self._count = self._done = 0
        self._monitor: Monitor | None = None  # of the whole

    def follow(self, batch: Batch, monitor: Monitor) -> None:
        """Follow a batch that is about to run."""
        self._count, self._monitor = len(batch.items), monitor
        self.planned.emit(batch)

    def begin(self, item: Item) -> Monitor:
        self.began.emit(item)
        assert self._monitor is not None
        return SharedMonitor(self._monitor, item, self._done, self._count)

    def end(self, outcome: Outcome) -> None:
        self._done += 1
        self.ended.emit(outcome)


def _row_of(batch: Batch, item: Item, again: bool, failed: str | None) -> Row:
    """Return what is known of an image, and why it failed, if it did just now."""
    if not again and batch.work.is_done(item):
        entry, words = batch.work.known_of(item)
        return Row(item, "skipped", entry, words)
    if failed is not None:
        return Row(item, "failed", message=failed)
    return Row(item, "failed" if item.problem else "waiting", message=item.problem)


class BatchWidget(JobShell):
    """Choose a folder, press Run, get labels, tables, a contact sheet and a report.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    """

    STOP = (
        "Stop",
        "Stop now; what is done stays, and Run goes on from there.",
        "Stopped. What is done stays, and is in the tables; press Run to go on.",
    )

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, title="Batch", button="Run", tip=_RUN_TIP)
        self.panel: BatchPanel | None = None
        self.form = BatchForm(self.viewer)
        self._listed: _Listed | None = None
        self._problem = ""
        self._watch: _Watch | None = None  # of the run under way
        self.settings_line = MessageLine("settings_line")
        self.reason_line = MessageLine("reason_line")
        self.report_button = QPushButton("Open the report")
        self.report_button.setToolTip("Open report.html in your browser.")
        self.report_button.clicked.connect(self._on_report_clicked)
        self.fill(
            (
                self.form,
                self.form.more,
                self.settings_line,
                self.run_button,
                self.reason_line,
                self.progress,
                self.result_line,
                self.report_button,
            ),
            self.form,
        )
        self._settle = one_shot(self, SETTLE_MS, self._list)
        self.form.list_changed.connect(self._on_list_changed)
        self.reset_choices()
        self._on_list_changed()

    def reset_choices(self, *_: object) -> None:
        """Offer the layers there are now; called by napari when they change."""
        if not self._closed:
            self.form.offer_layers()

    def refresh_models(self) -> None:
        """Read the list of models anew, keeping the chosen one."""
        self.form.refresh_models()
        self._on_list_changed()

    @property
    def is_running(self) -> bool:
        """Whether images are being listed or done."""
        return super().is_running or self._settle.isActive()

    def why_not(self) -> str:
        """Return why nothing can be run; empty if something can."""
        return self._problem

    # ---- the list of images ---------------------------------------------------------

    def _asked(self) -> str:
        """Return what the list of images depends on, as a text to be compared."""
        try:
            recipe = self.form.chosen_recipe().model_dump_json()
        except (ValueError, OSError) as e:
            recipe = explain(e)
        return f"{self.form.asdict()}{self.form.more.values()}{recipe}"

    def _on_list_changed(self) -> None:
        if not self._closed and not self.is_busy:
            self._settle.start()

    def showEvent(self, event: Any) -> None:
        """List the images anew: settings may have been changed elsewhere."""
        super().showEvent(event)
        self._on_list_changed()

    def enterEvent(self, event: Any) -> None:
        """List the images anew, when the user comes from another dock.

        Not all of a large folder each time, unless something else is asked for.
        """
        super().enterEvent(event)
        listed = self._listed
        if listed is None or listed.seconds < _LONG or listed.asked != self._asked():
            self._on_list_changed()

    def _prepare(self, *, keep_data: bool = False) -> Callable[[], Batch]:
        """Note what the form asks for.

        Returns
        -------
        callable
            Returns the batch, in any thread; raises ValueError or OSError if there are
            no images.

        Raises
        ------
        ValueError, OSError
            If something in the form is missing or wrong.
        """
        recipe = self.form.chosen_recipe()
        images = self.form.images(keep_data=keep_data)
        output = Path(self.form.output.value)
        if str(output) in ("", "."):
            raise ValueError("Choose a folder for the results.")
        how = self.form.more.values()
        wanted = Wanted(pictures=True, sheet=how["contact_sheet"], report=how["report"])
        return lambda: Batch(images(), output, recipe, wanted)

    def _list(self) -> None:
        if self.is_busy or self._closed:
            return
        asked = self._asked()
        try:
            prepared = self._prepare()
        except (ValueError, OSError) as e:
            self._show_list(_Listed(asked, problem=explain(e)))
            return
        again = self.form.more["again"].value
        before = self._listed.rows if self._listed is not None else []
        failed = {x.item.title: x.message for x in before if x.state == "failed"}

        def work(monitor: Monitor) -> _Listed:
            start = time.monotonic()
            try:
                batch = prepared()
            except (ValueError, OSError) as e:
                return _Listed(asked, problem=explain(e))
            rows = []
            for item in batch.items:
                check_cancelled(monitor)
                rows.append(_row_of(batch, item, again, failed.get(item.title)))
            return _Listed(asked, batch, rows, seconds=time.monotonic() - start)

        self._start(work, self._show_list, layers=(), quiet=True)

    def _show_list(self, listed: _Listed) -> None:
        self._listed, self._problem = listed, listed.problem
        self._show_reason()
        batch = listed.batch
        panel = self._open_panel(make=batch is not None)
        if batch is None:
            self.settings_line.clear()
        else:
            self.settings_line.setText(self.form.settings_in_words(batch.recipe))
        if panel is not None:
            picture = None if batch is None else batch.work.ledger.picture
            panel.show_rows(listed.rows, picture)
        self._show_left()

    def _show_left(self) -> None:
        """Say on the button what it does: begin, or go on."""
        rows = self._listed.rows if self._listed is not None else []
        begun = any(row.is_done for row in rows)
        left = sum(not row.is_done for row in rows)
        self._button = "Resume" if begun and left else "Run"
        self._update_button()
        report = Path(self.form.output.value) / REPORT_FILE
        self.report_button.setEnabled(report.is_file())

    def _open_panel(self, *, make: bool = True) -> BatchPanel | None:
        """Return the panel under the viewer; a new one if it was closed."""
        if self.panel is not None and self.panel.is_gone:
            self.panel = None
        if self.panel is None and make:
            self.panel = BatchPanel()
            self.panel.open_asked.connect(self._on_open_asked)
            dock_below(self.viewer, self.panel, "Images of the batch")
        return self.panel

    # ---- running --------------------------------------------------------------------

    def run(self) -> None:
        """Do what is not done yet."""
        if self.is_busy or self._closed:
            return
        self._settle.stop()
        try:
            prepared = self._prepare(keep_data=True)
        except (ValueError, OSError) as e:
            self._say(explain(e))
            return
        again = self.form.more["again"].value
        self._open_panel()
        self._watch = watch = _Watch()
        watch.planned.connect(self._on_planned)
        watch.began.connect(self._on_image_begun)
        watch.ended.connect(self._on_image_ended)

        def work(monitor: Monitor) -> Batch:
            monitor.report(Progress("Loading the model", 0, 0))
            batch = prepared()
            load_model(str(batch.recipe.model), batch.recipe.segment.engine)
            watch.follow(batch, monitor)
            batch.run(watch, again=again)
            return batch

        layers = tuple(self.form.layers.value)
        chosen = layers if self.form.source.value == LAYERS else ()
        self._start(work, self._on_done, layers=chosen)

    def _on_planned(self, batch: Batch) -> None:
        """Show the images that are done now, if others were listed."""
        panel = self._open_panel(make=False)
        if panel is None or self.sender() is not self._watch:
            return
        shown = [row.item.title for row in panel.model.rows]
        if shown != [item.title for item in batch.items]:
            rows = [Row(item) for item in batch.items]
            self._listed = _Listed(self._asked(), batch, rows)
            panel.show_rows(rows, batch.work.ledger.picture)

    def _on_image_begun(self, item: Item) -> None:
        panel = self._open_panel(make=False)
        if panel is not None and self.sender() is self._watch:
            panel.change(item, state="running", message="")

    def _on_image_ended(self, outcome: Outcome) -> None:
        panel = self._open_panel(make=False)
        if panel is not None and self.sender() is self._watch:
            panel.end(outcome)

    def _on_ended(self) -> None:
        panel = self._open_panel(make=False)
        if self._listed is not None and panel is not None:
            self._listed = replace(self._listed, rows=list(panel.model.rows))
        self._show_left()

    def _on_done(self, batch: Batch) -> None:
        there = [x for x in batch.outcomes if x.state in ("done", "skipped")]
        failed = [x for x in batch.outcomes if x.state == "failed"]
        nuclei = sum(outcome.nuclei for outcome in there)
        images = f"{len(there)} image{'s' * (len(there) != 1)}"
        text = f"{nuclei:,} nuclei in {images}."
        if failed:
            text += f" {len(failed)} could not be done: the table says why."
        self._say(f"{text} Results are in {batch.folder}.")
        self.form.more.set_values({"again": False})
        self._show_left()

    # ---- looking at results ---------------------------------------------------------

    def _on_open_asked(self, row: Row) -> None:
        batch = None if self._listed is None else self._listed.batch
        if batch is None:
            return
        try:
            open_result(self.viewer, row.item, batch.folder, batch.recipe, row.entry)
        except (ValueError, OSError) as e:
            self._fail(explain(e))

    def _on_report_clicked(self) -> None:
        report = Path(self.form.output.value).absolute() / REPORT_FILE
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(report)))
