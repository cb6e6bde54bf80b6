"""A form for the parameters of a settings class, made from its fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, Container, FloatSpinBox, create_widget
from magicgui.widgets.bases import ValuedContainerWidget, ValueWidget
from psygnal import Signal
from pydantic import BaseModel
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QWidget

from napari_nucleiseg.core.parameter import ParamSpec, parameter_specs

#: A number over many powers of ten, such as a learning rate, has so many decimals.
_MANY_DECIMALS = 7


class AutoNumber(ValuedContainerWidget):
    """A number that may be left to the program: a box to tick, and the number.

    Its ``value`` is None while *Auto* is ticked.

    Parameters
    ----------
    spec : ParamSpec
        The parameter.
    **options
        As for any magicgui widget.

    Attributes
    ----------
    auto, number : magicgui widgets
        The box and the number; the number is shown when the box is not ticked, and
        may be given a value before that.
    """

    def __init__(self, spec: ParamSpec, **options: Any) -> None:
        self.auto = CheckBox(text="Auto", value=True)
        self.number = _number(spec)
        self.number.visible = False
        super().__init__(
            layout="horizontal",
            labels=False,
            widgets=[self.auto, self.number],
            **options,
        )
        self.margins = (0, 0, 0, 0)
        self.auto.changed.connect(self._on_auto_changed)
        self.number.changed.connect(self._on_number_changed)

    def get_value(self) -> Any:
        """Return the number, or None."""
        return None if self.auto.value else self.number.value

    def set_value(self, value: Any) -> None:
        """Take a number, or None."""
        before = self.get_value()
        with self.changed.blocked():
            if value is not None:
                self.number.value = value
            self.auto.value = value is None
        if value != before:
            self.changed.emit(value)

    def _on_auto_changed(self, auto: bool) -> None:
        self.number.visible = not auto
        self.changed.emit(self.get_value())

    def _on_number_changed(self, number: float) -> None:
        if not self.auto.value:
            self.changed.emit(number)


class ParamForm(Container):
    """Controls for the parameters of a settings class, each with label and tooltip.

    ``form["epochs"]`` is the magicgui widget of a parameter; ``form.native`` goes into
    a Qt layout. Numbers that may be None have a box *Auto* (see `AutoNumber`), but
    those from 0 to 1: they are sliders, and their None is for the program to replace.

    Parameters
    ----------
    kind : type
        The class; see `core.params`.
    advanced : bool, optional
        True for the advanced parameters only, False for the others; all if not given.
    leave_out : collection of str
        Parameters that have no control.

    Attributes
    ----------
    param_changed : psygnal.Signal
        Emitted with a parameter's name when the user or the program changed it.

    Examples
    --------
    >>> form = ParamForm(TrainParams, advanced=False)
    >>> form.param_changed.connect(print)
    >>> form.set_values({"epochs": 3})
    epochs
    >>> form.values()
    {'epochs': 3, 'minutes': None}
    """

    param_changed = Signal(str)

    def __init__(
        self,
        kind: type[BaseModel],
        *,
        advanced: bool | None = None,
        leave_out: Collection[str] = (),
    ) -> None:
        self._specs = {
            spec.name: spec
            for spec in parameter_specs(kind)
            if advanced in (None, spec.advanced) and spec.name not in leave_out
        }
        super().__init__()
        # Added later, labels are given one width.
        self.extend([_control(spec) for spec in self._specs.values()])
        self.margins = (0, 0, 0, 0)
        for name in self._specs:
            self[name].changed.connect(lambda *_, n=name: self.param_changed.emit(n))

    def values(self) -> dict[str, Any]:
        """Return the value of each parameter; None for *Auto*."""
        return {
            # A slider has more places than it shows.
            name: round(value, 2 if _is_slider(spec) else _MANY_DECIMALS)
            if isinstance(value := self[name].value, float)
            else value
            for name, spec in self._specs.items()
        }

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Take the values of the parameters that are here; others are left out."""
        for name in self._specs:
            if name in values:
                self[name].value = values[name]


def _is_slider(spec: ParamSpec) -> bool:
    return spec.kind is float and spec.step is not None and (spec.high or 0) <= 1


def _control(spec: ParamSpec) -> Any:
    widget: Any
    if spec.kind is bool:
        widget = CheckBox(text=spec.label, value=bool(spec.default))
    elif spec.choices:
        choices = list(zip(spec.shown, spec.choices, strict=True))
        widget = ComboBox(choices=choices, value=spec.default)
    elif spec.optional and not _is_slider(spec):
        widget = AutoNumber(spec)
        widget.value = spec.default
    else:
        widget = _number(spec)
    widget.name, widget.tooltip = spec.name, spec.tip
    if spec.kind is not bool:  # its text is its label
        widget.label = f"{spec.label} ({spec.unit})" if spec.unit else spec.label
    # What covers the widget is silent by itself: a slider's box, for one.
    for part in (widget.native, *widget.native.findChildren(QWidget)):
        part.setToolTip(spec.tip)
    widget.native.setObjectName(spec.name)
    return widget


class _Trimmer(QObject):
    """Shows the number in a box without zeros at its end, unless it is being typed.

    Parameters
    ----------
    box : QDoubleSpinBox
        It writes all its decimals again whenever it is set, shown or restyled.
    """

    def __init__(self, box: QDoubleSpinBox) -> None:
        super().__init__(box)
        self._point = box.locale().decimalPoint()
        box.lineEdit().installEventFilter(self)

    def eventFilter(self, line: QObject, event: QEvent) -> bool:
        """Trim the number before it is painted."""
        if event.type() == QEvent.Type.Paint and not line.isModified():
            whole, point, part = line.text().partition(self._point)
            if part.endswith("0"):
                line.setText((whole + point + part.rstrip("0")).rstrip(point))
        return False


def _number(spec: ParamSpec) -> ValueWidget:
    """Return a control that takes the numbers allowed, and no other."""
    start = spec.start if spec.default is None else spec.default
    options: dict[str, Any] = {"min": spec.low, "max": spec.high, "step": spec.step}
    if _is_slider(spec):
        options["widget_type"] = "FloatSlider"
    many = spec.kind is float and spec.step is None
    if many:
        options["step"] = 10.0**-_MANY_DECIMALS
    widget: Any = create_widget(value=start, annotation=spec.kind, options=options)
    if _is_slider(spec):
        # napari's own style makes it wider than a number needs, and the slider short.
        readout = widget.native.findChild(QAbstractSpinBox)
        readout.setStyleSheet(f"{readout.styleSheet()} min-width: 40px;")
    elif many:
        widget.adaptive_step = True
        _Trimmer(widget.native)  # there is room for seven decimals
    elif isinstance(widget, FloatSpinBox):
        widget.native.setDecimals(1)
    if isinstance(widget.native, QAbstractSpinBox):
        # So that 3 is not taken for the number while 30 is being typed.
        widget.native.setKeyboardTracking(False)
    return widget
