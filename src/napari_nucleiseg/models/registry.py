"""Where models are: list them, find one, check it, save one."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_nucleiseg.models.card import (
    CARD_FILE,
    LONGEST_NAME,
    ModelCard,
    check_name,
)

log = logging.getLogger(__name__)

#: The model used unless another is asked for.
DEFAULT_MODEL = "nuclei"

#: The network to run, and the one to train further.
RUN_FILE, TRAIN_FILE = "network.tflite", "network.keras"

#: The network to run with numbers of 8 bits, where there is one.
INT8_FILE = "network_int8.tflite"

#: Folder in a model's folder: curves, pictures and tables of its training.
REPORT_FOLDER = "report"

#: In that folder, of a model whose training ended while no window followed it.
UNSEEN_FILE = "unseen"

#: Set this to keep your own models elsewhere.
MODELS_VARIABLE = "NUCLEISEG_MODELS"

_BUILT_IN = Path(__file__).parent / "weights"

#: A file changed less than so long ago is not remembered as sound: a clock that ticks
#: coarsely may give a second change the same time. Seconds.
_SETTLED = 2.0

#: Hashes of files as they were when they were last read, by path.
_known_hashes: dict[Path, tuple[tuple[int, ...], str]] = {}


@dataclass(frozen=True)
class Model:
    """A model's folder and its card."""

    folder: Path
    card: ModelCard
    built_in: bool


def models_folder() -> Path:
    """Return the folder of the user's own models (it need not exist yet)."""
    chosen = os.environ.get(MODELS_VARIABLE)
    if chosen:
        return Path(chosen)
    return Path(platformdirs.user_data_dir("napari-nucleiseg", False)) / "models"


def list_models() -> list[Model]:
    """Return all models there are: built-in ones first, then the user's own.

    A folder that is not a sound model is left out, with a warning in the log.
    """
    return [*_models_in(_BUILT_IN, True), *_models_in(models_folder(), False)]


def _models_in(parent: Path, built_in: bool) -> Iterator[Model]:
    if not parent.is_dir():
        return
    for folder in sorted(parent.iterdir()):
        if not (folder / CARD_FILE).is_file() or folder.name.startswith("."):
            continue
        try:
            yield Model(folder, ModelCard.read(folder), built_in)
        except ValueError as e:
            log.warning("Left out: %s", e)


def find_model(
    model: str | os.PathLike[str] = DEFAULT_MODEL, *, check: bool = True
) -> Model:
    """Find a model by name, or take a folder, and check that its files are whole.

    Parameters
    ----------
    model : str or path
        Name of a built-in model or of one of the user's own, or a model folder.
    check : bool
        Whether to check the files; off to delete or rename a damaged model.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If there is no such model (the message lists those there are), or a file of
        it is missing or not the one in its card.
    """
    found = _look_up(model)
    if check:
        check_files(found)
    return found


def _look_up(model: str | os.PathLike[str]) -> Model:
    if not isinstance(model, str | os.PathLike) or not str(model):
        raise TypeError(
            f"A model is given by its name or its folder; received {model!r}."
        )
    known = list_models()
    named = [x for x in known if str(model) in (x.card.name, x.folder.name)]
    if len(named) > 1:
        folders = " and ".join(str(found.folder) for found in named)
        raise ValueError(
            f"{len(named)} models are named {str(model)!r}: {folders}. Give the folder "
            "instead of the name."
        )
    if named:
        return named[0]
    folder = Path(model).resolve()
    if folder.is_dir():
        same = [found for found in known if found.folder.resolve() == folder]
        return same[0] if same else Model(folder, ModelCard.read(folder), False)
    names = ", ".join(found.card.name for found in known) or "none"
    raise ValueError(
        f"There is no model named {str(model)!r}, nor a folder of that name. "
        f"Models there are: {names}."
    )


def unique_name(base: str) -> str:
    """Return a name that no model has: `base`, or `base` with a number behind it.

    Parameters
    ----------
    base : str
        Such as ``"my-nuclei"``, which becomes ``"my-nuclei-2"`` if it is taken.

    Raises
    ------
    ValueError
        If `base` will not do as a name.
    """
    check_name(base)
    name, number = base, 1
    while is_taken(name):
        number += 1
        ending = f"-{number}"
        name = base[: LONGEST_NAME - len(ending)] + ending
    return name


def is_taken(name: str) -> bool:
    """Return whether a model, or a training that waits to be one, has a name.

    Upper and lower case make no difference, for some file systems know none.
    """
    taken = {x for m in list_models() for x in (m.card.name, m.folder.name)}
    if models_folder().is_dir():
        # A name has no dot: what is behind one marks a training's folder. Files such
        # as speed.json are no models.
        taken |= {
            path.name.partition(".")[0] if path.is_dir() else path.name
            for path in models_folder().iterdir()
        }
    return name.casefold() in {x.casefold() for x in taken}


def own_model_folder(name: str) -> Path:
    """Return where the user's own model of a name belongs (it need not be there).

    Raises
    ------
    ValueError
        If the name will not do, or is a built-in model's.
    """
    check_name(name)
    if name.casefold() in {path.name.casefold() for path in _BUILT_IN.iterdir()}:
        raise ValueError(f"{name!r} is the name of a built-in model; choose another.")
    return models_folder() / name


def file_hash(path: Path) -> str:
    """Return a file's SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _current_hash(path: Path) -> str:
    """Return a file's SHA-256, reading it only if it changed since the last time."""
    state = path.stat()
    stamp = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
    known = _known_hashes.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    digest = file_hash(path)
    _known_hashes.pop(path, None)
    if abs(time.time() - state.st_mtime) > _SETTLED:
        _known_hashes[path] = (stamp, digest)
    return digest


def check_files(model: Model) -> None:
    """Check that a model's files are there, and are those that its card names.

    A file found sound is read again only when it has changed.

    Raises
    ------
    ValueError
        If one is missing or another.
    """
    if RUN_FILE not in model.card.files:
        raise ValueError(f"The card of {model.folder} does not name {RUN_FILE}.")
    for name, expected in model.card.files.items():
        path = model.folder / name
        if Path(name).name != name or not path.is_file():
            raise ValueError(f"Model {model.card.name}: the file {name} is missing.")
        if _current_hash(path) != expected:
            raise ValueError(
                f"Model {model.card.name}: {path} is damaged or was changed "
                "(its SHA-256 is not the one in the model's card)."
            )


def save_model(
    folder: Path,
    card: ModelCard,
    files: dict[str, bytes],
    *,
    report: Path | None = None,
) -> Model:
    """Write a model folder, whole or not at all.

    Parameters
    ----------
    folder : pathlib.Path
        Where to; an existing model there is replaced.
    card : ModelCard
        Its ``files`` are filled in here.
    files : dict of str to bytes
        File name to content.
    report : pathlib.Path, optional
        Folder with curves, pictures and tables of the training; it is copied into
        the model's as ``report``.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If the card's name will not do, or the folder holds something else.
    OSError
        If it cannot be written; an older model there is as it was.
    """
    check_target(folder, card.name)
    fresh: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        hashes = {name: file_hash(fresh / name) for name in files}
        card = card.replace(files=hashes)
        (fresh / CARD_FILE).write_text(
            card.model_dump_json(indent=1) + "\n", encoding="utf-8"
        )
        if report is not None:
            shutil.copytree(report, fresh / REPORT_FOLDER)
        put_in_place(fresh, folder)
    except OSError as e:
        older = " The model that was there is as it was." if folder.exists() else ""
        raise OSError(
            f"The model could not be saved as {folder}: {e.strerror or e}.{older}"
        ) from e
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)
    return Model(folder, card, False)


def put_in_place(fresh: Path, folder: Path) -> None:
    """Rename a new model's folder to where it belongs; an older one there goes.

    Parameters
    ----------
    fresh : pathlib.Path
        Complete, private, beside `folder`.
    folder : pathlib.Path
        Where to. If renaming fails, what was there is there again.
    """
    fresh.chmod(0o755)
    old = fresh.with_name(fresh.name + "-old")
    try:
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_target(folder: Path, name: str) -> None:
    """Check that a model of a name can be written to a folder, before any work.

    Raises
    ------
    ValueError
        If the name will not do, or the folder holds something that is no model.
    """
    check_name(name)
    if folder.exists() and (
        not folder.is_dir()
        or (any(folder.iterdir()) and not (folder / CARD_FILE).is_file())
    ):
        raise ValueError(f"{folder} exists and is not a model; it is left unchanged.")
