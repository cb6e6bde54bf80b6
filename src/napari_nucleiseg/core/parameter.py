"""What a parameter is: a field that carries its limits, label and tooltip.

A parameter's limits, label and tooltip live in its field's metadata: the form, the
command line, the checks and the saved record are all made from them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self


def parameter(
    default: Any,
    *,
    label: str,
    tip: str,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    unit: str = "",
    optional: bool = False,
    advanced: bool = False,
    choices: tuple[str, ...] = (),
) -> Any:
    """Return a dataclass field that carries its limits, label and tooltip.

    Parameters
    ----------
    default : object
        Default value.
    label, tip : str
        What a form shows beside the control and when the mouse rests on it.
    low, high, step : float, optional
        Smallest and largest value allowed (both included) and a control's step.
    unit : str
        Unit shown behind the number, such as ``"px"``.
    optional : bool
        Whether None is allowed (a form shows it as "Auto").
    advanced : bool
        Whether a form may fold it away.
    choices : tuple of str
        The words allowed, for a field that holds one.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "label": label,
            "tip": tip,
            "low": low,
            "high": high,
            "step": step,
            "unit": unit,
            "optional": optional,
            "advanced": advanced,
            "choices": choices,
        },
    )


class Checked:
    """Check every value against its field's type and limits when it is made."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, spec.name)
            object.__setattr__(self, spec.name, check_value(spec, value))

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a plain dictionary that JSON can hold."""
        return dataclasses.asdict(self)  # type: ignore[call-overload]

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed (and checked)."""
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make parameters from a dictionary; an unknown name is a ValueError."""
        known = {spec.name for spec in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(
                f"Unknown parameter {', '.join(unknown)}; "
                f"{cls.__name__} has {', '.join(sorted(known))}."
            )
        return cls(**values)


def check_value(spec: dataclasses.Field[Any], value: Any) -> Any:
    """Return `value` as the field's type, or say what was wanted and what came.

    Raises
    ------
    TypeError
        If the value is of another kind than the field.
    ValueError
        If a number is outside the field's limits, or not finite.
    """
    meta = spec.metadata
    if value is None:
        if meta.get("optional"):
            return None
        raise TypeError(f"{spec.name} must be given; received None.")
    kind = str(spec.type).split(" |")[0]
    if kind == "bool":
        if not isinstance(value, bool):
            raise TypeError(f"{spec.name} must be True or False; received {value!r}.")
        return value
    if kind not in ("int", "float"):
        choices = meta.get("choices")
        if choices and value not in choices:
            raise ValueError(
                f"{spec.name} must be one of {', '.join(choices)}; received {value!r}."
            )
        return value
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{spec.name} must be a number; received {value!r}.")
    number = float(value)
    low, high = meta.get("low"), meta.get("high")
    inside = (low is None or number >= low) and (high is None or number <= high)
    if not math.isfinite(number) or not inside:
        raise ValueError(
            f"{spec.name} must be between {low} and {high}; received {value!r}."
        )
    if kind == "int":
        if number != int(number):
            raise TypeError(f"{spec.name} must be a whole number; received {value!r}.")
        return int(number)
    return number
