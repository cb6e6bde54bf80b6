"""The widget that says how good labels are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.widgets.score.scoring import (
    Scored,
    ScoreTable,
    compare,
    export_csv,
    show_errors,
)
from napari_nucleiseg.widgets.shared.controls import combo, unwrapped
from napari_nucleiseg.widgets.shared.job import Job
from napari_nucleiseg.widgets.shared.layers import ERRORS_OF, RECORD, full_data

if TYPE_CHECKING:
    import napari

_RUN_TIP = (
    "Compare the labels with the ground truth nucleus by nucleus, and put a map "
    "of the errors in their place. Both layers are only hidden."
)
_EXPORT_TIP = "Save the figures, and one row for each nucleus, as a table."
_TOO_FEW = (
    "Open two labels layers: the nuclei to be scored, and the true ones to compare "
    "them with."
)


class ScoreWidget(QWidget):
    """Choose labels and true labels, press Score, get figures and an error map.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._job: Job | None = None
        self._running: tuple[Labels, Labels] | None = None
        self._names = ("", "")
        self.scored: Scored | None = None
        self._make_controls()
        self._lay_out()
        self._connect()
        self._on_layers_changed()

    # ---- building ---------------------------------------------------------------

    def _make_controls(self) -> None:
        self.labels_box = combo("The labels layer to score.")
        self.truth_box = combo(
            "The labels layer with the true nuclei, such as those drawn by hand."
        )
        self.by_plane_box = QCheckBox("Plane by plane")
        self.by_plane_box.setChecked(True)
        self.by_plane_box.setToolTip(
            "Each plane of the stack has nuclei of its own, even where planes use the "
            "same numbers. Untick it where a nucleus reaches through several planes."
        )
        self.run_button = QPushButton("Score")
        self.run_button.setObjectName("run_button")
        self.progress_bar = QProgressBar()
        self.progress_bar.setTextVisible(False)
        self.progress_bar.setRange(0, 0)
        self.progress_bar.hide()
        self.reason_line = QLabel()
        self.reason_line.setWordWrap(True)
        self.reason_line.setObjectName("reason_line")
        self.result_line = QLabel()
        self.result_line.setWordWrap(True)
        self.result_line.setObjectName("result_line")
        self.table = ScoreTable()
        self.export_button = QPushButton("Export CSV…")
        self.export_button.setToolTip(_EXPORT_TIP)

    def _lay_out(self) -> None:
        top = QFormLayout()
        top.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for text, box in (("Labels", self.labels_box), ("Truth", self.truth_box)):
            label = QLabel(text)
            label.setBuddy(box)
            label.setToolTip(box.toolTip())
            top.addRow(label, box)
        # Wide enough for napari to show the whole name above it.
        self.setMinimumWidth(350)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        for widget in (
            self.by_plane_box,
            self.run_button,
            self.reason_line,
            self.progress_bar,
            self.result_line,
            self.table,
            self.export_button,
        ):
            layout.addWidget(widget)
        layout.addStretch(1)
        self.table.hide()
        self.export_button.hide()

    def _connect(self) -> None:
        layers = unwrapped(self.viewer).layers
        events = layers.events
        callbacks: list[tuple[Any, Callable]] = [
            (events.inserted, self._on_layers_changed),
            (events.removed, self._on_layer_removed),
            (events.reordered, self._on_layers_changed),
            (events.renamed, self._on_layers_changed),
            (layers.selection.events.active, self._on_active_changed),
        ]
        for event, callback in callbacks:
            event.connect(callback)
        for box in (self.labels_box, self.truth_box):
            box.currentIndexChanged.connect(self._on_choice_changed)
        self.run_button.clicked.connect(self.run)
        self.export_button.clicked.connect(self._on_export_clicked)
        # The viewer outlives the widget.
        self.destroyed.connect(functools.partial(_let_go, callbacks, self.__dict__))

    # ---- what the user chose ------------------------------------------------------
    # napari hands plugins a viewer whose layers come in a new wrapping each time:
    # layers are compared with ==, never with "is".

    @property
    def is_running(self) -> bool:
        """Whether labels are being compared just now."""
        return self._job is not None

    def chosen_layers(self) -> tuple[Labels | None, Labels | None]:
        """Return the labels layer and the layer of true labels that are chosen."""
        return self.labels_box.currentData(), self.truth_box.currentData()

    def _candidates(self) -> list[Labels]:
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Labels) and ERRORS_OF not in layer.metadata
        ]

    def _on_layers_changed(self, event: Any = None) -> None:
        layers = self._candidates()
        labels, truth = self.chosen_layers()
        active = self.viewer.layers.selection.active
        if labels not in layers:
            labels = active if active in layers else (layers[-1] if layers else None)
        if truth not in layers or truth == labels:
            others = [layer for layer in layers if layer != labels]
            truth = others[-1] if others else None
            if _is_result(truth) and not _is_result(labels):
                labels, truth = truth, labels
        _fill(self.labels_box, layers, labels)
        _fill(self.truth_box, layers, truth)
        self._on_choice_changed()

    def _on_layer_removed(self, event: Any) -> None:
        if self._running is not None and event.value in self._running:
            self._drop_job()
            self.result_line.setText("Stopped: the layer is gone.")
        self._on_layers_changed()

    def _on_active_changed(self, event: Any) -> None:
        layer = event.value
        if layer in self._candidates() and layer != self.truth_box.currentData():
            self.labels_box.setCurrentIndex(self.labels_box.findData(layer))

    def _on_choice_changed(self, *_: object) -> None:
        labels, _truth = self.chosen_layers()
        self.by_plane_box.setVisible(labels is not None and labels.ndim > 2)
        self._update_button()

    def _why_not(self) -> str:
        """Return why nothing can be scored; empty if something can."""
        labels, truth = self.chosen_layers()
        if labels is None or truth is None:
            return _TOO_FEW
        if labels == truth:
            return f"{_TOO_FEW} Now “{labels.name}” is chosen for both."
        shapes = [tuple(full_data(layer).shape) for layer in (labels, truth)]
        if shapes[0] != shapes[1]:
            sizes = [" × ".join(map(str, shape)) for shape in shapes]
            return (
                f"The two layers must have one size: “{labels.name}” is {sizes[0]}, "
                f"“{truth.name}” is {sizes[1]} pixels."
            )
        return ""

    def _update_button(self) -> None:
        reason = self._why_not()
        self.reason_line.setText(reason)
        self.reason_line.setVisible(bool(reason))
        if self.is_running:
            reason = "Comparing …"
        self.run_button.setEnabled(not reason)
        self.run_button.setToolTip(reason or _RUN_TIP)
        self.progress_bar.setVisible(self.is_running)

    # ---- running ------------------------------------------------------------------

    def run(self) -> None:
        """Compare the chosen layers."""
        labels, truth = self.chosen_layers()
        if self.is_running or self._why_not() or labels is None or truth is None:
            return
        found, true = _snapshot(labels), _snapshot(truth)
        by_plane = labels.ndim > 2 and self.by_plane_box.isChecked()

        def work(monitor: Monitor) -> Scored:
            return compare(
                np.asarray(true), np.asarray(found), by_plane=by_plane, monitor=monitor
            )

        self._running, self._job = (labels, truth), Job(work)
        self._job.returned.connect(self._on_returned)
        self._job.errored.connect(self._on_errored)
        self.result_line.setText("Comparing …")
        self._update_button()
        self._job.start()

    def _is_current(self) -> bool:
        return self._job is not None and self.sender() is self._job.signals

    def _drop_job(self) -> None:
        if self._job is not None:
            self._job.quit()
        self._job = self._running = None
        self._update_button()

    def _on_returned(self, scored: Scored) -> None:
        if not self._is_current() or self._running is None:
            return
        labels, truth = self._running
        self._drop_job()
        self.scored = scored
        self._names = (labels.name, truth.name)
        counts = scored.counts
        nothing = not counts["true"] and not counts["predicted"]
        for widget in (self.table, self.export_button):
            widget.setVisible(not nothing)
        if nothing:
            self.scored = None
            self.result_line.setText(
                "There are no nuclei in either layer: nothing to score."
            )
            return
        wrong = counts["predicted"] - counts["matched"]
        self.result_line.setText(
            f"{counts['matched']} of {counts['true']} true nuclei are matched by "
            f"“{labels.name}”; {wrong} of its {counts['predicted']} match none."
        )
        self.table.show_scored(scored)
        show_errors(self.viewer, labels, scored)
        for layer in (labels, truth):
            layer.visible = False  # they would tinge the map's colours

    def _on_errored(self, error: Exception) -> None:
        if not self._is_current():
            return
        self._drop_job()
        text = str(error) or type(error).__name__
        if isinstance(error, MemoryError):
            text = f"There is not enough memory to compare these layers. {text}"
        self.result_line.setText(f"Stopped: {text}")
        show_error(f"Score nuclei labels: {text}")

    # ---- keeping the result ---------------------------------------------------------

    def _on_export_clicked(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Export the score", f"{self._names[0]} score.csv", "Table (*.csv)"
        )
        if path:
            self.export(Path(path))

    def export(self, path: Path) -> None:
        """Write the result on the screen to a file, see `scoring.export_csv`."""
        if self.scored is None:
            return
        labels, truth = self._names
        try:
            export_csv(self.scored, path, labels_name=labels, truth_name=truth)
        except OSError as e:
            show_error(f"Score nuclei labels: {e}")
        else:
            show_info(f"Score nuclei labels: saved as {path}")


def _is_result(layer: Labels | None) -> bool:
    """Whether Segment made a layer: then it is rather to be scored than the truth."""
    return layer is not None and RECORD in layer.metadata


def _fill(box: QComboBox, layers: list[Labels], chosen: Labels | None) -> None:
    box.blockSignals(True)
    box.clear()
    for layer in layers:
        box.addItem(layer.name, layer)
    box.setCurrentIndex(layers.index(chosen) if chosen is not None else -1)
    box.blockSignals(False)


def _snapshot(layer: Labels) -> Any:
    """Return a layer's labels as they are now; lazy ones are read in the job."""
    data = full_data(layer)
    return data.copy() if isinstance(data, np.ndarray) else data


def _let_go(
    callbacks: list[tuple[Any, Callable]], state: dict[str, Any], *_: Any
) -> None:
    """Disconnect from the viewer and stop the job of a widget that is gone."""
    for event, callback in callbacks:
        event.disconnect(callback)
    job = state.get("_job")
    if job is not None:
        job.quit()
