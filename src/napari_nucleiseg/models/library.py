"""The user's own models: rename, delete, export as one file, import."""

from __future__ import annotations

import contextlib
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from napari_nucleiseg.io.atomic import write_whole
from napari_nucleiseg.models.card import CARD_FILE, MOST_CARD_BYTES, ModelCard
from napari_nucleiseg.models.keras_file import check_keras_file
from napari_nucleiseg.models.registry import (
    REPORT_FOLDER,
    TRAIN_FILE,
    UNSEEN_FILE,
    Model,
    check_files,
    is_taken,
    models_folder,
    own_model_folder,
    put_in_place,
)

#: How the name of an exported model ends.
SUFFIX = ".nucleiseg"

#: An exported model holds at most so many bytes (unpacked), and so many files. The
#: bundled one has 8 MB in three.
MOST_BYTES, MOST_FILES = 2**30, 5000

_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

#: A card on its way, while a model is being renamed.
_NEW_CARD = f".new-{CARD_FILE}"

#: What file managers, and a renaming that was interrupted, leave in folders.
_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini", _NEW_CARD}


class NameTaken(ValueError):
    """There is a model of that name already."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is a model named {name!r} already, or a training of one; choose "
            "another name."
        )
        self.name = name


def rename_model(model: Model, new_name: str) -> Model:
    """Give a model another name: its folder, and in its card.

    Parameters
    ----------
    model : Model
        One of the user's own.
    new_name : str
        Letters, digits, ``-`` and ``_``.

    Returns
    -------
    Model
        As it is now.

    Raises
    ------
    NameTaken, ValueError
        If another model has that name, it will not do, or the model is built in.
    OSError
        If it cannot be done; then nothing is changed.
    """
    _refuse_built_in(model, "renamed")
    own_model_folder(new_name)  # says if the name will not do
    folder = model.folder.with_name(new_name)
    own_names = {model.card.name.casefold(), model.folder.name.casefold()}
    if folder.exists():
        taken = not folder.samefile(model.folder)
    else:
        taken = new_name.casefold() not in own_names and is_taken(new_name)
    if taken:
        raise NameTaken(new_name)
    card = model.card.replace(name=new_name)
    fresh = model.folder / _NEW_CARD
    with _saying(f"{model.card.name} could not be renamed"):
        # The new card is written first: if the disk is full, nothing has happened yet.
        try:
            fresh.write_text(card.model_dump_json(indent=1), encoding="utf-8")
            model.folder.rename(folder)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        try:
            (folder / _NEW_CARD).replace(folder / CARD_FILE)
        except OSError:
            folder.rename(model.folder)
            fresh.unlink(missing_ok=True)
            raise
    return Model(folder, card, False)


def write_notes(model: Model, notes: str) -> Model:
    """Write the user's notes on a model into its card.

    Parameters
    ----------
    model : Model
        One of the user's own.
    notes : str
        Any text, of any number of lines.

    Returns
    -------
    Model
        As it is now.

    Raises
    ------
    ValueError
        If the model is built in, is gone, or the text is too long.
    OSError
        If it cannot be written; then nothing is changed.
    """
    _refuse_built_in(model, "changed")
    # What was written to it in the meantime stays.
    card = ModelCard.read(model.folder).replace(notes=notes)
    text = card.model_dump_json(indent=1) + "\n"
    write_whole(
        model.folder / CARD_FILE, lambda path: path.write_text(text, encoding="utf-8")
    )
    return Model(model.folder, card, False)


def delete_model(model: Model) -> None:
    """Delete a model's folder.

    Parameters
    ----------
    model : Model
        One of the user's own.

    Raises
    ------
    ValueError
        If the model is built in, or its folder holds something that is not the
        model's; then nothing is deleted.
    OSError
        If it cannot be done.
    """
    _refuse_built_in(model, "deleted")
    folder = model.folder
    if folder.is_symlink():
        folder.unlink()  # what it leads to was put elsewhere on purpose
        return
    own = {CARD_FILE, REPORT_FOLDER, *model.card.files, *_LITTER}
    other = sorted(path.name for path in folder.iterdir() if path.name not in own)
    if other:
        raise ValueError(
            f"{folder} holds what is not the model's ({', '.join(other)}); take that "
            "out first. Nothing was deleted."
        )
    with _saying(f"{model.card.name} could not be deleted"):
        # Gone from the list at once, whatever becomes of its files.
        doomed = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            folder.rename(doomed / folder.name)
        finally:
            shutil.rmtree(doomed, ignore_errors=True)


def export_model(model: Model, file: Path, *, replace: bool = False) -> Path:
    """Write a model as one file that `import_model` takes.

    Parameters
    ----------
    model : Model
        Built in or own.
    file : pathlib.Path
        Where to; in a folder it is called ``<name>.nucleiseg``.
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
    ValueError
        If the model is damaged.
    OSError
        If it cannot be written; then an older file is as it was.
    """
    check_files(model)
    if file.is_dir():
        file = file / f"{model.card.name}{SUFFIX}"
    if file.exists() and not replace:
        raise FileExistsError(f"{file} exists already; it is left unchanged.")
    if not file.parent.is_dir():
        raise ValueError(f"There is no folder {file.parent}.")
    write_archive(file, model.folder, model_files(model))
    return file


def model_files(model: Model) -> list[Path]:
    """Return the files of a model that belong to it."""
    files = [model.folder / name for name in (CARD_FILE, *model.card.files)]
    report = sorted((model.folder / REPORT_FOLDER).rglob("*"))
    return files + [
        path
        for path in report
        if path.is_file() and not path.is_symlink() and path.name != UNSEEN_FILE
    ]


def write_archive(file: Path, folder: Path, members: Sequence[Path]) -> None:
    """Write files of a folder into one, whole or not at all."""

    def write(fresh: Path) -> None:
        with zipfile.ZipFile(
            fresh, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False
        ) as archive:
            for path in members:
                archive.write(path, path.relative_to(folder).as_posix())

    write_whole(file, write)


def import_model(file: Path, *, name: str | None = None) -> Model:
    """Take a model from a file into the user's models folder.

    Parameters
    ----------
    file : pathlib.Path
        As `export_model` writes it. Its card and hashes are
        checked before it appears among the models.
    name : str, optional
        What to call it here; as in its card if not given.

    Returns
    -------
    Model

    Raises
    ------
    NameTaken
        If there is such a model already.
    ValueError
        If the file is no exported model, is damaged, or the name will not do.
    OSError
        If it cannot be read, or written; then nothing is changed.
    """
    if not file.is_file():
        raise ValueError(f"There is no file {file}.")
    parent = models_folder()
    fresh: Path | None = None
    try:
        with _saying(f"{file} could not be imported into {parent}"):
            parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=".import-", dir=parent))
            card = _unpack(file, fresh)
            new_name = card.name if name is None else name
            folder = own_model_folder(new_name)
            if is_taken(new_name):
                raise NameTaken(new_name)
            if new_name != card.name:
                card = card.replace(name=new_name)
                (fresh / CARD_FILE).write_text(
                    card.model_dump_json(indent=1), encoding="utf-8"
                )
            put_in_place(fresh, folder)
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)
    return Model(folder, card, False)


@contextlib.contextmanager
def _saying(what: str) -> Iterator[None]:
    """Say what could not be done where the system gives only its reason."""
    try:
        yield
    except OSError as e:
        raise OSError(f"{what}: {e.strerror or e}. Nothing was changed.") from e


def _refuse_built_in(model: Model, done: str) -> None:
    if model.built_in:
        raise ValueError(f"{model.card.name} is a built-in model; it cannot be {done}.")


def _unpack(file: Path, folder: Path) -> ModelCard:
    """Unpack an exported model once its contents have been found harmless; check it."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = check_members(archive)
            card = _check_card(archive, members)
            extract(archive, members, folder)
        check_files(Model(folder, card, False))
        if TRAIN_FILE in card.files:
            check_keras_file(folder / TRAIN_FILE)
    except (zipfile.BadZipFile, zlib.error, EOFError) as e:
        raise ValueError(f"{file} is not an exported model, or is damaged: {e}") from e
    except ValueError as e:
        # The private folder's path would tell the user nothing.
        text = str(e).replace(str(folder), str(file))
        raise ValueError(f"{file} cannot be imported. {text}") from e
    return card


def check_members(
    archive: zipfile.ZipFile, *, most_bytes: int | None = None
) -> dict[str, zipfile.ZipInfo]:
    """Return the files in an archive; raise ValueError at the first that is refused."""
    most_bytes = MOST_BYTES if most_bytes is None else most_bytes
    members: dict[str, zipfile.ZipInfo] = {}
    total, seen = 0, set()
    infos = archive.infolist()
    if len(infos) > MOST_FILES:
        raise ValueError(
            f"It holds {len(infos)} files; {MOST_FILES} are allowed at most."
        )
    for info in infos:
        name = info.filename
        kind = stat.S_IFMT(info.external_attr >> 16)
        total += info.file_size
        if not _is_plain(name):
            raise ValueError(f"It has a file with the invalid name {name!r}.")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{name!r} in it is a link, or no plain file.")
        if info.flag_bits & 1 or info.compress_type not in _PACKINGS:
            raise ValueError(
                f"{name!r} in it is encrypted, or compressed in an unusual way."
            )
        if total > most_bytes:
            raise ValueError(f"It is too large: {name!r} has {info.file_size} bytes.")
        if name.casefold() in seen:
            raise ValueError(f"It has {name!r} twice.")
        seen.add(name.casefold())
        if not info.is_dir():
            members[name] = info
    return members


def extract(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], folder: Path
) -> None:
    """Unpack the files that `check_members` found harmless."""
    for path, member in members.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("xb") as sink:
            # No more than was announced comes out, and its CRC must fit.
            shutil.copyfileobj(source, sink)


def _is_plain(name: str) -> bool:
    """Whether a name in an archive leads to a place inside, on any system."""
    parts = name.removesuffix("/").split("/")
    odd = any(part in ("", ".", "..") or part.endswith((".", " ")) for part in parts)
    return not odd and name.isprintable() and not set(name) & set('\\:*?"<>|')


def _check_card(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]
) -> ModelCard:
    """Return the card in an archive, which must name all that is there."""
    member = members.get(CARD_FILE)
    if member is None or member.file_size > MOST_CARD_BYTES:
        raise ValueError(f"It has no {CARD_FILE}, or one that is too large.")
    card = ModelCard.parse(archive.read(member), f"The {CARD_FILE} in it")
    for name in members:
        of_report = name.startswith(f"{REPORT_FOLDER}/")
        if not of_report and name not in (CARD_FILE, *card.files):
            raise ValueError(f"It has the file {name!r}, which its card does not name.")
    return card
