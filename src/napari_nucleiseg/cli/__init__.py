"""The `nucleiseg` command. Heavy modules are imported by the subcommands only."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_nucleiseg import __version__
from napari_nucleiseg.cli.models import add_models
from napari_nucleiseg.cli.score import add_score, format_score
from napari_nucleiseg.cli.segment import add_segment
from napari_nucleiseg.cli.terminal import complain, quiet_start
from napari_nucleiseg.cli.train import add_train

__all__ = ["build_parser", "format_score", "main", "quiet_start"]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="nucleiseg",
        description="Find every nucleus in microscopy images, on this computer alone.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_segment(commands)
    add_score(commands)
    add_models(commands)
    add_train(commands)
    _add_demo(commands)
    return parser


def _add_demo(commands: Any) -> None:
    sub = commands.add_parser(
        "demo",
        help="open napari with a sample image and the widget, ready to segment",
        description="Open napari with a sample image and the widget docked. Without "
        "a display: do the same job, and write labels, overlay and a screenshot.",
    )
    from napari_nucleiseg.cli.demo import SAMPLE_NAMES

    sub.add_argument(
        "--sample", choices=SAMPLE_NAMES, default=SAMPLE_NAMES[0], help="which image"
    )
    sub.add_argument(
        "--headless", action="store_true", help="write files instead of waiting"
    )
    sub.add_argument(
        "--output",
        type=Path,
        default=Path("nucleiseg-demo"),
        metavar="DIR",
        help="folder for the files (default: %(default)s)",
    )
    sub.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> int:
    from napari_nucleiseg.cli.demo import run_demo

    return run_demo(args.sample, args.output, headless=args.headless)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.
    """
    args = build_parser().parse_args(argv)
    try:
        status = int(args.run(args))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except MemoryError as e:
        complain(f"there is not enough memory. {e}".strip())
        return 2
    except BrokenPipeError:
        # Whoever read our output (`head`, say) has had enough; Python shall not
        # complain when it closes it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, TypeError, FloatingPointError) as e:
        complain(str(e))
        return 2
