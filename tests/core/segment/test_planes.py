import numpy as np
import pytest

from napari_nucleiseg.core.segment.planes import (
    from_image_axes,
    guess_axes,
    guess_rgb,
    read_as,
    to_image_axes,
    to_planes,
)


def test_rgb_is_guessed_as_napari_does():
    assert guess_rgb((60, 70, 3))
    assert guess_rgb((5, 60, 70, 4))
    assert not guess_rgb((3, 60, 70))
    assert not guess_rgb((60, 4, 3))
    assert to_planes(np.zeros((60, 70, 3)))[1] == (60, 70)
    assert to_planes(np.zeros((4, 4, 3)), axes="YXS")[1] == (4, 4)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((60, 70), "YX"),
        ((60, 70, 4), "YXS"),
        ((60, 70, 2), "YXC"),
        ((9, 60, 70, 2), "QYXC"),
        ((2, 60, 70), "QYX"),
        ((12, 2, 60, 70), "QQYX"),
        ((9, 8, 2), "QYX"),
    ],
)
def test_axes_are_guessed_from_the_shape(shape, axes):
    assert guess_axes(shape) == axes


@pytest.mark.parametrize(
    ("shape", "axes", "channel", "read"),
    [
        ((2, 60, 70), None, 1, "CYX"),
        ((12, 2, 60, 70), None, 1, "QCYX"),
        ((2, 12, 60, 70), None, 0, "CQYX"),
        ((9, 60, 70), None, 8, "CYX"),  # asked for, though there are many
        ((60, 70, 3), None, 2, "YXS"),
        ((3, 2, 60, 70), "TCYX", 1, "TCYX"),
        ((3, 2, 60, 70), "tqyx", 1, "TCYX"),
        ((60, 70), None, 0, "YX"),
    ],
)
def test_a_channel_is_that_of_the_axis_that_can_hold_it(shape, axes, channel, read):
    reading = read_as(shape, axes, channel)
    assert reading.axes == read
    assert reading.channel == (None if read == "YX" else channel)
    assert not reading.warnings


SIZES = {"T": 3, "C": 2, "Z": 4, "Y": 6, "X": 5}


@pytest.mark.parametrize(
    "axes", ["YX", "XY", "CYX", "TCYX", "TCZYX", "CZYX", "YXC", "XYZCT", "ZYXS", "SYX"]
)
def test_planes_of_any_order_of_axes(axes):
    shape = [3 if a == "S" else SIZES[a] for a in axes]
    image = np.random.default_rng(0).random(shape)
    channel = 1 if "C" in axes else None
    planes, labels_shape = to_planes(image, axes=axes, channel=channel)
    # Written out: each plane by its place on the other axes.
    letters = axes
    if channel is not None:
        image = np.take(image, 1, letters.index("C"))
        letters = letters.replace("C", "")
    rest = [a for a in letters if a not in "YXS"]
    assert labels_shape == tuple(SIZES[a] for a in [*rest, "Y", "X"])
    places = list(np.ndindex(*[SIZES[a] for a in rest]))
    assert len(planes) == len(places)
    for plane, place in zip(planes, places, strict=True):
        at = dict(zip(rest, place, strict=True))
        wanted = image[tuple(at.get(a, slice(None)) for a in letters)]
        left = [a for a in letters if a not in rest]
        wanted = wanted.transpose([left.index(a) for a in "YXS" if a in left])
        assert np.array_equal(plane if "S" in axes else plane[..., 0], wanted)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("YX", (6, 5)),
        ("CYX", (6, 5)),
        ("CZYX", (4, 6, 5)),
        ("TCYX", (3, 1, 6, 5)),
        ("TZCYX", (3, 4, 1, 6, 5)),
        ("YXC", (6, 5, 1)),
        ("XYZCT", (5, 6, 4, 1, 3)),
        ("ZYXS", (4, 6, 5)),
    ],
)
def test_labels_take_the_order_of_their_images_axes(axes, shape):
    rest = [a for a in axes if a not in "CSYX"]
    wanted = [SIZES[a] for a in [*rest, "Y", "X"]]
    labels = np.arange(np.prod(wanted)).reshape(wanted)
    placed = to_image_axes(labels, axes)
    assert placed.shape == shape
    assert np.array_equal(from_image_axes(placed, axes), labels)
    if axes == "XYZCT":
        assert placed[4, 2, 3, 0, 1] == labels[3, 1, 2, 4]


def test_a_masked_array_is_refused():
    with pytest.raises(TypeError, match=r"masked array .* image\.filled\(value\)"):
        to_planes(np.ma.masked_array(np.zeros((3, 4))))
