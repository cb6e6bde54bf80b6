"""What is known of the chosen image, and what its result line says."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_nucleiseg.core.params import NEEDS_RUN
from napari_nucleiseg.widgets.segment import large
from napari_nucleiseg.widgets.segment import run as runs
from napari_nucleiseg.widgets.segment.edits import watched_labels
from napari_nucleiseg.widgets.segment.form import SegmentForm
from napari_nucleiseg.widgets.segment.run import Kept, Run
from napari_nucleiseg.widgets.shared.controls import explain, quoted

if TYPE_CHECKING:
    import napari

NO_MODEL = "No model is installed: reinstall napari-nucleiseg."
_NO_IMAGE = (
    "Open an image first: File → Open File(s), or File → Open Sample → Nuclei "
    "segmentation."
)


class State:
    """Compares what the form asks for with what is there.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are looked at.
    form : SegmentForm
        What is asked for.
    """

    def __init__(self, viewer: napari.Viewer, form: SegmentForm) -> None:
        self._viewer, self._form = viewer, form
        # Images whose labels were deleted: their sliders have nothing to change.
        self._deleted: weakref.WeakSet[Image] = weakref.WeakSet()

    def why_not(self) -> str:
        """Return why Segment cannot be pressed; empty if it can."""
        if self._form.chosen_layer() is None:
            return _NO_IMAGE
        if self._form.axes.error:
            return self._form.axes.error
        return "" if self._form.chosen_model() else NO_MODEL

    def kept(self, image: Image | None) -> Kept | None:
        """Return what is remembered of an image, unless its labels were deleted."""
        kept = runs.kept_for(image)
        if image is None or kept is None or kept.labels is None:
            return kept
        if kept.labels() in self._viewer.layers:
            return kept
        runs.forget(image)
        self._deleted.add(image)
        return None

    def forget_deleted(self) -> None:
        """Free the memory of images whose labels were deleted."""
        for image in self._viewer.layers:
            if isinstance(image, Image):
                self.kept(image)

    def as_asked(self) -> Run:
        """Return the run that the form asks for now.

        Raises
        ------
        ValueError
            If a value is outside its limits.
        """
        model = self._form.chosen_model()
        assert model is not None
        return Run(self._form.chosen_channel(), self._form.params(), model)

    def asked(self) -> Run | None:
        """Return the run that the form asks for; None if a value is out of limits."""
        try:
            return self.as_asked()
        except ValueError:
            return None

    def to_run(self) -> Run:
        """Return the run that is asked for, with where in the image it is to look.

        Raises
        ------
        ValueError
            If a value is outside its limits, or there is no such place.
        """
        region, place = self._form.chosen_region(), self._form.place_name()
        return replace(self.as_asked(), region=region, place=place)

    def wants_labels(self, kept: Kept) -> bool:
        """Return whether the form asks for other labels from the maps in memory."""
        try:
            now = self.as_asked()
        except ValueError:
            return False  # which the line says
        names = runs.new_values(kept.found, now.params)
        return not runs.new_source(kept.found.run, now) and any(
            name not in NEEDS_RUN for name in names
        )

    def text(self, *, answering: bool) -> str:
        """Return what the result line says of the chosen image.

        Parameters
        ----------
        answering : bool
            Whether changed sliders are being applied: then they need no mention.
        """
        image = self._form.chosen_layer()
        reason = self.why_not()
        if reason or image is None:
            return reason
        in_file = large.kept_for(self._viewer, image)
        if in_file is not None:
            try:
                return large.describe(
                    in_file.found,
                    image.name,
                    self.changes_of_large(in_file.found),
                    patched=in_file.patched,
                )
            except ValueError as e:
                return explain(e)
        kept, name = self.kept(image), quoted(image.name)
        if kept is not None:
            try:
                changed = self._changes(kept, answering)
            except ValueError as e:
                return explain(e)
            return runs.describe(kept.found, image.name, changed, kept.corrections)
        if watched_labels(self._viewer, image) is not None:
            return (
                f"The network's maps of {name} are no longer in memory. Press Segment "
                "to use other values."
            )
        if image in self._deleted:
            return (
                f"The labels of {name} were deleted. Press Segment to find its nuclei "
                "again."
            )
        return ""

    def _changes(self, kept: Kept, answering: bool) -> list[str]:
        """Return, in words, what was changed since and is not applied yet."""
        now = self.as_asked()
        words = runs.new_source(kept.found.run, now)
        names = runs.new_values(kept.found, now.params)
        if answering and not words:
            names = [name for name in names if name in NEEDS_RUN]
        return words + [runs.label_of(name).lower() for name in names]

    def changes_of_large(self, found: large.LargeFound) -> list[str]:
        """Return, in words, what was changed since a large image was segmented."""
        now = self.as_asked()
        names = large.new_values(found, now.params)
        return runs.new_source(found.run, now) + [
            runs.label_of(name).lower() for name in names
        ]
