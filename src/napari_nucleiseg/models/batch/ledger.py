"""What is known of the images of a batch that are done, so that none is done twice."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from napari_nucleiseg.core.record import Record
from napari_nucleiseg.io.atomic import make_folder, write_whole
from napari_nucleiseg.models.recipe import SavedRecipe

if TYPE_CHECKING:
    import pandas as pd

#: The folder beside the results; hidden, for it is of no use to anyone else.
LEDGER_FOLDER = ".nucleiseg"


class Entry(Record):
    """An image that is done.

    Parameters
    ----------
    image, labels : list of int
        Numbers that change with the image and with the file of its labels.
    segmented, measured : str
        Hashes of how; the latter empty if it was not measured.
    nuclei : int
        How many there are.
    seconds : float
        How long it took.
    summary : str
        Nuclei and their diameter, in words.
    warnings : list of str
        Why the result is suspect.
    confidence : list of float
        Of the nuclei 1 to n.
    axes : str
        Of the image.
    area : float or None
        Of the image, mm²; None if it is unknown or was not measured.
    foreign : bool
        Whether the labels were corrected since, or come from elsewhere.
    """

    image: list[int]
    labels: list[int]
    segmented: str
    measured: str = ""
    nuclei: int = Field(ge=0)
    seconds: float = 0
    summary: str = ""
    warnings: list[str] = Field(default_factory=list)
    confidence: list[float] = Field(default_factory=list)
    axes: str = ""
    area: float | None = None
    foreign: bool = False


class Ledger:
    """The entries, tables and pictures of the images that are done.

    Parameters
    ----------
    folder : pathlib.Path
        That of the results.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / LEDGER_FOLDER

    def read(self, name: str) -> Entry | None:
        """Return the entry of an image; None if there is none that can be read."""
        try:
            return Entry.from_json(self._at(name, ".json").read_bytes())
        except (OSError, ValueError):
            return None

    def write(self, name: str, entry: Entry) -> None:
        """Write the entry of an image.

        Raises
        ------
        NotWritten
            If it cannot be written.
        """
        make_folder(self._folder)
        text = entry.model_dump_json()
        write_whole(self._at(name, ".json"), lambda fresh: fresh.write_text(text))

    def read_table(self, name: str) -> pd.DataFrame | None:
        """Return the table of an image's nuclei; None if it cannot be read."""
        import pandas as pd

        try:
            return pd.read_parquet(self._at(name, ".parquet"))
        except (OSError, ValueError):
            return None

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write the table of an image's nuclei."""
        make_folder(self._folder)
        write_whole(
            self._at(name, ".parquet"),
            lambda fresh: table.to_parquet(fresh, index=False),
        )

    def picture(self, name: str) -> Path:
        """Return the file of the small picture of an image."""
        return self._at(name, ".png")

    def _at(self, name: str, suffix: str) -> Path:
        return self._folder / f"{name}{suffix}"


def hash_of_segmenting(recipe: SavedRecipe) -> str:
    """Return a hash of everything that labels depend on beside the image."""
    wanted = {"model_hash", "axes", "channel", "series", "segment"}
    return _hash(recipe.model_dump_json(include=wanted))


def hash_of_measuring(recipe: SavedRecipe) -> str:
    """Return a hash of everything that tables depend on beside image and labels."""
    if recipe.measure is None:
        return ""
    wanted = {"pixel_size", "image_name", "measure", "gates"}
    return _hash(recipe.model_dump_json(include=wanted))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
