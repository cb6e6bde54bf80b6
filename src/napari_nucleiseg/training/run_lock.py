"""Whose a training is: a lock that dies with its process, and a note of which one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from napari_nucleiseg.io.atomic import NotWritten, make_folder

#: Locked while a process trains in the folder, and which one that is. The system lifts
#: the lock when the process ends, however it ends.
LOCK, OWNER = "lock", "process.json"

#: A lock may be held for a moment by whoever looks whether it is free, seconds.
_PATIENCE, _LOOK = 2.0, 0.05

#: Where a training may be under way, as it is said of others.
_PLACES = {
    "window": "another window",
    "script": "a terminal or script",
    "background": "the background",
}


class TrainingBusy(ValueError):
    """A training is under way in another process; the text names it."""


class RunLock:
    """The lock of a training's folder.

    Parameters
    ----------
    folder : pathlib.Path
        The training's; it need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # One for all threads: what one prepares, another trains.
        self._lock = FileLock(
            folder / LOCK, timeout=_PATIENCE, poll_interval=0.02, thread_local=False
        )

    @property
    def is_mine(self) -> bool:
        """Whether this object holds it."""
        return bool(self._lock.is_locked)

    def take(self, name: str) -> None:
        """Hold it until `release`, or until the process ends.

        Parameters
        ----------
        name : str
            Of the model, for the message.

        Raises
        ------
        TrainingBusy
            If another process holds it.
        OSError
            If the folder cannot be written to.
        """
        while not self.is_mine:
            make_folder(self._folder)
            try:
                self._lock.acquire(timeout=_PATIENCE)
            except Timeout as e:
                raise TrainingBusy(
                    f"The model {name!r} is being trained in {self._owner_name()}. "
                    "Wait until that ends, or choose another name."
                ) from e
            except FileNotFoundError:
                continue  # discarded by another process this very moment
            except OSError as e:
                raise NotWritten(self._folder, e) from e
            if not (self._folder / LOCK).is_file():
                self._lock.release()  # likewise: what we hold is a deleted file

    def note(self, place: str) -> None:
        """Write down for others who holds it; `place` is one of ``window``, ``script``
        and ``background``.
        """  # noqa: D205
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "place": place}
        # Only for messages: on a full disk, a training must still be discarded.
        with contextlib.suppress(OSError):
            (self._folder / OWNER).write_text(json.dumps(owner), encoding="utf-8")

    def release(self) -> None:
        """Let another process take it."""
        self._lock.release()

    @property
    def owner(self) -> str:
        """Who else holds it, such as ``"another window (process 1234)"``, or ``""``."""
        if self.is_mine or not (self._folder / LOCK).is_file():
            return ""
        try:
            self._lock.acquire(timeout=_LOOK)
        except Timeout:
            return self._owner_name()
        except OSError:  # of a folder that may only be read
            return ""
        self._lock.release()
        return ""

    def _owner_name(self) -> str:
        try:
            owner = json.loads((self._folder / OWNER).read_text(encoding="utf-8"))
            pid, host = int(owner["pid"]), str(owner["host"])
            place = _PLACES[owner["place"]]
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"
        where = "" if host == socket.gethostname() else f" on {host}"
        return f"{place} (process {pid}{where})"
