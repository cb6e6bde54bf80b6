"""A contact sheet: the images of a batch with their outlines, on one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.io.atomic import write_whole
from napari_nucleiseg.models.batch.ledger import Ledger

if TYPE_CHECKING:
    from napari_nucleiseg.models.batch.watching import Outcome

#: An image on the sheet is no larger than the first, and has the room of the second
#: in width; then the room round it, and the height of a line below it; pixels.
_SIDE, _LEAST, _GAP, _LINE = 300, 160, 12, 20

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
    pictures = [_picture(ledger.picture(outcome.item.name)) for outcome in shown]
    wide, high = (
        max((picture.size[i] for picture in pictures if picture), default=_SIDE)
        for i in range(2)
    )
    wide = max(wide, _LEAST)
    width, height = wide + _GAP, high + 2 * _LINE + _GAP
    size = (across * width + _GAP, down * height + _GAP)
    sheet = Image.new("RGB", size, _BACK)
    draw, font = ImageDraw.Draw(sheet), _font()
    for place, (outcome, picture) in enumerate(zip(shown, pictures, strict=True)):
        x = _GAP + place % across * width
        y = _GAP + place // across * height
        if picture is not None:
            sheet.paste(picture, (x, y + high - picture.height))
        item, count = outcome.item, outcome.nuclei
        about = [item.condition] if item.condition else []
        about.append(f"{count:,} {'nucleus' if count == 1 else 'nuclei'}")
        lines = ((item.name, _INK), (" · ".join(about), _FAINT))
        for row, (text, colour) in enumerate(lines):
            at = (x, y + high + 3 + row * _LINE)
            draw.text(at, _fitting(text, font, wide), fill=colour, font=font)
    write_whole(path, lambda fresh: sheet.save(fresh))


def _picture(file: Path) -> Any:
    """Return a picture of at most `_SIDE` pixels; None if it is not there."""
    from PIL import Image

    if not file.is_file():
        return None
    with Image.open(file) as picture:
        picture.thumbnail((_SIDE, _SIDE))
        return picture.copy()


def _font() -> Any:
    """Return a font that has Greek and Cyrillic letters: the one in matplotlib."""
    import matplotlib
    from PIL import ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), 13)


def _fitting(text: str, font: Any, width: int) -> str:
    """Return a text no wider than so many pixels, its middle left out if need be."""
    half = len(text) // 2
    shown = text
    while font.getlength(shown) > width and half:
        half -= 1
        shown = f"{text[:half]}…{text[-half:]}"
    return shown
