"""Options of the command made from a parameters dataclass: each is said once."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

#: What stands for a number in the help, by its unit; else N or X.
_METAVARS = {"px": "PX", "px²": "PX", "min": "M"}

#: A limit from here on is no news to the reader.
_FAR = 10_000


def add_options(
    parser: Any,
    kind: type,
    *,
    auto: Mapping[str, str] | None = None,
) -> None:
    """Add an option for each field of a parameters dataclass.

    Parameters
    ----------
    parser : argparse.ArgumentParser or argument group
        Where to.
    kind : type
        The dataclass; see `core.params`.
    auto : mapping of str to str, optional
        What None stands for, by field.
    """
    for spec in dataclasses.fields(kind):
        how: dict[str, Any]
        if str(spec.type) == "bool":
            how = {"action": "store_true", "help": spec.metadata["tip"]}
        else:
            how = {
                "type": _reader(spec),
                "choices": spec.metadata["choices"] or None,
                "metavar": _metavar(spec),
                "help": _help(spec, (auto or {}).get(spec.name, "auto")),
            }
        parser.add_argument(
            "--" + spec.name.replace("_", "-"),
            dest=spec.name,
            # So that None can be given, as "auto".
            default=argparse.SUPPRESS,
            **how,
        )


def given_options(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Return the values of the options that were given, by field."""
    names = {spec.name for spec in dataclasses.fields(kind)}
    return {name: value for name, value in vars(args).items() if name in names}


def _kind(spec: dataclasses.Field[Any]) -> type:
    return {"int": int, "float": float}.get(str(spec.type).split(" |")[0], str)


def _reader(spec: dataclasses.Field[Any]) -> Callable[[str], Any]:
    """Return what reads a value, under the name argparse is to show in its error."""
    kind = _kind(spec)

    def read(text: str) -> Any:
        if spec.metadata["optional"] and text.lower() == "auto":
            return None
        return kind(text)

    read.__name__ = kind.__name__
    return read


def _metavar(spec: dataclasses.Field[Any]) -> str | None:
    if spec.metadata["choices"]:
        return None
    kind = "N" if _kind(spec) is int else "X"
    return _METAVARS.get(spec.metadata["unit"], kind)


def _help(spec: dataclasses.Field[Any], auto: str) -> str:
    meta, default = spec.metadata, spec.default
    about = []
    if meta["low"] is not None and meta["high"] is not None:
        high = f"to {meta['high']:g}" if meta["high"] < _FAR else "or more"
        about.append(f"{meta['low']:g} {high} {meta['unit']}".strip())
    if default is None:
        text = auto
    else:
        text = f"{default:g}" if isinstance(default, int | float) else str(default)
    about.append(f"default: {text}")
    return f"{meta['tip']} ({', '.join(about)})".replace("%", "%%")
