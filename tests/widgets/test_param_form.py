"""The form of a settings class: what can be set, what is shown, what is told."""

from typing import Literal

import pytest
from pydantic import Field
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_nucleiseg.core.params import SegmentParams, TrainParams
from napari_nucleiseg.core.record import Record
from napari_nucleiseg.widgets.shared.param_form import ParamForm


class Toy(Record):
    width: float | None = Field(
        default=None,
        ge=3,
        le=1000,
        title="Width",
        description="How wide it is.",
        json_schema_extra={"unit": "px", "step": 1, "start": 20},
    )
    share: float | None = Field(
        default=None,
        ge=0.05,
        le=0.95,
        title="Share",
        description="How much of it.",
        json_schema_extra={"step": 0.01},
    )
    rate: float = Field(default=2e-4, ge=1e-7, le=1, title="Rate", description="Fast.")
    count: int = Field(default=8, ge=1, le=100, title="Count", description="Many.")
    way: Literal["up", "down"] = Field(default="down", title="Way", description="Where")
    twice: bool = Field(
        default=False,
        title="Twice",
        description="Again.",
        json_schema_extra={"advanced": True},
    )


@pytest.fixture
def form(qtbot):
    form = ParamForm(Toy)
    qtbot.addWidget(form.native)
    form.native.show()
    return form


def type_into(widget, text):
    """Type a number over what is there, as a user does."""
    box = widget.native
    line = box.lineEdit()
    line.selectAll()
    for key in text:
        box.setFocus()
        QApplication.sendEvent(box, _press(key))
    QApplication.sendEvent(box, _press("\r"))


def _press(key):
    from qtpy.QtCore import QEvent
    from qtpy.QtGui import QKeyEvent

    code = Qt.Key.Key_Return if key == "\r" else ord(key)
    return QKeyEvent(
        QEvent.Type.KeyPress, code, Qt.KeyboardModifier.NoModifier, key.strip()
    )


def test_starts_with_the_defaults_and_gives_back_what_it_is_given(form):
    start = form.values()
    assert start == {**Toy().model_dump(), "share": 0.05}
    new = {"width": 20.5, "share": 0.57, "rate": 1e-3, "count": 9, "way": "up"}
    form.set_values({**new, "twice": True, "unknown": 1})
    assert form.values() == {**new, "twice": True}
    Toy(**form.values())
    form.set_values(start)
    assert form.values() == start


def test_each_change_is_told_once_by_name(form):
    told = []
    form.param_changed.connect(told.append)
    form.set_values(form.values())
    assert told == []
    form["width"].number.value = 30  # while it is on Auto
    assert told == []
    assert form.values()["width"] is None
    form["width"].auto.value = False
    form["width"].number.value = 31
    form.set_values({"width": 40, "share": 0.5, "way": "up", "twice": True})
    form.set_values({"width": None})
    assert told == ["width"] * 3 + ["share", "way", "twice", "width"]


def test_what_cannot_be_a_value_cannot_be_typed(form):
    width = form["width"]
    width.auto.value = False
    assert width.number.native.isVisible()
    assert width.value == 20
    for text in ("2.1", "2.9", "0", "2"):
        type_into(width.number, text)
        assert 3 <= width.value <= 1000
        Toy(**form.values())
    type_into(width.number, "35")
    assert width.value == 35
    type_into(form["count"], "101")
    assert 1 <= form["count"].value <= 100
    type_into(form["rate"], "0.00001")
    assert form.values()["rate"] == 1e-5


def test_labels_units_and_tooltips(form, qtbot):
    assert [w.label for w in form][:4] == [
        "Width (px)",
        "Share",
        "Rate",
        "Count",
    ]
    assert form["width"].number.native.text() == "20.0"
    assert form["way"].native.currentText() == "Down"
    for widget in form:
        parts = [widget.native, *widget.native.findChildren(QWidget)]
        assert all(part.toolTip() == widget.tooltip for part in parts), widget


def test_advanced_parameters_and_those_left_out(qtbot):
    for kind in (SegmentParams, TrainParams):
        forms = [ParamForm(kind, advanced=True), ParamForm(kind, advanced=False)]
        names = [name for form in forms for name in form.values()]
        assert sorted(names) == sorted(kind.model_fields)
        for form in forms:
            qtbot.addWidget(form.native)
    form = ParamForm(Toy, advanced=False, leave_out=("rate",))
    qtbot.addWidget(form.native)
    assert list(form.values()) == ["width", "share", "count", "way"]


def test_a_small_number_is_shown_without_zeros_behind_it(form, qtbot):
    """It has room for seven decimals."""
    box = form["rate"].native
    qtbot.waitUntil(lambda: box.text() == "0.0002")
    for text, value in (("0.0000015", 1.5e-6), ("1", 1.0), ("0.05", 0.05)):
        type_into(form["rate"], text)
        assert form.values()["rate"] == value
        qtbot.waitUntil(lambda t=text: box.text() == t)
