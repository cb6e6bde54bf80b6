"""The widget that finds the nuclei in an image layer."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import Model
from napari_nucleiseg.widgets.segment.form import NO_MODEL, SegmentForm
from napari_nucleiseg.widgets.segment.review import ReviewPanel
from napari_nucleiseg.widgets.segment.run import (
    Found,
    Run,
    describe_again,
    describe_found,
    find_again,
    find_nuclei,
    wants_other_labels,
)
from napari_nucleiseg.widgets.shared import layers as layer_tools
from napari_nucleiseg.widgets.shared.job import Job
from napari_nucleiseg.widgets.shared.stage_progress import StageProgress

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Layer

#: Relabelling waits this long for a slider to come to rest, milliseconds.
SETTLE_MS = 15

#: What the first run needs is loaded so long after the widget was opened, ms.
WARM_UP_MS = 300

#: What the network has to run again for, when it is changed.
NEEDS_RUN = ("diameter", "accurate")

_RUN_TIP = "Find every nucleus in the chosen image, and add them as a labels layer."
_CANCEL_TIP = "Stop at once. The viewer stays as it was."
_NO_IMAGE = (
    "Open an image first: File → Open File(s), or File → Open Sample → Nuclei "
    "segmentation."
)


class SegmentWidget(QWidget):
    """Choose an image, press Segment, get a labels layer with every nucleus.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._job: Job | None = None
        self._job_is_run = False
        self._running_layer: Layer | None = None
        self._found: Found | None = None
        self._closed = False
        self._make_controls()
        self._lay_out()
        self._connect()
        self._on_source_changed()

    # ---- building ---------------------------------------------------------------

    def _make_controls(self) -> None:
        self.inputs = inputs = SegmentForm(self.viewer)
        self.image_box, self.channel_box = inputs.image_box, inputs.channel_box
        self.model_box, self.model_line = inputs.model_box, inputs.model_line
        self.form, self.more_form = inputs.form, inputs.more_form
        self.advanced, self.reset_button = inputs.advanced, inputs.reset_button
        self.run_button = QPushButton("Segment")
        self.run_button.setObjectName("run_button")
        self.progress = StageProgress()
        self.progress_bar, self.stage_line = self.progress.bar, self.progress.line
        self.result_line = QLabel()
        self.result_line.setWordWrap(True)
        self.result_line.setObjectName("result_line")
        self.review = ReviewPanel(self.viewer)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._warm = QTimer(self)
        self._warm.setSingleShot(True)
        self._warm.start(WARM_UP_MS)

    def _lay_out(self) -> None:
        # Wide enough for napari to show the whole name above it.
        self.setMinimumWidth(320)
        layout = QVBoxLayout(self)
        for widget in (self.inputs, self.run_button, self.progress):
            layout.addWidget(widget)
        for widget in (self.result_line, self.review):
            layout.addWidget(widget)
        layout.addStretch(1)

    def _connect(self) -> None:
        self.inputs.source_changed.connect(self._on_source_changed)
        self.inputs.layer_removed.connect(self._on_layer_removed)
        self.inputs.model_changed.connect(self._update_button)
        self.inputs.value_changed.connect(self._on_value_changed)
        self.run_button.clicked.connect(self._on_run_clicked)
        self._settle.timeout.connect(self._relabel)
        self._warm.timeout.connect(self._warm_up)
        # Without holding on to a widget that Qt has deleted.
        self.destroyed.connect(functools.partial(_let_go, self.__dict__))

    def _warm_up(self) -> None:
        """Load what the first run needs, while the user is still looking."""
        model = self.chosen_model()
        if model is not None:
            threading.Thread(
                target=_preload, args=(model.folder,), name="warm-up"
            ).start()

    # ---- what the user chose ------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether nuclei are being found or relabelled just now."""
        return self._job is not None or self._settle.isActive()

    def chosen_layer(self) -> Image | None:
        """Return the image layer that is chosen, if there is one."""
        return self.inputs.chosen_layer()

    def chosen_model(self) -> Model | None:
        """Return the model that is chosen, if there is one."""
        return self.inputs.chosen_model()

    def params(self) -> SegmentParams:
        """Return the values in the form."""
        return self.inputs.params()

    def refresh_models(self) -> None:
        """Read the list of models anew, keeping the chosen one and the values."""
        self.inputs.refresh_models()

    # ---- something changes ----------------------------------------------------------

    def _on_source_changed(self) -> None:
        self._update_button()
        self._update_review()
        found = self._found
        if found is not None and self._job is None:
            # What is said of one image is not left to stand beside another.
            if found.run.layer != self.chosen_layer():
                self.result_line.clear()
            elif not self.result_line.text():
                self.result_line.setText(describe_again(found))

    def _on_layer_removed(self, gone: Layer) -> None:
        if self._found is not None and self._found.run.layer == gone:
            self._found = None
            self.result_line.clear()
        if self._running_layer is not None and self._running_layer == gone:
            self.cancel()

    def _update_button(self) -> None:
        running = self._job is not None and self._job_is_run
        if running:
            reason = ""
        elif self.chosen_layer() is None:
            reason = _NO_IMAGE
        elif self.inputs.axes.error:
            reason = self.inputs.axes.error
        else:
            reason = "" if self.chosen_model() else NO_MODEL
        self.run_button.setText("Cancel" if running else "Segment")
        self.run_button.setEnabled(not reason)
        self.run_button.setToolTip(reason or (_CANCEL_TIP if running else _RUN_TIP))

    def _update_review(self) -> None:
        """Let the chosen image's result be looked through, if there is one."""
        image = self.chosen_layer()
        labels = image and layer_tools.find_result_layer(self.viewer, image)
        self.review.set_layer(labels)
        self.review.setVisible(labels is not None)

    # ---- running ------------------------------------------------------------------

    def _on_run_clicked(self) -> None:
        if self._job is not None and self._job_is_run:
            self.cancel()
        else:
            self.run()

    def cancel(self) -> None:
        """Ask what is running to stop; it does so at its next tile."""
        if self._job is not None:
            self._job.quit()
            self.stage_line.setText("Stopping …")

    def run(self) -> None:
        """Find the nuclei in the chosen image, with the values in the form."""
        layer, model = self.chosen_layer(), self.chosen_model()
        if layer is None or model is None or self._closed:
            return
        if self._job is not None and self._job_is_run:
            return
        if not (model.folder / CARD_FILE).is_file():
            self._on_model_gone(model)
            return
        if self._job is not None:
            self._job.quit()  # a relabelling that nobody waits for any more
        run = Run.of(layer, self.inputs.chosen_channel(), self.params())

        def work(monitor: Monitor) -> Found:
            monitor.report(Progress("Loading the model", 0, 0))
            return find_nuclei(run, load_model(model.folder), monitor)

        self.result_line.clear()
        self._start(work, self._on_nuclei_found, layer, is_run=True)

    def _on_model_gone(self, model: Model) -> None:
        self.refresh_models()
        text = (
            f"The model “{model.card.name}” is no longer there: it was deleted or "
            "renamed. Nothing was changed."
        )
        chosen = self.chosen_model()
        if chosen is not None:
            text += f" Now “{chosen.card.name}” is chosen; press Segment to use it."
        self.result_line.setText(text)
        show_error(f"Segment nuclei: {text}")

    def _start(
        self,
        work: Callable[[Monitor], Found],
        then: Callable[[Found], None],
        layer: Layer,
        *,
        is_run: bool,
    ) -> None:
        job = Job(work)
        self._job, self._job_is_run = job, is_run
        self._job_then, self._running_layer = then, layer
        job.progressed.connect(self._on_progress)
        job.returned.connect(self._on_returned)
        job.errored.connect(self._on_errored)
        job.cancelled.connect(self._on_cancelled)
        self._update_button()
        if is_run:
            self.progress.show_progress(Progress("Starting", 0, 0))
        job.start()

    def _is_current(self) -> bool:
        """Whether a signal comes from the latest job; the others are past caring."""
        sender = self.sender()
        return self._job is not None and sender is self._job.signals

    def _on_progress(self, progress: Progress) -> None:
        if self._is_current() and self._job_is_run:
            self.progress.show_progress(progress)

    def _on_returned(self, found: Found) -> None:
        if not self._is_current():
            return
        then = self._job_then
        self._end_job()
        then(found)

    def _on_errored(self, error: Exception) -> None:
        if not self._is_current():
            return
        self._end_job()
        text = str(error) or type(error).__name__
        if isinstance(error, MemoryError):
            text = f"There is not enough memory for this image. {text}"
        self.result_line.setText(f"Stopped: {text}")
        show_error(f"Segment nuclei: {text}")

    def _on_cancelled(self) -> None:
        if self._is_current():
            was_run = self._job_is_run
            self._end_job()
            if was_run:
                self.result_line.setText("Cancelled; nothing was changed.")

    def _end_job(self) -> None:
        self._job = self._running_layer = None
        self.progress.show_progress(None)
        self._update_button()

    def _on_nuclei_found(self, found: Found) -> None:
        if found.run.layer not in self.viewer.layers:
            return
        seconds = time.monotonic() - found.run.started
        self._put(found)
        if found.result.count == 0:
            show_info("Segment nuclei: no nuclei were found in this image.")
        self.result_line.setText(describe_found(found, seconds))
        # A slider moved while the network ran has not been answered yet.
        self._on_value_changed("probability")

    def _put(self, found: Found) -> None:
        run, result = found.run, found.result
        last = self._found
        same = last is not None and last.run.layer == run.layer
        layer_tools.show_result(
            self.viewer,
            run.layer,
            result,
            found.features,
            previous=last.result if same and last else None,
            record=result.record(),
        )
        self._found = found
        self._update_review()

    # ---- sliders that answer at once ------------------------------------------------

    def _on_value_changed(self, name: str) -> None:
        if name not in NEEDS_RUN and self._found is not None and not self._closed:
            self._settle.start()

    def _relabel(self) -> None:
        """Make the labels anew from the maps that are there, in the background."""
        found = self._found
        if found is None or found.run.layer != self.chosen_layer():
            return
        if self._job is not None:
            if not self._job_is_run:
                self._settle.start()  # one at a time; the last values win
            return
        params = self.params().replace(diameter=found.run.params.diameter)
        if wants_other_labels(found, params):
            self._start(
                lambda monitor: find_again(found, params, monitor),
                self._on_relabelled,
                found.run.layer,
                is_run=False,
            )

    def _on_relabelled(self, found: Found) -> None:
        if self._found is None or found.run is not self._found.run:
            return
        self._put(found)
        self.result_line.setText(describe_again(found))

    def closeEvent(self, event: Any) -> None:
        """Stop what is running when the widget is closed."""
        self._closed = True
        self.cancel()
        super().closeEvent(event)


def _let_go(state: dict[str, Any], *_: Any) -> None:
    """Stop the job of a widget that is gone."""
    job = state.get("_job")
    if job is not None:
        job.quit()


def _preload(folder: Path) -> None:
    """Load a model, and what makes labels and their table; for another thread."""
    # If anything is wrong with them, the run says so.
    with contextlib.suppress(Exception):
        import pandas  # noqa: F401
        import skimage.segmentation  # noqa: F401

        load_model(folder)
