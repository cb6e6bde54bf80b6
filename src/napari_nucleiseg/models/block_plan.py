"""What all blocks of one large image have in common."""

from __future__ import annotations

import hashlib

import numpy as np
from pydantic import Field

from napari_nucleiseg.core.monitor import Monitor, Progress, check_cancelled
from napari_nucleiseg.core.params import InstanceSettings, SegmentParams, needs_run
from napari_nucleiseg.core.record import JsonTable, Record
from napari_nucleiseg.core.segment.blocks.grid import (
    BLOCK,
    order_blocks,
    plan_blocks,
)
from napari_nucleiseg.core.segment.blocks.settling import widest_hole
from napari_nucleiseg.core.segment.confidence import (
    Calibration,
    Judge,
    label_confidence,
)
from napari_nucleiseg.core.segment.image import LARGE, Window
from napari_nucleiseg.core.segment.lazy import LazyPlanes
from napari_nucleiseg.core.segment.region import Region, touch
from napari_nucleiseg.core.segment.result import resolve_settings

#: To tell images apart so many windows are looked at, no more pixels than `LARGE`.
_WINDOWS = 512


class BlockPlan(Record):
    """What all blocks of one image have in common.

    Parameters
    ----------
    image : str
        Hash of the image's shape and of windows spread over all its planes.
    state : str
        Of the image's file; see `LazyImage`.
    shape : list of int
        ``(…, y, x)`` of the labels.
    label_axes, axes : str
        Of the labels and of the image, a letter for each.
    channel : int or None
        The channel used.
    model : str
        Name of the model.
    weights : str
        Hash of its network.
    params : dict
        As asked for.
    settings : dict
        The thresholds that follow.
    diameter, scale : float
        See `Segmentation`.
    block : int
        Side of a block, pixels.
    calibration : dict or None
        The model's, from which confidences are computed.
    pixel, units : dict
        Size of a pixel along axes, and its units.
    warnings : list of str
        Why the image may have been read wrongly.
    recipe : dict or None
        What asks for the same; see `models.recipe`.
    """

    image: str
    state: str
    shape: list[int]
    label_axes: str
    axes: str
    channel: int | None
    model: str
    weights: str
    params: JsonTable
    settings: JsonTable
    diameter: float
    scale: float
    block: int = Field(ge=1)
    calibration: JsonTable | None
    pixel: dict[str, float]
    units: dict[str, str]
    warnings: list[str]
    recipe: JsonTable | None = None

    @property
    def stack(self) -> tuple[int, ...]:
        """How many planes there are along each axis of planes."""
        return tuple(self.shape[:-2])

    @property
    def planes(self) -> int:
        """How many planes there are."""
        return int(np.prod(self.stack, dtype=int))

    @property
    def plane_shape(self) -> tuple[int, int]:
        """``(y, x)``."""
        return self.shape[-2], self.shape[-1]

    @property
    def windows(self) -> list[Window]:
        """The blocks of each plane."""
        return plan_blocks(self.plane_shape, self.block)

    def touched(self, plane: int, region: Region | None) -> list[int]:
        """Return the blocks of a plane that show a region's nuclei, or all blocks.

        They are in the order in which they are best gone through.
        """
        windows = self.windows
        order = order_blocks(*(-(-side // self.block) for side in self.plane_shape))
        if region is None:
            return order
        boxes = region.boxes(plane, self.plane_shape, widest_hole(self.scale))
        return [i for i in order if any(touch(windows[i], box) for box in boxes)]

    @property
    def thresholds(self) -> InstanceSettings:
        """The settings."""
        return InstanceSettings(**self.settings)

    @property
    def judge(self) -> Judge:
        """What makes confidences of figures."""
        if self.calibration is None:
            return label_confidence
        return Calibration(**self.calibration)

    def needs_network(self, params: SegmentParams) -> bool:
        """Return whether other maps are needed for what is asked for now."""
        return bool(needs_run(self.params, params))

    def with_thresholds(
        self, params: SegmentParams, model: InstanceSettings
    ) -> BlockPlan:
        """Return the plan for the same maps and other thresholds.

        Parameters
        ----------
        params : SegmentParams
            As asked for.
        model : InstanceSettings
            The model's own thresholds.
        """
        settings = resolve_settings(params, model, self.diameter)
        asked = params.model_dump()
        recipe = None if self.recipe is None else {**self.recipe, "segment": asked}
        return self.model_copy(
            update={
                "params": asked,
                "settings": settings.model_dump(),
                "recipe": recipe,
            }
        )


def hash_pixels(pixels: np.ndarray) -> bytes:
    """Return a hash of an array's values."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).digest()


def hash_image(planes: LazyPlanes, dtype: str, monitor: Monitor) -> str:
    """Return a hash of windows that are spread evenly over all planes of an image."""
    digest = hashlib.sha256(str((planes.shape, dtype)).encode())
    windows = plan_blocks((planes.shape[1], planes.shape[2]), BLOCK)
    total = len(planes) * len(windows)
    chosen = np.unique(np.linspace(0, total - 1, min(total, _WINDOWS)).astype(int))
    side = int((LARGE / len(chosen)) ** 0.5)
    for done, index in enumerate(chosen):
        check_cancelled(monitor)
        monitor.report(Progress("Looking at the image", done, len(chosen)))
        y, x = (
            slice(part.start, min(part.stop, part.start + side))
            for part in windows[index % len(windows)]
        )
        digest.update(hash_pixels(planes[index // len(windows)][y, x]))
    return digest.hexdigest()
