import numpy as np

from napari_nucleiseg.core.measure.outlines import outlines


def test_a_square_has_four_corners():
    labels = np.zeros((5, 6), int)
    labels[1:3, 2:5] = 3
    (found,) = outlines(labels)
    assert found.label == 3
    assert sorted(found.outer.tolist()) == [[1, 2], [1, 5], [3, 2], [3, 5]]
    assert not found.holes


def test_a_hole_and_a_second_piece():
    labels = np.zeros((8, 8), int)
    labels[0:3, 0:3] = 1
    labels[1, 1] = 0
    labels[3, 3] = 1  # touches the ring at a corner
    ring, dot = outlines(labels)
    assert len(ring.holes) == 1
    assert sorted(ring.holes[0].tolist()) == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert sorted(dot.outer.tolist()) == [[3, 3], [3, 4], [4, 3], [4, 4]]
