"""A contact sheet: the images of a batch with their outlines, on one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.io.atomic import write_whole
from napari_nucleiseg.models.batch.ledger import Ledger

if TYPE_CHECKING:
    from napari_nucleiseg.models.batch.run import Outcome

#: Side of an image on the sheet, the room round it, and the height of a line below.
_SIDE, _GAP, _LINE = 300, 12, 20

#: The sheet is no wider than so many images; more than the second are left out.
_ACROSS, _MOST = 6, 240

_BACK, _INK, _FAINT = "white", "black", "#555555"


def write_sheet(path: Path, outcomes: Sequence[Outcome], ledger: Ledger) -> None:
    """Write the pictures of a batch as one PNG, by condition and name.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    outcomes : sequence of Outcome
        The images that are done; of more than 240 the first.
    ledger : Ledger
        Where their pictures are.

    Raises
    ------
    NotWritten
        If it cannot be written.
    """
    from PIL import Image, ImageDraw

    shown = sorted(outcomes, key=lambda x: (x.item.condition, x.item.name))[:_MOST]
    across = min(_ACROSS, math.ceil(math.sqrt(len(shown))))
    down = math.ceil(len(shown) / across)
    width, height = _SIDE + _GAP, _SIDE + 2 * _LINE + _GAP
    size = (across * width + _GAP, down * height + _GAP)
    sheet = Image.new("RGB", size, _BACK)
    draw, font = ImageDraw.Draw(sheet), _font()
    for place, outcome in enumerate(shown):
        x = _GAP + place % across * width
        y = _GAP + place // across * height
        file = ledger.picture(outcome.item.name)
        if file.is_file():
            with Image.open(file) as picture:
                picture.thumbnail((_SIDE, _SIDE))
                sheet.paste(picture, (x, y + _SIDE - picture.height))
        item, count = outcome.item, outcome.nuclei
        about = [item.condition] if item.condition else []
        about.append(f"{count:,} {'nucleus' if count == 1 else 'nuclei'}")
        lines = ((item.name, _INK), (" · ".join(about), _FAINT))
        for row, (text, colour) in enumerate(lines):
            at = (x, y + _SIDE + 3 + row * _LINE)
            draw.text(at, _fitting(text, font), fill=colour, font=font)
    write_whole(path, lambda fresh: sheet.save(fresh))


def _font() -> Any:
    """Return a font that has Greek and Cyrillic letters: the one in matplotlib."""
    import matplotlib
    from PIL import ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), 13)


def _fitting(text: str, font: Any) -> str:
    """Return a text that is no wider than an image, its middle left out if need be."""
    half = len(text) // 2
    shown = text
    while font.getlength(shown) > _SIDE and half:
        half -= 1
        shown = f"{text[:half]}…{text[-half:]}"
    return shown
