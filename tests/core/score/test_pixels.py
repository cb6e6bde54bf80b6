import numpy as np
import pytest

from napari_nucleiseg.core.score.pixels import (
    classification_report,
    confusion,
    format_report,
)

TRUTH = np.array([[0, 0, 0, 1, 1, 2, 2, 0]])
FOUND = np.array([[0, 0, 5, 5, 5, 5, 0, 0]])


def test_counts_by_hand():
    assert confusion(TRUTH, FOUND).tolist() == [[3, 1], [1, 3]]
    assert confusion(TRUTH > 0, FOUND > 0).tolist() == [[3, 1], [1, 3]]


def test_only_known_pixels_count():
    known = np.zeros(TRUTH.shape, bool)
    known[0, 2:4] = True
    assert confusion(TRUTH, FOUND, known).tolist() == [[0, 1], [0, 1]]


def test_report_by_hand():
    report = classification_report(np.array([[90, 10], [5, 15]]))
    assert report["background"] == {
        "precision": pytest.approx(90 / 95),
        "recall": pytest.approx(0.9),
        "F1": pytest.approx(180 / 195),
        "support": 100,
    }
    assert report["nucleus"] == {
        "precision": pytest.approx(0.6),
        "recall": pytest.approx(0.75),
        "F1": pytest.approx(2 / 3),
        "support": 20,
    }
    assert report["accuracy"] == pytest.approx(105 / 120)
    assert report["IoU"] == pytest.approx(15 / 30)


def test_figures_without_a_base():
    empty = classification_report(np.array([[10, 0], [0, 0]]))
    assert empty["nucleus"]["F1"] == empty["IoU"] == empty["accuracy"] == 1
    missed = classification_report(np.array([[8, 0], [2, 0]]))["nucleus"]
    assert missed["precision"] == missed["recall"] == missed["F1"] == 0


def test_the_table_holds_every_figure():
    matrix = np.array([[90, 10], [5, 15]])
    text = format_report(classification_report(matrix), matrix)
    rows = {line[:12].strip(): line.split() for line in text.splitlines()[:5]}
    assert rows["background"][1:] == ["0.9474", "0.9000", "0.9231", "100"]
    assert rows["nucleus"][1:] == ["0.6000", "0.7500", "0.6667", "20"]
    assert rows["accuracy"][1:] == ["0.8750", "120"]
    assert rows["nucleus IoU"][2:] == ["0.5000", "120"]
    assert text.splitlines()[-1].split() == ["nucleus", "5", "15"]
    assert all(len(line) < 80 for line in text.splitlines())


def test_bad_input_is_told():
    with pytest.raises(ValueError, match=r"received \(1, 8\) and \(8,\)"):
        confusion(TRUTH, FOUND[0])
    with pytest.raises(ValueError, match="annotation mask"):
        confusion(TRUTH, FOUND, np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="at least one pixel"):
        classification_report(np.zeros((2, 2)))
