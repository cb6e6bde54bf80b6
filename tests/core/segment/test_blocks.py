"""A run by blocks gives the labels of a run in one piece, to the pixel."""

import dataclasses

import numpy as np
import scipy.ndimage as ndi
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucleiseg.core.params import InstanceSettings
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
