import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleiseg.core.monitor import Cancelled
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.instances import InstanceSettings
from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.core.segment.planes import guess_axes
from napari_nucleiseg.core.segment.result import relabel

#: Run as it is: the stand-in was "trained" at 20 px.
AS_IS = SegmentParams(diameter=20.0)

DTYPES = [
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64"),
    *("int64", "float16", "float32", "float64"),
]


def is_sound(result, shape):
    """Check what holds for any result."""
    labels = result.labels
    assert labels.shape == shape
    assert labels.dtype == np.int32
    numbers = np.unique(labels)
    assert np.array_equal(numbers[numbers > 0], np.arange(1, result.count + 1))
    assert result.confidence.dtype == np.float32
    assert ((result.confidence >= 0) & (result.confidence <= 1)).all()
    maps = result.maps
    assert maps.shape == (*shape, 3)
    assert maps.min() >= 0
    assert maps.max() <= 1
    table = result.measure()
    assert (table["area"] > 0).all()
    json.dumps(result.record())
    return True


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_gives_the_same_nuclei(nuclei, predictor, same_partition, dtype):
    image = (nuclei > 0).astype(dtype)
    result = segment(image, predictor)
    assert is_sound(result, nuclei.shape)
    assert same_partition(result.labels, nuclei)


@pytest.mark.parametrize("gain", [1e-6, 1, 200, 1e9])
def test_contrast_does_not_matter(nuclei, predictor, same_partition, gain):
    image = (nuclei > 0) * gain + 5 * gain
    assert same_partition(segment(image, predictor).labels, nuclei)


@pytest.mark.parametrize("order", [">u2", "<u2", ">f4", "<f8"])
def test_byte_order_and_strides_do_not_matter(nuclei, predictor, same_partition, order):
    image = (nuclei > 0).astype(order) * 100
    strided = np.asfortranarray(np.repeat(image, 2, axis=1))[:, ::2]
    strided.flags.writeable = False
    assert same_partition(segment(strided, predictor).labels, nuclei)


def test_nan_and_infinite_pixels_are_survived(nuclei, predictor, same_partition):
    image = (nuclei > 0) * 10.0
    image[2, 2], image[90, 3], image[4, 120] = np.nan, np.inf, -np.inf
    result = segment(image, predictor)
    assert is_sound(result, nuclei.shape)
    kept = np.where(np.isin(result.labels, result.labels[nuclei > 0]), 1, 0)
    assert np.array_equal(kept * result.labels > 0, nuclei > 0)
    assert not segment(np.full((40, 40), np.nan), predictor).labels.any()


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_suit_either_kind_of_network(
    nuclei, make_predictor, same_partition, channels
):
    grey = ((nuclei > 0) * 200).astype(np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    alpha = np.dstack([colour, np.full(grey.shape, 255, np.uint8)])
    for image in (grey, colour, alpha):
        result = segment(image, make_predictor(channels))
        assert is_sound(result, nuclei.shape)
        assert same_partition(result.labels, nuclei)


def test_alpha_is_not_looked_at(nuclei, make_predictor, same_partition):
    image = np.zeros((*nuclei.shape, 4), np.uint8)
    image[..., :3] = (nuclei > 0)[..., None] * 200
    image[..., 3] = np.random.default_rng(0).integers(0, 256, nuclei.shape)
    assert same_partition(segment(image, make_predictor(3)).labels, nuclei)


def test_a_stack_is_its_planes_numbered_on(nuclei, predictor, same_partition):
    planes = [(nuclei > n) * 9.0 for n in (0, 3, 9)]
    stack = np.stack(planes)
    whole = segment(stack, predictor, params=AS_IS)
    assert is_sound(whole, stack.shape)
    assert whole.count == 9 + 6
    before = 0
    for index, plane in enumerate(planes):
        alone = segment(plane, predictor, params=AS_IS)
        part = whole.labels[index]
        assert np.array_equal(np.where(part > 0, part - before, 0), alone.labels)
        before += alone.count
    assert same_partition(whole.labels[0], nuclei)


def test_five_axes_and_colour_stacks(nuclei, make_predictor):
    grey = np.broadcast_to((nuclei > 0) * 1.0, (2, 1, 3, *nuclei.shape))
    result = segment(grey, make_predictor(), params=AS_IS)
    assert is_sound(result, (2, 1, 3, *nuclei.shape))
    assert result.count == 6 * 9
    colour = np.repeat(grey[..., None], 3, axis=-1)[0]
    result = segment(colour, make_predictor(3), params=AS_IS)
    assert is_sound(result, (1, 3, *nuclei.shape))
    assert result.count == 3 * 9


@pytest.mark.parametrize("axes", ["CYX", "YCX", "YXC"])
def test_the_chosen_channel_is_the_one_used(nuclei, predictor, same_partition, axes):
    other = np.roll(nuclei, 12, axis=1)[:, ::-1]
    image = np.stack([other > 0, nuclei > 0], axis=axes.index("C")) * 100
    for channel, truth in ((0, other), (1, nuclei), (None, other)):
        result = segment(image, predictor, axes=axes, channel=channel)
        assert is_sound(result, nuclei.shape)
        assert same_partition(result.labels, truth)
        assert result.record()["axes"] == axes
        assert result.record()["channel"] == (channel or 0)
        assert ("2 channels" in str(result.warnings)) == (channel is None)


def test_planes_that_may_be_channels_are_counted_one_by_one_with_a_warning(
    nuclei, predictor
):
    image = np.stack([nuclei > 0, nuclei > 4]) * 1.0
    result = segment(image, predictor, params=AS_IS)
    assert result.counts.tolist() == [9, 5]
    assert result.summary == "14 nuclei in 2 planes (9, 5)"
    (warning,) = result.record()["warnings"]
    assert "2 planes" in warning
    assert "CYX" in warning
    for said in ({"axes": "ZYX"}, {"channel": 1}, {"axes": "CYX", "channel": 0}):
        assert not segment(image, predictor, params=AS_IS, **said).warnings
    many = segment(np.stack([nuclei > 0] * 12), predictor, params=AS_IS)
    assert many.summary == "108 nuclei in 12 planes (9 to 9 each)"


def test_a_channel_without_an_axis(nuclei, predictor, same_partition):
    image = np.stack([np.zeros_like(nuclei), nuclei > 0])
    assert same_partition(segment(image, predictor, channel=1).labels, nuclei)
    colour = np.moveaxis(np.stack([*image, image[0]]), 0, -1)
    assert same_partition(segment(colour, predictor, channel=1).labels, nuclei)
    assert same_partition(segment(image[1], predictor, channel=0).labels, nuclei)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 50), (50, 1), (2, 3), (7, 7), (33, 31), (3, 1000)]
)
@pytest.mark.parametrize("fill", ["zero", "constant", "random"])
def test_small_and_empty_images(predictor, shape, fill):
    image = {
        "zero": np.zeros(shape),
        "constant": np.full(shape, 37),
        "random": np.random.default_rng(0).integers(0, 99, shape),
    }[fill]
    for params in (SegmentParams(), AS_IS, SegmentParams(diameter=100.0)):
        result = segment(image, predictor, params=params)
        assert is_sound(result, shape)
        assert fill == "random" or result.count == 0


def test_the_image_is_not_written_to(nuclei, predictor):
    image = (nuclei > 0).astype(np.float32)
    before = image.copy()
    segment(image, predictor)
    assert np.array_equal(image, before)


def test_the_same_image_gives_the_same_labels(make_predictor):
    image = np.random.default_rng(3).random((100, 90))
    first, second = (segment(image, make_predictor()) for _ in range(2))
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.confidence, second.confidence)
    assert first.count > 0


def test_more_tiles_than_one_leave_no_seams(discs, predictor, same_partition):
    centres = [(y, x) for y in range(20, 700, 30) for x in range(15, 580, 30)]
    labels = discs((700, 590), [], 1)
    stamp = discs((21, 21), [(10, 10)], 9) > 0
    for number, (y, x) in enumerate(centres, start=1):
        labels[y - 10 : y + 11, x - 10 : x + 11][stamp] = number
    result = segment(labels > 0, predictor, params=AS_IS)
    assert len(predictor.seen) > 1
    assert same_partition(result.labels, labels)


def test_a_network_gets_tiles_no_longer_than_it_wants(nuclei, predictor):
    predictor.change_spec(tile=96)
    segment(nuclei > 0, predictor, params=AS_IS)
    assert len(predictor.seen) > 1
    assert max(max(y, x) for _, y, x, _ in predictor.seen) == 96


@pytest.mark.parametrize("shape", [(400, 400), (600, 700)])
def test_what_was_looked_at_to_measure_it_is_not_looked_at_again(
    discs, predictor, shape
):
    centres = [(y, x) for y in range(30, 380, 60) for x in range(30, 380, 60)]
    labels = discs(shape, centres, 10)
    predictor.change_spec(tile=1024)
    result = segment(labels > 0, predictor)
    assert result.count == len(centres)
    assert len(predictor.seen) == 1


def test_large_nuclei_need_no_look_beyond_that_which_shows_them_well(discs, predictor):
    centres = [(y, x) for y in range(60, 480, 120) for x in range(60, 480, 120)]
    # 50 px: too large at full size, not at half.
    labels = discs((480, 480), centres, 25)
    predictor.change_spec(diameter_range=(20.0, 36.0))
    result = segment(labels > 0, predictor)
    assert result.count == len(centres)
    assert result.diameter == pytest.approx(50, rel=0.05)
    assert result.scale == 0.5
    assert [seen[1] for seen in predictor.seen] == [480, 256]


def test_an_accurate_run_makes_use_of_what_was_looked_at(discs, predictor):
    centres = [(y, x) for y in range(30, 380, 60) for x in range(30, 380, 60)]
    image = discs((400, 400), centres, 10) * 1.0
    params = SegmentParams(accurate=True)
    result = segment(image, predictor, params=params)
    assert len(predictor.seen) == 4
    told = segment(image, predictor, params=params.replace(diameter=20.0))
    assert np.abs(result.maps.astype(int) - told.maps).max() <= 1


@pytest.mark.parametrize("diameter", [5.0, 10.0, 40.0, 80.0])
def test_a_given_diameter_sets_the_size_the_network_sees(discs, predictor, diameter):
    labels = discs((160, 160), [(45, 45), (110, 110)], diameter / 2)
    params = SegmentParams(diameter=diameter, min_area=0)
    result = segment(labels > 0, predictor, params=params)
    assert is_sound(result, labels.shape)
    assert result.diameter == diameter
    assert result.scale == pytest.approx(20 / diameter, rel=0.01)
    assert result.count == 2
    area = np.bincount(labels.ravel())[1]
    assert result.measure()["area"] == pytest.approx(area, rel=0.35)


def test_an_enormous_scale_is_held_back_and_said(predictor):
    result = segment(np.eye(300), predictor, params=SegmentParams(diameter=3.0))
    seen = max(y * x for _, y, x, _ in predictor.seen)
    assert result.scale == 4
    assert seen <= 512 * 512
    warning = result.record()["warnings"][0]
    assert "enlarged 4 times" in warning
    assert "6.7" in warning


@pytest.mark.parametrize("diameter", [6.0, 40.0])
def test_the_same_place_gives_the_same_nuclei_in_an_image_of_any_size(
    discs, predictor, diameter
):
    radius = diameter / 2
    step = int(diameter * 2)
    places = range(step // 2 + 1, 240 - step // 2, step)
    part = discs((240, 240), [(y, x) for y in places for x in places], radius) > 0
    params = SegmentParams(diameter=diameter, min_area=1)
    predictor.change_spec(tile=256)
    alone = segment(part, predictor, params=params)
    assert alone.count == len(places) ** 2
    wide = np.zeros((260, 9000), bool)
    for x in (0, 4321, 8760):
        wide[:240, x : x + 240] = part
    predictor.seen.clear()
    found = segment(wide, predictor, params=params)
    assert found.scale == alone.scale
    # The enlarged image is never there as a whole.
    assert max(y * x for _, y, x, _ in predictor.seen) <= 256 * 256
    assert found.planes[0].maps.shape == (*wide.shape, 3)
    for x in (0, 4321, 8760):
        there = found.labels[:240, x : x + 240]
        assert len(np.unique(there)) == alone.count + 1
        differ = np.count_nonzero((there > 0) != (alone.labels > 0))
        assert differ <= 0.05 * np.count_nonzero(alone.labels)
    assert found.count == 3 * alone.count


@pytest.mark.parametrize("odd", [1e12, 3.4028234663852886e38, -3.4028234663852886e38])
def test_one_extreme_pixel_costs_no_nuclei_and_is_said(
    nuclei, predictor, same_partition, odd
):
    image = np.where(nuclei > 0, 200, 10).astype(np.float32)
    image[1, 1] = odd
    result = segment(image, predictor)
    assert same_partition(np.where(nuclei > 0, result.labels, 0), nuclei)
    (warning,) = result.warnings
    assert warning.startswith("1 value")
    tiny = segment((nuclei > 0) * 1e-46, predictor)
    assert same_partition(tiny.labels, nuclei)
    assert not tiny.warnings


def test_a_suspect_result_says_so(predictor):
    empty = segment(np.full((2, 40, 40), 7), predictor, axes="ZYX")
    assert "2 of 2 planes are constant" in empty.warnings[0]
    assert "No nuclei were found" in empty.warnings[1]
    # What is said of nothing found follows the thresholds.
    noise = np.random.default_rng(0).random((60, 60))
    none = segment(noise, predictor, params=SegmentParams(min_area=9999))
    assert "No nuclei" in str(none.record()["warnings"])
    assert not relabel(none, SegmentParams(min_area=1)).warnings


def test_min_area_is_counted_in_the_images_own_pixels(discs, predictor):
    labels = discs((80, 80), [(20, 20)], 4)
    labels[discs((80, 80), [(55, 55)], 6) > 0] = 2
    areas = np.bincount(labels.ravel())[1:]
    between = int(areas.mean())
    for diameter in (20.0, 10.0):
        result = segment(
            labels > 0,
            predictor,
            params=SegmentParams(diameter=diameter, min_area=between),
        )
        assert result.count == 1
        assert result.labels[55, 55] == 1


def test_relabel_equals_a_fresh_run_and_needs_no_network(predictor):
    image = np.random.default_rng(5).random((90, 100))
    first = segment(image, predictor)
    counts = {first.count}
    for changes in (
        {"probability": 0.3},
        {"probability": 0.8, "min_area": 1},
        {"separation": 0.2},
        {"min_confidence": 0.7},
    ):
        params = SegmentParams(**changes)
        calls = len(predictor.seen)
        again = relabel(first, params)
        assert len(predictor.seen) == calls
        fresh = segment(image, predictor, params=params)
        assert np.array_equal(again.labels, fresh.labels)
        assert np.array_equal(again.confidence, fresh.confidence)
        assert again.record() == fresh.record()
        counts.add(again.count)
    assert len(counts) > 2


@pytest.mark.parametrize("diameter", [8.0, 60.0])
def test_relabel_of_a_scaled_stack(nuclei, predictor, diameter):
    stack = np.stack([nuclei > 0, nuclei > 4]) * 1.0
    params = SegmentParams(diameter=diameter)
    first = segment(stack, predictor, params=params)
    changed = params.replace(probability=0.7)
    again = relabel(first, changed)
    fresh = segment(stack, predictor, params=changed)
    assert np.array_equal(again.labels, fresh.labels)
    assert is_sound(again, stack.shape)


def test_nuclei_below_the_least_confidence_are_left_out(nuclei, predictor):
    image = nuclei * 0.05 + (nuclei > 0) * 0.55  # each brighter than the one before
    every = segment(image, predictor, params=AS_IS)
    least = float(np.sort(every.confidence)[4])
    few = segment(image, predictor, params=AS_IS.replace(min_confidence=least))
    assert few.count == 5
    assert few.confidence.min() >= least
    assert is_sound(few, nuclei.shape)
    kept = every.confidence >= least
    was_kept = np.r_[False, kept][every.labels]
    assert np.array_equal(few.labels > 0, was_kept)
    assert few.record()["min_confidence"] == pytest.approx(least)
    assert len(few.measure()["area"]) == 5


class LeansToOneSide:
    """What it says of a pixel depends on where in the tile that is."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def predict(self, tiles):
        ramp = np.linspace(0, 0.4, tiles.shape[2], dtype=np.float32)
        return np.clip(self.inner.predict(tiles) + ramp[:, None], 0, 1)


def test_accurate_looks_at_each_tile_flipped_each_way(nuclei, predictor):
    image = (nuclei > 0) * 1.0
    leaning = LeansToOneSide(predictor)
    plain = segment(image, leaning, params=AS_IS)
    once = len(predictor.seen)
    fair = segment(image, leaning, params=AS_IS.replace(accurate=True))
    assert len(predictor.seen) == 5 * once
    assert np.ptp(plain.maps[0, :, 0]) > 0.2
    assert np.ptp(fair.maps[0, :, 0]) < 0.01
    assert fair.record()["accurate"]
    # What the network said does not change by moving a slider.
    again = relabel(fair, SegmentParams(diameter=20.0, probability=0.6))
    assert again.params.accurate


def test_stopping_an_accurate_run_takes_effect_within_one_look(predictor, make_monitor):
    monitor = make_monitor(lambda: len(predictor.seen) >= 2)
    params = AS_IS.replace(accurate=True)
    with pytest.raises(Cancelled):
        segment(np.eye(100), predictor, params=params, monitor=monitor)
    assert len(predictor.seen) == 2


def test_the_models_thresholds_hold_unless_others_are_asked_for(nuclei, predictor):
    own = InstanceSettings(probability=0.6, separation=0.4, min_area=3)
    predictor.change_spec(settings=own)
    result = segment(nuclei > 0, predictor, params=SegmentParams(separation=0.7))
    assert result.settings == InstanceSettings(
        probability=0.6, separation=0.7, min_area=3
    )
    record = result.record()
    assert record["model"] == "bright"
    assert record["probability"] == 0.6


def test_the_monitor_sees_every_tile(predictor, make_monitor):
    monitor = make_monitor()
    segment(np.zeros((2, 600, 700)), predictor, params=AS_IS, monitor=monitor)
    tiles = [r for r in monitor.reports if r.stage == "Finding nuclei"]
    assert [r.done for r in tiles] == list(range(1, len(predictor.seen) + 1))
    assert {r.total for r in tiles} == {len(predictor.seen)}
    assert monitor.reports[-1].done == monitor.reports[-1].total


@pytest.mark.parametrize("calls", [1, 2, 5, 9])
@pytest.mark.parametrize("params", [AS_IS, SegmentParams()])
def test_stopping_takes_effect_within_one_tile(
    make_predictor, make_monitor, params, calls
):
    image = np.random.default_rng(0).random((5, 700, 700))
    predictor = make_predictor()
    monitor = make_monitor(lambda: len(predictor.seen) >= calls)
    with pytest.raises(Cancelled):
        segment(image, predictor, params=params, monitor=monitor)
    assert len(predictor.seen) == calls


def test_stopping_before_the_start_runs_nothing(predictor, make_monitor):
    with pytest.raises(Cancelled):
        segment(np.zeros((50, 50)), predictor, monitor=make_monitor(lambda: True))
    assert not predictor.seen


def test_relabel_can_be_stopped(nuclei, predictor, make_monitor):
    first = segment(nuclei > 0, predictor)
    with pytest.raises(Cancelled):
        relabel(first, SegmentParams(), monitor=make_monitor(lambda: True))


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (np.zeros((9, 9), complex), {}, TypeError, "real numbers; .* complex128"),
        (np.full((9, 9), "a"), {}, TypeError, "real numbers; .* <U1"),
        (np.full((9, 9), None), {}, TypeError, "real numbers; .* object"),
        (np.zeros(9), {}, ValueError, r"at least two axes .* \(9,\)"),
        (np.float64(3), {}, ValueError, "at least two axes"),
        (np.zeros((0, 9)), {}, ValueError, r"no pixels: .* \(0, 9\)"),
        (np.zeros((9, 0)), {}, ValueError, "no pixels"),
        (np.zeros((0, 9, 9)), {}, ValueError, "no pixels"),
        (np.zeros((0, 9, 9)), {"channel": 0}, ValueError, "no pixels|no channel"),
        (np.zeros((9, 9, 5)), {"axes": "YXS"}, ValueError, "3 or 4 values; received 5"),
        (np.zeros((9, 9)), {"axes": "YXS"}, ValueError, r"2 axes .*received 'YXS'"),
        (np.zeros((9, 9)), {"axes": "Y1"}, ValueError, r"such as YX; received 'Y1'"),
        (np.zeros((2, 9, 9)), {"axes": "TZX"}, ValueError, "one Y and one X"),
        (np.zeros((2, 2, 9, 9)), {"axes": "CCYX"}, ValueError, "at most one C"),
        (np.zeros((9, 9)), {"channel": 1}, ValueError, "0, for there is one only"),
        (np.zeros((2, 9, 9)), {"channel": 1.5}, TypeError, "integer"),
        (
            np.zeros((2, 9, 9)),
            {"axes": "ZYX", "channel": 1},
            ValueError,
            r"0, for there is one only; received 1 \(axes ZYX, shape 2 × 9 × 9\)",
        ),
        (
            np.zeros((2, 9, 9)),
            {"axes": "CYX", "channel": 2},
            ValueError,
            "channel must be between 0 and 1; received 2",
        ),
        (
            np.zeros((2, 9, 9)),
            {"axes": "CYX", "channel": -1},
            ValueError,
            "channel must be between 0 and 1; received -1",
        ),
    ],
)
def test_what_cannot_be_an_image_is_refused_with_a_reason(
    predictor, image, options, error, message
):
    with pytest.raises(error, match=message):
        segment(image, predictor, **options)
    assert not predictor.seen


@pytest.mark.parametrize(
    "image",
    [
        np.array([[-3e38, 3e38]], np.float32),
        np.array([[-1e308, 1e308]]),
        np.array([[0, 2**64 - 1]], np.uint64),
        np.array([[-(2**63), 2**63 - 1]], np.int64),
        np.array([[1e-45, 3e38]], np.float32),
        np.array([[5e-324, 0]]),
    ],
)
def test_the_ends_of_the_number_range(predictor, image):
    image = np.tile(image, (20, 10))
    assert is_sound(segment(image, predictor), image.shape)


# Every other image float32: what is not converted on the way in.
kinds = st.just(np.dtype("float32")) | st.sampled_from(
    [*(np.dtype(dtype) for dtype in DTYPES), np.dtype(">i2"), np.dtype(">f8")]
)


def values_of(dtype):
    if dtype.kind == "f":
        # Wild values among tame ones, which most images hold.
        ends = np.finfo(dtype)
        wild = [ends.max, ends.min, ends.tiny, np.nan, np.inf, -np.inf, -0.0]
        return st.one_of(
            st.floats(0, 1, width=16),
            st.sampled_from(wild),
            hnp.from_dtype(dtype),
        )
    return hnp.from_dtype(dtype)


shapes = st.one_of(
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=70),
    hnp.array_shapes(min_dims=3, max_dims=4, max_side=9),
    st.tuples(st.integers(5, 40), st.integers(5, 40), st.sampled_from([3, 4])),
)


@given(
    image=kinds.flatmap(
        lambda dtype: hnp.arrays(dtype, shapes, elements=values_of(dtype))
    ),
    diameter=st.none() | st.floats(3, 200),
    probability=st.none() | st.floats(0.05, 0.95),
    min_area=st.none() | st.integers(0, 50),
    channels=st.sampled_from([1, 3]),
)
@settings(deadline=None, max_examples=150)
def test_any_image_gives_sound_labels(
    make_predictor, image, diameter, probability, min_area, channels
):
    params = SegmentParams(
        diameter=diameter, probability=probability, min_area=min_area
    )
    before = image.copy()
    result = segment(image, make_predictor(channels), params=params)
    trailing = guess_axes(image.shape)[-1] in "SC"
    shape = image.shape[:-1] if trailing else image.shape
    assert is_sound(result, shape)
    assert np.array_equal(image, before, equal_nan=image.dtype.kind == "f")
    again = relabel(result, params)
    assert np.array_equal(again.labels, result.labels)


@given(
    seed=st.integers(0, 2**16),
    shape=st.tuples(st.integers(20, 130), st.integers(20, 130)),
    diameter=st.sampled_from([None, 8.0, 20.0, 50.0]),
)
@settings(deadline=None, max_examples=30)
def test_pictures_of_blobs(make_predictor, seed, shape, diameter):
    rng = np.random.default_rng(seed)
    image = np.zeros(shape)
    y, x = np.indices(shape)
    for _ in range(rng.integers(1, 12)):
        cy, cx = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        radius = rng.uniform(2, 20)
        image += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / radius**2)
    params = SegmentParams(diameter=diameter)
    result = segment(image, make_predictor(), params=params)
    assert is_sound(result, shape)
    assert result.count > 0 or diameter is None or diameter > 20
