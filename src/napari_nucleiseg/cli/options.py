"""Options of the command made from a settings class: each is said once."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from napari_nucleiseg.core.parameter import ParamSpec, parameter_specs
from napari_nucleiseg.io import MAX_MEGAPIXELS

#: What stands for a number in the help, by its unit; else N or X.
_METAVARS = {"px": "PX", "px²": "PX", "min": "M", "µm": "UM"}

#: Limits from here on are not shown.
_FAR = 10_000


def add_options(parser: Any, kind: type[BaseModel]) -> None:
    """Add an option for each parameter of a settings class.

    Parameters
    ----------
    parser : argparse.ArgumentParser or argument group
        Where to.
    kind : type
        The class; see `core.params`.
    """
    for spec in parameter_specs(kind):
        how: dict[str, Any]
        if spec.kind is bool:
            # What is on by default can be turned off: --no-shape.
            on = argparse.BooleanOptionalAction if spec.default else "store_true"
            how = {"action": on, "help": spec.tip}
        else:
            how = {
                "type": _reader(spec),
                "choices": spec.choices or None,
                "metavar": _metavar(spec),
                "help": _help(spec),
            }
        parser.add_argument(
            "--" + spec.name.replace("_", "-"),
            dest=spec.name,
            # So that None can be given, as "auto".
            default=argparse.SUPPRESS,
            **how,
        )


def given_options(args: argparse.Namespace, kind: type[BaseModel]) -> dict[str, Any]:
    """Return the values of the options that were given, by parameter."""
    return {n: value for n, value in vars(args).items() if n in kind.model_fields}


def folder_path(text: str) -> Path:
    """Read the name of a folder, for argparse."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must name a folder; received nothing")
    return Path(text)


def add_size_limit(parser: Any) -> None:
    """Add the option that lets larger images be read."""
    parser.add_argument(
        "--max-megapixels",
        type=_megapixels,
        default=MAX_MEGAPIXELS,
        metavar="X",
        help="refuse images with more million pixels in a plane (default: %(default)g)",
    )


def add_processes(parser: Any) -> None:
    """Add the options that spread work over processes."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        help="spread the work over N processes of this computer (needs the extra "
        "[cluster])",
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="spread the work over a dask.distributed cluster, such as "
        "tcp://10.0.0.1:8786, whose workers reach the files by the same names",
    )


def _workers(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more; received {text}")
    return value


_workers.__name__ = "int"  # for argparse to say in its error


def _megapixels(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be more than 0; received {text}")
    return value


_megapixels.__name__ = "float"  # for argparse to say in its error


def _reader(spec: ParamSpec) -> Callable[[str], Any]:
    """Return what reads a value, under the name argparse is to show in its error."""

    def read(text: str) -> Any:
        if spec.optional and text.lower() == "auto":
            return None
        return spec.kind(text)

    read.__name__ = spec.kind.__name__
    return read


def _metavar(spec: ParamSpec) -> str | None:
    if spec.choices:
        return None
    return _METAVARS.get(spec.unit, "N" if spec.kind is int else "X")


def _help(spec: ParamSpec) -> str:
    default = spec.default
    about = []
    if spec.low is not None and spec.high is not None:
        high = f"to {spec.high:g}" if spec.high < _FAR else "or more"
        about.append(f"{spec.low:g} {high} {spec.unit}".strip())
    if default is None:
        text = spec.auto
    else:
        text = f"{default:g}" if isinstance(default, int | float) else str(default)
    about.append(f"default: {text}")
    return f"{spec.tip} ({', '.join(about)})".replace("%", "%%")
