"""Write a file whole or not at all, and say in a sentence why it could not be."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any


def reason_of(error: BaseException) -> str:
    """Return what an error says, without the system's number and quotation marks.

    A file that the system names stands in front.
    """
    text = str(error).strip()
    if isinstance(error, MemoryError):
        return f"there is not enough memory{text and f': {text}'}"
    if isinstance(error, OSError) and not isinstance(error, NotWritten):
        file = f"{error.filename}: " if error.filename is not None else ""
        text = f"{file}{error.strerror}" if error.strerror else text
    return text or type(error).__name__


class NotWritten(OSError):
    """A file or folder could not be written; its text is a sentence that names it.

    Parameters
    ----------
    path : pathlib.Path
        What was to be written; kept as ``filename``.
    error : OSError
        Why it could not be; its ``errno`` is kept.
    kept : str
        A sentence on what is there now.
    """

    def __init__(self, path: Path, error: OSError, kept: str = "") -> None:
        reason = error.strerror or reason_of(error)
        super().__init__(error.errno, reason, str(path))
        self._kept = kept

    def __str__(self) -> str:
        text = f"{self.filename} could not be written: {self.strerror}. {self._kept}"
        return text.rstrip()


def make_folder(folder: Path) -> None:
    """Make a folder and those it is in, if they are not there.

    Raises
    ------
    NotWritten
        If it cannot be made: a sentence that names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise NotWritten(folder, e) from e


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file whole or not at all: under another name first, then renamed.

    Parameters
    ----------
    path : pathlib.Path
        The file; an older one of that name is replaced.
    write : callable
        Given the path to write to, which has the same suffix.

    Raises
    ------
    NotWritten
        If it cannot be written: a sentence that names the file. Nothing new is left
        behind, and an older file is as it was.
    """
    fresh = path.with_name(f".nucleiseg-{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        write(fresh)
        with fresh.open("r+b") as file:
            # Else the new name may reach the disk before what stands under it.
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as e:
        kept = (
            "The file that was there before is as it was."
            if path.is_file()
            else "Nothing was left there."
        )
        raise NotWritten(path, e, kept) from e
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
