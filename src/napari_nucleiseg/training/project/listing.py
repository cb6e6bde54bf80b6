"""Where projects are made, and which there are."""

from __future__ import annotations

from pathlib import Path

from napari_nucleiseg.models.registry import models_folder
from napari_nucleiseg.training.project.notes import NOTE_FILE


def projects_folder() -> Path:
    """Return where projects are made, beside the user's models (it need not exist)."""
    return models_folder().resolve().parent / "projects"


def list_projects() -> list[Path]:
    """Return the projects there, the one that was worked on last first."""
    found = projects_folder().glob(f"*/{NOTE_FILE}")
    times = {path.parent: path.stat().st_mtime for path in found}
    return sorted(times, key=lambda folder: -times[folder])


def free_folder(name: str) -> Path:
    """Return a folder there that does not exist: of this name, or with a number."""
    folder, number = projects_folder() / name, 1
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{name}-{number}")
    return folder
