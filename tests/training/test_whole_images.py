from dataclasses import replace

import numpy as np
import pytest

from napari_nucleiseg.core.labels.holdout import hold_out_images
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.labels.resizing import diameter_resized, resize_pair
from napari_nucleiseg.core.segment.maps import REACH
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.training.sampler import TARGETS
from napari_nucleiseg.training.whole_images import WholeImageSampler

SIDE = 128


def pair_of(name):
    sample = load_sample(name)
    return Pair(sample.image, sample.labels, name)


@pytest.fixture(scope="module")
def pairs():
    return [pair_of(name) for name in ("small", "crowded", "tissue")]


def test_each_image_is_shown_whole_once_before_any_is_shown_again(pairs):
    sampler = WholeImageSampler(pairs, side=SIDE, augmentation=0)
    whole = [resize_pair(pair, SIDE).labels for pair in pairs]

    def which(labels):
        flips = [labels[::y, ::x] for y in (1, -1) for x in (1, -1)]
        (found,) = [
            i
            for i, one in enumerate(whole)
            if any(np.array_equal(one, flip) for flip in flips)
        ]
        return found

    shown = [
        which(labels) for step in range(3) for labels in sampler.batch(2, (1, step))[2]
    ]
    assert sorted(shown[:3]) == sorted(shown[3:]) == [0, 1, 2]
    x, y, labels = sampler.batch(2, (1, 5))
    assert x.shape == (2, SIDE, SIDE, 3)
    assert y.shape == (2, SIDE, SIDE, 4)
    assert all(map(np.array_equal, (x, y, labels), sampler.batch(2, (1, 5))))


def test_they_are_flipped_every_way_and_the_labels_with_them(pairs):
    sampler = WholeImageSampler(pairs[:1], side=SIDE, augmentation=0)
    x, y = sampler.all()
    nuclei = y[0, ..., 0] > 0
    seen = set()
    for step in range(24):
        image, target, _ = sampler.batch(1, (3, step))
        for way in [(a, b) for a in (1, -1) for b in (1, -1)]:
            flip = np.s_[:: way[0], :: way[1]]
            if np.array_equal(image[0], x[0][flip]):
                assert np.array_equal(target[0, ..., 0] > 0, nuclei[flip])
                seen.add(way)
    assert len(seen) == 4


def test_offsets_lead_to_the_middle_however_it_is_flipped(pairs):
    sampler = WholeImageSampler(pairs[:1], side=256, augmentation=0, targets=TARGETS)
    for step in range(4):
        _, y, labels = sampler.batch(1, (0, step))
        maps = dict(zip(TARGETS, np.moveaxis(y[0], -1, 0), strict=False))
        checked = 0
        for n in np.unique(labels)[1:]:
            rows, columns = np.nonzero(labels[0] == n)
            if rows.size < 60:
                continue
            to_y = rows + (maps["offset_y"][rows, columns] - 0.5) * 2 * REACH
            to_x = columns + (maps["offset_x"][rows, columns] - 0.5) * 2 * REACH
            assert np.abs(to_y - rows.mean()).max() < 1.5
            assert np.abs(to_x - columns.mean()).max() < 1.5
            checked += 1
        assert checked > 5


def test_an_augmentation_varies_the_light_and_not_the_place(pairs):
    sampler = WholeImageSampler(pairs[:1], side=SIDE, augmentation=1.0)
    plain = {resize_pair(pairs[0], SIDE).labels.astype(bool).sum()}
    x, _, labels = sampler.batch(8, (0, 0))
    assert {(one > 0).sum() for one in labels} <= plain | {0}
    assert len({round(float(one.mean()), 4) for one in x}) > 4


def test_what_is_not_known_counts_nowhere(pairs):
    known = np.zeros(pairs[0].labels.shape, bool)
    known[:, : known.shape[1] // 2] = True
    sampler = WholeImageSampler([replace(pairs[0], known=known)], side=SIDE)
    _, y = sampler.all()
    assert (y[0, :, SIDE // 2 + 1 :, -1] == 0).all()
    assert (y[0, :, : SIDE // 2 - 1, -1] > 0).all()


def test_weight_says_how_often_an_image_is_drawn(pairs):
    often, seldom = replace(pairs[0], weight=9.0), replace(pairs[1], weight=1.0)
    sampler = WholeImageSampler([often, seldom], side=64, augmentation=0)
    nuclei = (resize_pair(often, 64).labels > 0).sum()
    _, _, labels = sampler.batch(100, (0, 0))
    assert 80 < sum((one > 0).sum() == nuclei for one in labels) < 98


def test_the_diameter_is_that_after_resizing(pairs):
    (pair,) = pairs[:1]
    found = diameter_resized([pair], 256)
    areas = np.sort(np.bincount(resize_pair(pair, 256).labels.ravel())[1:])
    middle = areas[np.searchsorted(areas.cumsum(), areas.sum() / 2)]
    assert found == pytest.approx(2 * np.sqrt(middle / np.pi), rel=0.05)
    assert diameter_resized([pair], 512) == pytest.approx(2 * found, rel=0.05)


def test_nuclei_that_would_be_specks_are_refused(pairs):
    with pytest.raises(ValueError, match=r"Resized to 32 x 32.*px wide.*--resize auto"):
        diameter_resized(pairs, 32)


def test_sizes_that_differ_are_named():
    wrong = Pair(np.zeros((9, 9)), np.zeros((8, 8), int), "embryo-7")
    with pytest.raises(ValueError, match=r"embryo-7.*\(9, 9\).*\(8, 8\)"):
        WholeImageSampler([wrong], side=64)


def test_a_share_of_the_images_is_held_out_at_random():
    pairs = [Pair(np.zeros((2, 2)), np.ones((2, 2), int), str(i)) for i in range(50)]
    training, held = hold_out_images(pairs, 0.2, seed=1)
    assert len(held) == 10
    names = [[pair.name for pair in part] for part in (training, held)]
    assert sorted(names[0] + names[1]) == sorted(str(i) for i in range(50))
    again, other = (hold_out_images(pairs, 0.2, seed=seed)[1] for seed in (1, 2))
    assert [pair.name for pair in again] == names[1] != [pair.name for pair in other]
    assert [len(part) for part in hold_out_images(pairs[:2], 0.2)] == [1, 1]
    with pytest.raises(ValueError, match="Two images or more"):
        hold_out_images(pairs[:1])
