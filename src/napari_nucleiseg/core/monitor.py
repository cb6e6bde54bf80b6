"""How long-running work reports its progress, and asks whether to continue."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    whole : float or None
        The share of all stages together that is done, 0-1, if that is known.
    """

    stage: str
    done: int
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    whole: float | None = None


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


class Stages:
    """A monitor that tells another one how much of all stages together is done.

    Parameters
    ----------
    monitor : Monitor
        Whom to tell.
    shares : mapping of str to float
        How long each stage takes, by its name, in their order; any unit.
    """

    def __init__(self, monitor: Monitor, shares: Mapping[str, float]) -> None:
        self._monitor, self._shares = monitor, dict(shares)
        self._whole = 0.0

    def report(self, progress: Progress) -> None:
        """Pass the progress on; a stage that is not known takes no time."""
        names = list(self._shares)
        if progress.stage in names and progress.total:
            before = sum(
                self._shares[name] for name in names[: names.index(progress.stage)]
            )
            here = self._shares[progress.stage] * progress.done / progress.total
            share = (before + here) / sum(self._shares.values())
            # It never goes back, as where a stage has been begun before.
            self._whole = max(self._whole, min(share, 1.0))
        self._monitor.report(replace(progress, whole=self._whole))

    def should_stop(self) -> bool:
        """Ask the other one."""
        return self._monitor.should_stop()


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
        self._stage, self._first = "", 0.0
        self._start: float | None = None

    def of(self, progress: Progress) -> str:
        """Return the time left, such as ``"3 min"``; empty if it cannot be told."""
        now = time.monotonic()
        stage, done, total = progress.stage, float(progress.done), float(progress.total)
        least = float(self._least)
        if progress.whole is not None:
            stage, done, total, least = "", progress.whole, 1.0, _LEAST_SHARE
        if self._start is None or stage != self._stage or done < self._first:
            self._stage, self._first, self._start = stage, done, now
        steps, elapsed = done - self._first, now - self._start
        left = math.inf
        if total and steps >= least and elapsed > _SOONEST:
            left = elapsed / steps * (total - done)
        if self._limit is not None:
            left = min(left, max(self._limit - elapsed, 0))
        return "" if math.isinf(left) else duration(left)


#: A time left that is told sooner would be wrong: seconds, and share of the whole.
_SOONEST, _LEAST_SHARE = 0.5, 0.005


def duration(seconds: float) -> str:
    """Return a time for the user, such as ``8 s``, ``3 min`` or ``2.5 h``."""
    # No line may break between a number and its unit.
    if seconds < 90:
        return f"{max(1, round(seconds))}\N{NO-BREAK SPACE}s"
    if seconds < 100 * 60:
        return f"{round(seconds / 60)}\N{NO-BREAK SPACE}min"
    return f"{seconds / 3600:.2g}\N{NO-BREAK SPACE}h"
