"""The Measure widget in a real napari window, used as a biologist would."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import roifile
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtWidgets import QApplication

from napari_nucleiseg import measure
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.widgets.measure import painting
from napari_nucleiseg.widgets.measure.plot import NucleiPlot
from napari_nucleiseg.widgets.measure.table import NucleiModel

from .conftest import wait_until_done


@pytest.fixture
def docked(viewer):
    _, widget = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Measure nuclei"
    )
    return SimpleNamespace(viewer=viewer, widget=widget)


@pytest.fixture
def sample():
    found = load_sample("small")
    return SimpleNamespace(
        image=found.image[:120, :140], labels=found.labels[:120, :140]
    )


def press_measure(qtbot, docked):
    qtbot.mouseClick(docked.widget.run_button, Qt.MouseButton.LeftButton)
    wait_until_done(qtbot, docked.widget)
    return docked.widget.panel


def open_two_channels(qtbot, docked, sample):
    viewer, widget = docked.viewer, docked.widget
    for name, image in (("DAPI", sample.image), ("GFP", 255 - sample.image)):
        viewer.add_image(image, name=name, scale=(0.5, 0.5))
    layer = viewer.add_labels(sample.labels.copy(), name="nuclei", scale=(0.5, 0.5))
    assert widget.run_button.isEnabled()
    widget.inputs.images.value = [viewer.layers["DAPI"], viewer.layers["GFP"]]
    widget.form["around"].value = "ring"
    return layer, press_measure(qtbot, docked)


def drag(canvas, *points):
    """Draw in the axes of a plot; points are shares of them."""
    axes = canvas.figure.axes[0]
    canvas.draw()
    ratio = canvas.devicePixelRatioF()
    places = []
    for x, y in points:
        px, py = axes.transAxes.transform((x, y)) / ratio
        places.append(QPointF(px, canvas.height() - py))
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    steps = [(QEvent.Type.MouseButtonPress, places[0], left, left)]
    steps += [(QEvent.Type.MouseMove, place, none, left) for place in places[1:]]
    steps.append((QEvent.Type.MouseButtonRelease, places[-1], left, none))
    from qtpy.QtGui import QMouseEvent

    for kind, place, button, buttons in steps:
        where = canvas.mapToGlobal(place)
        event = QMouseEvent(
            kind, place, where, button, buttons, Qt.KeyboardModifier.NoModifier
        )
        QApplication.sendEvent(canvas, event)


def click_row(qtbot, view, row, keys=Qt.KeyboardModifier.NoModifier):
    view.scrollTo(view.model().index(row, 0))
    place = view.visualRect(view.model().index(row, 0)).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, keys, QPoint(place))


def test_two_channels_are_measured_selected_gated_and_saved(
    qtbot, docked, sample, tmp_path
):
    viewer, widget = docked.viewer, docked.widget
    assert not widget.run_button.isEnabled()
    layer, panel = open_two_channels(qtbot, docked, sample)
    wanted = measure(
        sample.labels,
        {"DAPI": sample.image, "GFP": 255 - sample.image},
        scale=0.5,
        around="ring",
    )
    pd.testing.assert_frame_equal(panel.model.table, wanted, check_dtype=False)
    assert "A pixel is 0.5 µm wide" in widget.result_line.text()

    # A row leads to its nucleus, and Ctrl adds another.
    before = layer.colormap
    click_row(qtbot, panel.view, 2)
    label = int(wanted["label"][2])
    assert layer.selected_label == label
    y, x = wanted[["centroid_y_um", "centroid_x_um"]].iloc[2]
    assert viewer.scene.camera.center[-2:] == pytest.approx((y, x))
    click_row(qtbot, panel.view, 4, Qt.KeyboardModifier.ControlModifier)
    assert np.flatnonzero(panel.model.selected).tolist() == [2, 4]
    assert layer.colormap is not before
    assert layer.get_color(label)[0] > 0.9

    # A nucleus that is clicked is selected in the table; background lifts it.
    panel.click(int(wanted["label"][5]), np.array([y, x]))
    assert np.flatnonzero(panel.model.selected).tolist() == [5]
    panel.click(0, np.array([y, x]))
    assert not panel.model.selected.any()
    assert layer.colormap is before

    # A range drawn in the histogram becomes a gate, a column and a filter.
    panel.plots.x_box.setCurrentText("area_um2")
    drag(panel.plots.plot, (0.3, 0.5), (0.5, 0.5), (0.7, 0.5))
    chosen = panel.model.selected.copy()
    assert 0 < chosen.sum() < len(wanted)
    panel.plots.name_line.setText("middling")
    panel.plots.gate_button.click()
    assert panel.model.table["middling"].tolist() == chosen.tolist()
    panel.filter_line.setText("middling and area_um2 > 0")
    panel.filter_line.editingFinished.emit()
    assert panel.model.rowCount() == chosen.sum()

    # A lasso in the scatter plot.
    panel.plots.kind_box.setCurrentText("Scatter")
    drag(panel.plots.plot, (0, 0), (0, 1), (0.6, 1), (0.6, 0), (0, 0))
    lassoed = panel.model.selected.copy()
    assert 0 < lassoed.sum() < len(wanted)
    panel.plots.kind_box.setCurrentText("Box and strip")
    panel.plots.group_box.setCurrentText("middling")
    ticks = [x.get_text() for x in panel.plots.plot.figure.axes[0].get_xticklabels()]
    assert ticks == ["False", "True"]

    # Colours by a column, and files.
    panel.colour_box.setCurrentText("area_um2")
    panel.model.select(np.zeros(len(wanted), bool))
    largest, smallest = (
        layer.get_color(int(wanted["label"][at]))
        for at in (wanted["area_um2"].idxmax(), wanted["area_um2"].idxmin())
    )
    assert largest[1] > 0.8  # viridis ends in yellow, and begins dark
    assert smallest[1] < 0.1
    for name in ("t.csv", "t.zip", "t.geojson"):
        panel.export(tmp_path / name)
    saved = pd.read_csv(tmp_path / "t.csv")
    assert saved["middling"].tolist() == chosen.tolist()
    assert set(saved["image"]) == {"nuclei"}
    panel.export(tmp_path / "s.csv", summary=True)
    summary = pd.read_csv(tmp_path / "s.csv")
    assert summary["nuclei"].tolist() == [len(wanted)]
    assert summary["share(middling)"][0] == pytest.approx(chosen.mean())
    assert summary["nuclei_per_mm2"][0] > 0
    assert len(roifile.roiread(tmp_path / "t.zip")) >= len(wanted)
    panel.plots.plot.save(tmp_path / "p.png")
    panel.plots.plot.save(tmp_path / "p.svg")
    assert {x.name for x in tmp_path.iterdir()} >= {"p.png", "p.svg", "t.geojson"}


def test_selected_nuclei_are_deleted_and_undone(qtbot, docked, sample):
    layer, panel = open_two_channels(qtbot, docked, sample)
    chosen = np.zeros(len(panel.model.table), bool)
    chosen[[1, 3]] = True
    labels = panel.model.table["label"][chosen].tolist()
    panel.model.select(chosen)
    panel.delete_button.click()
    assert not np.isin(layer.data, labels).any()
    assert not set(panel.model.table["label"]) & set(labels)
    assert panel.line.text() == "2 nuclei deleted."
    layer.undo()
    np.testing.assert_array_equal(layer.data, sample.labels)
    assert "have changed since" in panel.line.text()
    panel.model.select(~panel.model.selected)
    assert "have changed since" in panel.line.text()
    press_measure(qtbot, docked)
    assert "have changed since" not in panel.line.text()
    assert set(labels) <= set(panel.model.table["label"])


def test_planes_and_regions_of_a_stack(qtbot, docked, sample):
    viewer, widget = docked.viewer, docked.widget
    stack = np.stack([sample.labels, np.flipud(sample.labels)])
    viewer.add_shapes([[0, 0], [0, 80], [200, 80], [200, 0]], name="left side")
    layer = viewer.add_labels(stack, name="both")
    widget.inputs.regions.value = viewer.layers["left side"]
    panel = press_measure(qtbot, docked)
    table = panel.model.table
    assert set(table["axis_0"]) == {0, 1}
    inside = table["centroid_x_px"] < 79
    assert set(table["region"][inside]) == {"left side 1"}
    assert set(table["region"][table["centroid_x_px"] > 81]) == {""}
    row = int(np.flatnonzero(table["axis_0"] == 1)[0])
    panel.go_to(row)
    assert viewer.dims.current_step[0] == 1
    label = int(table["label"][row])
    panel.click(label, np.array([1.0, 0, 0]))
    assert np.flatnonzero(panel.model.selected).tolist() == [row]
    panel.delete_selected()
    assert (layer.data[0] == label).any()
    assert not (layer.data[1] == label).any()
    viewer.layers.remove(layer)
    assert panel.model.rowCount() == 0


def click_world(qtbot, viewer, point, keys=Qt.KeyboardModifier.NoModifier):
    """Click the canvas where a place of the world is shown."""
    native = viewer.window._qt_viewer.canvas.native
    viewer.reset_view()
    qtbot.wait(50)
    camera = viewer.scene.camera
    away = (np.array(point) - camera.center[-2:]) * camera.zoom
    place = native.rect().center() + QPoint(round(away[1]), round(away[0]))
    assert native.rect().contains(place)
    qtbot.mouseMove(native, place)
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton, keys, place)


def test_clicks_in_the_canvas_select_rows(qtbot, docked, sample):
    viewer = docked.viewer
    layer, panel = open_two_channels(qtbot, docked, sample)
    qtbot.waitUntil(panel.view.isVisible)
    qtbot.wait(300)  # docks find their places
    table = panel.model.table
    rows = table["area_um2"].nlargest(3).index.tolist()
    centres = table[["centroid_y_um", "centroid_x_um"]].to_numpy()
    panel.view.sortByColumn(3, Qt.SortOrder.AscendingOrder)

    def chosen():
        return np.flatnonzero(panel.model.selected).tolist()

    click_world(qtbot, viewer, centres[rows[0]])
    assert chosen() == rows[:1]
    place = int(np.flatnonzero(panel.model.order == rows[0])[0])
    shown = panel.view.visualRect(panel.model.index(place, 0))
    assert panel.view.viewport().rect().contains(shown.center())
    # Another nucleus instead of it; with Ctrl or Shift as well.
    click_world(qtbot, viewer, centres[rows[1]])
    assert chosen() == rows[1:2]
    for row, key in zip(rows[::2], ("Control", "Shift"), strict=True):
        keys = getattr(Qt.KeyboardModifier, f"{key}Modifier")
        click_world(qtbot, viewer, centres[row], keys)
    assert chosen() == sorted(rows)
    assert panel.line.text().endswith("3 selected.")
    click_world(qtbot, viewer, centres[rows[0]], Qt.KeyboardModifier.ControlModifier)
    assert chosen() == sorted(rows[1:])
    # The background lifts it, but not while the layer's tools are in use.
    layer.mode = "pick"
    click_world(qtbot, viewer, centres[rows[0]])
    assert chosen() == sorted(rows[1:])
    layer.mode = "pan_zoom"
    background = np.argwhere(layer.data == 0)[0] * 0.5
    click_world(qtbot, viewer, background)
    assert chosen() == []


def test_a_filter_that_is_not_understood_is_said_and_changes_nothing():
    model = NucleiModel()
    model.show_table(pd.DataFrame({"area": [3.0, 1, 2], "name": ["b", "a", "c"]}))
    for wrong in ("area >", "area + 1", "volume > 1"):
        with pytest.raises(ValueError, match="filter"):
            model.filter(wrong)
    assert model.rowCount() == 3
    model.filter("area > 1")
    model.sort(0)
    assert model.order.tolist() == [2, 0]
    model.sort(1, Qt.SortOrder.DescendingOrder)
    assert model.order.tolist() == [2, 0]


def test_above_50000_nuclei_a_scatter_plot_shows_densities_and_the_selected(qtbot):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(60_000, 2)), columns=["a", "b"])
    plot = NucleiPlot()
    qtbot.addWidget(plot)
    chosen = (table["a"] > 1).to_numpy()
    for selected, shown in ((chosen, 2), (~chosen & chosen, 1)):
        plot.show_plot(table, selected, "Scatter", "a", "b")
        (axes,) = plot.figure.axes
        assert len(axes.images) == shown
    counts = axes.images[0].get_array()
    assert counts.sum() == len(table)
    assert axes.get_xlim() == pytest.approx((table["a"].min(), table["a"].max()))


def test_in_a_small_window_table_and_plot_fold_into_tabs(qtbot, docked, sample):
    viewer = docked.viewer
    window = viewer.window._qt_window
    window.show()
    window.resize(1000, 600)
    _, panel = open_two_channels(qtbot, docked, sample)
    viewer.window.add_plugin_dock_widget("napari-nucleiseg", "Segment a folder")
    window.resize(1000, 600)
    qtbot.waitUntil(lambda: panel.view.isVisible() and not panel.plots.isVisible())
    assert (window.width(), window.height()) == (1000, 600)
    panel.folding.tabs.setCurrentIndex(1)
    assert panel.plots.plot.isVisible()
    assert not panel.view.isVisible()
    assert panel.plots.plot.height() > 60
    # Nothing that is shown is cut off.
    for part in (panel.plots.name_line, panel.plots.save_button):
        corner = part.mapTo(panel, part.rect().bottomRight())
        assert panel.rect().contains(corner)
    window.resize(1500, 900)
    qtbot.waitUntil(lambda: panel.view.isVisible() and panel.plots.isVisible())
    assert not panel.folding.tabs.isVisible()


@pytest.mark.parametrize("kind", [np.int32, np.uint64, np.uint16, np.uint8])
def test_nuclei_of_any_number_are_coloured(qtbot, viewer, kind):
    layer = viewer.add_labels(np.zeros((20, 40), kind))
    numbers = np.array([1, 3, 200, 70_000, 10**9, 10**15])
    numbers = numbers[numbers <= np.iinfo(kind).max].astype(kind)
    for i, number in enumerate(numbers.tolist()):
        layer.data[:, 5 * i : 5 * i + 3] = number
    painter = painting.Painter(layer)
    own = layer.colormap
    chosen = numbers == numbers[-1]
    painter.paint(numbers, None, chosen)
    for number, picked in zip(numbers.tolist(), chosen, strict=True):
        assert (layer.get_color(number)[0] > 0.9) == picked
        shown = layer.colormap.map(layer.data)[0, layer.data[0] == number]
        assert (shown[:, 0] > 0.9).all() == picked
    assert layer.get_color(0) is None or layer.get_color(0)[3] == 0
    qtbot.wait(50)
    # What is on the screen.
    layer.opacity = 1
    viewer.reset_view()
    picture = viewer.screenshot(flash=False).reshape(-1, 4)
    yellow = (picture[:, 0] > 240) & (picture[:, 1] > 200) & (picture[:, 2] < 60)
    assert yellow.any()
    painter.paint(numbers, np.linspace(0, 1, len(numbers)), ~chosen & chosen)
    assert layer.get_color(int(numbers[-1]))[1] > 0.8
    assert layer.get_color(int(numbers[0]))[1] < 0.1
    qtbot.wait(50)
    layer.show_selected_label = True
    layer.selected_label = int(numbers[1])
    assert viewer.screenshot(flash=False).any()
    layer.show_selected_label = False
    painter.restore()
    assert layer.colormap is own
