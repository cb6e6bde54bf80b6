"""A form for a settings class, made from its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QSpinBox,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_nucleiseg.core.parameter import ParamSpec, parameter_specs


class _PlainSpinBox(QDoubleSpinBox):
    """A box for numbers over many powers of ten, without trailing zeros."""

    def textFromValue(self, value: float) -> str:
        """Return the number as it is read."""
        return f"{value:g}"


def _control(spec: ParamSpec) -> QWidget:
    """Return a control for one value."""
    if spec.kind is bool:
        return QCheckBox()
    if spec.choices:
        combo = QComboBox()
        for choice in spec.choices:
            combo.addItem(choice.capitalize(), choice)
        return combo
    whole = spec.kind is int
    if not whole and (spec.high or 0) <= 1 and spec.step:
        slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        slider.setRange(spec.low, spec.high)
        slider.setSingleStep(spec.step)
        slider.setDecimals(2)
        return slider
    if whole:
        box = QSpinBox()
    else:
        box = QDoubleSpinBox() if spec.step else _PlainSpinBox()
        box.setDecimals(1 if spec.step else 7)
    kind = int if whole else float
    if spec.step:
        box.setSingleStep(kind(spec.step))
    elif not whole:
        # Values over many powers of ten, such as a learning rate.
        box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    box.setRange(kind(spec.low or 0), kind(spec.high or 0))
    if spec.unit:
        box.setSuffix(f" {spec.unit}")
    box.setKeyboardTracking(False)
    return box


class ParamForm(QWidget):
    """Rows of label and control for some fields of a settings class.

    Parameters
    ----------
    kind : type
        The class; see `core.params`.
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
        specs = {spec.name: spec for spec in parameter_specs(kind)}
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.controls: dict[str, Any] = {}
        self._auto = auto
        for name in names:
            spec = specs[name]
            control: Any = _control(spec)
            if name in auto:
                # One step below the lowest value stands for None.
                step = control.singleStep()
                low = control.minimum()
                control.setMinimum(max(low - step, 0) if low > 0 else low - step)
                control.setSpecialValueText("Auto")
                control.setValue(control.minimum())
            control.setToolTip(spec.tip)
            control.setObjectName(name)
            label = QLabel(spec.label)
            label.setToolTip(spec.tip)
            label.setBuddy(control)
            layout.addRow(label, control)
            self.controls[name] = control
            if isinstance(control, QComboBox):
                moved = control.currentIndexChanged
            elif isinstance(control, QCheckBox):
                moved = control.toggled
            else:
                moved = control.valueChanged
            moved.connect(lambda *_, n=name: self.changed.emit(n))

    def values(self) -> dict[str, Any]:
        """Return the fields' values; None where a control reads "Auto"."""
        found = {}
        for name, control in self.controls.items():
            if isinstance(control, QComboBox):
                found[name] = control.currentData()
                continue
            if isinstance(control, QCheckBox):
                found[name] = control.isChecked()
                continue
            value = control.value()
            if name in self._auto and value == control.minimum():
                value = None
            elif isinstance(value, float):
                value = round(value, 9)
            found[name] = value
        return found

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Put values into the controls that are here; None is "Auto"."""
        for name, control in self.controls.items():
            if name not in values:
                continue
            value = values[name]
            if isinstance(control, QComboBox):
                control.setCurrentIndex(control.findData(value))
            elif isinstance(control, QCheckBox):
                control.setChecked(bool(value))
            else:
                control.setValue(control.minimum() if value is None else value)
