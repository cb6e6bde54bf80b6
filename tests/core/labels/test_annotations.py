import numpy as np
import pytest

from napari_nucleiseg.core.labels.annotations import (
    known_from_corrections,
    known_from_paint,
    known_inside,
    known_nuclei,
    split_planes,
    stack_name,
)
from napari_nucleiseg.core.labels.pairs import Pair


def test_a_plane_is_one_pair_and_a_stack_one_for_each(nuclei):
    image = np.arange(nuclei.size).reshape(nuclei.shape)
    (pair,) = split_planes(image, nuclei, name="cells")
    assert pair.name == "cells"
    assert np.array_equal(pair.image, image)
    assert np.array_equal(pair.labels, nuclei)
    assert pair.known is None
    stack = np.stack([image, image + 1, image + 2])
    pairs = split_planes(stack, np.stack([nuclei, nuclei * 0, nuclei]), name="cells")
    assert [p.name for p in pairs] == [f"cells [plane {i}]" for i in range(3)]
    assert {stack_name(p.name) for p in pairs} == {"cells"}
    assert np.array_equal(pairs[1].image, image + 1)
    assert not pairs[1].labels.any()


def test_a_layer_that_napari_has_numbered_is_no_plane():
    assert stack_name("cells [1]") == "cells [1]"
    assert stack_name("cells [1] [plane 2, 0]") == "cells [1]"


def test_colour_stacks_and_planes_in_two_directions(nuclei):
    colour = np.zeros((2, 3, *nuclei.shape, 4), np.uint8)
    colour[1, 2, ..., 1] = 9
    labels = np.broadcast_to(nuclei, colour.shape[:-1])
    pairs = split_planes(colour, labels, name="smear", rgb=True)
    assert pairs[-1].name == "smear [plane 1, 2]"
    assert {p.image.shape for p in pairs} == {(*nuclei.shape, 3)}
    assert pairs[-1].image[..., 1].min() == 9
    assert pairs[0].image.max() == 0


def test_an_axis_of_one_is_no_difference(nuclei):
    image = np.zeros((1, 1, *nuclei.shape))
    (pair,) = split_planes(image, nuclei, name="cells")
    assert pair.name == "cells"
    assert pair.image.shape == nuclei.shape


def test_what_is_known_may_be_one_plane_for_all_or_one_for_each(nuclei):
    stack = np.stack([nuclei] * 3)
    half = np.zeros(nuclei.shape, bool)
    half[:, :50] = True
    for known in (half, np.stack([half] * 3)):
        pairs = split_planes(stack, stack, name="a", known=known)
        assert all(np.array_equal(p.known, half) for p in pairs)
    with pytest.raises(
        ValueError, match=r"annotation mask of a .* received \(96, 50\)"
    ):
        split_planes(stack, stack, name="a", known=half[:, :50])


def test_shapes_that_differ_are_both_named():
    with pytest.raises(ValueError, match=r"day3 .* \(2, 9, 8\) and \(9, 8\)"):
        split_planes(np.zeros((2, 9, 8)), np.zeros((9, 8), int), name="day3")
    with pytest.raises(ValueError, match=r"\(9, 8\) and \(9, 8, 3\)"):
        split_planes(np.zeros((9, 8, 3)), np.zeros((9, 8, 3), int), name="a", rgb=True)
    with pytest.raises(ValueError, match="3 or 4 values per pixel"):
        split_planes(np.zeros((9, 8)), np.zeros((9, 8), int), name="a", rgb=True)
    with pytest.raises(TypeError, match=r"real numbers; .* complex"):
        split_planes(np.zeros((9, 8), complex), np.zeros((9, 8), int), name="a")


def test_labels_may_be_whole_floats_or_bool_but_nothing_else(nuclei):
    image = np.zeros(nuclei.shape)

    def labels_of(labels):
        (pair,) = split_planes(image, labels, name="cells")
        return pair.labels

    assert np.array_equal(labels_of(nuclei.astype(np.float32)), nuclei)
    assert labels_of(nuclei.astype(float)).dtype == np.int32
    assert np.array_equal(labels_of(nuclei > 0), nuclei > 0)
    with pytest.raises(ValueError, match=r"cells must be whole numbers.* 0\.5"):
        labels_of(nuclei / 2)
    with pytest.raises(ValueError, match=r"whole numbers.* nan"):
        labels_of(np.where(nuclei == 2, np.nan, nuclei))
    with pytest.raises(ValueError, match=r"0 \(background\) or more; received -1"):
        labels_of(nuclei - 1)


def test_huge_numbers_are_made_small_but_keep_nuclei_apart(nuclei, same_partition):
    huge = nuclei.astype(np.uint64) * 2**60 // 9
    (pair,) = split_planes(np.zeros(nuclei.shape), huge, name="cells")
    assert same_partition(pair.labels, nuclei)
    assert pair.labels.max() == 9
    (pair,) = split_planes(np.zeros((1, 2)), np.array([[2**40, 2**41]]), name="full")
    assert pair.labels.tolist() == [[1, 2]]


def test_of_paint_alone_the_nuclei_and_a_rim_are_known(discs):
    labels = discs((80, 80), [(40, 40)], 15)
    known = known_from_paint(labels)
    assert known[labels > 0].all()
    row = np.flatnonzero(known[40])
    assert (row[0], row[-1]) == (40 - 15 - 3, 40 + 15 + 3)  # a tenth of 30 px
    small = known_from_paint(discs((80, 80), [(40, 40)], 4))
    assert np.flatnonzero(small[40]).tolist() == list(range(34, 47))  # two pixels
    assert not known_from_paint(labels * 0).any()


def test_of_corrected_labels_what_was_touched_is_known_and_the_background_round_it():
    labels = np.zeros((80, 120), int)
    labels[30:50, 20:40] = 1  # accepted
    labels[30:50, 42:62] = 2  # nobody has looked at it
    labels[30:50, 90:110] = 3  # nor at this
    cleared = np.zeros(labels.shape, bool)
    cleared[5:15, 80:90] = True
    known = known_from_corrections(labels, np.array([1]), cleared)
    assert known[labels == 1].all()
    assert not known[labels > 1].any()
    assert known[40, 12]
    assert known[24, 30]
    assert not known[40, 5]
    assert not known[70, 30]
    assert not known[40, 40:42].any()  # at the rim of one that nobody has looked at
    assert known[cleared].all()
    assert not known_from_corrections(labels, np.array([], int)).any()
    # It learns no more of the others, were they all wrong.
    alone = known_from_corrections(np.where(labels == 1, 1, 0), np.array([1]))
    assert alone[known & ~cleared].all()


def test_in_a_complete_region_everything_is_known_and_nothing_outside(discs):
    labels = discs((60, 90), [(30, 20), (30, 75)], 8)
    region = np.zeros(labels.shape, bool)
    region[5:55, :45] = True
    known = known_inside(labels, region)
    # The nucleus outside is not used: nobody has said that it is right.
    assert np.array_equal(known, region)


def test_a_nucleus_cut_off_by_the_regions_edge_is_not_known(discs):
    whole = discs((60, 90), [(30, 20), (30, 45)], 8)
    region = np.zeros(whole.shape, bool)
    region[:, :45] = True
    # Painted across the edge: the part inside is known, and its shape is right.
    assert np.array_equal(known_inside(whole, region), region)
    # Painted up to the edge (with a slip beyond it): its true shape is not known.
    cut = np.where(region, whole, 0)
    cut[30, 45] = 2
    known = known_inside(cut, region)
    assert not known[cut == 2].any()
    assert np.array_equal(known | (cut == 2), region | (cut == 2))


def test_the_images_edge_is_no_edge_of_the_region(discs):
    labels = discs((60, 90), [(30, 2)], 8)
    region = np.zeros(labels.shape, bool)
    region[10:50, :40] = True
    assert np.array_equal(known_inside(labels, region), region)
    with pytest.raises(ValueError, match=r"\(60, 90\); received \(60, 89\)"):
        known_inside(labels, region[:, 1:])


def test_a_nucleus_counts_if_half_of_it_is_known(nuclei):
    assert known_nuclei(Pair(nuclei, nuclei)).tolist() == list(range(1, 10))
    known = np.zeros(nuclei.shape, bool)
    known[:, :63] = True  # the middle column of nuclei ends at 68
    assert known_nuclei(Pair(nuclei, nuclei, known=known)).tolist() == [
        1, 2, 4, 5, 7, 8,
    ]  # fmt: skip
    known[:, 56:] = False
    assert known_nuclei(Pair(nuclei, nuclei, known=known)).tolist() == [1, 4, 7]
