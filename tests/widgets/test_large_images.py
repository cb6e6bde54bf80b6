"""Images too large for memory, in a real napari window: by blocks, to a file."""

import dask.array
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.models import by_block
from napari_nucleiseg.models.registry import find_model
from napari_nucleiseg.widgets.segment import forecast_line, kept_blocks, large
from napari_nucleiseg.widgets.shared import job_shell, opening_lazily

from .conftest import press, result_layers, squares, wait_until_done

SIDE = 700


@pytest.fixture(autouse=True)
def low_limits(monkeypatch, slow):
    """Take a small image for a large one, of many blocks."""
    monkeypatch.setattr(large, "LARGE", 300 * 300)
    monkeypatch.setattr(large, "BLOCK", 256)
    slow.seconds, slow.model, slow.threads = 0.0, find_model(), 2


class Watched:
    """An array that notes how much of it is read at once."""

    def __init__(self, array):
        self.array, self.most = array, 0
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, where):
        part = self.array[where]
        self.most = max(self.most, part.size)
        return part


@pytest.fixture
def out(docked, tmp_path):
    """Where labels go; chosen when a large image is."""
    path = tmp_path / "out.zarr"

    def choose():
        docked.widget.inputs.output.value = path
        return path

    return choose


def test_a_pyramid_is_segmented_without_being_read_whole(docked, qtbot, slow, out):
    viewer, widget = docked.viewer, docked.widget
    image = squares((SIDE, SIDE))
    watched = Watched(image)
    first = dask.array.from_array(watched, chunks=(128, 128), name=False)
    levels = [first, dask.array.from_array(image[::2, ::2])]
    viewer.add_image(levels, multiscale=True, name="a", scale=(2, 3), translate=(5, 7))
    path = out()
    watched.most = 0
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert "289 nuclei found" in widget.result_line.text()
    assert str(path) in widget.result_line.text()
    assert 0 < watched.most <= 128 * 128
    (layer,) = result_layers(viewer)
    assert layer.multiscale
    assert isinstance(layer.data[0], dask.array.Array)
    wanted = segment(image, slow).labels
    np.testing.assert_array_equal(layer.data[0], wanted)
    np.testing.assert_array_equal(layer.scale, (2, 3))
    np.testing.assert_array_equal(layer.translate, (5, 7))
    assert len(layer.features) == 289
    table = pd.read_parquet(path.with_suffix(".parquet"))
    assert table["area"].sum() == (wanted > 0).sum()


def test_planes_of_a_numpy_stack_go_to_a_file_too(docked, qtbot, slow, out):
    viewer, widget = docked.viewer, docked.widget
    stack = np.stack([squares((400, 300)), np.zeros((400, 300), np.uint8)])[:, None]
    viewer.add_image(stack, name="a", axis_labels=("t", "c", "y", "x"))
    path = out()
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    wanted = segment(stack, slow, axes="TCYX", channel=0).labels
    np.testing.assert_array_equal(np.asarray(layer.data)[:, 0], wanted)
    assert layer.data.shape == (2, 1, 400, 300)
    written = zarr.open_group(path, mode="r")
    assert written["s0"].shape == (2, 400, 300)
    assert written.attrs["ome"]["multiscales"][0]["name"] == "out"


def test_a_large_tiff_is_opened_without_being_read(
    docked, qtbot, tmp_path, monkeypatch
):
    viewer, widget = docked.viewer, docked.widget
    path = tmp_path / "slide.ome.tif"
    about = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, squares((SIDE, SIDE)), tile=(128, 128), metadata=about)
    monkeypatch.setattr(
        opening_lazily.QFileDialog, "getOpenFileName", lambda *a: (str(path), "")
    )
    menu = viewer.window.file_menu
    (utilities,) = (a.menu() for a in menu.actions() if a.text() == "IO Utilities")
    (command,) = (a for a in utilities.actions() if "large image" in a.text())
    command.trigger()
    (layer,) = viewer.layers
    assert isinstance(layer.data, dask.array.Array)
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))
    assert widget.inputs.output.value == tmp_path / "slide_nuclei.zarr"


def test_small_images_stay_in_memory(docked, qtbot):
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(squares((200, 200)), name="a")
    assert not widget.inputs.output.visible
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    assert isinstance(layer.data, np.ndarray)
    viewer.add_image(squares((400, 400)), name="b")
    assert widget.inputs.output.visible
    assert widget.inputs.output.value.name == "b_nuclei.zarr"


def test_a_cancelled_run_goes_on(docked, qtbot, slow, out, monkeypatch):
    viewer, widget = docked.viewer, docked.widget
    image = squares((SIDE, SIDE))
    viewer.add_image(image, name="a")
    path, part = out(), out().with_name("out.zarr.part")
    slow.seconds = 0.2
    press(qtbot, widget)
    qtbot.waitUntil(lambda: len(list(part.glob("*.npz"))) >= 2, timeout=30_000)
    press(qtbot, widget)
    assert widget.run_button.text() == "Cancel"
    qtbot.waitUntil(lambda: not widget.is_busy, timeout=2000)
    assert "press Segment to go on" in widget.result_line.text()
    qtbot.wait(300)
    done = len(list(part.glob("*.npz")))
    assert 2 <= done < 9
    assert not path.exists()
    said = widget.kept_blocks.line.text()
    assert f"{done} blocks are done of an earlier run" in said
    assert "Segment goes on" in said
    slow.seconds = 0.0
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    np.testing.assert_array_equal(layer.data[0], segment(image, slow).labels)
    tiles = slow.tiles
    press(qtbot, widget)  # all is there
    wait_until_done(qtbot, widget)
    assert slow.tiles == tiles
    assert result_layers(viewer) == [layer]


def test_what_a_run_has_left_can_be_discarded(docked, qtbot, slow, out, monkeypatch):
    viewer, widget = docked.viewer, docked.widget
    monkeypatch.setattr(kept_blocks, "ask", lambda *a, **k: True)
    viewer.add_image(squares((SIDE, SIDE)), name="a")
    path, part = out(), out().with_name("out.zarr.part")
    assert not widget.kept_blocks.isVisible()
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert "Kept for sliders and other regions" in widget.kept_blocks.line.text()
    widget.kept_blocks.button.click()
    assert not part.exists()
    assert path.exists()
    assert not widget.kept_blocks.isVisible()
    # Sliders have nothing to answer from, and what is there is not written over.
    widget.form["min_area"].value = 350
    wait_until_done(qtbot, widget)
    assert not widget.apply_button.isVisible()
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert "can no longer be changed" in widget.result_line.text()


def test_cancel_answers_while_a_tile_takes_long(docked, qtbot, slow, monkeypatch):
    viewer, widget = docked.viewer, docked.widget
    monkeypatch.setattr(job_shell, "LET_GO_MS", 300)
    monkeypatch.setattr(large, "LARGE", 10**9)
    viewer.add_image(squares((300, 300)), name="a")
    slow.seconds = 3.0
    press(qtbot, widget)
    qtbot.waitUntil(lambda: slow.inside > 0, timeout=10_000)
    press(qtbot, widget)
    qtbot.waitUntil(lambda: not widget.is_busy, timeout=1500)
    assert widget.result_line.text() == "Cancelled; nothing was changed."
    assert widget.run_button.text() == "Segment"
    qtbot.waitUntil(lambda: slow.inside == 0, timeout=10_000)
    assert not result_layers(viewer)


def test_one_bar_goes_forward_through_all_stages(docked, qtbot, slow, out):
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(squares((SIDE, SIDE)), name="a")
    out()
    slow.seconds = 0.1
    seen = []
    widget.progress.bar.native.valueChanged.connect(seen.append)
    press(qtbot, widget)
    stages = set()

    def over():
        stages.add(str(widget.progress.line.value).split(":")[0].rstrip(" …"))
        return not widget.is_running

    qtbot.waitUntil(over, timeout=60_000)
    moves = [value for value in seen if value > 0]
    assert len(moves) > 3  # on a quick computer each takes long strides
    assert moves == sorted(moves)
    assert {"Finding nuclei", "Measuring nuclei"} & stages


def test_what_it_will_take_is_said_before_it_starts(
    docked, qtbot, slow, monkeypatch, tmp_path
):
    viewer, widget = docked.viewer, docked.widget
    monkeypatch.setattr(forecast_line, "LEAST_PIXELS", 500_000)
    monkeypatch.setattr(forecast_line, "SETTLE_MS", 10)
    slow.seconds = 0.6  # for a tile, of which the image has one
    viewer.add_image(squares((300, 300)), name="small")
    assert not widget.forecast.isVisible()
    big = dask.array.from_array(squares((5000, 5000)), chunks=1000)
    viewer.add_image(big, name="big")
    qtbot.waitUntil(lambda: widget.forecast.forecast is not None, timeout=20_000)
    assert widget.forecast.isVisible()
    text = widget.forecast.text()
    assert text.startswith("The whole image will take about")
    assert "GB of memory" in text
    # It has some 30 tiles of a megapixel; that of the window has half a one.
    assert 20 < widget.forecast.forecast.seconds < 300
    whole = widget.forecast.forecast.seconds
    # Of a part of it, what that part takes; it need not be timed again.
    box(viewer, (1000, 1000), (2500, 2500))
    widget.inputs.choose(viewer.layers["big"])
    choose_place(widget, "Inside here")
    assert widget.forecast.text().startswith("What is inside “here” will take about")
    part = widget.forecast.forecast.seconds
    assert part < whole * 0.7
    viewer.layers["here"].data = [np.array([[0, 0], [0, 90], [90, 90], [90, 0]])]
    qtbot.waitUntil(lambda: widget.forecast.forecast.seconds < part, timeout=5000)
    choose_place(widget, "The whole image")
    assert widget.forecast.forecast.seconds == whole
    assert widget.forecast.isVisible()
    widget.inputs.output.value = tmp_path / "out.zarr"
    press(qtbot, widget)
    assert not widget.forecast.isVisible()  # the bar says it now
    press(qtbot, widget)
    qtbot.waitUntil(lambda: not widget.is_busy, timeout=10_000)
    assert widget.forecast.isVisible()
    widget.inputs.choose(viewer.layers["small"])
    assert not widget.forecast.isVisible()


def box(viewer, low, high):
    (y0, x0), (y1, x1) = low, high
    corners = [[y0, x0], [y0, x1], [y1, x1], [y1, x0]]
    return viewer.add_shapes([np.array(corners)], name="here")


def choose_place(widget, name):
    widget.inputs.place.native.setCurrentText(name)


@pytest.mark.parametrize("in_file", [False, True])
def test_only_what_is_inside_shapes_is_made_anew(
    docked, qtbot, slow, out, monkeypatch, in_file
):
    if not in_file:
        monkeypatch.setattr(large, "LARGE", 10**9)
    viewer, widget = docked.viewer, docked.widget
    image = viewer.add_image(squares((SIDE, SIDE)), name="a")
    path = out() if in_file else None
    box(viewer, (95, 95), (205, 165))  # centroids at 29.5 + 40 n: 3 × 2 squares
    viewer.layers.selection.active = image
    choose_place(widget, "Inside here")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)

    def labels():
        return np.asarray(layer.data[0] if in_file else layer.data)

    whole = segment(squares((SIDE, SIDE)), slow).labels
    part = np.zeros_like(whole)
    part[100:205, 100:165] = whole[100:205, 100:165]
    np.testing.assert_array_equal(labels() > 0, part > 0)
    assert len(layer.features) == 6
    if not in_file:
        layer.data[:20, :20] = 500  # drawn outside
        layer.refresh()
    # Somewhere else: what was there stays.
    viewer.layers["here"].data = [
        np.array([[295, 295], [295, 325], [325, 325], [325, 295]])
    ]
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert result_layers(viewer) == [layer]
    part[300:320, 300:320] = 1
    if not in_file:
        part[:20, :20] = 1
        assert (labels()[:20, :20] == 500).all()
    np.testing.assert_array_equal(labels() > 0, part > 0)
    assert len(np.unique(labels())) - 1 == len(layer.features) == 7 + (not in_file)
    choose_place(widget, "The whole image")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert result_layers(viewer) == [layer]
    part = whole > 0
    if in_file:
        np.testing.assert_array_equal(labels(), whole)
        assert len(pd.read_parquet(path.with_suffix(".parquet"))) == whole.max()
    else:
        assert (labels()[:20, :20] == 500).all()
        assert len(np.unique(labels())) - 1 == whole.max() + 1


def test_only_what_is_in_view_is_made(docked, qtbot, slow, monkeypatch):
    viewer, widget = docked.viewer, docked.widget
    monkeypatch.setattr(large, "LARGE", 10**9)
    stack = np.stack([squares((400, 400))] * 2)
    image = viewer.add_image(stack, name="a", scale=(1, 2, 2))
    viewer.dims.set_current_step(0, 1)
    viewer.scene.camera.zoom = 100.0
    viewer.scene.camera.center = (0, 58, 58)  # the first square, and nothing else
    qtbot.wait(100)
    viewer.layers.selection.active = image
    choose_place(widget, "What is in view")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert "what was in view" in widget.result_line.text()
    (layer,) = result_layers(viewer)
    assert not layer.data[0].any()
    assert layer.data.max() == 1
    assert set(zip(*np.nonzero(layer.data[1]), strict=True)) == {
        (y, x) for y in range(20, 40) for x in range(20, 40)
    }


def test_of_a_pyramid_no_more_than_what_is_in_view_is_made(docked, qtbot, slow, out):
    viewer, widget = docked.viewer, docked.widget
    image = squares((SIDE, SIDE))
    levels = [
        dask.array.from_array(part, chunks=512) for part in (image, image[::2, ::2])
    ]
    layer = viewer.add_image(levels, multiscale=True, name="a")
    out()
    viewer.scene.camera.zoom = 200.0
    viewer.scene.camera.center = (0, 29, 29)
    qtbot.wait(100)
    viewer.layers.selection.active = layer
    choose_place(widget, "What is in view")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    assert widget.result_line.text().startswith("1 nucleus found")


def test_a_place_that_is_not_there_is_said(docked, qtbot):
    viewer, widget = docked.viewer, docked.widget
    image = viewer.add_image(squares((200, 200)), name="a")
    viewer.add_shapes(name="none")
    viewer.layers.selection.active = image
    choose_place(widget, "Inside none")
    press(qtbot, widget)
    assert "holds no areas" in widget.result_line.text()
    viewer.layers.remove("none")
    assert widget.inputs.place.native.currentText() == "The whole image"


def test_a_slider_answers_in_view_and_then_everywhere(
    docked, qtbot, slow, out, monkeypatch
):
    viewer, widget = docked.viewer, docked.widget
    image = squares((SIDE, SIDE))
    image[300:310, 300:310] = 0  # a smaller square, in view
    image[20:30, 20:30] = 0  # and one out of it
    viewer.add_image(image, name="a")
    path = out()
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (layer,) = result_layers(viewer)
    viewer.scene.camera.zoom = 8.0
    viewer.scene.camera.center = (0, 310, 310)
    qtbot.wait(100)
    before = np.asarray(layer.data[0])
    assert not widget.apply_button.isVisible()
    widget.form["min_area"].value = 350
    wait_until_done(qtbot, widget)
    shown = np.asarray(layer.data[0])
    assert before[315, 315] > 0
    assert shown[315, 315] == 0
    assert shown[35, 35] > 0
    assert shown[310, 345] > 0
    np.testing.assert_array_equal(shown[shown > 0], before[shown > 0])  # and colours
    assert "Press Apply to all" in widget.result_line.text()
    flooded = []
    find = by_block.find_basins
    monkeypatch.setattr(
        by_block, "find_basins", lambda *a, **k: flooded.append(1) or find(*a, **k)
    )
    widget.apply_button.click()
    wait_until_done(qtbot, widget)
    everywhere = np.asarray(layer.data[0])
    assert not flooded
    assert everywhere[315, 315] == everywhere[35, 35] == 0
    assert len(layer.features) == everywhere.max() == before.max() - 2
    assert not widget.apply_button.isVisible()
    params = widget.params()
    wanted = segment(image, slow, params=params).labels
    np.testing.assert_array_equal(everywhere, wanted)
    # Another probability floods again, but needs no network either.
    widget.form["probability"].value = 0.9
    wait_until_done(qtbot, widget)
    widget.apply_button.click()
    wait_until_done(qtbot, widget)
    wanted = segment(image, slow, params=widget.params()).labels
    np.testing.assert_array_equal(np.asarray(layer.data[0]), wanted)
    assert len(flooded) == 9
    assert result_layers(viewer) == [layer]
    assert path.exists()


def test_other_values_are_applied_only_where_something_was_done(
    docked, qtbot, slow, out
):
    viewer, widget = docked.viewer, docked.widget
    image = squares((SIDE, SIDE))
    image[300:310, 300:310] = 0  # a smaller one
    layer = viewer.add_image(image, name="a")
    out()
    box(viewer, (95, 95), (205, 165))
    viewer.layers.selection.active = layer
    choose_place(widget, "Inside here")
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    viewer.layers["here"].data = [
        np.array([[295, 295], [295, 365], [325, 365], [325, 295]])
    ]
    press(qtbot, widget)
    wait_until_done(qtbot, widget)
    (labels,) = result_layers(viewer)
    assert len(labels.features) == 8
    tiles = slow.tiles
    viewer.scene.camera.zoom = 8.0
    viewer.scene.camera.center = (0, 310, 310)
    qtbot.wait(100)
    widget.form["min_area"].value = 350
    wait_until_done(qtbot, widget)
    widget.apply_button.click()
    wait_until_done(qtbot, widget)
    assert slow.tiles == tiles  # the network has not looked at the rest
    assert len(np.unique(np.asarray(labels.data[0]))) - 1 == 7
    assert len(labels.features) == 7
    assert "what was done before" in widget.result_line.text()
