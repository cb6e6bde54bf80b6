import numpy as np
import pytest

from napari_nucleiseg.core.segment.maps import (
    REACH,
    decode_size,
    encode_offset,
    encode_size,
    measure_diameter,
)
from napari_nucleiseg.core.segment.predictor import NetworkSpec
from napari_nucleiseg.core.segment.size import estimate_scale, scale_for

MAPS = ("nucleus", "distance", "contact", "size")


def test_sizes_survive_the_map():
    for diameter in (5.0, 10.0, 26.0, 60.0, 150.0):
        assert decode_size(encode_size(diameter)) == pytest.approx(diameter)
    assert encode_offset(np.array([0, REACH, -REACH, 99])).tolist() == [0.5, 1, 0, 1]


def test_each_nucleus_counts_once_and_only_where_it_is_sure():
    nucleus, size = np.zeros((60, 60)), np.zeros((60, 60))
    for y in (0, 20, 40):  # nine of 16 px
        for x in (0, 20, 40):
            nucleus[y : y + 14, x : x + 14] = 0.95
            size[y : y + 14, x : x + 14] = encode_size(16.0)
    nucleus[40:, 40:], size[40:, 40:] = 0.95, encode_size(40.0)  # a part of a large one
    size[nucleus == 0] = encode_size(100.0)
    assert measure_diameter(nucleus, size) == pytest.approx(16, rel=0.01)
    assert measure_diameter(nucleus * 0.4, size) is None


@pytest.fixture
def spec():
    return NetworkSpec(
        name="sized",
        channels=1,
        diameter=26.0,
        diameter_range=(10.0, 48.0),
        working_range=(20.0, 36.0),
        maps=MAPS,
    )


@pytest.mark.parametrize(
    ("diameter", "scale", "looks"),
    [(26, 1, 1), (34, 1, 1), (13, 2, 1), (104, 0.25, 3)],
)
def test_a_network_that_says_the_size_is_asked_at_once(spec, diameter, scale, looks):
    asked = []

    def look(at, window):
        asked.append(at)
        maps = np.zeros((64, 64, 4), np.float32)
        maps[..., 0] = 0.9
        maps[..., 3] = encode_size(diameter * at)
        return maps

    found = estimate_scale(look, (300, 300), spec)
    assert found == pytest.approx((scale, diameter), rel=0.01)
    assert len(set(asked)) <= looks


def test_small_nuclei_are_not_taken_for_parts_of_larger_ones(spec):
    # Where the image is made smaller, a group of them passes for one nucleus.
    def look(at, window):
        maps = np.zeros((64, 64, 4), np.float32)
        maps[..., 0] = 0.9
        maps[..., 3] = encode_size(7.0 * at if at >= 1 else 15.0)
        return maps

    found = estimate_scale(look, (300, 300), spec)
    assert found == pytest.approx((26 / 7, 7), rel=0.01)


def test_nuclei_that_the_network_knows_are_left_as_they_are(spec):
    for diameter, seen in [(9, 26), (19.9, 26), (20, 20), (36, 36), (52, 26)]:
        assert diameter * scale_for(diameter, spec) == pytest.approx(seen)


def test_a_large_image_is_looked_at_in_windows_spread_over_it(spec):
    seen = []

    def look(at, window):
        rows, cols = window
        seen.append((rows.start, cols.start))
        maps = np.zeros((64, 64, 4), np.float32)
        if rows.start < 1000 and cols.start < 1000:  # nuclei in one corner only
            maps[..., 0], maps[..., 3] = 0.9, encode_size(30.0 * at)
        return maps

    assert estimate_scale(look, (4000, 4000), spec) == pytest.approx((1, 30), rel=0.01)
    assert len(seen) == 4


def test_nothing_to_see(spec):
    empty = np.zeros((64, 64, 4), np.float32)
    assert estimate_scale(lambda at, window: empty, (300, 300), spec) is None
