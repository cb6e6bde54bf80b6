import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import coo_array

from napari_nucleiseg.core.score.matching import (
    THRESHOLDS,
    find_overlaps,
    match,
    number_by_plane,
    score_image,
    summarise,
)


def boxes(*spans, width=40):
    """One row of pixels; the n-th span is nucleus n."""
    row = np.zeros((1, width), np.int32)
    for number, (start, stop) in enumerate(spans, start=1):
        row[0, start:stop] = number
    return row


def test_perfect_labels_score_1_whatever_their_numbers():
    truth = boxes((0, 10), (12, 20))
    renamed = np.choose(truth, [0, 77, 5])
    score = score_image(truth, renamed)
    assert score.average_precision() == 1
    assert score.mean_average_precision() == 1
    assert score.pixels == (18, 0, 0, 22)


def test_counts_by_hand():
    truth = boxes((0, 10), (10, 20), (30, 40))
    # 8/12 with the first, 10/10 with the second; the third is missed, one is extra.
    found = np.zeros_like(truth)
    found[0, 2:10] = 4
    found[0, 10:20] = 9
    found[0, 22:28] = 2
    score = score_image(truth, found)
    assert (score.true, score.predicted) == (3, 3)
    # IoU 0.8 and 1: two hits up to 0.8, one above.
    assert score.matched == (2,) * 7 + (1,) * 3
    assert score.average_precision(0.5) == pytest.approx(2 / 4)
    assert score.average_precision(0.9) == pytest.approx(1 / 5)
    assert score.mean_average_precision() == pytest.approx((7 * 2 / 4 + 3 / 5) / 10)
    assert score.pixels == (18, 6, 12, 4)


def test_an_iou_of_exactly_one_half_counts():
    score = score_image(boxes((0, 10)), boxes((0, 20)))
    assert score.matched[:2] == (1, 0)


def test_two_halves_are_one_hit_at_most():
    # Both halves have IoU 1/2 with the nucleus.
    score = score_image(boxes((0, 20)), boxes((0, 10), (10, 20)))
    assert score.matched[0] == 1
    assert score.average_precision() == pytest.approx(1 / 2)


def test_merged_nuclei_are_one_hit_at_most():
    score = score_image(boxes((0, 10), (10, 20)), boxes((0, 20)))
    assert score.matched[0] == 1
    assert score.average_precision() == pytest.approx(1 / 2)


def test_panoptic_quality_is_f1_times_the_mean_overlap_of_what_matches():
    truth = boxes((0, 10), (15, 25), (30, 40))
    # One to the pixel, one with IoU 8/10, one that is missed; and a false one.
    score = score_image(truth, boxes((0, 10), (15, 23), (26, 29)))
    assert score.panoptic_quality() == pytest.approx(2 / 3 * (1 + 0.8) / 2)
    summary = summarise([score, score_image(truth, truth)])
    assert summary["pooled"]["panoptic_quality"] == pytest.approx(2 * 4.8 / 12)
    assert summary["per_image_mean"]["panoptic_quality"] == pytest.approx(1.6 / 2)


def test_nothing_to_find_and_nothing_found_is_perfect():
    blank = np.zeros((5, 5), int)
    score = score_image(blank, blank)
    assert score.average_precision() == score.mean_average_precision() == 1
    figures = summarise([score])["pooled"]
    assert figures["precision"] == figures["recall"] == figures["F1"] == 1
    assert figures["panoptic_quality"] == 1
    assert figures["pixel_accuracy"] == figures["pixel_IoU"] == 1


def test_all_missed_and_all_invented_score_0():
    blank, some = np.zeros((1, 40), int), boxes((0, 10), (20, 30))
    assert score_image(some, blank).average_precision() == 0
    assert score_image(blank, some).average_precision() == 0
    assert summarise([score_image(some, blank)])["pooled"]["recall"] == 0
    assert summarise([score_image(blank, some)])["pooled"]["precision"] == 0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"one shape; received \(4, 4\) and \(4, 5\)"):
        score_image(np.zeros((4, 4), int), np.zeros((4, 5), int))


def test_mean_weighs_images_and_pooled_weighs_nuclei():
    good = score_image(boxes((0, 10)), boxes((0, 10)))
    bad = score_image(boxes((0, 5), (6, 11), (12, 17)), boxes())
    summary = summarise([good, bad])
    assert (summary["images"], summary["nuclei"], summary["predicted"]) == (2, 4, 1)
    assert summary["per_image_mean"]["AP"]["0.50"] == pytest.approx(1 / 2)
    assert summary["pooled"]["AP"]["0.50"] == pytest.approx(1 / 4)
    assert summary["pooled"]["precision"] == 1
    assert summary["pooled"]["recall"] == pytest.approx(1 / 4)
    assert summary["pooled"]["F1"] == pytest.approx(2 / 5)
    assert summary["pooled"]["pixel_accuracy"] == pytest.approx(65 / 80)


def test_there_must_be_something_to_summarise():
    with pytest.raises(ValueError, match="at least one image"):
        summarise([])


small_labels = hnp.arrays(np.int32, (6, 7), elements=st.integers(0, 4))


def most_pairs(good):
    """Most rows that can have a column of their own, by trying all."""
    if good.shape[0] == 0:
        return 0
    rest = good[1:]
    without = most_pairs(rest)
    tries = [
        1 + most_pairs(np.delete(rest, column, axis=1))
        for column in np.flatnonzero(good[0])
    ]
    return max([without, *tries])


@given(small_labels, small_labels)
@settings(deadline=None, max_examples=100)
def test_agrees_with_brute_force(truth, found):
    score = score_image(truth, found)
    numbers = [np.unique(labels[labels > 0]) for labels in (truth, found)]
    iou = np.array(
        [
            [
                ((truth == t) & (found == f)).sum()
                / ((truth == t) | (found == f)).sum()
                for f in numbers[1]
            ]
            for t in numbers[0]
        ]
    ).reshape(len(numbers[0]), len(numbers[1]))
    assert np.allclose(find_overlaps(truth, found).iou().toarray(), iou)
    assert (score.true, score.predicted) == iou.shape
    assert score.matched == tuple(most_pairs(iou >= t) for t in THRESHOLDS)
    assert score.pixels[0] == ((truth > 0) & (found > 0)).sum()
    assert sum(score.pixels) == truth.size


@given(
    hnp.arrays(float, hnp.array_shapes(min_dims=2, max_dims=2, max_side=5)),
    st.sampled_from([0.1, 0.3, 0.5]),
)
@settings(deadline=None, max_examples=60)
def test_matching_is_one_to_one_and_as_large_as_can_be(values, threshold):
    iou = np.abs(np.sin(np.nan_to_num(values, posinf=0, neginf=0)))
    rows, columns = match(coo_array(iou), threshold)
    assert len(set(rows)) == len(rows) == len(set(columns)) == len(columns)
    assert (iou[rows, columns] >= threshold).all()
    assert len(rows) == most_pairs(iou >= threshold)


def test_outside_what_is_known_nothing_counts():
    truth = boxes((0, 10), (12, 20))
    found = boxes((0, 10), (24, 34))
    known = np.zeros(truth.shape, bool)
    known[:, :11] = True
    score = score_image(truth, found, known=known)
    assert (score.true, score.predicted) == (1, 1)
    assert score.matched == (1,) * 10
    assert score.pixels == (10, 0, 0, 1)
    assert score_image(truth, found).average_precision() == pytest.approx(1 / 3)


@pytest.mark.parametrize(("edge", "counted"), [(5, 1), (4, 0)])
def test_a_nucleus_counts_from_half_of_its_area_on_and_is_compared_whole(edge, counted):
    truth, found = boxes((0, 10)), boxes((0, 10))
    known = np.zeros(truth.shape, bool)
    known[:, :edge] = True
    score = score_image(truth, found, known=known)
    assert (score.true, score.predicted) == (counted, counted)
    assert score.matched == (counted,) * 10


@given(small_labels, small_labels)
@settings(deadline=None, max_examples=50)
def test_all_known_is_as_if_nothing_were_said(truth, found):
    everywhere = np.ones(truth.shape, bool)
    assert score_image(truth, found, known=everywhere) == score_image(truth, found)


def test_the_mask_must_fit():
    with pytest.raises(ValueError, match=r"shape of the labels, \(1, 40\); received"):
        score_image(boxes(), boxes(), known=np.ones((1, 39), bool))


def test_planes_that_count_from_1_are_kept_apart():
    stack = np.stack([boxes((0, 5), (6, 9)), boxes((10, 20))])
    numbered, step = number_by_plane(stack)
    assert np.unique(numbered).tolist() == [0, 1, 2, 4]
    assert divmod(4, step) == (1, 1)
    assert score_image(numbered, numbered).true == 3
    assert score_image(stack, stack).true == 2
