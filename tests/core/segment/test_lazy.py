"""Images that are read a window at a time."""

import numpy as np
import pytest

from napari_nucleiseg.core.segment import image as images
from napari_nucleiseg.core.segment.lazy import LazyPlanes
from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.core.segment.planes import read_as, to_planes


class OnDisk:
    """An array that cannot be had as a whole, and notes what is read of it."""

    def __init__(self, data):
        self._data, self.shape, self.dtype = data, data.shape, data.dtype
        self.largest = 0

    def __getitem__(self, where):
        part = self._data[where]
        self.largest = max(self.largest, part.size)
        return part

    def __array__(self, *args, **kwargs):
        raise AssertionError("read as a whole")


@pytest.mark.parametrize(
    ("axes", "shape", "channel"),
    [
        ("YX", (20, 30), None),
        ("YXS", (20, 30, 4), None),
        ("YXS", (20, 30, 3), 1),
        ("TCYX", (2, 3, 20, 30), 2),
        ("CZXY", (3, 4, 30, 20), 0),
        ("TYXCZ", (2, 20, 30, 2, 3), 1),
    ],
)
def test_planes_are_those_of_the_array(axes, shape, channel):
    data = np.random.default_rng(0).integers(0, 200, shape, np.uint8)
    wanted, labels_shape = to_planes(data, axes=axes, channel=channel)
    planes = LazyPlanes(OnDisk(data), read_as(shape, axes, channel))
    assert planes.shape == wanted.shape
    assert (*planes.stack, *planes.shape[1:3]) == labels_shape
    window = np.s_[3:11, 5:20]
    for index in range(len(planes)):
        np.testing.assert_array_equal(planes[index][window], wanted[index][window])


def test_an_image_is_never_read_as_a_whole(predictor, nuclei, monkeypatch):
    image = np.tile(np.where(nuclei > 0, 200, 10).astype(np.uint8), (8, 8))
    wanted = segment(image, predictor)
    monkeypatch.setattr(images, "LARGE", 100_000)
    monkeypatch.setattr(images, "SAMPLES", 3)
    monkeypatch.setattr(images, "SAMPLE", 64)
    lazy = OnDisk(image)
    found = segment(lazy, predictor)
    assert image.size > 700_000
    assert lazy.largest <= 512**2
    # There are two values, which any sample shows.
    np.testing.assert_array_equal(found.labels, wanted.labels)


def test_what_is_no_number_is_refused(predictor):
    with pytest.raises(TypeError, match="real numbers; received values of type comp"):
        segment(OnDisk(np.zeros((20, 20), complex)), predictor)


def test_what_keeps_whatever_dask_reads_does_not_hear_of_it():
    arrays = pytest.importorskip("dask.array")
    callbacks = pytest.importorskip("dask.callbacks")
    read = []
    image = arrays.from_array(np.ones((40, 60)), chunks=(20, 20))
    planes = LazyPlanes(image, read_as(image.shape))
    with callbacks.Callback(pretask=lambda key, *_: read.append(key)):
        assert planes[0][np.s_[5:25, 10:50]].shape == (20, 40, 1)
    assert not read
