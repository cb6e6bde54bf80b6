"""The Score widget in a real napari window, used as a biologist would."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_nucleiseg.core.score.fates import MAP_COLOURS, MAP_NAMES
from napari_nucleiseg.core.score.matching import score_image
from napari_nucleiseg.widgets.score import widget as score_widget
from napari_nucleiseg.widgets.score.scoring import FIGURES
from napari_nucleiseg.widgets.train.sources import SourcesPanel

from .conftest import wait_until_done


@pytest.fixture
def docked(viewer):
    _, widget = viewer.window.add_plugin_dock_widget(
        "napari-nucleiseg", "Score nuclei labels"
    )
    return SimpleNamespace(viewer=viewer, widget=widget)


def truth_and_found():
    """One matched, one missed, two merged, one split, one misshapen, one false."""
    truth = np.zeros((60, 130), np.int32)
    found = np.zeros_like(truth)
    truth[5:15, 5:15] = 3
    found[5:15, 5:14] = 40
    truth[5:15, 25:35] = 5
    truth[5:15, 45:55] = 6
    truth[5:15, 55:65] = 7
    found[5:15, 45:65] = 41
    truth[30:40, 5:35] = 8
    found[30:40, 5:15] = 42
    found[30:40, 15:25] = 43
    found[30:40, 25:35] = 44
    truth[30:40, 50:60] = 9
    found[30:40, 54:68] = 45
    found[30:40, 100:110] = 46
    return truth, found


def add(viewer, truth, found, **options):
    truth_layer = viewer.add_labels(truth, name="drawn", **options)
    return truth_layer, viewer.add_labels(found, name="nuclei", **options)


def score(qtbot, docked):
    qtbot.mouseClick(docked.widget.run_button, Qt.MouseButton.LeftButton)
    assert docked.widget.is_running
    wait_until_done(qtbot, docked.widget)


def choose(widget, labels, truth):
    for box, name in ((widget.form.labels_layer, labels), (widget.form.truth, truth)):
        box.value = widget.viewer.layers[name]


def names(box):
    return [layer.name for layer in box.choices]


def error_layers(viewer):
    return [layer for layer in viewer.layers if layer.name.endswith("errors")]


def test_a_user_scores_labels(docked, qtbot):
    truth, found = truth_and_found()
    add(docked.viewer, truth, found)
    choose(docked.widget, "nuclei", "drawn")
    score(qtbot, docked)
    widget, table = docked.widget, docked.widget.table
    assert table.isVisible()
    wanted = score_image(truth, found)
    shown = {name: table.text(name) for name, _, _ in FIGURES}
    assert shown == {
        "True nuclei": "6",
        "Found nuclei": "7",
        "Precision": "0.286",
        "Recall": "0.333",
        "F1": "0.308",
        "PQ": f"{wanted.panoptic_quality():.3f}",
        "Matched": "2",
        "Missed": "1",
        "False": "1",
        "Merged": "1",
        "Split": "1",
        "Pieces": "3",
        "Misshapen": "1",
    }
    assert table.text("0.50") == f"{wanted.average_precision(0.5):.3f}"
    assert table.text("0.90") == f"{wanted.average_precision(0.9):.3f}"
    assert table.text("mean") == f"{wanted.mean_average_precision():.3f}"
    assert "2 of 6 true nuclei" in widget.result_line.text()
    assert "5 of its 7 match none" in widget.result_line.text()


def test_the_error_map_lies_over_the_labels_in_the_legends_colours(docked, qtbot):
    truth, found = truth_and_found()
    place = {"scale": (0.5, 0.25), "translate": (3, 4), "units": ("um", "um")}
    _, labels = add(docked.viewer, truth, found, **place)
    choose(docked.widget, "nuclei", "drawn")
    score(qtbot, docked)
    (errors,) = error_layers(docked.viewer)
    assert np.array_equal(errors.scale, labels.scale)
    assert np.array_equal(errors.translate, labels.translate)
    assert errors.units == labels.units
    assert docked.viewer.layers[-1] is errors
    assert not labels.visible
    code = {name: number for number, name in MAP_NAMES.items()}
    for at, fate in (
        ((10, 10), "matched"),
        ((10, 30), "missed"),
        ((10, 60), "merged"),
        ((35, 10), "split"),
        ((35, 56), "misshapen"),
        ((35, 105), "false"),
    ):
        assert errors.data[at] == code[fate]
        assert (
            f"fate: {fate}"
            in errors.get_status(errors.data_to_world(at), world=True)["coordinates"]
        )
    for number, colour in MAP_COLOURS.items():
        painted = (255 * errors.colormap.map(number)[:3]).round().astype(int)
        assert painted.tolist() == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        legend = MAP_NAMES[number].capitalize()
        (item,) = docked.widget.table.findItems(legend, Qt.MatchFlag.MatchExactly)
        pixel = item.icon().pixmap(12, 12).toImage().pixelColor(6, 6)
        assert pixel.name().upper() == colour.upper()
    # Once more: the map is brought up to date, and is not offered as labels.
    labels.data = truth.copy()
    score(qtbot, docked)
    assert error_layers(docked.viewer) == [errors]
    assert set(np.unique(errors.data)) == {0, code["matched"]}
    assert "nuclei errors" not in names(docked.widget.form.labels_layer)


def test_the_csv_holds_summary_and_nuclei(docked, qtbot, tmp_path, monkeypatch):
    truth, found = truth_and_found()
    add(docked.viewer, truth, found)
    choose(docked.widget, "nuclei", "drawn")
    score(qtbot, docked)
    path = tmp_path / "score.csv"
    monkeypatch.setattr(
        score_widget.QFileDialog, "getSaveFileName", lambda *_: (str(path), "")
    )
    qtbot.mouseClick(docked.widget.export_button, Qt.MouseButton.LeftButton)
    table = pd.read_csv(path)
    summary = table[table["kind"] == "summary"].set_index("figure")["value"]
    assert summary["labels"] == "nuclei"
    assert summary["ground_truth"] == "drawn"
    assert int(summary["split"]) == 1
    wanted = score_image(truth, found).average_precision(0.75)
    assert float(summary["AP_0.75"]) == pytest.approx(wanted, abs=1e-6)
    true = table[table["kind"] == "true"].set_index("label")
    assert sorted(true.index) == [3, 5, 6, 7, 8, 9]
    assert true["fate"][3] == "matched"
    assert true["IoU"][3] == pytest.approx(0.9)
    assert true["partner"][3] == 40
    assert (true["area"][8], true["centroid_y"][8], true["centroid_x"][8]) == (
        300,
        34.5,
        19.5,
    )
    predicted = table[table["kind"] == "predicted"].set_index("label")
    assert predicted["fate"][46] == "false"
    assert predicted["fate"][43] == "piece"


def test_a_file_that_can_not_be_written_is_told(docked, qtbot, tmp_path, told):
    add(docked.viewer, *truth_and_found())
    score(qtbot, docked)
    docked.widget.export(tmp_path / "not there" / "score.csv")
    assert "could not be written" in told[0]
    assert docked.widget.result_line.text() in told[0]
    assert "Errno" not in told[0]


def test_stacks_are_scored_plane_by_plane_or_as_a_whole(docked, qtbot, tmp_path):
    """Truth counts from 1 in each plane, the labels through the stack."""
    truth = np.zeros((2, 30, 30), np.int32)
    truth[:, 5:15, 5:15] = 1
    found = truth.copy()
    found[1] *= 2
    add(docked.viewer, truth, found)
    choose(docked.widget, "nuclei", "drawn")
    assert docked.widget.form.by_plane.visible
    score(qtbot, docked)
    assert docked.widget.table.text("Matched") == "2"
    docked.widget.export(tmp_path / "score.csv")
    table = pd.read_csv(tmp_path / "score.csv").query("kind == 'predicted'")
    assert table[["plane", "label", "partner"]].values.tolist() == [
        [0, 1, 1],
        [1, 2, 1],
    ]
    docked.widget.form.by_plane.value = False
    score(qtbot, docked)
    assert docked.widget.table.text("True nuclei") == "1"
    (errors,) = error_layers(docked.viewer)
    assert errors.data.shape == truth.shape


def test_it_says_why_it_can_not_score(docked, qtbot):
    widget, viewer = docked.widget, docked.viewer
    assert not widget.run_button.isEnabled()
    assert "Open two labels layers" in widget.run_button.toolTip()
    assert widget.reason_line.text() == widget.run_button.toolTip()
    viewer.add_labels(np.ones((20, 30), int), name="a")
    assert not widget.run_button.isEnabled()
    other = viewer.add_labels(np.ones((20, 31), int), name="b")
    assert not widget.run_button.isEnabled()
    assert "same size" in widget.run_button.toolTip()
    assert "20 × 31" in widget.reason_line.text()
    viewer.layers.remove(other)
    viewer.add_labels(np.ones((20, 30), int), name="c")
    assert widget.run_button.isEnabled()
    assert not widget.reason_line.isVisible()
    choose(widget, "c", "c")
    assert not widget.run_button.isEnabled()
    assert "chosen for both" in widget.run_button.toolTip()


def test_empty_labels_on_both_sides(docked, qtbot):
    blank = np.zeros((20, 30), int)
    add(docked.viewer, blank, blank.copy())
    score(qtbot, docked)
    assert "nothing to score" in docked.widget.result_line.text()
    assert not docked.widget.table.isVisible()
    assert error_layers(docked.viewer) == []


def test_follows_the_viewers_layers(docked):
    viewer, widget = docked.viewer, docked.widget
    viewer.add_image(np.zeros((20, 30)))
    add(viewer, *truth_and_found())
    third = viewer.add_labels(np.zeros((60, 130), int), name="third")
    assert names(widget.form.labels_layer) == ["drawn", "nuclei", "third"]
    choose(widget, "nuclei", "drawn")
    viewer.layers.selection.active = None
    viewer.layers.selection.active = third
    assert widget.form.labels_layer.current_choice == "third"
    viewer.layers.selection.active = viewer.layers["drawn"]  # stays the truth
    assert widget.form.labels_layer.current_choice == "third"
    third.name = "renamed"
    assert widget.form.labels_layer.current_choice == "renamed"
    viewer.layers.remove(third)
    labels, truth = widget.chosen_layers()
    assert {labels.name, truth.name} == {"drawn", "nuclei"}
    assert widget.run_button.isEnabled()


def test_what_segment_made_is_not_taken_for_the_truth(docked):
    viewer, widget = docked.viewer, docked.widget
    truth, found = truth_and_found()
    viewer.add_labels(truth, name="drawn")
    viewer.add_labels(found, name="nuclei", metadata={"nucleiseg": {"model": "nuclei"}})
    assert widget.form.labels_layer.current_choice == "nuclei"
    assert widget.form.truth.current_choice == "drawn"


def test_a_layer_that_goes_meanwhile(docked, qtbot):
    _, labels = add(docked.viewer, *truth_and_found())
    docked.widget.run_button.click()
    docked.viewer.layers.remove(labels)
    assert not docked.widget.is_running
    assert "“nuclei” was removed" in docked.widget.result_line.text()
    qtbot.wait(300)
    assert [x for x in docked.viewer.layers if isinstance(x, Labels)] == [
        docked.viewer.layers["drawn"]
    ]


def test_an_error_is_told(docked, qtbot, monkeypatch, told):
    add(docked.viewer, *truth_and_found())

    def fail(*_, **__):
        raise MemoryError("1 TiB")

    monkeypatch.setattr(score_widget, "compare", fail)
    score(qtbot, docked)
    assert "not enough memory" in docked.widget.result_line.text()
    assert "1 TiB" in told[0]
    assert docked.widget.run_button.isEnabled()


def test_it_fits_a_narrow_dock(docked, qtbot):
    add(docked.viewer, *truth_and_found())
    docked.viewer.layers[-1].name = "a very long name " * 5
    score(qtbot, docked)
    assert docked.widget.minimumSizeHint().width() <= 350
    table = docked.widget.table
    for column in range(4):
        for row in range(table.rowCount()):
            item = table.item(row, column)
            if item is not None:
                room = table.visualItemRect(item).width()
                text = table.fontMetrics().horizontalAdvance(item.text())
                assert text <= room


def test_the_error_map_is_not_offered_for_training(docked, qtbot):
    viewer = docked.viewer
    truth, found = truth_and_found()
    viewer.add_image(truth.astype(float), name="image")
    add(viewer, truth, found)
    choose(docked.widget, "nuclei", "drawn")
    score(qtbot, docked)
    (errors,) = error_layers(viewer)
    panel = SourcesPanel(viewer)
    qtbot.addWidget(panel.native)
    panel.reset_choices()
    assert [row.labels_layer.name for row in panel.rows] == ["drawn", "nuclei"]
    assert errors not in panel.rows[0].labels_box.choices
