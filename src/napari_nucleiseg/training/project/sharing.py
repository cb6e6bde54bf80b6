"""A project as one file, to give to somebody else."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from napari_nucleiseg.io.atomic import make_folder
from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.keras_file import check_keras_file
from napari_nucleiseg.models.library import (
    check_members,
    extract,
    model_files,
    write_archive,
)
from napari_nucleiseg.models.registry import (
    REPORT_FOLDER,
    TRAIN_FILE,
    find_model,
    put_in_place,
)
from napari_nucleiseg.training.project.notes import BASE, EXAMPLES, MODELS, NOTE_FILE
from napari_nucleiseg.training.project.project import Project

#: How the name of an exported project ends.
SUFFIX = ".nucleiproject"

#: An exported project holds at most so many bytes, unpacked.
MOST_BYTES = 2**36


def export_project(
    project: Project, file: str | os.PathLike[str], *, replace: bool = False
) -> Path:
    """Write a project as one file that `import_project` takes.

    It holds all examples and images to test on, the note of every round, the model of
    the last round that was kept, and the base unless that is built in. Models of
    earlier rounds stay behind.

    Parameters
    ----------
    project : Project
        What to write.
    file : path
        Where to; in a folder it is called ``<name>.nucleiproject``.
    replace : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FileExistsError
        If there is such a file already.
    OSError
        If it cannot be written; then an older file is as it was.
    """
    file, note = Path(file), project.note
    if file.is_dir():
        file = file / f"{note.name}{SUFFIX}"
    if file.exists() and not replace:
        raise FileExistsError(f"{file} exists already; it is left unchanged.")
    if not file.parent.is_dir():
        raise ValueError(f"There is no folder {file.parent}.")
    folder = project.folder
    members = [folder / NOTE_FILE]
    images = (*note.examples, *note.tests)
    members += [folder / EXAMPLES / example.file for example in images]
    for model in {one.folder: one for one in (project.base, project.model)}.values():
        if model.folder.is_relative_to(folder):
            members += model_files(model)
    write_archive(file, folder, members)
    return file


def import_project(
    file: str | os.PathLike[str], folder: str | os.PathLike[str]
) -> Project:
    """Unpack an exported project.

    Parameters
    ----------
    file : path
        As `export_project` writes it. Paths and sizes, the note, and the hashes and
        networks of the models are checked before it is put in its place.
    folder : path
        Where to; a folder that is not there yet, or is empty.

    Returns
    -------
    Project

    Raises
    ------
    ValueError
        If the file is no exported project, or is damaged, or the folder holds
        something.
    OSError
        If it cannot be read, or written; then nothing is changed.
    """
    file, folder = Path(file), Path(folder).resolve()
    if not file.is_file():
        raise ValueError(f"There is no file {file}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is not empty; a project needs its own folder.")
    make_folder(folder.parent)
    fresh = Path(tempfile.mkdtemp(prefix=".import-", dir=folder.parent))
    try:
        with zipfile.ZipFile(file) as archive:
            members = check_members(archive, most_bytes=MOST_BYTES)
            for name in members:
                if not _belongs(PurePosixPath(name)):
                    raise ValueError(
                        f"It has the file {name!r}, which is no project's."
                    )
            extract(archive, members, fresh)
        _check(Project(fresh))
        put_in_place(fresh, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError) as e:
        raise ValueError(f"{file} is no exported project, or is damaged: {e}") from e
    except ValueError as e:
        text = str(e).replace(str(fresh), str(file))
        raise ValueError(f"{file} cannot be imported. {text}") from e
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Project(folder)


def _belongs(path: PurePosixPath) -> bool:
    """Whether a project has a file of this name."""
    match path.parts:
        case (name,):
            return name == NOTE_FILE
        case (folder, name):
            return folder == BASE or (folder == EXAMPLES and name.endswith(".npz"))
        case (top, *rest):
            inside = rest if top == BASE else rest[1:] if top == MODELS else []
            return len(inside) == 1 or inside[:1] == [REPORT_FOLDER]
    return False


def _check(project: Project) -> None:
    """Read all that was unpacked, once."""
    project.pairs(), project.test_pairs()
    (project.folder / EXAMPLES).mkdir(exist_ok=True)
    (project.folder / MODELS).mkdir(exist_ok=True)
    for card in [
        *(project.folder / MODELS).glob(f"*/{CARD_FILE}"),
        *(project.folder / BASE).glob(CARD_FILE),
    ]:
        model = find_model(card.parent)
        own = {CARD_FILE, REPORT_FOLDER, *model.card.files}
        other = sorted({path.name for path in card.parent.iterdir()} - own)
        if other:
            raise ValueError(
                f"A model in it has a file that is not its own: {other[0]}."
            )
        if TRAIN_FILE in model.card.files:
            check_keras_file(card.parent / TRAIN_FILE)
