"""The table of nuclei after edits, against measuring everything anew."""

import numpy as np
import pandas as pd
import pytest

from napari_nucleiseg.core.measure import measure
from napari_nucleiseg.widgets.segment.edits import EditedTable


def make_table(labels, intensity, confidence):
    table = pd.DataFrame(measure(labels, intensity, confidence))
    return table.rename(columns={"label": "index"})


@pytest.fixture
def made():
    """Nine nuclei of 8 × 8 pixels in each of two planes, and an image."""
    rng = np.random.default_rng(0)
    labels = np.zeros((2, 40, 40), np.int32)
    for number in range(18):
        plane, y, x = np.unravel_index(number, (2, 3, 3))
        labels[plane, 12 * y + 4 : 12 * y + 12, 12 * x + 4 : 12 * x + 12] = number + 1
    return labels, rng.random(labels.shape), rng.random(18)


def test_any_edits_give_what_measuring_anew_gives(made):
    labels, intensity, confidence = made
    rng = np.random.default_rng(1)
    table = EditedTable(labels, intensity, make_table(*made))
    now = labels.copy()
    for _ in range(20):
        plane, y, x = rng.integers(0, (2, 36, 36))
        now[plane, y : y + 7, x : x + 7] = rng.choice([0, 3, 17, 25, 31])
        found = table.update(now).set_index("index")
    fresh = make_table(now, intensity, np.zeros(now.max())).set_index("index")
    fresh = fresh[fresh["area"] > 0]
    columns = ["area", "centroid_0", "centroid_y", "centroid_x", "mean_intensity"]
    pd.testing.assert_frame_equal(found[columns], fresh[columns])
    untouched = [n for n in found.index if n < 19 and (now == n).sum() == 64]
    untouched = [n for n in untouched if (labels[now == n] == n).all()]
    assert untouched
    for number in untouched:
        assert found["confidence"][number] == confidence[number - 1]
    assert not np.shares_memory(labels, now)
    assert table.update(now) is None


def test_confidence_belongs_to_what_the_model_found(made):
    labels, intensity, confidence = made
    table = EditedTable(labels, intensity, make_table(*made))
    now = labels.copy()
    now[0, 4:12, 11] = 0  # a rim of nucleus 1 is taken off: still the same nucleus
    now[0, 16:24, 4:12] = 0  # nucleus 4 is erased,
    now[0, 0:3, 30:40] = 4  # and its number is used for another place
    now[1, 38:, :] = 77
    found = table.update(now).set_index("index")
    assert found["confidence"][1] == confidence[0]
    assert found["area"][1] == 56
    assert np.isnan(found["confidence"][4])
    assert np.isnan(found["confidence"][77])
    assert table.edited
    # Undone.
    found = table.update(labels).set_index("index")
    assert found["confidence"].tolist() == pytest.approx(confidence)
    assert not table.edited


def test_a_number_that_was_free_for_a_while_inherits_nothing(made):
    labels, intensity, confidence = made
    table = EditedTable(labels, intensity, make_table(*made))
    now = labels.copy()
    now[now == 5] = 0
    assert 5 not in table.update(now)["index"].to_numpy()
    now[0, 16:24, 17:24] = 5  # in nearly the same place
    found = table.update(now).set_index("index")
    assert np.isnan(found["confidence"][5])
    now[0, 16:24, 16] = 5  # as it was
    found = table.update(now).set_index("index")
    assert found["confidence"][5] == confidence[4]


def test_labels_of_another_shape_have_no_rows(made):
    labels, intensity, _ = made
    table = EditedTable(labels, intensity, make_table(*made))
    assert table.update(labels[0]).empty


def test_it_knows_what_was_touched_by_hand_and_how(made):
    labels, intensity, _ = made
    table = EditedTable(labels, intensity, make_table(*made))
    assert table.by_hand() == {}
    now = labels.copy()
    now[0, 4:12, 11] = 0  # corrected
    now[1, 38:, :] = 77  # drawn
    now[now == 9] = 0  # erased
    table.accepted |= {3}
    found = table.update(now).set_index("index")["by_hand"]
    assert found.dropna().to_dict() == {1: "corrected", 3: "accepted", 77: "drawn"}
    assert table.cleared.sum() == 8 + 64
    table.update(labels)
    assert table.by_hand() == {3: "accepted"}
    assert table.cleared is None


def test_corrections_are_carried_to_labels_made_anew(made):
    """By other thresholds every nucleus is a pixel wider to the left."""
    labels, intensity, confidence = made
    table = EditedTable(labels, intensity, make_table(*made))
    now = labels.copy()
    now[0, 4:12, 11] = 0
    now[1, 38:, :] = 77
    now[now == 9] = 0
    table.accepted |= {3}
    table.update(now)
    wider = labels.copy()
    wider[..., :-1] = np.maximum(labels[..., :-1], labels[..., 1:])
    again = EditedTable(
        wider, intensity, make_table(wider, intensity, 0.1 + confidence)
    )
    for _ in range(2):  # it stays so, however often
        carried = table.carried_to(again)
        found = carried.table().set_index("index")
        assert carried.by_hand() == {1: "corrected", 3: "accepted", 77: "drawn"}
        for kept in (1, 3, 77):
            assert np.array_equal(carried.labels == kept, now == kept)
        assert not (carried.labels == 9).any()
        assert np.array_equal(carried.labels == 2, wider == 2)
        assert found["area"].to_dict() == dict(
            zip(
                *np.unique(carried.labels[carried.labels > 0], return_counts=True),
                strict=True,
            )
        )
        assert found["confidence"][2] == 0.1 + confidence[1]
        assert found["confidence"][3] == confidence[2]
        assert np.isnan(found["confidence"][77])
        table = carried
    # What is undone by hand afterwards is what it was before that.
    more = carried.labels.copy()
    more[more == 77] = 0
    carried.update(more)
    assert 77 not in carried.by_hand()
