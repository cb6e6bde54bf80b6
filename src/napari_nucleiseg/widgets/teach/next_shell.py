"""The part of the Teach widget that says what to label next, and goes there."""

from __future__ import annotations

import functools

from napari.layers import Image, Labels

from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import Model, find_model
from napari_nucleiseg.widgets.segment import run as runs
from napari_nucleiseg.widgets.segment.edits import watched_labels
from napari_nucleiseg.widgets.segment.putting import put_result
from napari_nucleiseg.widgets.segment.run import Found, Run
from napari_nucleiseg.widgets.shared import layers as layer_tools
from napari_nucleiseg.widgets.shared.controls import explain, quoted
from napari_nucleiseg.widgets.shared.job_shell import JobShell
from napari_nucleiseg.widgets.teach.frames import add_frame
from napari_nucleiseg.widgets.teach.gathering import base_used, note_images
from napari_nucleiseg.widgets.teach.next_panel import NextPanel
from napari_nucleiseg.widgets.teach.opening import open_image
from napari_nucleiseg.widgets.teach.projects import ProjectBox
from napari_nucleiseg.widgets.teach.proposals import (
    Proposal,
    files_in,
    propose_regions,
)

TITLE = "Teach the model"


class NextShell(JobShell):
    """What looks for regions that are worth labelling, frames and segments them.

    A subclass makes ``projects`` and ``next_panel``, and says in `_on_looked` what
    there is to learn from.
    """

    projects: ProjectBox
    next_panel: NextPanel

    def _on_looked(self, *_: object) -> None:
        """Say what there is to learn from."""
        raise NotImplementedError

    def _model(self) -> Model:
        """Return the model in use: the project's, as it is in the list of models."""
        project = self.projects.project
        if project is None:
            return find_model(base_used(self.viewer))
        return project.published or project.model

    def look_for_regions(self) -> None:
        """Look for the regions that are worth labelling, and go to the first."""
        if self.is_busy:
            return
        folder = self.next_panel.folder
        try:
            candidates = (
                note_images(self.viewer) if folder is None else files_in(folder)
            )
            project, model = self.projects.project, self._model()
        except (OSError, ValueError) as e:
            self.next_panel.line.setText(explain(e))
            return

        def work(monitor: Monitor) -> list[Proposal]:
            return propose_regions(candidates, project, model, monitor)

        layers = [one.layer for one in candidates if one.layer is not None]
        self.next_panel.line.clear()
        self._start(work, self._on_proposed, layers=layers)

    def _on_proposed(self, proposals: list[Proposal]) -> None:
        if not proposals:
            self.next_panel.line.setText("All of these images is known already.")
        self.next_panel.offer(proposals)

    def go_to(self, proposal: Proposal) -> None:
        """Frame a region, open and segment its image where that was not done."""
        if self.is_busy:
            return
        image = proposal.candidate.layer
        if image is None:
            try:
                image = open_image(self.viewer, proposal)
            except (OSError, ValueError) as e:
                self._fail(explain(e))
                return
        if image not in self.viewer.layers:
            self.next_panel.line.setText("Its image is not open any more.")
            return
        labels = watched_labels(self.viewer, image)
        if labels is not None:
            self._frame(proposal, image, labels)
            return
        choice = proposal.candidate.choice or layer_tools.channel_choices(image)[0]
        run, data = (
            Run(choice, SegmentParams(), self._model()),
            layer_tools.full_data(image),
        )

        def work(monitor: Monitor) -> Found:
            return runs.find_nuclei(data, run, load_model(run.model.folder), monitor)

        done = functools.partial(self._on_segmented, proposal, image)
        self._start(work, done, layers=[image])

    def _on_segmented(self, proposal: Proposal, image: Image, found: Found) -> None:
        labels = put_result(self.viewer, image, found)
        if labels is None:
            self._say(f"No nuclei were found in {quoted(image.name)}.")
        else:
            self._frame(proposal, image, labels)

    def _frame(self, proposal: Proposal, image: Image, labels: Labels) -> None:
        add_frame(self.viewer, image, labels, proposal.region, proposal.plane)
        self.result_line.clear()
        self.next_panel.line.setText(
            "Correct the nuclei in the frame with the Segment widget, then press "
            f"{TITLE}: all that is in the frame will be learnt. Remove the layer of "
            "frames if you do not want that."
        )
        self._on_looked()
