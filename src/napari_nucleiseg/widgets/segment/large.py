"""Images too large for memory: segmented by blocks, into an OME-Zarr beside them."""

from __future__ import annotations

import functools
import math
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_nucleiseg.core.monitor import Monitor, Stages
from napari_nucleiseg.core.params import InstanceSettings, SegmentParams, needs_run
from napari_nucleiseg.core.segment.image import Window
from napari_nucleiseg.core.segment.preview import Preview
from napari_nucleiseg.core.segment.region import Region, everywhere
from napari_nucleiseg.io.block_files import BlockFiles
from napari_nucleiseg.io.label_zarr import open_labels, read_table
from napari_nucleiseg.io.lazy_images import LazyImage
from napari_nucleiseg.models.block_plan import BlockPlan
from napari_nucleiseg.models.by_block import KeptMaps, segment_blocks
from napari_nucleiseg.models.correcting import is_corrected
from napari_nucleiseg.models.finishing import finish, finish_region
from napari_nucleiseg.widgets.segment.run import Run
from napari_nucleiseg.widgets.shared.controls import quoted
from napari_nucleiseg.widgets.shared.layers import (
    ChannelChoice,
    full_data,
)

if TYPE_CHECKING:
    import napari
    import pandas as pd

    from napari_nucleiseg.models.predictor import LitePredictor

#: An image of more pixels is segmented by blocks, and its labels go to a file.
LARGE = 2**24

#: Side of a block, pixels; None for the usual one.
BLOCK: int | None = None

#: How napari's names of units are said in OME-Zarr.
_UNITS = ("micrometer", "nanometer", "millimeter", "second", "millisecond")


def count_pixels(image: Image, choice: ChannelChoice) -> int:
    """Return how many pixels there are to be segmented, in all planes.

    None while a choice is still that of another layer, or the axes are being typed.
    """
    shape = full_data(image).shape
    if len(choice.axes) != len(shape):
        return 0
    sizes = zip(choice.axes, shape, strict=True)
    return math.prod(
        size
        for letter, size in sizes
        if letter != "S" and (letter != "C" or choice.channel is None)
    )


def is_large(image: Image, choice: ChannelChoice) -> bool:
    """Return whether an image is segmented by blocks."""
    return count_pixels(image, choice) > LARGE


def default_output(image: Image) -> Path:
    """Return where the labels of a large image go unless something else is said.

    Beside the image's file, if it has one on this computer; else in the user's folder.
    """
    path = Path(image.source.path) if image.source.path else None
    if path is not None and path.exists():
        return path.with_name(f"{path.name.partition('.')[0]}_nuclei.zarr")
    kept = "".join(c if c.isalnum() or c in "-_ " else "_" for c in image.name).strip()
    return Path.home() / f"{kept or 'image'}_nuclei.zarr"


@dataclass(frozen=True, eq=False)
class LargeFound:
    """What was found in a large image.

    Parameters
    ----------
    run : Run
        What it came from.
    output : pathlib.Path
        The OME-Zarr that holds the labels.
    plan : BlockPlan
        What all blocks have in common.
    counts : list of int
        Nuclei in each plane.
    table : pandas.DataFrame
        One row a nucleus.
    seconds : float
        How long it took.
    own : InstanceSettings
        The model's own thresholds.
    complete : bool
        Whether all blocks are there, or only those of a region.
    """

    run: Run
    output: Path
    plan: BlockPlan
    counts: Sequence[int]
    table: pd.DataFrame
    seconds: float
    own: InstanceSettings
    complete: bool

    @functools.cached_property
    def levels(self) -> list[Any]:
        """The labels, opened: zarr arrays, the largest first."""
        return list(open_labels(self.output))


def lazy_image(image: Image, choice: ChannelChoice) -> LazyImage:
    """Return what is read of a layer, window by window, with its size of a pixel."""
    letters = choice.axes.replace("S", "")
    scale = dict(zip(letters, map(float, np.abs(image.scale)), strict=True))
    units = {
        letter: str(unit)
        for letter, unit in zip(letters, image.units, strict=True)
        if str(unit) in _UNITS
    }
    return LazyImage(full_data(image), choice.axes, scale, units)


def find_by_block(
    data: LazyImage,
    run: Run,
    output: Path,
    predictor: LitePredictor,
    monitor: Monitor,
    shares: dict[str, float] | None = None,
) -> LargeFound:
    """Find the nuclei of a large image; for another thread than the GUI's.

    Parameters
    ----------
    data : LazyImage
        From `lazy_image`.
    run : Run
        What is asked for.
    output : pathlib.Path
        The OME-Zarr for the labels; what was begun there goes on.
    predictor : LitePredictor
        The network.
    monitor : Monitor
        Told of progress, and asked whether to stop.
    shares : dict of str to float, optional
        How long each stage takes, as far as it is known.

    Raises
    ------
    Cancelled
        If the monitor asked for it; what is finished stays.
    ValueError
        If what is there is of another image, or cannot be an image.
    NotWritten
        If there is no room; what is finished stays.
    """
    import pandas as pd

    check_output(output)
    stages = Stages(monitor, shares or SHARES)
    plan = segment_blocks(
        data,
        output,
        predictor,
        params=run.params,
        axes=run.choice.axes,
        channel=run.choice.channel,
        block=BLOCK,
        region=run.region,
        anew=True,
        monitor=stages,
    )
    region = run.region
    if region is None and is_corrected(output):
        region = everywhere(plan.plane_shape)  # what was corrected stays
    if region is None:
        done = finish(output, keep=True, monitor=stages)
    else:
        done = finish_region(output, region, monitor=stages)
    table = pd.DataFrame(read_table(output.with_suffix(".parquet")))
    table = table.rename(columns={"label": "index"})
    seconds = time.monotonic() - run.started
    return LargeFound(
        run,
        output,
        plan,
        done.counts,
        table,
        seconds,
        predictor.spec.settings,
        complete=BlockFiles(output).count() == plan.planes * len(plan.windows),
    )


#: How long the stages of a large image take, in relation to each other.
SHARES = {
    "Measuring nuclei": 3.0,
    "Finding nuclei": 90.0,
    "Joining blocks": 3.0,
    "Writing labels": 3.0,
    "Making smaller levels": 1.0,
}


#: The same where blocks are done, and only their thresholds are others.
AGAIN = {
    "Finding nuclei": 25.0,
    "Joining blocks": 40.0,
    "Writing labels": 20.0,
    "Making smaller levels": 15.0,
}


def check_output(output: Path) -> None:
    """Say so if the labels cannot go where they are to.

    Raises
    ------
    ValueError
        If the name is no folder's, or something else is there, which stays.
    """
    if output.suffix != ".zarr":
        raise ValueError(
            f"The labels go to a folder whose name ends in .zarr; received {output}."
        )
    if output.exists() and not (output / "zarr.json").is_file():
        raise ValueError(f"{output} is there already, and holds no labels.")
    if output.exists() and not output.with_name(f"{output.name}.part").is_dir():
        raise ValueError(
            f"{output} is there already, and can no longer be changed: choose another "
            "name, or remove it."
        )


def share_done(output: Path | None, run: Run) -> float:
    """Return which share of the blocks that a run needs is there, 0-1."""
    files = None if output is None else BlockFiles(output)
    text = None if files is None else files.read_plan()
    if files is None or text is None:
        return 0.0
    plan = BlockPlan.from_json(text)
    alike = (plan.model, plan.axes, plan.channel) == (
        run.model.card.name,
        run.choice.axes,
        run.choice.channel,
    )
    if not alike or plan.needs_network(run.params):
        return 0.0
    return min(1.0, files.count() / (plan.planes * len(plan.windows)))


# ---- keeping several ---------------------------------------------------------------


@dataclass(eq=False)
class LargeKept:
    """What is remembered of a large image that was segmented."""

    found: LargeFound
    labels: weakref.ref[Labels]
    preview: Preview | None = None
    #: The thresholds that the labels in view are shown by, if not by the file's.
    shown: dict[str, Any] | None = None
    #: Where it was looked for, as long as that is not everywhere.
    outlines: tuple[tuple[int | None, np.ndarray], ...] = ()

    def run_again(self, asked: Run) -> Run:
        """Return a run by other values wherever something was found."""
        if self.found.complete or not self.outlines:
            return replace(asked, region=None, place="the whole image")
        region = Region(self.outlines)
        return replace(asked, region=region, place="what was done before")

    def shares(self, run: Run) -> dict[str, float] | None:
        """Return how long the stages of a run take, if all is known that they need."""
        found = self.found
        again = found.complete and found.run.model == run.model
        return AGAIN if again and not found.plan.needs_network(run.params) else None

    @property
    def patched(self) -> bool:
        """Whether what is in view is shown by other thresholds than the file's."""
        return self.shown is not None and self.shown != dict(self.found.plan.settings)


_KEPT: weakref.WeakKeyDictionary[Image, LargeKept] = weakref.WeakKeyDictionary()


def keep(image: Image, found: LargeFound, labels: Labels) -> None:
    """Remember what was found in an image."""
    before, region = _KEPT.get(image), found.run.region
    outlines: tuple[tuple[int | None, np.ndarray], ...] = ()
    if not found.complete and region is not None:
        if before is not None and before.found.output == found.output:
            outlines = before.outlines
        known = {id(outline) for outline in outlines}
        outlines += tuple(each for each in region.outlines if id(each) not in known)
    _KEPT[image] = LargeKept(found, weakref.ref(labels), outlines=outlines)


def forget(output: Path) -> None:
    """Forget what was found, where the blocks of a result are no longer there."""
    for image, kept in list(_KEPT.items()):
        if kept.found.output == output:
            del _KEPT[image]


def kept_for(viewer: napari.Viewer, image: Image | None) -> LargeKept | None:
    """Return what is remembered of an image whose labels are still there."""
    kept = None if image is None else _KEPT.get(image)
    return kept if kept is not None and kept.labels() in viewer.layers else None


def describe(
    found: LargeFound, name: str, changed: Sequence[str], *, patched: bool = False
) -> str:
    """Return what was found in a large image, in a few sentences.

    Parameters
    ----------
    found : LargeFound
        The nuclei.
    name : str
        The image's.
    changed : sequence of str
        What was changed since and is not applied yet, in words.
    patched : bool
        Whether it is applied to what is in view.
    """
    count = sum(found.counts)
    text = f"{count} {'nucleus' if count == 1 else 'nuclei'}"
    if len(found.counts) > 1:
        text += f" in {len(found.counts)} planes"
    text += f" found in {quoted(name)}"
    if found.run.region is not None:
        text += f", of which {found.run.place} was done last"
    if changed and patched:
        return (
            f"{text}. What is in view shows: {', '.join(changed)}. Press Apply to all "
            "for the whole image."
        )
    if changed:
        these = "it" if len(changed) == 1 else "them"
        return (
            f"{text}. Changed since: {', '.join(changed)}. Press Segment to use "
            f"{these}."
        )
    parts = [
        f"{text}, in {found.seconds:.0f} s.",
        f"Nuclei are {found.plan.diameter:.0f} px wide.",
        f"Their labels are in {found.output}.",
    ]
    return " ".join([*parts, *found.plan.warnings])


def new_values(found: LargeFound, params: SegmentParams) -> list[str]:
    """Return the fields whose values differ from those the labels were made with."""
    plan = found.plan
    wanted = plan.with_thresholds(params, found.own).settings
    return needs_run(plan.params, params) + [
        name for name in plan.settings if plan.settings[name] != wanted[name]
    ]


def preview_of(kept: LargeKept, plane: int, window: Window) -> Preview:
    """Return what answers for a window; the same one as long as nothing moves."""
    before, found = kept.preview, kept.found
    fresh = before is None or before.plane != plane or before.asked != window
    if fresh:
        plan = found.plan
        maps = KeptMaps(plan, BlockFiles(found.output), plane)
        kept.preview = Preview(maps, plane, window, scale=plan.scale, judge=plan.judge)
    assert kept.preview is not None
    return kept.preview
