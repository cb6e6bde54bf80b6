"""Under which condition an image was taken."""

from pathlib import Path

import pytest

from napari_nucleiseg.io.conditions import conditions_of, table_columns

FILES = [Path(f"plate/{name}.tif") for name in ("drug/p1_A01_f1", "dmso/p1_b2_f1")]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("", ["", ""]),
        ("folder", ["drug", "dmso"]),
        ("{plate}_*", ["p1", "p1"]),
        ("*_{well}_f*", ["A01", "b2"]),
        ("{plate}_{well}_f1", ["p1 A01", "p1 b2"]),
        ("other_{x}", ["", ""]),
    ],
)
def test_by_folder_and_by_pattern(rule, found):
    assert conditions_of(FILES, rule) == found


def test_a_pattern_takes_dots_and_brackets_for_what_they_are():
    paths = [Path("a.1(x)_2.tif"), Path("ab1x_2.tif")]
    assert conditions_of(paths, "a.1({x})_*") == ["x", ""]


@pytest.mark.parametrize(
    ("text", "rule", "found"),
    [
        ("well,treatment\nA1,Drug 10 µM\nB02,DMSO\n", "", ["Drug 10 µM", "DMSO"]),
        ("Well;Dose;Treatment\nA01;1;drug\nB2;0;none\n", ":dose", ["1", "0"]),
        ("file,what\np1_A01_f1.tif,x\np1_b2_f1,y\n", "", ["x", "y"]),
        ("what,image\nx,p1_A01_f1\n", ":what", ["x", ""]),
    ],
)
def test_by_table(tmp_path, text, rule, found):
    table = tmp_path / "plate.csv"
    table.write_text(text, encoding="utf-8-sig")
    assert conditions_of(FILES, f"{table}{rule}") == found
    assert len(table_columns(table)) >= 2


@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        ("well,treatment\nA1,x\nA01,y\n", "", "two rows for 'A01'"),
        ("well,treatment\nA1,x\n", ":dose", "no column 'dose'; it has well, treatment"),
        ("well\nA1\n", "", "must have a column with files or wells"),
    ],
)
def test_a_table_that_says_nothing_clear_is_refused(tmp_path, text, rule, said):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        conditions_of(FILES, f"{tmp_path / 'p.csv'}{rule}")


@pytest.mark.parametrize("rule", ["control", "{a}_{a}", "missing.csv"])
def test_what_is_no_rule_is_said(rule):
    with pytest.raises(ValueError, match=r"braces|no such file"):
        conditions_of(FILES, rule)
