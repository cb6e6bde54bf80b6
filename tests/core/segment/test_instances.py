import numpy as np
import pytest
from skimage.draw import line

from napari_nucleiseg.core.score.matching import score_image
from napari_nucleiseg.core.segment.blocks.settling import fill_holes
from napari_nucleiseg.core.segment.confidence import label_confidence
from napari_nucleiseg.core.segment.figures import NucleusFigures
from napari_nucleiseg.core.segment.instances import (
    MAPS,
    InstanceSettings,
    contact_map,
    distance_map,
    maps_to_labels,
    renumber,
)

SETTINGS = InstanceSettings()


def maps_of(labels):
    """Return what a perfect network would say."""
    return np.stack(
        [labels > 0, distance_map(labels), contact_map(labels)], axis=-1
    ).astype(np.float32)


def is_numbered_from_1(labels):
    found = np.unique(labels)
    return np.array_equal(found[found > 0], np.arange(1, labels.max() + 1))


def test_distance_is_1_in_the_middle_and_falls_to_the_rim(discs):
    labels = discs((80, 80), [(40, 40)], 20)
    distance = distance_map(labels)
    assert distance[40, 40] == distance.max() == 1
    assert not distance[labels == 0].any()
    ray = distance[40, 40:61]
    assert (np.diff(ray) < 0).all()
    assert 0 < ray[-1] < 0.1


def test_a_small_nucleus_counts_as_much_as_a_large_one(discs):
    labels = discs((80, 140), [(40, 40)], 25)
    labels[discs((80, 140), [(40, 110)], 4) > 0] = 2
    distance = distance_map(labels)
    assert distance[labels == 1].max() == distance[labels == 2].max() == 1


def test_a_nucleus_cut_by_the_edge_goes_on_beyond_it(discs):
    labels = discs((40, 40), [(0, 20)], 12)
    assert distance_map(labels)[0, 20] == 1


def test_touching_nuclei_do_not_lend_each_other_depth():
    labels = np.zeros((20, 40), np.int32)
    labels[5:15, 10:20], labels[5:15, 20:30] = 1, 2
    distance = distance_map(labels)
    assert distance[10, 19] < 0.5 > distance[10, 20]


def test_contact_is_between_touching_nuclei_only():
    labels = np.zeros((30, 60), np.int32)
    labels[10:20, 5:15], labels[10:20, 15:25], labels[10:20, 40:50] = 1, 2, 3
    contact = contact_map(labels)
    assert contact[15, 14]
    assert contact[15, 15]
    assert not contact[:, 25:].any()
    assert not contact[:, :10].any()
    assert contact_map(labels == 3).sum() == 0


def test_narrow_gaps_are_contact_and_wide_ones_not():
    labels = np.zeros((10, 40), np.int32)
    labels[:, :10], labels[:, 12:20], labels[:, 30:] = 1, 2, 3
    contact = contact_map(labels)
    assert contact[:, 10:12].all()
    assert not contact[:, 22:].any()


@pytest.mark.parametrize(
    ("name", "floor"),
    [
        ("crowded", 0.98),
        ("small", 0.98),
        # Twice in it two touching nuclei were drawn as one; they come out as two.
        ("large", 0.91),
        ("tissue", 0.98),
        ("smear", 0.98),
    ],
)
def test_maps_of_the_truth_give_the_nuclei_back(name, floor):
    pytest.importorskip("tifffile")
    from napari_nucleiseg.io.sample_data import load_sample

    truth = load_sample(name).labels
    found = maps_to_labels(maps_of(truth), SETTINGS)
    assert found.dtype == np.int32
    assert is_numbered_from_1(found)
    assert score_image(truth, found).average_precision(0.5) >= floor


def test_touching_discs_are_parted(discs):
    labels = discs((60, 100), [(30, 35), (30, 62)], 14)
    found = maps_to_labels(maps_of(labels), SETTINGS)
    assert score_image(labels, found).average_precision(0.9) == 1


def test_8_bit_maps_give_the_same_nuclei(discs):
    centres = [(20, 20), (22, 46), (60, 30), (64, 62), (30, 80)]
    labels = discs((90, 100), centres, 13)
    maps = maps_of(labels)
    rounded = np.round(maps * 255).astype(np.uint8)
    found = maps_to_labels(rounded, SETTINGS)
    # The maps rounded, as floats: the only difference is the type.
    same = maps_to_labels(rounded.astype(np.float32) / 255, SETTINGS)
    assert np.array_equal(found, same)
    assert score_image(maps_to_labels(maps, SETTINGS), found).average_precision(
        0.9
    ) == pytest.approx(1)
    confidence = label_confidence(NucleusFigures.of(found, rounded))
    assert np.allclose(
        confidence, label_confidence(NucleusFigures.of(found, rounded / 255))
    )


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_nothing_there_gives_no_labels(dtype):
    maps = np.zeros((10, 12, len(MAPS)), dtype)
    found = maps_to_labels(maps, SETTINGS)
    assert found.shape == (10, 12)
    assert found.dtype == np.int32
    assert not found.any()
    assert label_confidence(NucleusFigures.of(found, maps)).shape == (0,)


def test_thresholds_do_what_they_say(nuclei):
    maps = maps_of(nuclei)
    maps[..., 0] *= np.where(nuclei == 5, 0.6, 0.9)
    keep = {
        p: maps_to_labels(maps, InstanceSettings(probability=p)).max()
        for p in (0.5, 0.7, 0.95)
    }
    assert keep == {0.5: 9, 0.7: 8, 0.95: 0}
    area = np.bincount(nuclei.ravel())[1]
    for min_area, count in ((0, 9), (area, 9), (area + 1, 0)):
        found = maps_to_labels(maps_of(nuclei), SETTINGS, int(min_area))
        assert found.max() == count


def test_higher_separation_splits_more():
    maps = np.zeros((30, 60, 3), np.float32)
    maps[5:25, 5:55, 0] = 1
    maps[5:25, 5:55, 1] = 0.4
    maps[10:20, 10:20, 1] = maps[10:20, 40:50, 1] = 0.8
    low, high = (
        maps_to_labels(maps, InstanceSettings(separation=s)).max() for s in (0.3, 0.6)
    )
    assert (low, high) == (1, 2)


def test_an_unsure_nucleus_does_not_fall_to_pieces(discs):
    maps = maps_of(discs((60, 60), [(30, 30)], 20))
    rng = np.random.default_rng(0)
    maps[..., 1] = 0.5 * maps[..., 1] + rng.uniform(0, 0.05, maps.shape[:2])
    assert maps_to_labels(maps, SETTINGS).max() == 1


def test_specks_are_small_beside_a_typical_nucleus():
    settings = InstanceSettings(speck=0.06)
    assert settings.smallest(40) == pytest.approx(0.06 * np.pi * 20**2, abs=1)
    assert InstanceSettings(min_area=7).smallest(40) == 7


def test_a_nucleus_without_a_seed_is_kept():
    maps = np.zeros((20, 20, 3), np.float32)
    maps[5:12, 5:12, 0] = 0.8
    maps[5:12, 5:12, 1] = 0.2
    assert maps_to_labels(maps, SETTINGS).max() == 1


def test_confidence_is_the_mean_probability(nuclei):
    maps = maps_of(nuclei)
    maps[..., 0] *= np.linspace(0.6, 1, 10)[nuclei]
    found = maps_to_labels(maps, SETTINGS)
    confidence = label_confidence(NucleusFigures.of(found, maps))
    assert confidence.dtype == np.float32
    wanted = [maps[..., 0][found == n].mean() for n in range(1, 10)]
    assert np.allclose(confidence, wanted)


def test_holes_inside_a_nucleus_are_filled(discs):
    labels = discs((40, 40), [(20, 20)], 12)
    pierced = labels.copy()
    pierced[18:21, 18:21] = 0
    too_wide = pierced.copy()
    fill_holes(too_wide, 2)
    assert np.array_equal(too_wide, pierced)
    fill_holes(pierced, 3)
    assert np.array_equal(pierced, labels)


def test_a_gap_between_nuclei_is_no_hole():
    labels = np.zeros((20, 20), np.int32)
    labels[2:18, 2:10], labels[2:18, 10:18] = 1, 2
    labels[8:12, 8:12] = 0
    fill_holes(labels, 10)
    assert not labels[8:12, 8:12].any()


def test_a_nucleus_inside_a_ring_survives(discs):
    labels = discs((60, 60), [(30, 30)], 25)
    labels[discs((60, 60), [(30, 30)], 15) > 0] = 0
    labels[discs((60, 60), [(30, 30)], 6) > 0] = 2
    fill_holes(labels, 60)
    assert labels[30, 30] == 2
    assert labels[30, 20] == 0


def test_numbers_follow_reading_order_without_gaps():
    labels = np.zeros((10, 30), np.int32)
    labels[2:5, 20:25], labels[3:6, 2:8], labels[7:9, 10:15] = 900, 4, 77
    found = renumber(labels)
    assert found.dtype == np.int32
    assert found[2, 20] == 1
    assert found[3, 2] == 2
    assert found[7, 10] == 3
    assert np.array_equal(found > 0, labels > 0)


def test_odd_maps_do_no_harm():
    # A thread of one pixel, a lone pixel and a nucleus on each edge.
    maps = np.zeros((50, 50, 3), np.float32)
    maps[(*line(10, 5, 35, 44), 0)] = 1
    maps[45, 45] = 1
    maps[:6, :6, :2] = maps[-6:, :6, :2] = maps[:6, -6:, :2] = 1
    found = maps_to_labels(maps, SETTINGS, 0)
    assert np.array_equal(found > 0, maps[..., 0] > 0.5)
    assert is_numbered_from_1(found)
