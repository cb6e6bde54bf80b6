"""A parameter, said once: what forms, the shell and the docs need to know of it.

It is a field of a `core.params.Settings`, and the text below it is its tooltip::

    diameter: float | None = parameter(None, "Diameter", 3, 1000, unit="px", step=1)
    "How wide a typical nucleus is."

A field that may be None is *Auto* then; one of a ``Literal`` is a choice.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field

from napari_nucleiseg.core.record import limits


@dataclass(frozen=True)
class ParamSpec:
    """One parameter, as `parameter_specs` reads it from its field.

    Parameters
    ----------
    name : str
        Of the field.
    kind : type
        bool, int, float or str.
    default : object
        Default value.
    label, tip : str
        What a form shows beside the control, and when the mouse rests on it.
    low, high : float or None
        Least and largest value allowed.
    step : float or None
        Of a control; None for values over many powers of ten.
    unit : str
        Such as ``"px"``.
    optional : bool
        Whether it may be None, which is "Auto" to the user.
    advanced : bool
        Whether a form may fold it away.
    auto : str
        What None stands for, such as ``"measured"``.
    start : float or None
        What a control shows first instead of None; the least value by default.
    choices : tuple of str
        The words allowed; empty if it is not a choice.
    shown : tuple of str
        What a form calls each of them.
    """

    name: str
    kind: type
    default: Any
    label: str
    tip: str
    low: float | None
    high: float | None
    step: float | None
    unit: str
    optional: bool
    advanced: bool
    auto: str
    start: float | None
    choices: tuple[str, ...]
    shown: tuple[str, ...]


def parameter(
    default: Any,
    title: str,
    low: float | None = None,
    high: float | None = None,
    **about: Any,
) -> Any:
    """Return the field of a parameter.

    Parameters
    ----------
    default : object
        Default value.
    title : str
        What a form shows beside the control.
    low, high : float, optional
        Least and largest value allowed.
    **about
        ``unit``, ``step``, ``advanced``, ``auto``, ``start`` and ``shown``; see
        `ParamSpec`.
    """
    return Field(default, ge=low, le=high, title=title, json_schema_extra=about)


def parameter_specs(kind: type[BaseModel]) -> tuple[ParamSpec, ...]:
    """Return the parameters of a settings class, in its order.

    Parameters
    ----------
    kind : type
        Such as `SegmentParams` or `TrainParams`.

    Returns
    -------
    tuple of ParamSpec
    """
    return tuple(_spec(kind, name) for name in kind.model_fields)


def _spec(kind: type[BaseModel], name: str) -> ParamSpec:
    field = kind.model_fields[name]
    annotation: Any = field.annotation
    optional = get_origin(annotation) in (Union, types.UnionType)
    if optional:
        (annotation,) = (x for x in get_args(annotation) if x is not types.NoneType)
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    extra = field.json_schema_extra
    about: dict[str, Any] = dict(extra) if isinstance(extra, dict) else {}
    low, high = limits(kind, name)
    return ParamSpec(
        name=name,
        kind=str if choices else annotation,
        default=field.default,
        label=field.title or name,
        tip=" ".join((field.description or "").split()),
        low=low,
        high=high,
        step=about.get("step"),
        unit=about.get("unit", ""),
        optional=optional,
        advanced=about.get("advanced", False),
        auto=about.get("auto", "auto"),
        start=about.get("start", low),
        choices=choices,
        shown=about.get("shown") or tuple(word.capitalize() for word in choices),
    )
