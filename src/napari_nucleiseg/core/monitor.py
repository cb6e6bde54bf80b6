"""How long-running work reports its progress, and asks whether to continue."""

from __future__ import annotations

import math
import time
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
    """What follows a piece of work and may stop it: a widget, a terminal, a test."""

    def report(self, progress: Progress) -> None:
        """Take note of the progress."""

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


class TimeLeft:
    """How long work will still take, from how long it has taken so far.

    Parameters
    ----------
    least_steps : int
        Steps that must be done before anything is said: the first ones may be slow.
    limit : float, optional
        Seconds after which the work ends in any case.
    """

    def __init__(self, least_steps: int = 1, limit: float | None = None) -> None:
        self._least, self._limit = least_steps, limit
        self._stage, self._first, self._start = "", 0, 0.0

    def of(self, progress: Progress) -> str:
        """Return the time left, such as ``"3 min"``; empty if it cannot be told."""
        now = time.monotonic()
        if progress.stage != self._stage or progress.done < self._first:
            self._stage, self._first, self._start = progress.stage, progress.done, now
        steps, elapsed = progress.done - self._first, now - self._start
        left = math.inf
        if progress.total and steps >= self._least and elapsed > _SOONEST:
            left = elapsed / steps * (progress.total - progress.done)
        if self._limit is not None:
            left = min(left, max(self._limit - elapsed, 0))
        return "" if math.isinf(left) else duration(left)


#: A time left that is told sooner would be wrong, seconds.
_SOONEST = 0.5


def duration(seconds: float) -> str:
    """Return a time for the user, such as ``8 s`` or ``3 min``."""
    # No line may break between a number and its unit.
    if seconds < 90:
        return f"{max(1, round(seconds))}\N{NO-BREAK SPACE}s"
    return f"{round(seconds / 60)}\N{NO-BREAK SPACE}min"
