import csv
from pathlib import Path

import numpy as np
import pytest

from napari_nucleiseg.core.labels.checking import check_pairs
from napari_nucleiseg.training import rehearsal
from napari_nucleiseg.training.rehearsal import SHARES, rehearsal_pairs
from napari_nucleiseg.training.sampler import PatchSampler

FOLDER = Path(rehearsal.__file__).parent / "rehearsal_data"


@pytest.fixture(scope="module")
def pairs():
    return rehearsal_pairs()


def test_crops_of_every_kind_are_labelled_and_small(pairs):
    assert len(pairs) == 32
    for pair in pairs:
        assert pair.image.dtype == np.uint8
        assert pair.image.shape[:2] == pair.labels.shape
        assert max(pair.labels.shape) <= 256
        assert pair.labels.dtype == np.int32
        assert pair.labels.max() >= 3
        assert len(np.unique(pair.labels)) == pair.labels.max() + 1
    colour = [pair.image.ndim == 3 for pair in pairs]
    assert sum(colour) == 9
    size = sum(path.stat().st_size for path in FOLDER.iterdir())
    assert size < 1_200_000


def test_nothing_is_wrong_with_them(pairs):
    found = check_pairs(pairs, diameter=20, diameter_range=(12.5, 36))
    assert not found.of_level("error")
    assert not found.of_level("warning")
    assert found.nuclei > 500


def test_kinds_have_their_shares(pairs):
    for kind, share in SHARES.items():
        weights = [pair.weight for pair in pairs if f"({kind})" in pair.name]
        assert sum(weights) == pytest.approx(share)
    assert sum(pair.weight for pair in pairs) == pytest.approx(1)


def test_each_says_which_image_it_is_from():
    with (FOLDER / "crops.csv").open(newline="") as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    assert len(set(ids)) == 32


def test_patches_can_be_drawn_from_them(pairs):
    x, y, _ = PatchSampler(pairs, patch_size=64).batch(8, 0)
    assert x.shape == (8, 64, 64, 3)
    assert y[..., 0].any()
