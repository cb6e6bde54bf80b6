"""A form for a parameters dataclass, made from its fields' metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QLabel, QSpinBox, QWidget
from superqt import QLabeledDoubleSlider


def _number_control(spec: dataclasses.Field[Any]) -> QWidget:
    """Return a control for one number, by the metadata of its field."""
    meta = spec.metadata
    whole = str(spec.type).startswith("int")
    if not whole and (meta["high"] or 0) <= 1:
        slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        slider.setRange(meta["low"], meta["high"])
        slider.setSingleStep(meta["step"] or 0.01)
        slider.setDecimals(2)
        return slider
    box = QSpinBox() if whole else QDoubleSpinBox()
    if not whole:
        box.setDecimals(1)
    kind = int if whole else float
    box.setRange(kind(meta["low"]), kind(meta["high"]))
    box.setSingleStep(kind(meta["step"] or 1))
    if meta["unit"]:
        box.setSuffix(f" {meta['unit']}")
    box.setKeyboardTracking(False)
    return box


class ParamForm(QWidget):
    """Rows of label and control for some fields of a parameters dataclass.

    Parameters
    ----------
    kind : type
        The dataclass.
    names : sequence of str
        Fields to show, in order.
    auto : collection of str
        Fields that may be None; the lowest position of their control reads "Auto".
    parent : QWidget, optional
        See Qt.
    """

    #: Emitted with a field's name when the user or a program changed it.
    changed = Signal(str)

    def __init__(
        self,
        kind: type,
        names: tuple[str, ...],
        *,
        auto: tuple[str, ...] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        specs = {spec.name: spec for spec in dataclasses.fields(kind)}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.controls: dict[str, Any] = {}
        self._auto = auto
        for name in names:
            spec = specs[name]
            control: Any = _number_control(spec)
            if name in auto:
                # One step below the lowest value stands for None.
                control.setMinimum(control.minimum() - control.singleStep())
                control.setSpecialValueText("Auto")
                control.setValue(control.minimum())
            control.setToolTip(spec.metadata["tip"])
            control.setObjectName(name)
            label = QLabel(spec.metadata["label"])
            label.setToolTip(spec.metadata["tip"])
            label.setBuddy(control)
            layout.addRow(label, control)
            self.controls[name] = control
            control.valueChanged.connect(lambda *_, n=name: self.changed.emit(n))

    def values(self) -> dict[str, Any]:
        """Return the fields' values; None where a control reads "Auto"."""
        found = {}
        for name, control in self.controls.items():
            value = control.value()
            if name in self._auto and value == control.minimum():
                value = None
            elif isinstance(value, float):
                value = round(value, 4)
            found[name] = value
        return found

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Put values into the controls that are here; None is "Auto"."""
        for name, control in self.controls.items():
            if name in values:
                value = values[name]
                control.setValue(control.minimum() if value is None else value)
