import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nucleiseg.core.score.fates import (
    MAP_COLOURS,
    MAP_NAMES,
    classify,
    error_map,
    tabulate,
)
from napari_nucleiseg.core.score.matching import THRESHOLDS, score_image


def boxes(*spans, width=60):
    """One row of pixels; the n-th span is nucleus n."""
    row = np.zeros((1, width), np.int32)
    for number, (start, stop) in enumerate(spans, start=1):
        row[0, start:stop] = number
    return row


CASES = {
    "matched": ([(0, 10)], [(1, 10)], ["matched"], ["matched"]),
    "missed": ([(0, 10)], [], ["missed"], []),
    "false": ([], [(0, 10)], [], ["false"]),
    "barely touched": ([(0, 10)], [(9, 20)], ["missed"], ["false"]),
    "shifted": ([(0, 10)], [(6, 16)], ["misshapen"], ["misshapen"]),
    "far too small": ([(0, 40)], [(4, 6)], ["misshapen"], ["misshapen"]),
    "far too large": ([(20, 22)], [(0, 40)], ["misshapen"], ["misshapen"]),
    "merged": ([(0, 10), (10, 20)], [(0, 19)], ["matched", "merged"], ["matched"]),
    "merged evenly": (
        [(0, 10), (10, 20), (20, 30)],
        [(0, 30)],
        ["merged"] * 3,
        ["merger"],
    ),
    "split": ([(0, 30)], [(0, 10), (10, 20), (20, 30)], ["split"], ["piece"] * 3),
    "a piece cut off": ([(0, 30)], [(0, 24), (24, 30)], ["matched"], None),
    "merged, one well found": (
        [(0, 20), (20, 25)],
        [(0, 25)],
        ["matched", "merged"],
        ["matched"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_fates_by_hand(name):
    truth, found, true_fates, predicted_fates = CASES[name]
    fates = classify(boxes(*truth), boxes(*found))
    assert fates.true_fates.tolist() == true_fates
    if predicted_fates is not None:
        assert fates.predicted_fates.tolist() == predicted_fates


def test_a_piece_beside_a_match_is_a_piece():
    fates = classify(boxes((0, 30)), boxes((0, 24), (24, 30)))
    assert fates.predicted_fates.tolist() == ["matched", "piece"]
    assert fates.counts()["pieces"] == 1


def test_counts_labels_and_iou():
    truth = boxes((0, 10), (12, 22), (30, 40), (40, 50)) * 3
    found = boxes((0, 8), (24, 28), (30, 50)) * 7
    fates = classify(truth, found, threshold=0.6)
    assert fates.true_ids.tolist() == [3, 6, 9, 12]
    assert fates.partners.tolist() == [7, 0, 0, 0]
    assert fates.iou.tolist() == [0.8]
    assert fates.true_iou.tolist() == [0.8, 0, 0.5, 0.5]
    assert fates.predicted_iou.tolist() == [0.8, 0, 0.5]
    assert fates.counts() == {
        "true": 4,
        "predicted": 3,
        "matched": 1,
        "missed": 1,
        "false": 1,
        "merged": 2,
        "split": 0,
        "misshapen": 0,
        "mergers": 1,
        "pieces": 0,
        "misshapen_predicted": 0,
    }


def test_outside_what_is_known_nuclei_have_no_fate():
    truth, found = boxes((0, 10), (20, 30)), boxes((0, 10), (34, 44))
    known = np.zeros(truth.shape, bool)
    known[:, :15] = True
    fates = classify(truth, found, known=known)
    assert fates.true_ids.tolist() == fates.predicted_ids.tolist() == [1]
    picture = error_map(truth, found, fates)
    assert picture[0, :10].tolist() == [1] * 10
    assert not picture[0, 10:].any()


def test_the_map_hides_no_error():
    names = {name: code for code, name in MAP_NAMES.items()}
    # The second true nucleus is swallowed by the first one's match.
    truth = boxes((0, 20), (20, 25), (30, 40))
    found = boxes((0, 25), (45, 50))
    picture = error_map(truth, found, classify(truth, found))
    assert picture.dtype == np.uint8
    assert set(picture[0, :20]) == {names["matched"]}
    assert set(picture[0, 21:25]) == {names["merged"]}
    assert set(picture[0, 30:40]) == {names["missed"]}
    assert set(picture[0, 45:50]) == {names["false"]}
    assert not picture[0, 25:30].any()
    assert MAP_NAMES.keys() == MAP_COLOURS.keys()
    assert len(set(MAP_COLOURS.values())) == len(MAP_COLOURS)


def test_touching_nuclei_stay_apart_in_the_map():
    truth = np.repeat(boxes((0, 10), (10, 20), (30, 40), (40, 50)), 3, axis=0)
    found = np.repeat(boxes((0, 10), (10, 20), (30, 50)), 3, axis=0)
    picture = error_map(truth, found, classify(truth, found))
    blank = np.flatnonzero((picture == 0).all(axis=0))
    # Between the two matched ones, and where the merged ones should have been parted.
    assert blank.tolist() == [10, *range(20, 30), 40, *range(50, 60)]


labels = hnp.arrays(np.int32, (2, 5, 6), elements=st.integers(0, 4))


@given(labels, labels, st.sampled_from([0.3, 0.5, 0.75]))
@settings(deadline=None, max_examples=100)
def test_every_nucleus_has_one_fate_in_any_number_of_axes(truth, found, threshold):
    fates = classify(truth, found, threshold=threshold)
    counts = fates.counts()
    true = ("matched", "missed", "merged", "split", "misshapen")
    predicted = ("matched", "false", "mergers", "pieces", "misshapen_predicted")
    assert sum(counts[name] for name in true) == counts["true"]
    assert sum(counts[name] for name in predicted) == counts["predicted"]
    assert fates.iou.size == (fates.predicted_fates == "matched").sum()
    assert (fates.iou >= threshold).all()
    if threshold >= 0.5:
        hits = score_image(truth, found).matched[THRESHOLDS.index(threshold)]
        assert counts["matched"] == hits
    picture = error_map(truth, found, fates)
    assert not picture[(truth == 0) & (found == 0)].any()


@given(labels)
@settings(deadline=None, max_examples=20)
def test_the_two_sides_mirror_each_other(stack):
    other = np.roll(stack, 1, axis=-1)
    there, back = classify(stack, other).counts(), classify(other, stack).counts()
    assert there["matched"] == back["matched"]
    assert there["missed"] == back["false"]
    assert there["mergers"] <= there["true"] // 2


def test_bad_input_is_told():
    with pytest.raises(ValueError, match=r"one shape; received \(1, 60\) and \(1, 9\)"):
        classify(boxes(), boxes(width=9))
    with pytest.raises(ValueError, match="at most 1; received 0"):
        classify(boxes(), boxes(), threshold=0)
    with pytest.raises(ValueError, match="the true ones reach -1"):
        classify(boxes() - 1, boxes())


def test_no_nuclei_on_either_side():
    blank = boxes()
    fates = classify(blank, blank)
    assert set(fates.counts().values()) == {0}
    assert not error_map(blank, blank, fates).any()


def test_one_row_for_each_nucleus_of_both_sides():
    truth = np.zeros((2, 4, 30), np.int32)
    truth[0, 0:2, 0:10] = 5
    truth[1, 2:4, 10:20] = 9
    found = np.zeros_like(truth)
    found[0, 0:2, 0:10] = 3
    table = tabulate(truth, found, classify(truth, found))
    rows = [
        dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)
    ]
    assert [(r["kind"], r["label"], r["fate"], r["partner"]) for r in rows] == [
        ("true", 5, "matched", 3),
        ("true", 9, "missed", 0),
        ("predicted", 3, "matched", 5),
    ]
    assert [r["IoU"] for r in rows] == [1, 0, 1]
    assert [r["area"] for r in rows] == [20, 20, 20]
    assert [(r["centroid_0"], r["centroid_y"], r["centroid_x"]) for r in rows] == [
        (0, 0.5, 4.5),
        (1, 2.5, 14.5),
        (0, 0.5, 4.5),
    ]
