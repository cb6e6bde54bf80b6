"""The `nucleiseg` command. Each subcommand is a module, imported when it is called."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from napari_nucleiseg import __version__
from napari_nucleiseg.cli.terminal import Terminated, complain, ending_on_sigterm
from napari_nucleiseg.io.atomic import reason_of

#: Subcommands, each in a module of its name here, and what the help says of them.
COMMANDS = {
    "segment": "find the nuclei in image files",
    "finish": "make the labels of a large image whose blocks are done",
    "measure": "measure the nuclei in labels: size, shape, intensities, neighbours",
    "score": "compare labels with true ones",
    "link": "link the nuclei of planes, through depth or time",
    "models": "list the models, show, rename, delete, export or import one",
    "train": "train a model on your own images and labels",
    "project": "teach a model round by round: examples, models, one folder",
    "demo": "open napari with a sample image and the widget, ready to segment",
}


class _Command(argparse.ArgumentParser):
    """A subcommand's parser, whose options are added when it is called."""

    module: str = ""

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        """Parse, once the options are there."""
        name, self.module = self.module, ""
        if name:
            importlib.import_module(name).add_arguments(self)
        return super().parse_known_args(*args, **kwargs)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="nucleiseg",
        description="Find every nucleus in microscopy images, on this computer alone.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Command
    )
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text).module = f"{__name__}.{name}"
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.
    """
    args = build_parser().parse_args(argv)
    # What tifffile logs of a damaged file is in the error that it raises, too.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with ending_on_sigterm():
            status = int(args.run(args))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        complain("interrupted")
        return 128 + signal.SIGINT
    except Terminated:
        complain("terminated")
        return 128 + signal.SIGTERM
    except BrokenPipeError:
        # The reader of our output (`head`, say) has closed it; Python must not complain
        # about that when it closes it, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, TypeError, FloatingPointError, MemoryError) as e:
        complain(reason_of(e))
        return 2
