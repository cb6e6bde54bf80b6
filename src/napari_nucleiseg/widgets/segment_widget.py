"""The widget that finds the nuclei in an image layer."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_nucleiseg.core import pipeline
from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.pipeline import Segmentation
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import Model, list_models
from napari_nucleiseg.widgets import layers as layer_tools
from napari_nucleiseg.widgets.job import Job
from napari_nucleiseg.widgets.param_form import ParamForm

if TYPE_CHECKING:
    import napari
    import pandas as pd
    from napari.layers import Layer

#: Relabelling waits this long for a slider to come to rest, milliseconds.
SETTLE_MS = 15

_RUN_TIP = "Find every nucleus in the chosen image, and add them as a labels layer."
_CANCEL_TIP = "Stop at once. The viewer stays as it was."
_NO_IMAGE = (
    "Open an image first: File → Open File(s), or File → Open Sample → Nuclei "
    "segmentation."
)
_NO_MODEL = "There is no model to run: reinstall napari-nucleiseg."


class _Run:
    """What one press of the button works on, noted on the GUI thread."""

    def __init__(
        self, layer: Image, choice: layer_tools.ChannelChoice, params: SegmentParams
    ) -> None:
        self.layer = layer
        self.data = layer_tools.full_data(layer)
        self.rgb = bool(layer.rgb)
        self.choice = choice
        self.params = params
        self.started = time.monotonic()

    def intensity(self, image: np.ndarray) -> np.ndarray:
        """Return the image in the shape of its labels, colours averaged."""
        planes, shape = pipeline.to_planes(
            image,
            rgb=self.rgb,
            channel=self.choice.channel,
            channel_axis=self.choice.channel_axis,
        )
        return planes.mean(axis=-1, dtype=np.float64).reshape(shape)


class _Shown:
    """The result on the screen: its maps answer the sliders."""

    def __init__(self, run: _Run, result: Segmentation, intensity: np.ndarray) -> None:
        self.run, self.result, self.intensity = run, result, intensity


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
        self._models: list[Model] = []
        self._job: Job | None = None
        self._job_is_run = False
        self._shown: _Shown | None = None
        self._closed = False
        self._make_controls()
        self._lay_out()
        self._connect()
        self._on_layers_changed()
        self.refresh_models()

    # ---- building ---------------------------------------------------------------

    def _make_controls(self) -> None:
        self.image_box = _combo("The image layer to find nuclei in.")
        self.channel_box = _combo(
            "Which channel shows the nuclei. “Every plane” takes the image for a "
            "stack or time-lapse, and does each plane by itself."
        )
        self.model_box = _combo("The trained network to use.")
        self.model_line = QLabel()
        self.model_line.setWordWrap(True)
        self.model_line.setObjectName("model_line")
        self.form = ParamForm(
            SegmentParams,
            ("diameter", "probability", "min_area"),
            auto=("diameter", "min_area"),
        )
        self.more_form = ParamForm(SegmentParams, ("separation",))
        self.reset_button = QPushButton("Back to the model's own values")
        self.reset_button.setToolTip(
            "Set diameter, probability, separation and minimum area to what the "
            "model was tested with."
        )
        self.run_button = QPushButton("Segment")
        self.run_button.setObjectName("run_button")
        self.progress_bar = QProgressBar()
        self.progress_bar.setTextVisible(False)
        self.stage_line = QLabel()
        self.result_line = QLabel()
        self.result_line.setWordWrap(True)
        self.result_line.setObjectName("result_line")
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)

    def _lay_out(self) -> None:
        top = QFormLayout()
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._channel_label = QLabel("Channel")
        for text, box in (
            (QLabel("Image"), self.image_box),
            (self._channel_label, self.channel_box),
            (QLabel("Model"), self.model_box),
        ):
            text.setBuddy(box)
            text.setToolTip(box.toolTip())
            top.addRow(text, box)
        more = QCollapsible("Advanced", expandedIcon="▾", collapsedIcon="▸")
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.more_form)
        column.addWidget(self.reset_button)
        more.addWidget(inside)
        self.advanced = more
        # Wide enough for napari to show the whole name above it.
        self.setMinimumWidth(320)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        for widget in (
            self.model_line,
            self.form,
            more,
            self.run_button,
            self.progress_bar,
            self.stage_line,
            self.result_line,
        ):
            layout.addWidget(widget)
        layout.addStretch(1)
        self._show_progress(None)

    def _connect(self) -> None:
        events = self.viewer.layers.events
        selection = self.viewer.layers.selection.events
        callbacks: list[tuple[Any, Callable]] = [
            (events.inserted, self._on_layers_changed),
            (events.removed, self._on_layer_removed),
            (events.reordered, self._on_layers_changed),
            (events.renamed, self._on_layers_changed),
            (selection.active, self._on_active_changed),
        ]
        for event, callback in callbacks:
            event.connect(callback)
        self.image_box.currentIndexChanged.connect(self._on_image_chosen)
        self.channel_box.currentIndexChanged.connect(self._on_source_chosen)
        self.model_box.currentIndexChanged.connect(self._on_model_chosen)
        self.run_button.clicked.connect(self._on_run_clicked)
        self.reset_button.clicked.connect(self.reset_values)
        self.form.changed.connect(self._on_value_changed)
        self.more_form.changed.connect(self._on_value_changed)
        self._settle.timeout.connect(self._relabel)
        # The viewer outlives the widget: let go of it, and of the job, without
        # holding on to a widget that Qt has deleted.
        self.destroyed.connect(functools.partial(_let_go, callbacks, self.__dict__))

    # ---- what the user chose ------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether nuclei are being found or relabelled just now."""
        return self._job is not None or self._settle.isActive()

    def chosen_layer(self) -> Image | None:
        """Return the image layer that is chosen, if there is one."""
        layer = self.image_box.currentData()
        return layer if layer is not None and layer in self.viewer.layers else None

    def chosen_model(self) -> Model | None:
        """Return the model that is chosen, if there is one."""
        return self.model_box.currentData()

    def params(self) -> SegmentParams:
        """Return the values in the form."""
        return SegmentParams(**self.form.values(), **self.more_form.values())

    def refresh_models(self) -> None:
        """Read the list of models anew, keeping the chosen one."""
        chosen = self.chosen_model()
        self._models = list_models()
        self.model_box.blockSignals(True)
        self.model_box.clear()
        for model in self._models:
            self.model_box.addItem(model.card.name, model)
        if chosen is not None:
            index = self.model_box.findText(chosen.card.name)
            self.model_box.setCurrentIndex(max(index, 0))
        self.model_box.blockSignals(False)
        self._on_model_chosen()

    def reset_values(self) -> None:
        """Set the thresholds to the chosen model's own, and the diameter to Auto."""
        model = self.chosen_model()
        if model is not None:
            own = asdict(model.card.thresholds)
            self.form.set_values({**own, "diameter": None})
            self.more_form.set_values(own)

    # ---- the viewer changes -------------------------------------------------------

    def _on_layers_changed(self, event: Any = None) -> None:
        images = [x for x in self.viewer.layers if isinstance(x, Image)]
        chosen = self.image_box.currentData()
        active = self.viewer.layers.selection.active
        if chosen not in images:
            chosen = active if active in images else (images[-1] if images else None)
        self.image_box.blockSignals(True)
        self.image_box.clear()
        for layer in images:
            self.image_box.addItem(layer.name, layer)
        if chosen is not None:
            self.image_box.setCurrentIndex(images.index(chosen))
        self.image_box.blockSignals(False)
        self._on_image_chosen()

    def _on_layer_removed(self, event: Any) -> None:
        gone = event.value
        if self._shown is not None and self._shown.run.layer is gone:
            self._shown = None
            self.result_line.clear()
        if self._job is not None and self._running_layer is gone:
            self.cancel()
        self._on_layers_changed()

    def _on_active_changed(self, event: Any) -> None:
        layer: Layer | None = event.value
        if isinstance(layer, Image) and layer is not self.image_box.currentData():
            index = self.image_box.findData(layer)
            if index >= 0:
                self.image_box.setCurrentIndex(index)

    def _on_image_chosen(self, *_: object) -> None:
        layer = self.chosen_layer()
        choices = layer_tools.channel_choices(layer) if layer is not None else []
        labels = [choice.label for choice in choices]
        before = [self.channel_box.itemText(i) for i in range(self.channel_box.count())]
        if labels != before:
            self.channel_box.blockSignals(True)
            self.channel_box.clear()
            for choice in choices:
                self.channel_box.addItem(choice.label, choice)
            self.channel_box.blockSignals(False)
        several = len(choices) > 1
        self.channel_box.setVisible(several)
        self._channel_label.setVisible(several)
        self._on_source_chosen()

    def _on_source_chosen(self, *_: object) -> None:
        self._update_button()

    def _on_model_chosen(self, *_: object) -> None:
        model = self.chosen_model()
        self.model_line.setText(model.card.title if model else _NO_MODEL)
        self.reset_values()
        self._update_button()

    def _update_button(self) -> None:
        running = self._job is not None and self._job_is_run
        if running:
            reason = ""
        elif self.chosen_layer() is None:
            reason = _NO_IMAGE
        else:
            reason = "" if self.chosen_model() else _NO_MODEL
        self.run_button.setText("Cancel" if running else "Segment")
        self.run_button.setEnabled(not reason)
        self.run_button.setToolTip(reason or (_CANCEL_TIP if running else _RUN_TIP))

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
        if self._job is not None:
            if self._job_is_run:
                return
            self._job.quit()  # a relabelling that nobody waits for any more
        choice = self.channel_box.currentData() or layer_tools.ChannelChoice("All")
        run = _Run(layer, choice, self.params())

        def work(monitor: Monitor) -> tuple[_Shown, pd.DataFrame]:
            monitor.report(Progress("Loading the model", 0, 0))
            predictor = load_model(model.folder)
            image = np.asarray(run.data)  # once: lazy data is read or computed here
            result = pipeline.segment(
                image,
                predictor,
                params=run.params,
                rgb=run.rgb,
                channel=run.choice.channel,
                channel_axis=run.choice.channel_axis,
                monitor=monitor,
            )
            shown = _Shown(run, result, run.intensity(image))
            return shown, layer_tools.make_features(result, shown.intensity)

        self.result_line.clear()
        self._running_layer: Layer | None = layer
        self._start(work, self._on_nuclei_found, is_run=True)

    def _start(
        self, work: Callable[[Monitor], Any], then: Callable, *, is_run: bool
    ) -> None:
        job = Job(work)
        self._job, self._job_is_run = job, is_run
        self._job_then = then
        job.progressed.connect(self._on_progress)
        job.returned.connect(self._on_returned)
        job.errored.connect(self._on_errored)
        job.cancelled.connect(self._on_cancelled)
        self._update_button()
        if is_run:
            self._show_progress(Progress("Starting", 0, 0))
        job.start()

    def _is_current(self) -> bool:
        """Whether a signal comes from the latest job; the others are past caring."""
        sender = self.sender()
        return self._job is not None and sender is self._job.signals

    def _on_progress(self, progress: Progress) -> None:
        if self._is_current() and self._job_is_run:
            self._show_progress(progress)

    def _on_returned(self, value: object) -> None:
        if not self._is_current():
            return
        then = self._job_then
        self._end_job()
        then(value)

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
        self._job = None
        self._running_layer = None
        self._show_progress(None)
        self._update_button()

    def _show_progress(self, progress: Progress | None) -> None:
        for widget in (self.progress_bar, self.stage_line):
            widget.setVisible(progress is not None)
        if progress is None:
            return
        if progress.stage != self.__dict__.get("_stage"):
            self._stage, self._stage_start = progress.stage, time.monotonic()
            self._stage_first = progress.done
        text = f"{progress.stage} …"
        done = progress.done - self._stage_first
        elapsed = time.monotonic() - self._stage_start
        if progress.total and done > 0 and elapsed > 0.5:
            left = elapsed / done * (progress.total - progress.done)
            text = f"{progress.stage}: {_duration(left)} left"
        self.stage_line.setText(text)
        self.progress_bar.setRange(0, progress.total)
        self.progress_bar.setValue(progress.done)

    def _on_nuclei_found(self, found: tuple[_Shown, pd.DataFrame]) -> None:
        shown, features = found
        run, result = shown.run, shown.result
        if run.layer not in self.viewer.layers:
            return
        seconds = time.monotonic() - run.started
        self._put(shown, features)
        noun = "nucleus" if result.count == 1 else "nuclei"
        how = f"in {seconds:.1f} s. Nuclei are {result.diameter:.0f} px wide" + (
            " (measured)." if run.params.diameter is None else "."
        )
        if result.count == 0:
            how = (
                f"in {seconds:.1f} s. Try a lower probability, another channel or "
                "another diameter."
            )
            show_info("Segment nuclei: no nuclei were found in this image.")
        self.result_line.setText(f"{result.count} {noun} found {how}")
        # A slider moved while the network ran has not been answered yet.
        self._on_value_changed("probability")

    def _put(self, shown: _Shown, features: pd.DataFrame) -> None:
        run, result = shown.run, shown.result
        same = self._shown is not None and self._shown.run.layer is run.layer
        layer_tools.show_result(
            self.viewer,
            run.layer,
            result,
            features,
            previous=self._shown.result.labels if same and self._shown else None,
            dropped_axis=None if run.rgb else run.choice.channel_axis,
            record={**result.record(), "channel": run.choice.channel},
        )
        self._shown = shown

    # ---- sliders that answer at once ------------------------------------------------

    def _on_value_changed(self, name: str) -> None:
        if name != "diameter" and self._shown is not None and not self._closed:
            self._settle.start()

    def _relabel(self) -> None:
        """Make the labels anew from the maps that are there, in the background."""
        shown = self._shown
        if shown is None or shown.run.layer is not self.chosen_layer():
            return
        if self._job is not None:
            if not self._job_is_run:
                self._settle.start()  # one at a time; the last values win
            return
        result = shown.result
        params = self.params().replace(diameter=shown.run.params.diameter)
        wanted = pipeline.resolve_settings(
            params, result.model_settings, result.diameter
        )
        if wanted == result.settings:
            return

        def work(monitor: Monitor) -> tuple[_Shown, pd.DataFrame]:
            new = pipeline.relabel(result, params, monitor=monitor)
            again = _Shown(shown.run, new, shown.intensity)
            return again, layer_tools.make_features(new, shown.intensity)

        self._running_layer = shown.run.layer
        self._start(work, self._on_relabelled, is_run=False)

    def _on_relabelled(self, found: tuple[_Shown, pd.DataFrame]) -> None:
        shown, features = found
        if self._shown is None or shown.run is not self._shown.run:
            return
        self._put(shown, features)
        noun = "nucleus" if shown.result.count == 1 else "nuclei"
        self.result_line.setText(f"{shown.result.count} {noun} with these values.")

    def closeEvent(self, event: Any) -> None:
        """Stop what is running when the widget is closed."""
        self._closed = True
        self.cancel()
        super().closeEvent(event)


def _combo(tip: str) -> QComboBox:
    box = QComboBox()
    box.setToolTip(tip)
    # Long layer names are cut rather than widening the dock.
    box.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    box.setMinimumContentsLength(8)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def _duration(seconds: float) -> str:
    """Return a time for the user, such as ``8 s`` or ``3 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def _let_go(
    callbacks: list[tuple[Any, Callable]], state: dict[str, Any], *_: Any
) -> None:
    """Disconnect from the viewer and stop the job of a widget that is gone."""
    for event, callback in callbacks:
        event.disconnect(callback)
    job = state.get("_job")
    if job is not None:
        job.quit()
