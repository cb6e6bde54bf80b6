import numpy as np
import pandas as pd
import pytest

from napari_nucleiseg.core.measure.gates import Gate, add_gates
from napari_nucleiseg.core.measure.summary import summarise


@pytest.fixture
def table():
    return pd.DataFrame({"a": [1.0, 2, 3, np.nan], "b": [1.0, 2, 9, 1]})


def test_a_range_includes_its_ends(table):
    gate = Gate(name="big", x="a", low=2.0)
    assert add_gates(table, [gate])["big"].tolist() == [False, True, True, False]
    both = Gate(name="mid", x="a", low=2.0, high=2.5)
    assert both.positive(table).tolist() == [False, True, False, False]


def test_a_lasso_holds_what_is_inside(table):
    corners = [[0, 0], [4, 0], [4, 4], [0, 4]]
    gate = Gate(name="in", x="a", y="b", corners=corners)
    assert gate.positive(table).tolist() == [True, True, False, False]
    assert Gate.from_json(gate.model_dump_json()) == gate


def test_gates_that_make_no_sense_are_refused(table):
    with pytest.raises(ValueError, match="needs a least or a largest"):
        Gate(name="g", x="a")
    with pytest.raises(ValueError, match="three corners"):
        Gate(name="g", x="a", y="b", corners=[[0, 0], [1, 1]])
    with pytest.raises(ValueError, match="another name"):
        add_gates(table, [Gate(name="b", x="a", low=1.0)])
    with pytest.raises(ValueError, match="'c', which the table does not have"):
        Gate(name="g", x="c", low=1.0).positive(table)


def test_a_summary_has_a_row_for_every_image():
    table = pd.DataFrame(
        {
            "image": ["one", "one", "two"],
            "area_um2": [10.0, 20, 40],
            "solidity": [1.0, 1, 1],
            "big": [False, True, True],
        }
    )
    areas = {"one": 0.5, "two": None, "none": 0.25}
    found = summarise(table, areas, gates=["big"])
    assert found["image"].tolist() == ["one", "two", "none"]
    assert found["nuclei"].tolist() == [2, 1, 0]
    assert found["nuclei_per_mm2"].tolist()[::2] == [4, 0]
    assert np.isnan(found["nuclei_per_mm2"][1])
    assert found["mean(area_um2)"].tolist()[:2] == [15, 40]
    assert found["share(big)"].tolist()[:2] == [0.5, 1]
    assert "mean(solidity)" not in found
    with pytest.raises(ValueError, match="no column 'x'"):
        summarise(table, areas, columns=["x"])
