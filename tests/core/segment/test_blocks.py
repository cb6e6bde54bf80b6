"""A run by blocks gives the labels of a run in one piece, to the pixel."""

import dataclasses

import numpy as np
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleiseg.core.params import InstanceSettings
from napari_nucleiseg.core.segment.blocks import separating
from napari_nucleiseg.core.segment.blocks.basins import find_basins
from napari_nucleiseg.core.segment.blocks.grid import ArrayMaps, plan_blocks
from napari_nucleiseg.core.segment.blocks.separating import separate

WHOLE = 10**6


def same(maps, thresholds, sizes, scale=1.0):
    whole, figures = separate(ArrayMaps(maps), thresholds, scale=scale, block=WHOLE)
    for size in sizes:
        labels, summed = separate(ArrayMaps(maps), thresholds, scale=scale, block=size)
        np.testing.assert_array_equal(labels, whole, err_msg=f"blocks of {size}")
        for field in dataclasses.fields(figures):
            np.testing.assert_array_equal(
                getattr(summed, field.name), getattr(figures, field.name)
            )
    return whole


def make_up(seed, shape, coarse, steps):
    """Return uint8 maps of noise: smooth or rough, with few values or many."""
    rng = np.random.default_rng(seed)
    noise = [ndi.gaussian_filter(rng.standard_normal(shape), coarse) for _ in range(3)]
    ranks = [
        np.argsort(np.argsort(one.ravel())).reshape(shape) / one.size for one in noise
    ]
    maps = np.stack(ranks, axis=-1)
    return (np.round(maps * steps) / steps * 255).astype(np.uint8)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(1, 150),
    width=st.integers(1, 150),
    coarse=st.sampled_from([0.5, 2.0, 6.0]),
    # With three values, plateaus lie everywhere.
    steps=st.sampled_from([3, 30, 255]),
    probability=st.sampled_from([0.1, 0.4, 0.8]),
    block=st.integers(5, 80),
    scale=st.sampled_from([0.7, 1.0, 3.0]),
)
def test_made_up_maps_are_separated_alike_whatever_the_blocks(
    seed, height, width, coarse, steps, probability, block, scale
):
    maps = make_up(seed, (height, width), coarse, steps)
    same(maps, InstanceSettings(probability=probability), [block], scale)


def test_a_margin_that_is_too_narrow_is_widened(monkeypatch):
    monkeypatch.setattr("napari_nucleiseg.core.segment.blocks.basins.MARGIN", 1)
    maps = make_up(1, (120, 130), 6.0, 30)
    labels = same(maps, InstanceSettings(probability=0.3), [16, 37])
    # Nuclei that go through several blocks, and regions without a seed.
    heights = [rows.stop - rows.start for rows, _ in ndi.find_objects(labels)]
    assert max(heights) > 48


def test_a_basin_has_one_name_in_whatever_block_it_is_seen():
    maps = ArrayMaps(make_up(2, (90, 90), 4.0, 255))
    thresholds = InstanceSettings(probability=0.4)
    (whole,) = (find_basins(maps, one, thresholds) for one in plan_blocks((90, 90)))
    named = np.r_[-1, whole.ids][whole.labels]
    for window in plan_blocks((90, 90), 40):
        part = find_basins(maps, window, thresholds)
        np.testing.assert_array_equal(np.r_[-1, part.ids][part.labels], named[window])


def test_only_another_probability_floods_again(monkeypatch):
    """The least area, the separation and the confidence look at what is there."""
    rng = np.random.default_rng(0)
    maps = ndi.gaussian_filter(rng.random((120, 120, 3)), (4, 4, 0))
    maps = (maps - maps.min()) / np.ptp(maps)
    flooded, count = separating.Flooded(), [0]
    find = separating.find_basins

    def counted(*args, **kwargs):
        count[0] += 1
        return find(*args, **kwargs)

    monkeypatch.setattr(separating, "find_basins", counted)
    first = InstanceSettings(min_area=1)
    before = None
    for thresholds in (
        first,
        first.replace(min_area=200),
        first.replace(separation=0.9),
        first.replace(probability=0.6),
    ):
        source = ArrayMaps(maps.astype(np.float32))
        count[0] = 0
        labels, _ = separating.separate(source, thresholds, block=64, flooded=flooded)
        assert (count[0] > 0) == (thresholds.probability != before)
        before = thresholds.probability
        fresh, _ = separating.separate(source, thresholds, block=64)
        np.testing.assert_array_equal(labels, fresh)
