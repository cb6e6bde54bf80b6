"""Where what is remembered between runs is kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

#: Set this to keep it elsewhere.
CACHE_VARIABLE = "NUCLEISEG_CACHE"


def cache_folder() -> Path:
    """Return the folder; it need not be there yet."""
    folder = os.environ.get(CACHE_VARIABLE)
    return Path(folder or platformdirs.user_cache_dir("napari-nucleiseg", False))
