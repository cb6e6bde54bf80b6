import numpy as np

from napari_nucleiseg.core.labels.pieces import separate_pieces, split_labels


def test_pieces_get_numbers_of_their_own_and_the_largest_keeps_its(discs):
    labels = discs((60, 90), [(20, 20)], 8) * 4
    labels += discs((60, 90), [(40, 40)], 6) * 4
    labels += discs((60, 90), [(20, 70)], 7) * 9
    out = separate_pieces(labels)
    assert out[20, 20] == 4
    assert out[20, 70] == 9
    assert out[40, 40] == 10
    assert np.array_equal(out > 0, labels > 0)
    assert out.dtype == np.int32


def test_slips_of_the_brush_are_rubbed_out(discs):
    labels = discs((60, 90), [(20, 20)], 8)
    labels[50, 60:63] = 1
    out = separate_pieces(labels)
    assert np.unique(out).tolist() == [0, 1]
    assert not out[50].any()
    # A small nucleus with its own number is no slip.
    labels[50, 60:63] = 2
    assert np.array_equal(separate_pieces(labels), labels)


def test_pixels_that_meet_at_a_corner_are_one_piece():
    labels = np.eye(9, dtype=int) * 3
    assert np.array_equal(separate_pieces(labels), labels)
    assert split_labels(labels).max() == 1


def test_a_stack_is_split_plane_by_plane(discs):
    plane = discs((60, 90), [(20, 20), (20, 70)], 8)
    out = split_labels(np.stack([plane > 0, plane]))
    assert np.unique(out[0]).tolist() == [0, 1, 2]
    assert np.array_equal(out[1], plane)


def test_a_mask_of_nucleus_and_background_is_numbered(nuclei, same_partition):
    for mask in (nuclei > 0, (nuclei > 0) * 255, (nuclei > 0).astype(float)):
        out = split_labels(mask)
        assert same_partition(out, nuclei)
        assert out.max() == 9
    # Of a mask no piece is a slip, however large the others are.
    mask = (nuclei > 0).astype(int)
    mask[:40] = 1
    mask[44:46, 0:2] = 1
    assert split_labels(mask)[44, 0] > 0
    twice = np.where(nuclei == 9, 1, nuclei)
    assert same_partition(split_labels(twice), nuclei)
    assert not split_labels(nuclei * 0).any()
