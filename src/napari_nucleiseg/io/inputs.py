"""Which image files are meant by a folder, a pattern or a name."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_nucleiseg.io.images import PICTURE_SUFFIXES, TIFF_SUFFIXES
from napari_nucleiseg.io.pair_reading import list_files
from napari_nucleiseg.io.pairs import LABEL_ENDINGS

#: A picture whose name ends in this shows a result: it is no image to segment.
OVERLAY_ENDING = "_overlay"

#: A picture of many results.
CONTACT_SHEET = "contact_sheet.png"

_SUFFIXES = (*TIFF_SUFFIXES, *PICTURE_SUFFIXES)


def find_images(inputs: Sequence[str]) -> list[Path]:
    """Return the image files that are meant, each once.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders and patterns. Of a folder all images are taken but labels,
        masks and overlays.

    Raises
    ------
    ValueError
        If a folder or pattern holds no image, and is all there is.
    """
    found: dict[Path, None] = {}
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            files = list_files(path, _SUFFIXES)
        elif not path.exists() and glob.has_magic(text):
            files = sorted(x for x in map(Path, glob.glob(text, recursive=True)))  # noqa: PTH207
        else:
            found[path] = None
            continue
        images = _without_results(files)
        if not images and len(inputs) == 1:
            raise ValueError(f"{text}: there are no images")
        # Named as what cannot be read, when its turn comes; the others are done.
        images = images or [path]
        found.update(dict.fromkeys(images))
    return list(found)


def find_images_in(folder: Path, pattern: str = "**/*") -> list[Path]:
    """Return the images of a folder and those within it that a pattern names.

    Parameters
    ----------
    folder : pathlib.Path
        Where to look.
    pattern : str
        Such as ``"*_dapi.tif"``, or ``"**/*"`` for the folders within, too. Of other
        files than images, and of labels, masks and overlays, none is taken.

    Raises
    ------
    ValueError
        If the folder is not there, or the pattern is none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    try:
        files = sorted(folder.glob(pattern or "*"))
    except (ValueError, NotImplementedError) as e:
        raise ValueError(f"{pattern!r} is no pattern for files: {e}") from e
    return _without_results(
        path
        for path in files
        if path.suffix.lower() in _SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _without_results(files: Iterable[Path]) -> list[Path]:
    endings = (*LABEL_ENDINGS, OVERLAY_ENDING)
    return [
        path
        for path in files
        if path.is_file()
        and not path.stem.endswith(endings)
        and path.name != CONTACT_SHEET
    ]
