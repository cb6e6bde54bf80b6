import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_nucleiseg.widgets.train.preparing import split_layers
from napari_nucleiseg.widgets.train.sources import _fits


@pytest.fixture
def two():
    """Two nuclei."""
    plane = np.zeros((40, 80), int)
    plane[10:20, 10:20], plane[10:20, 50:62] = 1, 2
    return plane


def split(labels):
    viewer = ViewerModel()
    return split_layers(viewer, viewer.add_labels(labels))


def test_two_nuclei_with_one_number_are_split_whatever_the_number(two):
    for number in (1, 2, 9):
        layer = split((two > 0) * number)
        assert np.unique(layer.data).tolist() == [0, 1, 2]
    several = np.where(two == 2, 7, two)
    several[30:35, 10:20] = 1
    assert np.unique(split(several).data).tolist() == [0, 1, 7, 8]


def test_a_plane_is_split_although_the_highest_number_is_in_another(two):
    layer = split(np.stack([two > 0, two * 20]))
    assert np.unique(layer.data[0]).tolist() == [0, 1, 2]
    assert np.array_equal(layer.data[1], two * 20)


def test_where_there_is_nothing_to_split_no_layer_is_added(two):
    assert split(two) is None
    assert split(np.stack([two, (two == 1) * 5])) is None
    assert split(two * 0) is None


@pytest.mark.parametrize(
    ("image", "labels", "together"),
    [
        ((40, 80), (40, 80), True),
        ((5, 40, 80), (5, 40, 80), True),
        ((5, 2, 40, 80), (5, 40, 80), True),  # channels have no labels of their own
        ((40, 80, 2), (40, 80), True),
        ((5, 1, 40, 80), (5, 40, 80), True),
        ((5, 40, 80), (7, 40, 80), False),
        ((5, 2, 40, 80), (40, 80), False),
        ((40, 80), (40, 81), False),
    ],
)
def test_labels_are_proposed_for_images_of_their_shape(image, labels, together):
    pair = Image(np.zeros(image)), Labels(np.zeros(labels, int))
    assert _fits(*pair) is together
