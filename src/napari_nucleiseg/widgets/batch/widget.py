"""The widget that segments and measures a whole folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QPushButton

from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.models.batch.items import Item
from napari_nucleiseg.models.batch.run import REPORT_FILE, Batch, Wanted
from napari_nucleiseg.models.batch.watching import Outcome, SharedMonitor
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

_RUN_TIP = (
    "Find and measure the nuclei in every image of the list that is not done yet. You "
    "can stop at any time and go on later."
)


@dataclass(frozen=True, eq=False)
class _Listed:
    """The images as they are now, and what can be said of them."""

    batch: Batch
    rows: list[Row]


class _Watch(QObject):
    """Passes what becomes of each image on to the GUI thread."""

    began = Signal(object)  # an Item
    ended = Signal(object)  # an Outcome

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count, self._done = count, 0
        self.monitor: Monitor | None = None  # of the whole

    def begin(self, item: Item) -> Monitor:
        self.began.emit(item)
        assert self.monitor is not None
        return SharedMonitor(self.monitor, item, self._done, self._count)

    def end(self, outcome: Outcome) -> None:
        self._done += 1
        self.ended.emit(outcome)


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

    def _on_list_changed(self) -> None:
        if not self._closed and not self.is_busy:
            self._settle.start()

    def showEvent(self, event: Any) -> None:
        """List the images anew: settings may have been changed elsewhere."""
        super().showEvent(event)
        self._on_list_changed()

    def enterEvent(self, event: Any) -> None:
        """List the images anew, when the user comes from another dock."""
        super().enterEvent(event)
        self._on_list_changed()

    def _prepare(self, *, keep_data: bool = False) -> Batch:
        """Return the batch that the form asks for.

        Raises
        ------
        ValueError, OSError
            If something in the form is missing or wrong.
        """
        recipe = self.form.chosen_recipe()
        items = self.form.items(keep_data=keep_data)
        if str(self.form.output.value) in ("", "."):
            raise ValueError("Choose a folder for the results.")
        how = self.form.more.values()
        wanted = Wanted(pictures=True, sheet=how["contact_sheet"], report=how["report"])
        return Batch(items, Path(self.form.output.value), recipe, wanted)

    def _list(self) -> None:
        if self.is_busy or self._closed:
            return
        try:
            batch = self._prepare()
        except (ValueError, OSError) as e:
            self._problem = explain(e)
            self._show_list(None)
            return
        again = self.form.more["again"].value
        before = self._listed.rows if self._listed is not None else []
        failed = {row.item.title: row for row in before if row.state == "failed"}

        def work(_: Monitor) -> _Listed:
            rows = []
            for item in batch.items:
                if not again and batch.is_done(item):
                    entry, words = batch.known_of(item)
                    rows.append(Row(item, "skipped", entry, words))
                elif item.title in failed:
                    message = failed[item.title].message
                    rows.append(Row(item, "failed", message=message))
                else:
                    state = "failed" if item.problem else "waiting"
                    rows.append(Row(item, state, message=item.problem))
            return _Listed(batch, rows)

        self._problem = ""
        self._start(work, self._show_list, layers=(), quiet=True)

    def _show_list(self, listed: _Listed | None) -> None:
        self._listed = listed
        self._show_reason()
        if listed is None:
            self.settings_line.clear()
        else:
            recipe = listed.batch.recipe
            self.settings_line.setText(self.form.settings_in_words(recipe))
        panel = self._open_panel(make=listed is not None)
        if panel is not None and listed is not None:
            panel.show_rows(listed.rows, listed.batch.ledger.picture)
        elif panel is not None:
            panel.show_rows([], None)
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
            batch = self._prepare(keep_data=True)
        except (ValueError, OSError) as e:
            self._say(explain(e))
            return
        again = self.form.more["again"].value
        panel = self._open_panel()
        assert panel is not None
        rows = self._listed.rows if self._listed is not None else []
        if [x.item.title for x in rows] != [x.title for x in batch.items]:
            panel.show_rows([Row(item) for item in batch.items], batch.ledger.picture)
        self._watch = watch = _Watch(len(batch.items))
        watch.began.connect(self._on_image_begun)
        watch.ended.connect(self._on_image_ended)

        def work(monitor: Monitor) -> Batch:
            monitor.report(Progress("Loading the model", 0, 0))
            load_model(str(batch.recipe.model), batch.recipe.segment.engine)
            watch.monitor = monitor
            batch.run(watch, again=again)
            return batch

        layers = tuple(self.form.layers.value)
        chosen = layers if self.form.source.value == LAYERS else ()
        self._start(work, self._on_done, layers=chosen)

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
            self._listed = _Listed(self._listed.batch, list(panel.model.rows))
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
        if self._listed is None:
            return
        batch = self._listed.batch
        try:
            open_result(self.viewer, row.item, batch.folder, batch.recipe, row.entry)
        except (ValueError, OSError) as e:
            self._fail(explain(e))

    def _on_report_clicked(self) -> None:
        report = Path(self.form.output.value).absolute() / REPORT_FILE
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(report)))
