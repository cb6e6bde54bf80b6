"""Corrections by hand, as operations on arrays."""

import numpy as np
import pytest

from napari_nucleiseg.core.labels import corrections
from napari_nucleiseg.core.params import InstanceSettings


def disc(shape, centre, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def two_peaks(shape=(40, 60), gap=14):
    """One nucleus in the nucleus map, with two peaks and a shallow pass between."""
    a, b = disc(shape, (20, 23), 10), disc(shape, (20, 23 + gap), 10)
    y, x = np.mgrid[: shape[0], : shape[1]]
    depth = np.maximum(
        1 - np.hypot(y - 20, x - 23) / 12, 1 - np.hypot(y - 20, x - 23 - gap) / 12
    ).clip(0)
    maps = np.stack([(a | b) * 0.9, (a | b) * (0.5 + depth / 2), 0 * depth], -1)
    return a | b, (255 * maps).astype(np.uint8)


def test_merging_closes_the_gap_between_but_takes_nothing_else():
    first = np.zeros((30, 40), bool)
    second, other = first.copy(), first.copy()
    first[10:20, 5:15] = True
    second[10:20, 17:27] = True
    other[10:12, 15:17] = True  # a third one lies in the gap
    merged = corrections.merge(first, second, ~(first | second | other))
    assert merged[14:18, 15:17].all()
    assert not (merged & other).any()
    assert merged.sum() <= 100 + 100 + 2 * 8
    assert not merged[:9].any()
    assert not merged[21:].any()


def test_merging_nuclei_far_apart_adds_nothing():
    first, second = np.zeros((30, 40), bool), np.zeros((30, 40), bool)
    first[10:20, 5:10] = True
    second[10:20, 30:35] = True
    free = ~(first | second)
    assert np.array_equal(corrections.merge(first, second, free), first | second)


@pytest.mark.parametrize(
    "line", [[(0, 20), (39, 20)], [(10, 20), (30, 20)], [(19, 20), (21, 20)]]
)
def test_a_line_splits_every_pixel_to_a_side(line):
    nucleus = disc((40, 50), (20, 24), 12)
    parts = corrections.split_along(nucleus, np.array(line))
    assert set(np.unique(parts)) == {0, 1, 2}
    assert np.array_equal(parts > 0, nucleus)
    assert (parts == 1).sum() > (parts == 2).sum()
    assert (parts[:, :20][nucleus[:, :20]] == 2).all()
    assert (parts[:, 21:][nucleus[:, 21:]] == 1).all()


def test_a_crooked_line_may_cut_off_several_parts():
    nucleus = np.zeros((40, 40), bool)
    nucleus[10:30, 10:30] = True
    line = np.array([(5, 15), (35, 15), (35, 25), (5, 25)])
    assert corrections.split_along(nucleus, line).max() == 3


def test_a_line_beside_the_nucleus_is_refused():
    nucleus = disc((40, 50), (20, 24), 12)
    with pytest.raises(ValueError, match="must cross the nucleus"):
        corrections.split_along(nucleus, np.array([(0, 3), (39, 3)]))
    with pytest.raises(ValueError, match="must cross the nucleus"):
        corrections.split_along(nucleus, np.array([(20, 24)]))


def test_the_maps_split_what_separation_joined():
    nucleus, maps = two_peaks()
    settings = InstanceSettings(separation=0.3)
    from napari_nucleiseg.core.segment.instances import maps_to_labels

    assert maps_to_labels(maps, settings).max() == 1
    parts = corrections.split_by_maps(nucleus, maps, settings)
    assert parts.max() == 2
    assert np.array_equal(parts > 0, nucleus)
    assert {parts[20, 23], parts[20, 37]} == {1, 2}


def test_a_single_nucleus_is_not_split_by_the_maps():
    nucleus = disc((40, 60), (20, 20), 10)
    y, x = np.mgrid[:40, :60]
    depth = (1 - np.hypot(y - 20, x - 20) / 12).clip(0)
    maps = np.stack([nucleus * 1.0, nucleus * depth, 0 * depth], -1)
    with pytest.raises(ValueError, match="show a single nucleus"):
        corrections.split_by_maps(nucleus, maps, InstanceSettings())


@pytest.mark.parametrize("strength", [0.9, 0.2])
def test_a_click_finds_the_basin_even_of_a_faint_nucleus(strength):
    nucleus = disc((60, 60), (30, 30), 8)
    maps = np.zeros((60, 60, 3), np.float32)
    maps[nucleus] = (strength, 0.8, 0)
    found = corrections.basin(
        maps, (31, 29), np.ones((60, 60), bool), InstanceSettings(), diameter=16
    )
    assert np.array_equal(found, nucleus)


def test_a_basin_keeps_off_other_nuclei_and_off_nothing():
    nucleus = disc((60, 60), (30, 30), 8)
    maps = np.zeros((60, 60, 3), np.float32)
    maps[nucleus] = (0.9, 0.8, 0)
    free = np.ones((60, 60), bool)
    free[:, 33:] = False
    settings = InstanceSettings()
    found = corrections.basin(maps, (30, 28), free, settings, diameter=16)
    assert np.array_equal(found, nucleus & free)
    with pytest.raises(ValueError, match="show no nucleus"):
        corrections.basin(maps, (5, 5), free, settings, diameter=16)


def test_an_outline_takes_only_what_is_free():
    free = np.ones((30, 30), bool)
    free[:, 15:] = False
    square = np.array([(5, 5), (5, 20), (20, 20), (20, 5)])
    drawn = corrections.inside_outline(square, free)
    assert drawn[10, 10]
    assert not drawn[:, 15:].any()
    with pytest.raises(ValueError, match="belong to no other nucleus"):
        corrections.inside_outline(square, np.zeros((30, 30), bool))


def test_corrections_are_kept_in_labels_made_anew():
    fresh = np.zeros((2, 40, 60), np.int32)
    fresh[0, 5:15, 5:15] = 1  # the same as before
    fresh[0, 5:15, 25:45] = 2  # two nuclei that were split by hand
    fresh[0, 25:35, 5:15] = 3  # erased by hand
    fresh[0, 25:35, 30:40] = 4  # overlaps a drawn one by a fifth
    fresh[1, 5:15, 5:15] = 5
    current = np.zeros_like(fresh)
    current[0, 5:15, 25:35] = 2
    current[0, 5:15, 35:45] = 9
    current[0, 25:35, 22:32] = 4
    cleared = np.zeros(fresh.shape, bool)
    cleared[0, 24:35, 5:15] = True
    labels, number = corrections.keep_corrections(
        fresh, current, np.array([2, 9, 4]), cleared
    )
    assert number.tolist() == [0, 1, 0, 0, 10, 5]
    assert np.array_equal(labels == 2, current == 2)
    assert np.array_equal(labels == 9, current == 9)
    assert np.array_equal(labels == 4, current == 4)
    assert np.array_equal(labels == 1, fresh == 1)
    assert np.array_equal(labels == 5, fresh == 5)
    assert np.array_equal(labels == 10, (fresh == 4) & (current != 4))
    assert not labels[0, 25:35, 5:15].any()


def test_nothing_corrected_changes_nothing():
    fresh = np.arange(12, dtype=np.int32).reshape(3, 4)
    labels, number = corrections.keep_corrections(fresh, fresh * 0, np.empty(0, int))
    assert np.array_equal(labels, fresh)
    assert np.array_equal(number, np.arange(12))
