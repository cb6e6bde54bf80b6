"""What every settings or record class is made of: checked values, and JSON."""

from __future__ import annotations

import json
import numbers
import re
from typing import TYPE_CHECKING, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

#: A table of what JSON can hold, of any form; to the type checker, of anything.
if TYPE_CHECKING:
    JsonTable = dict[str, Any]
else:
    JsonTable = dict[str, JsonValue]

#: A value is quoted in a message up to so many characters.
_MOST_QUOTED = 60


class Record(BaseModel):
    """Values that are checked when they are set, and never change.

    Unknown names, numbers that are not finite, and values of another kind (True for a
    number, a word for a number) are refused.

    Raises
    ------
    ValueError
        If a value is refused; one sentence for each says what was wanted and what
        came.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as e:
            errors = e.errors(include_url=False)
            text = " ".join(_sentence(type(self), error) for error in errors)
            raise ValueError(printable(text)) from None

    @model_validator(mode="before")
    @classmethod
    def _without_computed(cls, values: Any) -> Any:
        """Leave out what a dump holds besides the fields: it is computed anew."""
        if not isinstance(values, dict):
            return values
        known = cls.model_computed_fields
        return {name: x for name, x in values.items() if name not in known}

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        """Take NumPy's numbers for Python's, and 3.0 for 3."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return value
        if isinstance(value, numbers.Integral):
            return int(value)
        number = float(value)
        return int(number) if number.is_integer() else number

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed; those are checked too."""
        return type(self)(**{**dict(self), **changes})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Make it from JSON, as `model_dump_json` writes it.

        Raises
        ------
        ValueError
            If it is no JSON object, or a value in it is refused.
        """
        try:
            values = json.loads(text)
        except RecursionError as e:
            raise ValueError("The JSON is nested too deeply.") from e
        except ValueError as e:
            raise ValueError(f"This is not JSON: {e}.") from e
        if not isinstance(values, dict):
            raise ValueError(f"A JSON object is wanted; received {_quoted(values)}.")
        return cls(**values)


def printable(text: str) -> str:
    """Return a line of text without anything that a terminal would obey."""
    return "".join(x if x.isprintable() else "\N{REPLACEMENT CHARACTER}" for x in text)


def limits(kind: type[BaseModel], name: str) -> tuple[Any, Any]:
    """Return a field's least and largest value; None where there is no limit."""
    constraints = kind.model_fields[name].metadata
    low = next((x.ge for x in constraints if hasattr(x, "ge")), None)
    high = next((x.le for x in constraints if hasattr(x, "le")), None)
    return low, high


def _sentence(kind: type[BaseModel], error: ErrorDetails) -> str:
    """Say what was wanted and what came."""
    name = ".".join(str(part) for part in error["loc"])
    problem, text = error["type"], error["msg"]
    if problem == "missing":
        return f"{name} is missing."
    if problem == "extra_forbidden":
        known = ", ".join(kind.model_fields)
        return f"Unknown entry {_quoted(name)}; {kind.__name__} has {known}."
    if problem == "value_error":
        # What a record within this one, or a check of its own, had to say.
        return (
            f"{name}: {error['ctx']['error']}" if name else str(error["ctx"]["error"])
        )
    if problem in ("greater_than_equal", "less_than_equal", "finite_number"):
        low, high = limits(kind, str(error["loc"][0]))
        if len(error["loc"]) == 1 and low is not None and high is not None:
            text = f"Input should be between {low:g} and {high:g}"
    text = re.sub(r"^\w+ should", "must", text)
    text = f"{name} {text}" if text.startswith("must") else f"{name}: {text}"
    return f"{text}; received {_quoted(error['input'])}."


def _quoted(value: Any) -> str:
    text = ascii(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= _MOST_QUOTED else text[: _MOST_QUOTED - 1] + "…"
