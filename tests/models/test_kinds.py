"""The bundled model on kinds of image that the packaged samples have none of.

The images are crops of test images of NuInsSeg (kidney, tonsil, and most of the
background), TNBC (breast, and background) and Aitslab-bioimaging1 (U2OS), CC BY 4.0;
see NOTICES.md. They were taken as they came, and the model has not learnt from them.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_nucleiseg import segment
from napari_nucleiseg.core.score.matching import score_image

DATA = Path(__file__).parents[1] / "data"

#: Least AP at IoU 0.5.
FLOORS = {"kidney.jpg": 0.4, "tonsil.jpg": 0.2, "breast.jpg": 0.55, "u2os.png": 0.75}

#: Parts of stained sections without a nucleus: slide, fat, muscle, matrix, neuropil.
BACKGROUND = sorted((DATA / "background").glob("*.jpg"))


@pytest.mark.parametrize("engine", ["float32", "int8"])
@pytest.mark.parametrize("name", FLOORS)
def test_it_finds_the_nuclei_of_tissue_and_of_cells(name, engine):
    path = DATA / "kinds" / name
    image = np.asarray(Image.open(path))
    truth = np.asarray(Image.open(path.with_name(f"{path.stem}_labels.png")))
    found = segment(image, engine=engine).labels
    assert (
        score_image(truth.astype(np.int32), found).average_precision() >= FLOORS[name]
    )


@pytest.mark.parametrize("engine", ["float32", "int8"])
def test_it_finds_next_to_nothing_where_there_is_no_nucleus(engine):
    assert len(BACKGROUND) == 14
    counts = [
        segment(np.asarray(Image.open(path)), engine=engine).count
        for path in BACKGROUND
    ]
    found = dict(zip((path.stem for path in BACKGROUND), counts, strict=True))
    assert sum(counts) <= 10, found
