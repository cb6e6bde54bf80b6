"""Where what is remembered between runs is kept."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from napari_nucleiseg.io.atomic import write_whole

#: Set this to keep it elsewhere.
CACHE_VARIABLE = "NUCLEISEG_CACHE"


def cache_folder() -> Path:
    """Return the folder; it need not be there yet."""
    folder = os.environ.get(CACHE_VARIABLE)
    return Path(folder or platformdirs.user_cache_dir("napari-nucleiseg", False))


def recall(name: str) -> dict[str, Any]:
    """Return what `remember` noted in a file; nothing if it is not as we left it."""
    try:
        known = json.loads((cache_folder() / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def remember(name: str, known: Mapping[str, Any]) -> None:
    """Note something for the next time; that it cannot be written is no error."""
    path, text = cache_folder() / name, json.dumps(known, indent=1) + "\n"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))
