"""The widget that scores labels against the ground truth."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, Container
from napari.layers import Labels, Layer
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_nucleiseg.core.labels.annotations import drop_single_axes
from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.io.atomic import NotWritten
from napari_nucleiseg.widgets.score.scoring import (
    Scored,
    ScoreTable,
    compare,
    export_csv,
    show_errors,
)
from napari_nucleiseg.widgets.shared.controls import LayerBox, MessageLine, quoted
from napari_nucleiseg.widgets.shared.job_shell import JobShell
from napari_nucleiseg.widgets.shared.layers import (
    ERRORS_OF,
    RECORD,
    full_data,
    snapshot,
)

if TYPE_CHECKING:
    import napari

_RUN_TIP = (
    "Compare the labels with the ground truth nucleus by nucleus, and show a map of "
    "the errors. Both layers are hidden, not changed."
)
_EXPORT_TIP = "Save the figures, and one row per nucleus, as a CSV table."
_TOO_FEW = (
    "Open two labels layers: the nuclei to score, and the ground truth to compare them "
    "with."
)


class ScoreForm(Container):
    """Which labels are compared with which, and how."""

    labels_layer: LayerBox
    truth: LayerBox
    by_plane: CheckBox

    def __init__(self) -> None:
        super().__init__(
            widgets=[
                LayerBox(
                    Labels,
                    _is_offered,
                    name="labels_layer",
                    label="Labels",
                    tooltip="The labels layer to score.",
                ),
                LayerBox(
                    Labels,
                    _is_offered,
                    name="truth",
                    label="Ground truth",
                    tooltip="The labels layer with the true nuclei, such as those "
                    "annotated by hand.",
                ),
                CheckBox(
                    name="by_plane",
                    value=True,
                    text="Plane by plane",
                    label="",
                    tooltip="Each plane of the stack has its own nuclei, even where "
                    "planes share label numbers. Untick it if a nucleus spans several "
                    "planes.",
                ),
            ]
        )
        self.margins = (0, 0, 0, 0)


class ScoreWidget(JobShell):
    """Choose labels and ground truth, press Score, get figures and an error map.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(
            napari_viewer, title="Score nuclei labels", button="Score", tip=_RUN_TIP
        )
        self._names = ("", "")
        self.scored: Scored | None = None
        self._make_controls()
        self._connect()
        self._suggest(None, None)

    # ---- building ---------------------------------------------------------------

    def _make_controls(self) -> None:
        self.form = ScoreForm()
        self.reason_line = MessageLine("reason_line")
        self.table = ScoreTable()
        self.export_button = QPushButton("Export CSV…")
        self.export_button.setToolTip(_EXPORT_TIP)
        self.fill(
            (
                self.form,
                self.run_button,
                self.reason_line,
                self.progress,
                self.result_line,
                self.table,
                self.export_button,
            )
        )
        self.table.hide()
        self.export_button.hide()

    def _connect(self) -> None:
        active = self.viewer.layers.selection.events.active
        self._listen(active, self._on_active_changed)
        for box in (self.form.labels_layer, self.form.truth):
            box.changed.connect(self._on_choice_changed)
        self.export_button.clicked.connect(self._on_export_clicked)

    # ---- what the user chose ------------------------------------------------------

    def chosen_layers(self) -> tuple[Labels | None, Labels | None]:
        """Return the labels layer and the layer of true labels that are chosen."""
        return self.form.labels_layer.value, self.form.truth.value

    def reset_choices(self, *_: object) -> None:
        """Offer the layers there are now; called by napari when they change."""
        if not self._closed:
            before = self.chosen_layers()
            for box in (self.form.labels_layer, self.form.truth):
                with box.changed.blocked():
                    box.reset_choices()
            self._suggest(*before)

    def _suggest(self, labels: Labels | None, truth: Labels | None) -> None:
        """Choose two layers, these if they are still there."""
        layers = self.form.labels_layer.choices
        active = self.viewer.layers.selection.active
        if labels not in layers:
            labels = active if active in layers else (layers[-1] if layers else None)
        if truth not in layers or truth is labels:
            others = [layer for layer in layers if layer is not labels]
            truth = others[-1] if others else None
            if _is_result(truth) and not _is_result(labels):
                labels, truth = truth, labels
        for box, layer in ((self.form.labels_layer, labels), (self.form.truth, truth)):
            with box.changed.blocked():
                box.native.setCurrentIndex(box.choices.index(layer) if layer else -1)
        self._on_choice_changed()

    def _on_active_changed(self, event: Any) -> None:
        box = self.form.labels_layer
        if event.value in box.choices and event.value is not self.form.truth.value:
            box.value = event.value

    def _on_choice_changed(self, _: object = None) -> None:
        labels, _truth = self.chosen_layers()
        self.form.by_plane.visible = labels is not None and labels.ndim > 2
        self._show_reason()

    def why_not(self) -> str:
        """Return why nothing can be scored; empty if something can."""
        labels, truth = self.chosen_layers()
        if labels is None or truth is None:
            return _TOO_FEW
        if labels == truth:
            return f"{_TOO_FEW} Now {quoted(labels.name)} is chosen for both."
        shapes = [tuple(full_data(layer).shape) for layer in (labels, truth)]
        if drop_single_axes(shapes[0]) != drop_single_axes(shapes[1]):
            sizes = [" × ".join(map(str, shape)) for shape in shapes]
            return (
                f"Both layers must have the same size: {quoted(labels.name)} has "
                f"{sizes[0]} pixels, {quoted(truth.name)} has {sizes[1]}."
            )
        return ""

    # ---- running ------------------------------------------------------------------

    def run(self) -> None:
        """Compare the chosen layers."""
        labels, truth = self.chosen_layers()
        if self.is_running or self.why_not() or labels is None or truth is None:
            return
        found, true = snapshot(labels), snapshot(truth)
        by_plane = labels.ndim > 2 and self.form.by_plane.value

        def work(monitor: Monitor) -> Scored:
            return compare(
                np.asarray(true), np.asarray(found), by_plane=by_plane, monitor=monitor
            )

        done = functools.partial(self._show, labels, truth)
        self._start(work, done, layers=(labels, truth))

    def _show(self, labels: Labels, truth: Labels, scored: Scored) -> None:
        counts = scored.counts
        self._names = (labels.name, truth.name)
        self.scored = scored if counts["true"] or counts["predicted"] else None
        for widget in (self.table, self.export_button):
            widget.setVisible(self.scored is not None)
        if self.scored is None:
            self._say("Neither layer has any nuclei: there is nothing to score.")
            return
        wrong = counts["predicted"] - counts["matched"]
        self._say(
            f"{counts['matched']} of {counts['true']} true nuclei are matched by "
            f"{quoted(labels.name)}; {wrong} of its {counts['predicted']} match none."
        )
        self.table.show_scored(scored)
        show_errors(self.viewer, labels, scored)
        for layer in (labels, truth):
            layer.visible = False  # their colours would blend with the map's

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
        except NotWritten as e:
            self._fail(str(e))
        else:
            show_info(f"{self._title}: saved as {path}")


def _is_offered(layer: Layer) -> bool:
    """Whether a labels layer can be scored: an error map cannot."""
    return ERRORS_OF not in layer.metadata


def _is_result(layer: Labels | None) -> bool:
    """Whether Segment made a layer: then it is more likely scored than the truth."""
    return layer is not None and RECORD in layer.metadata
