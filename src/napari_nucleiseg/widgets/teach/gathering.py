"""What the open images hold that can be learnt from, or looked at."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_nucleiseg.core.labels.proposing import NUCLEI
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.planes import from_image_axes
from napari_nucleiseg.models.registry import DEFAULT_MODEL, find_model
from napari_nucleiseg.widgets.segment import run as runs
from napari_nucleiseg.widgets.segment.edits import watch_of, watched_labels
from napari_nucleiseg.widgets.segment.run import Run
from napari_nucleiseg.widgets.shared import layers as layer_tools
from napari_nucleiseg.widgets.shared.controls import quoted
from napari_nucleiseg.widgets.shared.layers import ChannelChoice
from napari_nucleiseg.widgets.teach.frames import frames_of, nuclei_inside
from napari_nucleiseg.widgets.teach.proposals import Candidate
from napari_nucleiseg.widgets.teach.work import Target
from napari_nucleiseg.widgets.train.regions import LayerSource, snapshot
from napari_nucleiseg.widgets.train.sources import matching


def segmented(viewer: ViewerModel) -> list[tuple[Image, Labels]]:
    """Return the open images whose nuclei Segment has found, and these."""
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    found = [(image, watched_labels(viewer, image)) for image in images]
    return [(image, labels) for image, labels in found if labels is not None]


def given(viewer: ViewerModel) -> list[tuple[Image, Labels]]:
    """Return those of which something can be learnt."""
    return [
        (image, labels)
        for image, labels in segmented(viewer)
        if _is_edited(labels) or frames_of(viewer, image) is not None
    ]


def _is_edited(labels: Labels) -> bool:
    watch = watch_of(labels)
    return watch is not None and watch.update()


def told(viewer: ViewerModel, image: Image, labels: Labels) -> str:
    """Return what is to be learnt from an image, in words."""
    watch, frames = watch_of(labels), frames_of(viewer, image)
    n = 0 if watch is None else len(watch.table.by_hand())
    parts = []
    if n or frames is None:
        nuclei = "nucleus" if n == 1 else "nuclei"
        parts.append(f"{n} {nuclei} accepted, corrected or drawn")
    if frames is not None:
        several = "" if len(frames.data) == 1 else "s"
        parts.append(f"all in the frame{several}")
    return f"On {quoted(image.name)}: {' and '.join(parts)}."


def nuclei_given(viewer: ViewerModel) -> int:
    """Return of how many nuclei something can be learnt, about: frames are not read."""
    count = 0
    for image, labels in given(viewer):
        watch, frames = watch_of(labels), frames_of(viewer, image)
        count += 0 if watch is None else len(watch.table.by_hand())
        count += 0 if frames is None else NUCLEI * len(frames.data)
    return count


def choice_of(labels: Labels) -> ChannelChoice:
    """Return how the image of labels that Segment made was read."""
    record = labels.metadata[layer_tools.RECORD]
    return ChannelChoice("", record["axes"], record["channel"])


def note_known(viewer: ViewerModel) -> list[LayerSource]:
    """Note what is known on the open images.

    All nuclei in a frame are accepted by that: they stay when the labels are made anew.
    """
    sources = []
    for image, labels in given(viewer):
        frames, watch = frames_of(viewer, image), watch_of(labels)
        if frames is not None and watch is not None:
            inside, _ = nuclei_inside(image, labels, frames)
            for label in inside - set(watch.table.by_hand()):
                watch.accept(label)
        sources.append(snapshot(image, labels, choice_of(labels), "by hand", frames))
    return sources


def note_test(viewer: ViewerModel) -> LayerSource:
    """Note what is known on the chosen image, to test on it.

    Of labels that Segment made, that is what was touched, and all in frames; of others,
    everything.

    Raises
    ------
    ValueError
        If no image is chosen, or it has no labels, or nothing of them is known.
    """
    active = viewer.layers.selection.active
    pairs = [
        (image, labels)
        for image, labels in matching(viewer)
        if active is image or active is labels
    ]
    if not pairs:
        raise ValueError("Choose an image that has labels in the list of layers first.")
    painted = [pair for pair in pairs if watch_of(pair[1]) is None]
    if painted:
        return snapshot(*painted[0], None, "all", None)
    image, labels = pairs[0]
    frames = frames_of(viewer, image)
    if not (_is_edited(labels) or frames is not None):
        raise ValueError(
            f"Nobody has accepted or corrected a nucleus of {quoted(image.name)} yet."
        )
    return snapshot(image, labels, choice_of(labels), "by hand", frames)


def note_targets(viewer: ViewerModel) -> list[Target]:
    """Note the images to which a new model is applied, and what was found in them."""
    targets = []
    for image, labels in segmented(viewer):
        kept = runs.kept_for(image)
        data, choice = layer_tools.snapshot(image), choice_of(labels)
        if kept is not None:
            before, run = kept.found.result.labels, kept.found.run
        else:  # its maps had to make room for others
            before = from_image_axes(labels.data.copy(), choice.axes)
            run = Run(choice, SegmentParams(), find_model(DEFAULT_MODEL))
        targets.append(Target(image, data, run, before))
    return targets


def base_used(viewer: ViewerModel) -> str:
    """Return the model that found the nuclei given: its name, or its folder."""
    for image, _ in given(viewer):
        kept = runs.kept_for(image)
        if kept is not None:
            model = kept.found.run.model
            return model.card.name if model.built_in else str(model.folder)
    return DEFAULT_MODEL


def note_images(viewer: ViewerModel) -> list[Candidate]:
    """Note the open images, to look for regions in them.

    Raises
    ------
    ValueError
        If there is none.
    """
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    if not images:
        raise ValueError("Open an image first, or look in a folder.")
    found = []
    for image in images:
        labels = watched_labels(viewer, image)
        choice = (
            layer_tools.channel_choices(image)[0]
            if labels is None
            else choice_of(labels)
        )
        data = layer_tools.snapshot(image)
        found.append(Candidate(image.name, image, data, choice))
    return found
