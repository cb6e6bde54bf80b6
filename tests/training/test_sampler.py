import numpy as np
import pytest

from napari_nucleiseg.core.labels.pairs import Pair, median_diameter
from napari_nucleiseg.core.segment.instances import contact_map
from napari_nucleiseg.core.segment.maps import REACH, decode_size
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.training.sampler import TARGETS, PatchSampler
from napari_nucleiseg.training.sheets import make_sheets


def pair_of(name):
    sample = load_sample(name)
    return Pair(sample.image, sample.labels, name)


@pytest.fixture(scope="module")
def sampler():
    return PatchSampler([pair_of("crowded"), pair_of("tissue")], patch_size=96)


@pytest.fixture(scope="module")
def plain():
    """Without changes of contrast."""
    return PatchSampler([pair_of("small")], patch_size=96, augmentation=0)


def test_shapes_and_ranges(sampler):
    x, y, labels = sampler.batch(12, 0)
    assert x.shape == (12, 96, 96, 3)
    assert y.shape == (12, 96, 96, 4)
    assert labels.shape == (12, 96, 96)
    assert x.dtype == y.dtype == np.float32
    assert x.min() >= 0
    assert x.max() <= 1
    assert np.isfinite(y).all()
    assert y[..., :3].min() >= 0
    assert y[..., :3].max() <= 1.001
    assert (y[..., 3] >= 1).all()


def test_the_same_seed_gives_the_same_batch(sampler):
    for seed in (5, (1, 7)):
        first, second = sampler.batch(4, seed), sampler.batch(4, seed)
        assert all(map(np.array_equal, first, second))
    one, other = sampler.batch(4, (1, 7)), sampler.batch(4, (1, 8))
    assert not np.array_equal(one[0], other[0])


def test_the_targets_belong_to_the_nuclei(sampler):
    _, y, labels = sampler.batch(16, 3)
    nucleus, distance, contact, weight = np.moveaxis(y, -1, 0)
    assert np.array_equal(nucleus, labels > 0)
    assert distance[labels == 0].mean() < 0.01
    # Deep inside somewhere, whatever the size.
    whole = [
        distance[i][labels[i] == n].max()
        for i in range(len(labels))
        for n in np.unique(labels[i])[1:]
        if (labels[i] == n).sum() > 100
        and not (labels[i] == n)[[0, -1]].any()
        and not (labels[i] == n)[:, [0, -1]].any()
    ]
    assert len(whole) > 30
    assert np.mean(whole) > 0.9
    assert set(np.unique(contact)) == {0, 1}
    assert weight[contact == 1].min() > weight[contact == 0].max()


def test_offsets_lead_to_the_middle_and_sizes_are_those_of_the_nuclei():
    sampler = PatchSampler(
        [pair_of("crowded")], patch_size=128, augmentation=0, targets=TARGETS
    )
    _, y, labels = sampler.batch(6, 2)
    y = dict(zip(TARGETS, np.moveaxis(y, -1, 0), strict=False))
    checked = 0
    for i, n in [(k, n) for k in range(6) for n in np.unique(labels[k]) if n]:
        mask = labels[i] == n
        if mask[[0, -1]].any() or mask[:, [0, -1]].any() or mask.sum() < 100:
            continue
        rows, cols = np.nonzero(mask)
        to_y = rows + (y["offset_y"][i][mask] - 0.5) * 2 * REACH
        to_x = cols + (y["offset_x"][i][mask] - 0.5) * 2 * REACH
        assert np.abs(to_y - rows.mean()).max() < 1.5
        assert np.abs(to_x - cols.mean()).max() < 1.5
        diameter = decode_size(y["size"][i][mask])
        assert diameter == pytest.approx(2 * np.sqrt(mask.sum() / np.pi), rel=0.1)
        checked += 1
    assert checked > 20


def test_stained_tissue_is_never_inverted_and_can_be_turned_into_fluorescence():
    tissue = pair_of("tissue")
    for fluorescence, darker in ((0.0, True), (1.0, False)):
        sampler = PatchSampler([tissue], patch_size=96, fluorescence=fluorescence)
        x, _, labels = sampler.batch(16, 4)
        inside = [
            picture[mask > 0].mean() < picture[mask == 0].mean()
            for picture, mask in zip(x, labels, strict=True)
            if 300 < (mask > 0).sum() < 8000
        ]
        assert np.mean(np.array(inside) == darker) > 0.85


def test_made_up_sheets_are_dense_and_repeatable():
    one, two = make_sheets(8, 128, 1), make_sheets(8, 128, 1)
    assert all(
        np.array_equal(a.labels, b.labels) for a, b in zip(one, two, strict=True)
    )
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, two, strict=True))
    touching = [contact_map(pair.labels).mean() for pair in one]
    assert max(touching) > 0.2
    assert all(pair.image.min() >= 0 and pair.image.max() <= 1 for pair in one)


def test_the_picture_moves_with_the_labels(plain):
    x, _, labels = plain.batch(12, 1)
    assert all(
        picture[mask > 0].mean() > 2 * picture[mask == 0].mean()
        for picture, mask in zip(x[..., 0], labels, strict=True)
        if (mask > 0).sum() > 200
    )


def test_nuclei_are_brought_near_the_wanted_size():
    sampler = PatchSampler(
        [pair_of("large")], patch_size=128, diameter=20, augmentation=0
    )
    _, _, labels = sampler.batch(12, 0)
    found = [median_diameter(mask) for mask in labels if mask.any()]
    assert 13 < np.median(found) < 40


def test_grey_and_colour_in_one_set_either_way():
    for channels in (1, 3):
        sampler = PatchSampler(
            [pair_of("small"), pair_of("tissue")], channels=channels, patch_size=64
        )
        assert sampler.batch(6, 0)[0].shape == (6, 64, 64, channels)


def test_weight_says_how_often_a_pair_is_drawn():
    full = Pair(np.eye(80), np.ones((80, 80), int), weight=3)
    empty = Pair(np.eye(80), np.zeros((80, 80), int), weight=1)
    sampler = PatchSampler([full, empty], patch_size=64, augmentation=0)
    _, _, labels = sampler.batch(200, 0)
    share = np.mean([mask.any() for mask in labels])
    assert share == pytest.approx(0.75, abs=0.1)


def test_images_smaller_than_a_patch_and_without_nuclei():
    tiny = Pair(np.arange(35.0).reshape(5, 7), np.zeros((5, 7), int))
    x, y, labels = PatchSampler([tiny], patch_size=64).batch(8, 0)
    assert np.isfinite(x).all()
    assert not labels.any()
    assert not y[..., :3].any()


def test_nan_and_constant_images_give_finite_patches():
    spotty = load_sample("small").image.astype(float)
    spotty[::9, ::7] = np.nan
    labels = load_sample("small").labels
    pairs = [Pair(spotty, labels), Pair(np.full((80, 80), 3), np.eye(80, dtype=int))]
    x, y, _ = PatchSampler(pairs, patch_size=64).batch(24, 0)
    assert np.isfinite(x).all()
    assert np.isfinite(y).all()


def test_the_pairs_are_not_written_to():
    sample = load_sample("small")
    image, labels = sample.image.astype(np.float32), sample.labels.copy()
    PatchSampler([Pair(image, labels)], patch_size=64).batch(8, 0)
    assert np.array_equal(image, sample.image)
    assert np.array_equal(labels, sample.labels)


def test_wrong_pairs_are_named():
    with pytest.raises(ValueError, match="at least one image with labels"):
        PatchSampler([])
    with pytest.raises(ValueError, match=r"embryo-7 .* \(9, 9\) and \(8, 9\)"):
        PatchSampler([Pair(np.zeros((9, 9)), np.zeros((8, 9), int), "embryo-7")])


def test_median_diameter(plain):
    labels = np.zeros((60, 60), int)
    labels[:10, :10], labels[20:40, 20:40] = 3, 9
    labels[50:55, 50:55] = 4
    assert median_diameter(labels) == pytest.approx(2 * np.sqrt(100 / np.pi))
    assert median_diameter(labels * 0) == 0
