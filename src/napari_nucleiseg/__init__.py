"""Find every nucleus in a microscopy image.

`segment` finds nuclei, `measure` measures them, `train` teaches a network, `Project`
does so round by round, `load_model` loads one. Nothing heavy is imported until one of
them is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Project", "__version__", "load_model", "measure", "segment", "train"]

_WHERE = {
    "segment": "napari_nucleiseg.models.segmenting",
    "measure": "napari_nucleiseg.core.measure.nuclei",
    "load_model": "napari_nucleiseg.models.predictor",
    "train": "napari_nucleiseg.training.run",
    "Project": "napari_nucleiseg.training.project.project",
}

if TYPE_CHECKING:
    from napari_nucleiseg.core.measure.nuclei import measure
    from napari_nucleiseg.models.predictor import load_model
    from napari_nucleiseg.models.segmenting import segment
    from napari_nucleiseg.training.project.project import Project
    from napari_nucleiseg.training.run import train


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
