import numpy as np

from napari_nucleiseg.core.score.changes import compare


def test_what_appeared_vanished_split_and_merged():
    before = np.zeros((60, 120), int)
    before[5:15, 5:15] = 4  # stays
    before[5:15, 25:45] = 5  # is split
    before[5:15, 60:70] = 6  # these two are merged
    before[5:15, 71:81] = 7
    before[30:40, 5:15] = 8  # vanishes
    before[30:40, 30:40] = 9  # becomes much larger
    after = np.zeros_like(before)
    after[5:15, 5:15] = 1
    after[5:15, 25:34] = 2
    after[5:15, 36:45] = 3
    after[5:15, 60:81] = 4
    after[25:45, 25:45] = 5
    after[50:60, 100:110] = 6
    changes = compare(before, after)
    assert changes.counts() == {
        "appeared": 1,
        "vanished": 1,
        "split": 1,
        "merged": 2,
        "reshaped": 1,
    }
    assert changes.before == {
        4: "same",
        5: "split",
        6: "merged",
        7: "merged",
        8: "vanished",
        9: "reshaped",
    }
    assert changes.after == {
        1: "same",
        2: "split",
        3: "split",
        4: "merged",
        5: "reshaped",
        6: "appeared",
    }
