"""Labels that are of another image, rotated or shifted are told from those that fit."""

import numpy as np
import pytest

from napari_nucleiseg.core.labels.belonging import belongs, found_share
from napari_nucleiseg.core.labels.checking import check_pairs
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.io.sample_data import load_sample

SAMPLES = ("crowded", "small", "large", "tissue", "smear")


def blind(image):
    """A model that finds nothing: the light alone decides."""
    return np.zeros(image.shape[:2], np.int32)


@pytest.mark.parametrize("name", SAMPLES)
def test_what_fits_is_never_doubted(name):
    sample = load_sample(name)
    assert belongs(sample.image, sample.labels, blind)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda labels: labels[::-1, ::-1],
        lambda labels: np.roll(labels, [size // 3 for size in labels.shape], (0, 1)),
    ],
    ids=["rotated", "shifted"],
)
def test_what_does_not_fit_is_found_out(name, spoil):
    sample = load_sample(name)
    wrong = np.ascontiguousarray(spoil(sample.labels))
    assert not belongs(sample.image, wrong, lambda image: sample.labels)


def test_a_model_that_finds_them_is_believed():
    """As with nuclei that have no edges that the light would show."""
    sample = load_sample("large")
    noise = np.random.default_rng(0).random(sample.labels.shape)
    assert not belongs(noise, sample.labels, blind)
    assert belongs(noise, sample.labels, lambda image: sample.labels)
    assert found_share(sample.labels, sample.labels) == 1


def test_few_nuclei_say_nothing():
    labels = np.zeros((64, 64), np.int32)
    labels[10:20, 10:20] = 1
    assert belongs(np.random.default_rng(0).random((64, 64)), labels, blind)


def test_the_check_says_so_before_time_is_spent():
    sample = load_sample("large")
    other = np.ascontiguousarray(sample.labels[::-1, ::-1])
    pairs = [
        Pair(sample.image, sample.labels, "right"),
        Pair(sample.image, other, "wrong"),
    ]
    found = check_pairs(
        pairs,
        diameter=20.0,
        diameter_range=(5.0, 80.0),
        segment=lambda image: sample.labels,
    )
    (foreign,) = (item for item in found.findings if item.code == "foreign")
    assert foreign.names == ("wrong",)
    assert "shifted, rotated or mirrored" in foreign.text
    assert found.usable  # the user may know better
