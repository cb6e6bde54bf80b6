"""Sliders of the Segment widget that answer at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QPushButton

from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import NEEDS_RUN, SegmentParams
from napari_nucleiseg.core.segment.preview import Preview
from napari_nucleiseg.core.segment.result import resolve_settings
from napari_nucleiseg.widgets.segment import large
from napari_nucleiseg.widgets.segment import run as runs
from napari_nucleiseg.widgets.segment.edits import watch_of, watched_labels
from napari_nucleiseg.widgets.segment.form import SegmentForm
from napari_nucleiseg.widgets.segment.large_labels import show_patch
from napari_nucleiseg.widgets.segment.patching import (
    LEAST_PIXELS,
    Patch,
    preview_of,
)
from napari_nucleiseg.widgets.segment.places import window_in_view
from napari_nucleiseg.widgets.segment.run import Found, Run
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
        # What is in view was made anew, and the rest is being made.
        self._rest = False
        self._patch: Patch | None = None
        # What answers for what was in view last, and the maps that it is of.
        self._part: tuple[Any, Preview] | None = None

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
        if self.is_busy:
            return
        if self._task is not None and not self._rest:
            self._settle.start()  # one at a time; the last values win
            return
        if self._task is not None:
            self._task.job.quit()
            self._end()
        kept = None if image is None else self.state.kept(image)
        if image is not None and kept is not None and self.state.wants_labels(kept):
            params = self.inputs.params().replace(
                diameter=kept.found.run.params.diameter
            )
            if not self._show_part(image, kept, params):
                self._relabel_all(image, kept.found, params)

    def _relabel_all(self, image: Image, before: Found, params: SegmentParams) -> None:
        """Make all labels anew."""

        def done(found: Found) -> None:
            now = self.state.kept(image)
            if now is not None and now.found.run is found.run:
                self._on_found(image, found)

        self._start(
            lambda monitor: runs.find_again(before, params, monitor),
            done,
            layers=(image,),
            quiet=True,
            bar=self._rest,
        )

    def _show_part(self, image: Image, kept: runs.Kept, params: SegmentParams) -> bool:
        """Make those in view first, if that is worth it; return whether it is."""
        result, run = kept.found.result, kept.found.run
        layer = watched_labels(self.viewer, image)
        watch = None if layer is None else watch_of(layer)
        if layer is None or watch is None or result.region is not None:
            return False
        if result.labels.size < LEAST_PIXELS:
            return False
        try:
            plane, window = window_in_view(self.viewer, image, run.choice)
        except ValueError:
            return False
        before = None
        if self._part is not None and self._part[0] is result.planes:
            before = self._part[1]
            if (before.plane, before.asked) != (plane, window):
                before = None
        settings = resolve_settings(params, result.model_settings, result.diameter)

        def work(_: Monitor) -> tuple[Preview, np.ndarray]:
            preview = before or preview_of(result, plane, window)
            return preview, preview.labels(settings)

        def done(found: tuple[Preview, np.ndarray]) -> None:
            self._part = (result.planes, found[0])
            now = self.state.kept(image)
            if now is not kept or layer not in self.viewer.layers:
                return
            self._patch = Patch.show(layer, watch, *found)
            self._rest = True
            self._relabel_all(image, kept.found, params)

        self._start(work, done, layers=(image,), quiet=True)
        return True

    def _on_ended(self) -> None:
        self._take_patch_off()

    def _take_patch_off(self) -> None:
        """Take off what was shown in view before the rest."""
        self._rest = False
        if self._patch is not None:
            self._patch.take_off()
            self._patch = None

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
        """Make all labels of a large image anew, where there are any."""
        image = self.inputs.chosen_layer()
        kept, asked = large.kept_for(self.viewer, image), self.state.asked()
        if image is None or kept is None or asked is None or self.is_busy:
            return
        self._run_by_block(image, kept.run_again(asked))

    def _run_by_block(self, image: Image, run: Run) -> None:
        """Find the nuclei of an image that is too large for memory."""
        raise NotImplementedError

    def _update_apply(self) -> None:
        kept = large.kept_for(self.viewer, self.inputs.chosen_layer())
        self.apply_button.setVisible(kept is not None and kept.patched)
