"""What becomes of each image of a batch, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from napari_nucleiseg.core.monitor import Monitor, Progress, SilentMonitor
from napari_nucleiseg.models.batch.items import Item
from napari_nucleiseg.models.batch.ledger import Entry


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Parameters
    ----------
    item : Item
        The image.
    state : str
        ``"done"``, ``"skipped"`` (it was done before), ``"failed"`` or ``"stopped"``.
    entry : Entry or None
        What is known of it; None if it failed, or was done by an older version.
    message : str
        Why it failed.
    """

    item: Item
    state: str
    entry: Entry | None = None
    message: str = ""

    @property
    def nuclei(self) -> int:
        """How many nuclei there are, as far as it is known."""
        return self.entry.nuclei if self.entry else 0

    @property
    def complaints(self) -> list[str]:
        """Why it failed, or what is suspect about it, a sentence each."""
        if self.message:
            return [self.message]
        return self.entry.warnings if self.entry else []


class Watch(Protocol):
    """What follows a batch: a window or a terminal."""

    def begin(self, item: Item) -> Monitor:
        """Take note that an image is begun, and return what follows that."""

    def end(self, outcome: Outcome) -> None:
        """Take note of what became of it."""


class SilentWatch:
    """A watch that shows nothing."""

    def begin(self, item: Item) -> Monitor:
        """Return a monitor that shows nothing."""
        return SilentMonitor()

    def end(self, outcome: Outcome) -> None:
        """Drop the outcome."""


class Following(SilentWatch):
    """A watch that has each image followed by one monitor."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def begin(self, item: Item) -> Monitor:
        """Return the monitor."""
        return self._monitor


class SharedMonitor:
    """The monitor of one image, for one that follows them all.

    Parameters
    ----------
    monitor : Monitor
        That of the whole.
    item : Item
        The image.
    index, count : int
        Its place, and how many there are.
    """

    def __init__(self, monitor: Monitor, item: Item, index: int, count: int) -> None:
        self._monitor, self._name = monitor, item.name
        self._index, self._count = index, count

    def report(self, progress: Progress) -> None:
        """Pass on how far the whole is."""
        part = progress.done / progress.total if progress.total else 0
        # Finding nuclei takes nearly all of the time.
        done = round(1000 * (self._index + (part if "Find" in progress.stage else 0)))
        stage = f"{self._name}: {progress.stage.lower()}"
        self._monitor.report(Progress(stage, done, 1000 * self._count))

    def should_stop(self) -> bool:
        """Return whether all is to stop."""
        return self._monitor.should_stop()
