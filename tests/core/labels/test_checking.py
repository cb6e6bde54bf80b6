import numpy as np
import pytest

from napari_nucleiseg.core.labels.annotations import split_planes
from napari_nucleiseg.core.labels.checking import Finding, check_pairs
from napari_nucleiseg.core.labels.pairs import Pair, median_diameter
from napari_nucleiseg.core.labels.pieces import split_labels
from napari_nucleiseg.io.sample_data import load_sample


def check(*pairs, diameter=20.0, **options):
    return check_pairs(pairs, diameter=diameter, diameter_range=(12.5, 36.0), **options)


def codes(found):
    return [finding.code for finding in found.findings]


def text(found, code):
    (finding,) = [f for f in found.findings if f.code == code]
    return finding.text


@pytest.fixture
def crowd():
    sample = load_sample("crowded")
    return Pair(sample.image, sample.labels, "crowded")


def test_good_pairs_are_counted_and_nothing_else(crowd):
    found = check(crowd)
    assert codes(found) == ["summary"]
    assert found.usable
    assert found.nuclei == 133
    assert found.diameter == median_diameter(crowd.labels)
    assert "133 nuclei in 1 image or plane, 27\xa0px wide" in found.findings[0].text


def test_another_size_than_the_models_is_said(crowd):
    assert "shrunk" in text(check_pairs([crowd], diameter=10, diameter_range=(6, 18)),
                            "size")  # fmt: skip
    assert "enlarged" in text(
        check_pairs([crowd], diameter=60, diameter_range=(40, 90)), "size"
    )


def test_what_resizing_makes_of_the_nuclei_is_said(crowd):
    found = check(crowd, resize=256)
    assert found.usable
    assert "Resized to 256 × 256 px, your nuclei are 12.1 px" in text(found, "size")
    found = check(crowd, resize=64)
    assert not found.usable
    assert "4 px is the least that can be learnt" in text(found, "size")


def test_sizes_that_do_not_fit_are_an_error(crowd):
    found = check(crowd, Pair(crowd.image[:99], crowd.labels, "odd"))
    assert not found.usable
    assert "odd" in text(found, "shape")
    assert "99 × 696 and 520 × 696" in text(found, "shape")
    assert found.findings[0].names == ("odd",)
    assert found.nuclei == 133


def test_labels_that_are_none_are_an_error(crowd):
    found = check(Pair(crowd.image, crowd.labels / 2, "odd"))
    assert "whole numbers" in text(found, "labels")
    assert not found.usable


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_is_recognised_and_splitting_it_helps(crowd, value):
    mask = (crowd.labels > 0) * value
    found = check(Pair(crowd.image, mask, "mask"))
    assert "mask of nucleus and background" in text(found, "semantic")
    assert not found.usable
    assert found.nuclei > 90  # its pieces, not one
    split = check(Pair(crowd.image, split_labels(mask), "mask"))
    assert split.usable
    assert "semantic" not in codes(split)


def test_a_mask_of_which_little_is_known_is_recognised(crowd):
    known = np.zeros(crowd.labels.shape, bool)
    known[:150, :150] = True
    found = check(Pair(crowd.image, crowd.labels > 0, "mask", known=known))
    assert "semantic" in codes(found)
    assert "none" not in codes(found)
    assert 3 < found.nuclei < 30


def test_labels_in_pieces_are_counted_and_splitting_them_helps(crowd):
    labels = crowd.labels.copy()
    labels[labels == 20] = 70
    labels[labels == 21] = 71
    found = check(crowd, Pair(crowd.image, labels, "twice"))
    assert "2 labels (such as 70) have several separate pieces in twice" in text(
        found, "pieces"
    )
    assert found.of_level("warning")[0].names == ("twice",)
    assert found.usable
    assert codes(check(Pair(crowd.image, split_labels(labels)))) == ["summary"]


def test_a_slip_of_the_brush_is_no_piece(crowd):
    labels = crowd.labels.copy()
    labels[tuple(np.argwhere(labels == 0)[0])] = 5
    assert codes(check(Pair(crowd.image, labels))) == ["summary"]


def test_classes_instead_of_nuclei_are_an_error(crowd):
    classes = np.where(crowd.labels > 0, crowd.labels % 3 + 1, 0)
    found = check(Pair(crowd.image, classes, "classes"))
    assert "3 labels" in text(found, "pieces")
    assert not found.usable


def test_masks_without_nuclei_are_named(crowd):
    blank = crowd.labels * 0
    stack = np.stack([crowd.image] * 5)
    labels = np.stack([crowd.labels, *[blank] * 4])
    found = check(*split_planes(stack, labels, name="z"))
    assert "in z [plane 1], z [plane 2] and 2 more:" in text(found, "empty")
    assert found.usable
    nothing = np.zeros(blank.shape, bool)
    found = check(crowd, Pair(crowd.image, blank, "later", known=nothing))
    assert "empty" not in codes(found)
    assert "later: not used" in text(found, "unknown")
    found = check(Pair(crowd.image, blank, "a"))
    assert "none" in codes(found)
    assert not found.usable


def test_only_nuclei_that_are_known_count(crowd):
    known = np.zeros(crowd.labels.shape, bool)
    known[:, :300] = True
    found = check(Pair(crowd.image, crowd.labels, "half", known=known))
    assert 30 < found.nuclei < 90


def test_an_image_without_contrast_is_an_error_if_nuclei_are_painted(crowd):
    flat = np.full(crowd.image.shape, 7)
    found = check(crowd, Pair(flat, crowd.labels, "flat"))
    assert "no contrast in flat" in text(found, "constant")
    assert not found.usable
    assert check(crowd, Pair(flat, crowd.labels * 0, "flat")).usable


def test_a_numbered_background_is_noticed(crowd):
    labels = np.where(crowd.labels == 0, 200, crowd.labels)
    found = check(Pair(crowd.image, labels, "inverted"))
    assert "inverted. Is the background numbered?" in text(found, "background")


def test_specks_and_small_images_are_noted(crowd):
    labels = crowd.labels.copy()
    y, x = np.argwhere(labels == 0)[0]
    labels[y, x] = 999
    assert "1 label is less than a twentieth" in text(
        check(Pair(crowd.image, labels, "a")), "tiny"
    )
    strip = Pair(crowd.image[100:140], crowd.labels[100:140], "strip")
    found = check(crowd, strip)
    assert "strip" in text(found, "small")
    assert found.usable


@pytest.mark.parametrize(
    ("nuclei", "level"), [(4, "error"), (5, "warning"), (24, "warning"), (25, None)]
)
def test_too_few_nuclei(crowd, nuclei, level):
    labels = np.where(crowd.labels <= nuclei, crowd.labels, 0)
    few = [f for f in check(Pair(crowd.image, labels)).findings if f.code == "few"]
    assert [f.level for f in few] == ([level] if level else [])
    assert all(f"Only {nuclei} nuclei" in f.text for f in few)


def test_what_cannot_be_split_is_an_error_unless_it_need_not_be():
    labels = np.zeros((90, 90), int)
    for number in range(6):  # rings round one another
        labels[number * 7 : 90 - number * 7, number * 7 : 90 - number * 7] = number + 1
    image = labels * 10
    assert "cannot be split" in text(check(Pair(image, labels, "rings")), "split")
    assert check(Pair(image, labels, "rings"), share=None).usable


def test_what_was_found_before_comes_along_the_worst_first(crowd):
    also = [Finding("warning", "file", "a"), Finding("error", "file", "b")]
    found = check(crowd, also=also)
    assert [f.level for f in found.findings] == ["error", "warning", "note"]
    assert not found.usable


def test_nothing_at_all_is_an_error():
    assert codes(check()) == ["none"]
