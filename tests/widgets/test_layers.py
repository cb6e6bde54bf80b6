"""Labels on their image in a real viewer, and the ways to read a layer."""

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.instances import InstanceSettings
from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.core.segment.predictor import NetworkSpec
from napari_nucleiseg.widgets.shared.layers import (
    channel_choices,
    has_room,
    layer_axes,
    make_features,
    show_result,
)

SIZES = {"T": 3, "C": 2, "Z": 4, "Y": 36, "X": 40}


class Bright:
    """What is bright is nucleus."""

    spec = NetworkSpec(
        name="bright",
        channels=1,
        diameter=8.0,
        diameter_range=(4.0, 16.0),
        settings=InstanceSettings(min_area=1),
    )

    def predict(self, tiles):
        return np.concatenate([tiles, tiles, 0 * tiles], axis=-1)


def moving_squares(axes):
    """An image whose channel 1 shows one square, elsewhere at each place."""
    image = np.zeros([SIZES[a] for a in axes], np.uint8)
    rest = [a for a in axes if a in "TZ"]
    for number, place in enumerate(np.ndindex(*[SIZES[a] for a in rest])):
        at = dict(zip(rest, place, strict=True))
        at |= {"C": 1, "Y": slice(3, 12), "X": slice(2 * number, 2 * number + 9)}
        image[tuple(at[a] for a in axes)] = 200
    return image


PLACED = {
    "TCYX": {},
    "TCZYX": {"scale": (1, 3, 2, 0.5, 0.5), "translate": (0, 4, 1, 2, 3)},
    "CTYX": {},
    "TYXC": {"scale": (2, 1, 1, 0.25)},
    "YXC": {},
}


def test_labels_lie_on_their_image_at_every_position_of_every_slider(viewer):
    for axes, placed in PLACED.items():
        viewer.layers.clear()
        image = viewer.add_image(moving_squares(axes), **placed)
        choice = next(c for c in channel_choices(image, axes) if c.channel == 1)
        result = segment(
            image.data,
            Bright(),
            params=SegmentParams(diameter=8),
            axes=choice.axes,
            channel=choice.channel,
        )
        features = make_features(result, None)
        record = result.record()
        labels = show_result(viewer, image, result, features, into=None, record=record)
        check_every_position(viewer, image, labels, axes)
        # A second run goes into the same layer.
        args = (viewer, image, result, features)
        assert has_room(labels, result)
        assert show_result(*args, into=labels, record=record) == labels
        # What is painted at one channel is there at all of them.
        before = np.count_nonzero(labels.data)
        labels.paint(labels.world_to_data(viewer.dims.point), 77)
        assert np.count_nonzero(labels.data) > before


def check_every_position(viewer, image, labels, axes):
    sliders = [i for i, a in enumerate(axes) if a not in "YX"]
    viewer.dims.order = (*sliders, axes.index("Y"), axes.index("X"))
    steps = [SIZES[axes[i]] for i in sliders]
    assert [viewer.dims.nsteps[i] for i in sliders] == steps
    for place in np.ndindex(*steps):
        at = dict(zip([axes[i] for i in sliders], place, strict=True))
        for axis, step in zip(sliders, place, strict=True):
            viewer.dims.set_current_step(axis, step)
        shows = {**at, "C": 1}
        truth = image.data[tuple(shows.get(a, slice(None)) for a in axes)] > 0
        for y, x in [(7, x) for x in range(1, 40, 3)]:
            pixel = [{**at, "Y": y, "X": x}[a] for a in axes]
            shown = labels.get_value(
                image.data_to_world(pixel),
                view_direction=None,
                dims_displayed=list(viewer.dims.displayed),
                world=True,
            )
            assert bool(shown) == truth[y, x], (axes, place, y, x)


@pytest.fixture
def model():
    return ViewerModel()


def test_the_axes_are_those_that_the_layer_names(model):
    data = np.zeros((3, 2, 40, 50))
    layer = model.add_image(data, axis_labels=("time", "channel", "y", "x"))
    assert layer_axes(layer) == "TCYX"
    labels = [choice.label for choice in channel_choices(layer)]
    assert labels == ["Channel 0", "Channel 1", "Every plane"]
    half = model.add_image(data, axis_labels=("-4", "c", "-2", "-1"))
    assert layer_axes(half) == "QCYX"
    placed = model.add_image(data, axis_labels=("position", "z", "y", "x"))
    assert layer_axes(placed) == "PZYX"
    assert len(channel_choices(placed)) == 1


@pytest.mark.parametrize(
    ("shape", "labels"),
    [
        ((12, 2, 40, 50), ["Every plane", "Channel 0", "Channel 1"]),
        ((40, 50, 2), ["Channel 0", "Channel 1", "Every plane"]),
        ((2, 40, 50), ["Every plane", "Channel 0", "Channel 1"]),
        ((40, 50), ["The only channel"]),
        ((12, 40, 50), ["Every plane"]),
    ],
)
def test_channels_are_offered_where_there_may_be_some(model, shape, labels):
    layer = model.add_image(np.zeros(shape), rgb=False)
    assert [choice.label for choice in channel_choices(layer)] == labels
    for choice in channel_choices(layer):
        assert len(choice.axes) == len(shape)


@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_the_axes_are_those_of_the_file_it_was_opened_from(model, tmp_path, kind):
    data = np.random.default_rng(0).integers(0, 9, (3, 2, 40, 50)).astype(np.uint16)
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    tifffile.imwrite(path, data, imagej=kind == "imagej", metadata={"axes": "TCYX"})
    (layer,) = model.open(path, plugin="napari")
    assert layer.data.shape == data.shape
    assert layer_axes(layer) == "TCYX"
    assert [choice.label for choice in channel_choices(layer)][:2] == [
        "Channel 0",
        "Channel 1",
    ]
    cut = layer.data[:, 0]
    layer.data = cut
    assert layer_axes(layer) == "QYX"  # no longer what the file holds


def test_other_axes_than_the_data_can_have_are_refused(model):
    layer = model.add_image(np.zeros((3, 2, 40, 50)))
    with pytest.raises(ValueError, match=r"4 axes \(3 × 2 × 40 × 50\).*'TYX'"):
        channel_choices(layer, "TYX")
    (choice,) = channel_choices(layer, "tzyx")
    assert choice.axes == "TZYX"


def test_the_axes_are_shown_and_can_be_changed(docked):
    viewer, widget = docked.viewer, docked.widget
    image = viewer.add_image(np.zeros((3, 2, 40, 50)), name="lapse")
    axes, channels = widget.inputs.axes, widget.inputs.channel.native
    assert axes.native.isVisible()
    assert axes.value == "QQYX"
    axes.value = "TC"
    assert not widget.run_button.isEnabled()
    assert "4 axes (3 × 2 × 40 × 50)" in widget.run_button.toolTip()
    axes.value = "tcyx"
    assert widget.run_button.isEnabled()
    offered = [channels.itemText(i) for i in range(channels.count())]
    assert offered == ["Channel 0", "Channel 1", "Every plane"]
    assert widget.inputs.chosen_channel().axes == "TCYX"
    viewer.add_image(np.zeros((40, 50)), name="flat")
    widget.image_box.setCurrentText("flat")
    assert not axes.native.isVisible()
    widget.image_box.setCurrentText("lapse")
    assert axes.value == "tcyx"  # as it was set for this layer
    assert widget.chosen_layer() == image
