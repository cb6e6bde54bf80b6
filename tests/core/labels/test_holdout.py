import numpy as np
import pytest

from napari_nucleiseg.core.labels.annotations import known_nuclei, split_planes
from napari_nucleiseg.core.labels.holdout import check_apart, split_validation
from napari_nucleiseg.core.labels.pairs import Pair


def field(discs, n, name, side=200):
    """Return a pair with n nuclei in rows of ten."""
    centres = [(10 + 20 * (i // 10), 10 + 20 * (i % 10)) for i in range(n)]
    labels = discs((side, side), centres, 7)
    return Pair(labels * 10, labels, name)


def count(pairs):
    return sum(known_nuclei(pair).size for pair in pairs)


def names(pairs):
    return [pair.name for pair in pairs]


@pytest.mark.parametrize("seed", range(5))
def test_images_are_held_out_so_that_their_nuclei_are_near_the_share(discs, seed):
    sizes = (80, 3, 40, 30, 20, 10, 15, 7)
    pairs = [field(discs, n, f"image {n}") for n in sizes]
    training, validation = split_validation(pairs, 0.2, seed)
    assert sorted(names(training) + names(validation)) == sorted(names(pairs))
    assert 0.18 < count(validation) / sum(sizes) < 0.22
    assert names(split_validation(pairs, 0.2, seed)[1]) == names(validation)


def test_the_seed_chooses_which(discs):
    pairs = [field(discs, 10, str(i)) for i in range(10)]
    chosen = {tuple(names(split_validation(pairs, 0.2, seed)[1])) for seed in range(6)}
    assert len(chosen) > 1
    assert all(len(held) == 2 for held in chosen)


def test_one_nucleus_is_not_enough_to_judge_by(discs):
    pairs = [field(discs, n, str(n)) for n in (1, 30, 30)]
    for seed in range(4):
        training, validation = split_validation(pairs, 0.2, seed)
        assert 10 <= count(validation) <= 14
        assert count(training) + count(validation) == 61


@pytest.mark.parametrize("sizes", [(30, 30), (40, 30), (50, 45, 2)])
def test_where_whole_images_would_be_too_much_the_largest_is_parted(discs, sizes):
    pairs = [field(discs, n, str(n)) for n in sizes]
    training, validation = split_validation(pairs, 0.2)
    assert names(validation) == [f"{max(sizes)} (held out)"]
    assert 0.13 < count(validation) / sum(sizes) < 0.27
    assert count(training) + count(validation) == sum(sizes)


def test_of_two_stacks_alike_planes_of_one_are_held_out(discs):
    plane = field(discs, 10, "").labels
    pairs = []
    for name in "ab":
        pairs += split_planes(np.stack([plane] * 5), np.stack([plane] * 5), name=name)
    training, validation = split_validation(pairs, 0.2)
    assert len(training) == 8
    assert len({name[0] for name in names(validation)}) == 1


def test_two_images_of_which_none_can_be_parted_are_held_out_whole(discs):
    pairs = [field(discs, 1, "a"), field(discs, 1, "b")]
    training, validation = split_validation(pairs, 0.2)
    assert count(training) == count(validation) == 1


def test_images_without_a_name_are_different_images(discs):
    pairs = [field(discs, 10, "") for _ in range(5)]
    training, validation = split_validation(pairs, 0.2)
    assert (len(training), len(validation)) == (4, 1)
    assert training[0].known is None


def test_planes_of_one_stack_stay_together(discs):
    plane = field(discs, 10, "").labels
    stack = np.stack([plane] * 4)
    pairs = split_planes(stack, stack, name="stack")
    pairs += [field(discs, 20, "single")]
    for seed in range(4):
        training, validation = split_validation(pairs, 0.4, seed)
        assert names(validation) == ["single"]
        assert len(training) == 4


def test_of_a_single_stack_planes_in_a_row_are_held_out(discs):
    plane = field(discs, 10, "").labels
    stack = np.stack([plane] * 10)
    pairs = split_planes(stack, stack, name="stack")
    ends = set()
    for seed in range(8):
        training, validation = split_validation(pairs, 0.2, seed)
        assert len(training) == 8
        ends.add(tuple(names(validation)))
    assert ends == {
        ("stack [plane 0]", "stack [plane 1]"),
        ("stack [plane 8]", "stack [plane 9]"),
    }


def test_images_without_nuclei_are_trained_on(discs):
    pairs = [field(discs, 0, "empty"), field(discs, 30, "full")]
    training, validation = split_validation(pairs, 0.2)
    assert names(training) == ["empty", "full"]
    assert names(validation) == ["full (held out)"]


def test_what_nothing_is_known_of_is_left_out(discs):
    blank = field(discs, 5, "unknown")
    blank = Pair(blank.image, blank.labels, "unknown", known=np.zeros((200, 200), bool))
    pairs = [blank, field(discs, 10, "a"), field(discs, 10, "b")]
    training, validation = split_validation(pairs, 0.2)
    assert sorted(names(training + validation)) == ["a", "a (held out)", "b"]


def random_field(seed, shape=(150, 320), n=60):
    """Return labels of discs of many sizes in no order, which may touch."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    y, x = np.indices(shape)
    for number in range(1, n + 1):
        cy, cx = rng.uniform((0, 0), shape)
        disc = (y - cy) ** 2 + (x - cx) ** 2 <= rng.uniform(4, 10) ** 2
        labels[disc & (labels == 0)] = number
    return labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("turned", [False, True])
def test_a_strip_of_a_single_image_is_held_out(seed, turned):
    labels = random_field(seed)
    labels = labels.T.copy() if turned else labels
    image = np.random.default_rng(0).random((*labels.shape, 3))
    (training,), (validation,) = split_validation([Pair(image, labels, "one")], 0.2)
    assert validation.image.shape[:2] == validation.labels.shape
    # Cut across the longer side, nothing twice and nothing lost.
    axis = 0 if turned else 1
    assert training.labels.shape[1 - axis] == 150
    both = training.labels.shape[axis] + validation.labels.shape[axis]
    assert both == 320
    kept = count([training]), count([validation])
    assert kept[1] / sum(kept) == pytest.approx(0.2, abs=0.06)
    assert sum(kept) > 45
    # A nucleus on the cut is known to neither.
    for part in (training, validation):
        for number in np.unique(part.labels[part.labels > 0]):
            here = part.labels == number
            is_cut = here.sum() < (labels == number).sum()
            known = np.ones(here.shape, bool) if part.known is None else part.known
            assert known[here].all() != is_cut
            assert known[here].any() != is_cut


def test_a_strip_knows_no_more_than_the_image_did(discs):
    pair = field(discs, 60, "one")
    known = np.zeros(pair.labels.shape, bool)
    known[:60, :] = True
    pair = Pair(pair.image, pair.labels, "one", known=known)
    training, validation = split_validation([pair], 0.2)
    assert count(training) + count(validation) == 30
    assert count(validation) == 6
    known = training[0].known.sum() + validation[0].known.sum()
    assert known == 60 * 200


def test_nuclei_in_a_column_are_parted_across_the_other_side(discs):
    labels = discs((100, 130), [(20, 60), (50, 60), (80, 60)], 12)
    training, validation = split_validation([Pair(labels, labels, "a")], 0.2)
    assert (count(training), count(validation)) == (2, 1)


def test_what_cannot_be_parted_says_so(discs):
    one = discs((60, 60), [(30, 30)], 8)
    with pytest.raises(ValueError, match=r"nuclei of dish \(1\) cannot be split"):
        split_validation([Pair(one, one, "dish")])
    with pytest.raises(ValueError, match="no nucleus is painted"):
        split_validation([Pair(one, one * 0, "dish")])
    with pytest.raises(ValueError, match=r"between 0 and 1; received 1\.0"):
        split_validation([field(discs, 30, "a")], 1.0)


def test_images_to_test_on_are_never_learnt_from():
    image = np.arange(81.0).reshape(9, 9)
    learnt = Pair(image, np.eye(9, dtype=int), "learnt")
    other = Pair(image.T, np.eye(9, dtype=int), "learnt")
    check_apart([learnt], [other])
    with pytest.raises(ValueError, match=r"copy\.tif, is the same as learnt"):
        check_apart([learnt], [Pair(image.copy(), np.eye(9, dtype=int), "copy.tif")])
