import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleiseg.core.segment.image import (
    Contrast,
    Resizing,
    match_channels,
    normalise,
    resize,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "uint32", "int64", "float16", "float64"]
)
def test_any_dtype_becomes_float32_in_the_same_order(dtype):
    values = np.array([[[0], [1]], [[1], [0]]]).astype(dtype)
    out = normalise(values)
    assert out.dtype == np.float32
    assert np.array_equal(out > out.min(), values.astype(bool))


def discs_and(*odd, dtype=np.float32):
    """A soft disc of 1 on 0, with odd values in its corner."""
    y, x = np.mgrid[:60, :60]
    image = np.clip(12 - np.hypot(y - 30, x - 30), 0, 1).astype(dtype)
    image[0, : len(odd)] = odd
    return image[..., None]


PLAIN = normalise(discs_and())


@pytest.mark.parametrize(
    ("odd", "dtype", "wanted"),
    [
        (1e12, np.float32, 1),
        (-1e12, np.float64, 0),
        (np.finfo(np.float32).max, np.float32, 0),
        (np.finfo(np.float32).min, np.float32, 0),
        (-3.4028234663852886e38, np.float64, 0),
        (np.finfo(np.float64).max, np.float64, 0),
        (1e300, np.float64, 1),
        (np.nan, np.float16, 0),
        (np.inf, np.float32, 1),
        (-np.inf, np.float64, 0),
    ],
)
def test_a_few_odd_values_do_not_decide_the_contrast(odd, dtype, wanted):
    image = discs_and(odd, odd, dtype=dtype)
    contrast = Contrast.of(image)
    out = contrast.stretch(image)
    assert np.allclose(out[1:], PLAIN[1:], atol=1e-3)
    assert out[0, 0] == wanted
    assert (contrast.missing, contrast.extreme) in ((2, 0), (0, 2))
    assert not contrast.constant


def test_much_that_is_missing_does_not_decide_the_contrast_either():
    image = discs_and()
    image[:20] = np.finfo(np.float32).min
    out = normalise(image)
    assert np.allclose(out[20:], PLAIN[20:], atol=1e-3)
    assert not out[:20].any()


@pytest.mark.parametrize("gain", [1e-46, 1e-300, 1e-38, 1e30, 1e300])
def test_the_size_of_the_numbers_does_not_matter(gain):
    assert np.allclose(normalise(discs_and(dtype=float) * gain), PLAIN, atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_without_one_finite_value_is_blank(value):
    image = np.full((3, 4, 1), value)
    assert not normalise(image).any()
    assert Contrast.of(image).missing == 12


def test_large_offset_does_not_cost_the_contrast():
    ramp = np.arange(100, dtype=np.float64).reshape(10, 10, 1)
    assert np.allclose(normalise(ramp + 1e12), normalise(ramp), atol=1e-3)


@pytest.mark.parametrize("top", [np.float32(3e38), np.float64(1e300)])
def test_values_near_the_end_of_the_number_range(top):
    image = np.array([[-top, 0], [0, top]], top.dtype)
    out = normalise(image[..., None])[..., 0]
    assert np.isfinite(out).all()
    assert out[0, 0] < out[0, 1] == out[1, 0] < out[1, 1]


def test_a_bright_outlier_in_an_almost_black_image():
    # The outlier lies beyond the upper percentile, the rest is all but zero.
    image = RNG.random((64, 64, 1), dtype=np.float32) * np.float32(1e-38)
    image[5, 5] = 1e30
    out = normalise(image)
    assert np.isfinite(out).all()
    assert out.max() == 1
    assert np.ptp(out[:5]) > 0.9


def test_a_window_is_stretched_as_in_the_whole():
    image = RNG.integers(0, 4000, (90, 70, 3)).astype(np.uint16)
    contrast = Contrast.of(image)
    window = np.s_[13:80, 5:60]
    assert np.array_equal(contrast.stretch(image[window]), normalise(image)[window])


@pytest.mark.parametrize("shape", [(90, 71), (200, 181), (31, 20), (7, 141)])
def test_a_window_is_resized_as_in_the_whole(shape):
    image = RNG.random((90, 71, 2), dtype=np.float32)
    whole = resize(image, shape)
    resizing = Resizing((90, 71), shape)
    for y, x in ((0, 0), (0.3, 0.6), (0.9, 0.8)):
        window = tuple(
            slice(int(side * at), int(side * at) + max(1, side // 4))
            for side, at in zip(shape, (y, x), strict=True)
        )
        window = tuple(
            slice(w.start, min(w.stop, side))
            for w, side in zip(window, shape, strict=True)
        )
        found = resizing(image[resizing.needs(window)], window)
        assert np.allclose(found, whole[window], atol=1e-5)


def test_normalise_ignores_gain_and_offset():
    image = RNG.random((50, 60, 1), dtype=np.float32)
    assert np.allclose(normalise(image), normalise(image * 1000 + 70), atol=1e-3)


def test_normalise_stretches_to_0_and_1_but_not_by_a_hot_pixel():
    image = np.tile(np.linspace(10, 20, 100, dtype=np.float32), (100, 1))[..., None]
    image[0, 0] = 60_000
    out = normalise(image)
    assert out.min() == 0
    assert out.max() == 1
    assert 0.4 < np.median(out) < 0.6


def test_few_bright_nuclei_on_plain_black_are_kept():
    image = np.zeros((200, 200, 1), np.float32)
    image[:3, :3] = 100  # less than a thousandth of the image
    out = normalise(image)
    assert out[1, 1, 0] == 1
    assert out.sum() == 9


def test_defective_pixels_on_a_flat_ground_are_no_signal():
    plane = np.full((300, 300, 1), 8, np.uint8)
    rng = np.random.default_rng(0)
    plane[rng.integers(0, 300, 9), rng.integers(0, 300, 9)] = 255
    contrast = Contrast.of(plane)
    assert contrast.constant
    assert contrast.extreme == 9
    assert not contrast.stretch(plane).any()
    plane[100:107, 100:107] = 90  # a nucleus, though hardly a thousandth of the image
    contrast = Contrast.of(plane)
    assert (contrast.low, contrast.high) == (8, 90)
    assert contrast.stretch(plane)[103, 103] == 1


def test_a_constant_image_is_zero():
    assert not normalise(np.full((5, 5, 3), 7.0, np.float32)).any()


def test_noise_of_an_empty_channel_is_not_blown_up():
    image = np.zeros((64, 64, 2), np.float32)
    image[..., 0] = RNG.random((64, 64)) * 100
    image[..., 1] = RNG.random((64, 64))
    out = normalise(image)
    assert out[..., 0].max() == 1
    assert out[..., 1].max() < 0.1


def test_normalise_does_not_write_into_its_input():
    image = RNG.random((20, 20, 1), dtype=np.float32)
    before = image.copy()
    normalise(image)
    assert np.array_equal(image, before)


def test_channels_are_repeated_or_averaged():
    grey = RNG.random((4, 5, 1), dtype=np.float32)
    assert np.array_equal(match_channels(grey, 3), grey[..., [0, 0, 0]])
    colour = RNG.random((4, 5, 3), dtype=np.float32)
    assert match_channels(colour, 3) is colour
    assert np.allclose(match_channels(colour, 1)[..., 0], colour.mean(-1))


def test_channels_that_cannot_be_matched_are_named():
    with pytest.raises(ValueError, match=r"takes 3 channels; received .* with 2"):
        match_channels(np.zeros((4, 4, 2), np.float32), 3)


@pytest.mark.parametrize("shape", [(40, 60), (11, 7), (97, 51), (1, 1)])
def test_resize_keeps_places(shape):
    # A ramp along x has at any size the same value at the same relative place.
    ramp = (np.arange(50, dtype=np.float32) + 0.5) / 50
    image = np.tile(ramp, (30, 1))[..., None]
    out = resize(image, shape)
    assert out.shape == (*shape, 1)
    wanted = (np.arange(shape[1]) + 0.5) / shape[1]
    inner = slice(shape[1] // 8, shape[1] - shape[1] // 8)
    assert np.allclose(out[:, inner, 0], wanted[inner], atol=0.02)


def test_shrinking_averages_instead_of_dropping_pixels():
    checkerboard = np.indices((64, 64)).sum(0) % 2
    out = resize(checkerboard.astype(np.float32)[..., None], (16, 16))
    assert np.abs(out - 0.5).max() < 0.05


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8]),
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=12),
    )
)
@settings(deadline=None, max_examples=100)
def test_any_values_end_in_0_to_1(image):
    out = normalise(image)
    assert out.dtype == np.float32
    assert out.shape == image.shape
    assert out.min() >= 0
    assert out.max() <= 1
