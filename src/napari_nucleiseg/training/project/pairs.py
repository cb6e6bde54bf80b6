"""An example's file: an image, its labels, and what is known of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.training.checkpoint import read_arrays, write_arrays


def read_pair(path: Path, name: str) -> Pair:
    """Read an example.

    Raises
    ------
    ValueError
        If the file is damaged.
    FileNotFoundError
        If it is not there.
    """
    arrays, _ = read_arrays(path)
    try:
        (image,), (labels,), known = (arrays[x] for x in ("image", "labels", "known"))
    except (KeyError, ValueError) as e:
        raise ValueError(f"{path} is damaged: it holds no example.") from e
    return Pair(image, labels, name, known=known[0] if known else None)


def write_pair(path: Path, pair: Pair) -> None:
    """Write an example, whole or not at all."""
    arrays = {
        "image": [np.asarray(pair.image)],
        "labels": [_small(pair.labels)],
        "known": [] if pair.known is None else [pair.known],
    }
    write_arrays(path, arrays, None)


def _small(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.min_scalar_type(max(int(labels.max(initial=0)), 1)))


def image_hash(image: np.ndarray) -> str:
    """Return what tells an image from another: its pixels, shape and kind."""
    image = np.ascontiguousarray(image)
    digest = hashlib.sha256(f"{image.dtype.str} {image.shape}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
