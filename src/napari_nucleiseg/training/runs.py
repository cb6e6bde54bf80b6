"""The trainings in a folder: those that wait or are under way, and what others left."""

from __future__ import annotations

import contextlib
from pathlib import Path

from napari_nucleiseg.training.run_folder import SUFFIX, RunFolder


def list_runs(parent: Path) -> list[RunFolder]:
    """Return the trainings in a folder: under way, interrupted, or not yet kept."""
    if not parent.is_dir():
        return []
    runs = [RunFolder.at(path) for path in sorted(parent.glob("*" + SUFFIX))]
    return [run for run in runs if run.can_resume or run.has_model or run.owner]


def sweep_runs(parent: Path) -> None:
    """Remove what is left of trainings that were ended before anything was saved."""
    for path in parent.glob("*" + SUFFIX) if parent.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):
            run = RunFolder.at(path)
            if not run.owner:
                run.acquire()  # mends what was ended half-way
                run.release()
                run.discard_if_empty()
