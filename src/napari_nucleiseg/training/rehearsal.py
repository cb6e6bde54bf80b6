"""Packaged crops of many kinds of image, mixed in so that a tuned model forgets none.

They are from the images of the 2018 Data Science Bowl that the bundled model was
trained on; NOTICES.md has source and licence.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair

_FOLDER = Path(__file__).parent / "rehearsal_data"

#: How much each kind counts, as in the training of the bundled model.
SHARES = {"fluo": 0.68, "color": 0.22, "brightfield-gray": 0.10}


def rehearsal_pairs() -> list[Pair]:
    """Read the packaged crops.

    Returns
    -------
    list of Pair
        Images ``(y, x)`` or ``(y, x, 3)`` uint8, labels int32. The weights add up to
        1, in `SHARES` by kind and evenly within one.
    """
    from PIL import Image

    with (_FOLDER / "crops.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    count = Counter(row["kind"] for row in rows)
    pairs = []
    for row in rows:
        with (
            Image.open(_FOLDER / f"{row['crop']}_image.png") as image,
            Image.open(_FOLDER / f"{row['crop']}_labels.png") as labels,
        ):
            pairs.append(
                Pair(
                    np.asarray(image),
                    np.asarray(labels).astype(np.int32),
                    f"rehearsal {row['crop']} ({row['kind']})",
                    SHARES[row["kind"]] / count[row["kind"]],
                )
            )
    return pairs
