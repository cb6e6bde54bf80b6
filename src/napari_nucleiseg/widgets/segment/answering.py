"""Sliders of the Segment widget that answer at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QPushButton

from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import NEEDS_RUN
from napari_nucleiseg.widgets.segment import large
from napari_nucleiseg.widgets.segment import run as runs
from napari_nucleiseg.widgets.segment.form import SegmentForm
from napari_nucleiseg.widgets.segment.large_labels import show_patch
from napari_nucleiseg.widgets.segment.places import WHOLE, window_in_view
from napari_nucleiseg.widgets.segment.run import Found
from napari_nucleiseg.widgets.segment.state import State
from napari_nucleiseg.widgets.shared.controls import one_shot
from napari_nucleiseg.widgets.shared.job_shell import JobShell

if TYPE_CHECKING:
    import napari

#: Relabelling waits this long for a slider to come to rest, milliseconds.
SETTLE_MS = 15


class AnsweringShell(JobShell):
    """A dock whose sliders make other labels of what the network has said.

    A subclass sets ``inputs`` and ``state``, and lays out ``apply_button``.

    Parameters
    ----------
    viewer, title, button, tip
        See `JobShell`.
    """

    inputs: SegmentForm
    state: State

    def __init__(
        self, viewer: napari.Viewer, *, title: str, button: str, tip: str
    ) -> None:
        super().__init__(viewer, title=title, button=button, tip=tip)
        # What became of the last press, until something else is chosen.
        self._message = ""
        self.apply_button = QPushButton("Apply to all")
        self.apply_button.setObjectName("apply_button")
        self.apply_button.setToolTip(
            "Make the labels of the whole image by these values. The network does not "
            "run again."
        )
        self.apply_button.hide()
        self.apply_button.clicked.connect(self._apply_to_all)
        self._settle = one_shot(self, SETTLE_MS, self._relabel)

    def _on_found(self, image: Image, found: Found) -> None:
        """Show a result."""
        raise NotImplementedError

    def _show_state(self) -> None:
        """Say what there is to be said of the chosen image just now."""
        raise NotImplementedError

    @property
    def is_running(self) -> bool:
        """Whether nuclei are being found or relabelled just now."""
        return super().is_running or self._settle.isActive()

    def _on_value_changed(self, name: str = "") -> None:
        self._message = ""
        answers = name not in NEEDS_RUN and not self._closed
        image = self.inputs.chosen_layer()
        if answers and (
            runs.kept_for(image) is not None
            or large.kept_for(self.viewer, image) is not None
        ):
            self._settle.start()
        self._show_state()

    def _relabel(self) -> None:
        """Make new labels from the maps in memory, in the background."""
        self._relabel_now()
        self._show_state()

    def _relabel_now(self) -> None:
        image = self.inputs.chosen_layer()
        in_file = large.kept_for(self.viewer, image)
        if image is not None and in_file is not None:
            self._preview(image, in_file)
            return
        kept = None if image is None else self.state.kept(image)
        if image is None or kept is None or not self.state.wants_labels(kept):
            return
        if self._task is not None:
            if not self.is_busy:
                self._settle.start()  # one at a time; the last values win
            return
        before = kept.found
        params = self.inputs.params().replace(diameter=before.run.params.diameter)

        def done(found: Found) -> None:
            now = self.state.kept(image)
            if now is not None and now.found.run is found.run:
                self._on_found(image, found)

        self._start(
            lambda monitor: runs.find_again(before, params, monitor),
            done,
            layers=(image,),
            quiet=True,
        )

    def _preview(self, image: Image, kept: large.LargeKept) -> None:
        """Show what the values make of the part of a large image that is in view."""
        if self._task is not None:
            if not self.is_busy:
                self._settle.start()  # one at a time; the last values win
            return
        asked, found, layer = self.state.asked(), kept.found, kept.labels()
        if asked is None or layer is None or runs.new_source(found.run, asked):
            return
        plan = found.plan.with_thresholds(asked.params, found.own)
        if plan.settings == (kept.shown or found.plan.settings):
            return
        try:
            plane, window = window_in_view(self.viewer, image, found.run.choice)
        except ValueError:
            return  # the line says that it is not applied yet

        def work(_: Monitor) -> np.ndarray:
            return large.preview_of(kept, plane, window).labels(plan.thresholds)

        def done(labels: np.ndarray) -> None:
            assert kept.preview is not None
            show_patch(layer, found, kept.preview, labels)
            kept.shown = dict(plan.settings)
            self._update_apply()
            self._on_value_changed()

        self._start(work, done, layers=(image,), quiet=True)

    def _apply_to_all(self) -> None:
        """Make the labels of the whole of a large image anew."""
        self.inputs.place.value = WHOLE
        self.run()

    def _update_apply(self) -> None:
        kept = large.kept_for(self.viewer, self.inputs.chosen_layer())
        self.apply_button.setVisible(kept is not None and kept.patched)
