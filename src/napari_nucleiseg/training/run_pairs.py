"""The images and labels of a training, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.training.checkpoint import read_arrays, write_arrays


def write_pairs(path: Path, parts: Mapping[str, Sequence[Pair]]) -> None:
    """Write pairs to one file, whole or not at all.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    parts : mapping of str to sequence of Pair
        What they are for, such as ``"train"``, and the pairs.

    Raises
    ------
    OSError
        If it cannot be written; a sentence that names the file.
    """
    arrays: dict[str, list[np.ndarray]] = {"image": [], "labels": [], "known": []}
    notes = []
    for part, some in parts.items():
        for pair in some:
            arrays["image"].append(np.asarray(pair.image))
            arrays["labels"].append(_small(pair.labels))
            if pair.known is not None:
                arrays["known"].append(pair.known)
            notes.append(
                {
                    "part": part,
                    "name": pair.name,
                    "weight": pair.weight,
                    "known": pair.known is not None,
                }
            )
    write_arrays(path, arrays, notes)


def read_pairs(path: Path) -> dict[str, list[Pair]]:
    """Read what `write_pairs` wrote.

    Raises
    ------
    ValueError
        If the file is damaged.
    FileNotFoundError
        If it is not there.
    """
    arrays, notes = read_arrays(path)
    known = iter(arrays["known"])
    parts: dict[str, list[Pair]] = {}
    for image, labels, note in zip(
        arrays["image"], arrays["labels"], notes, strict=True
    ):
        mask = next(known) if note["known"] else None
        parts.setdefault(note["part"], []).append(
            Pair(image, labels, note["name"], note["weight"], mask)
        )
    return parts


def _small(labels: np.ndarray) -> np.ndarray:
    """Return labels in the smallest unsigned type that holds them."""
    labels = np.asarray(labels)
    highest = int(labels.max()) if labels.size else 0
    return labels.astype(np.min_scalar_type(max(highest, 1)))
