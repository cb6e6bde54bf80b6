"""How long work tells whoever started it where it is, and asks whether to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """Where a piece of work stands.

    Parameters
    ----------
    stage : str
        What is being done, in words for the user, such as ``"Finding nuclei"``.
    done, total : int
        Steps done and steps in all. ``total`` 0 means that the end is not known.
    metrics : mapping of str to float, optional
        Figures worth showing, such as a loss.
    """

    stage: str
    done: int
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)


class Monitor(Protocol):
    """What the core asks of whoever watches it: a widget, a terminal, a test."""

    def report(self, progress: Progress) -> None:
        """Take note of where the work stands."""

    def should_stop(self) -> bool:
        """Return True to have the work stop at the next tile or batch."""


class Cancelled(Exception):
    """The work was stopped because its monitor asked for it."""


class SilentMonitor:
    """A monitor that shows nothing and never stops anything."""

    def report(self, progress: Progress) -> None:
        """Drop the report."""

    def should_stop(self) -> bool:
        """Never stop."""
        return False


def check_cancelled(monitor: Monitor) -> None:
    """Raise `Cancelled` if the monitor wants the work to stop."""
    if monitor.should_stop():
        raise Cancelled("Stopped before the end, as asked.")
