import numpy as np
import pytest

from napari_nucleiseg.core.measure import measure


@pytest.fixture
def labels():
    labels = np.zeros((10, 12), np.int32)
    labels[1:3, 2:6] = 1
    labels[5:8, 7:8] = 2
    return labels


def test_areas_and_centres(labels):
    table = measure(labels)
    assert table["label"].tolist() == [1, 2]
    assert table["area"].tolist() == [8, 3]
    assert table["centroid_y"].tolist() == [1.5, 6]
    assert table["centroid_x"].tolist() == [3.5, 7]
    assert "mean_intensity" not in table
    assert "confidence" not in table


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.float16, np.float64])
def test_mean_intensity(labels, dtype):
    image = np.zeros(labels.shape, dtype)
    image[labels == 1] = 1
    image[1, 2:6] = 0
    assert measure(labels, image)["mean_intensity"].tolist() == [0.5, 0]


def test_colour_is_averaged_and_alpha_left_out(labels):
    image = np.zeros((*labels.shape, 4), np.uint8)
    image[..., :3] = (30, 60, 90)
    image[..., 3] = 255
    assert measure(labels, image)["mean_intensity"].tolist() == [60, 60]
    assert measure(labels, image[..., :3])["mean_intensity"].tolist() == [60, 60]


def test_a_stack_has_centres_along_every_axis(labels):
    stack = np.stack([np.zeros_like(labels), labels])
    table = measure(stack, stack.astype(float))
    assert table["centroid_0"].tolist() == [1, 1]
    assert table["centroid_y"].tolist() == [1.5, 6]
    assert table["mean_intensity"].tolist() == [1, 2]


def test_columns_are_as_long_as_there_are_nuclei(labels):
    confidence = np.array([0.9, 0.8], np.float32)
    table = measure(labels, labels, confidence)
    assert {len(column) for column in table.values()} == {2}
    assert table["confidence"].tolist() == confidence.tolist()
    table = measure(labels * 0, labels, np.zeros(0, np.float32))
    assert {len(column) for column in table.values()} == {0}


def test_an_image_of_another_shape_is_refused(labels):
    with pytest.raises(ValueError, match=r"\(10, 12\); received \(9, 12\)"):
        measure(labels, np.zeros((9, 12)))
