"""Where models are: list them, find one, check it, save one."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from napari_nucleiseg.models.card import CARD_FILE, ModelCard

log = logging.getLogger(__name__)

#: The model used unless another is asked for.
DEFAULT_MODEL = "nuclei"

#: What runs, and what training goes on from.
RUN_FILE, TRAIN_FILE = "network.tflite", "network.keras"

#: Set this to keep your own models elsewhere.
MODELS_VARIABLE = "NUCLEISEG_MODELS"

_BUILT_IN = Path(__file__).parent / "weights"


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


def find_model(model: str | os.PathLike[str] = DEFAULT_MODEL) -> Model:
    """Find a model by name, or take a folder, and check that its files are whole.

    Parameters
    ----------
    model : str or path
        Name of a built-in model or of one's own, or a model folder.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If there is no such model (the message lists those there are), or a file of
        it is missing or not the one its card speaks of.
    """
    known = list_models()
    for found in known:
        if str(model) in (found.card.name, found.folder.name):
            _verify(found)
            return found
    folder = Path(model).resolve()
    if folder.is_dir():
        same = [found for found in known if found.folder.resolve() == folder]
        found = same[0] if same else Model(folder, ModelCard.read(folder), False)
        _verify(found)
        return found
    names = ", ".join(found.card.name for found in known) or "none"
    raise ValueError(
        f"There is no model named {str(model)!r}, nor a folder of that name. "
        f"Models there are: {names}."
    )


def file_hash(path: Path) -> str:
    """Return a file's SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(model: Model) -> None:
    if RUN_FILE not in model.card.files:
        raise ValueError(f"The card of {model.folder} does not name {RUN_FILE}.")
    for name, expected in model.card.files.items():
        path = model.folder / name
        if Path(name).name != name or not path.is_file():
            raise ValueError(f"Model {model.card.name}: the file {name} is missing.")
        if file_hash(path) != expected:
            raise ValueError(
                f"Model {model.card.name}: {path} is damaged or was changed "
                "(its SHA-256 is not the one in the model's card)."
            )


def save_model(folder: Path, card: ModelCard, files: dict[str, bytes]) -> Model:
    """Write a model folder, whole or not at all.

    Parameters
    ----------
    folder : pathlib.Path
        Where to; an existing model there is replaced.
    card : ModelCard
        Its ``files`` are filled in here.
    files : dict of str to bytes
        File name to content.

    Returns
    -------
    Model

    Raises
    ------
    ValueError
        If the card's name will not do, or the folder holds something else.
    """
    check_target(folder, card.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    old = fresh.with_name(fresh.name + "-old")
    try:
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        hashes = {name: file_hash(fresh / name) for name in files}
        card = replace(card, files=hashes)
        (fresh / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
        fresh.chmod(0o755)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except BaseException:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return Model(folder, card, False)


def check_target(folder: Path, name: str) -> None:
    """Check that a model of a name can be written to a folder, before any work.

    Raises
    ------
    ValueError
        If the name will not do, or the folder holds something that is no model.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise ValueError(
            "A model's name must be 1 to 64 letters, digits, - or _; received "
            f"{name!r}."
        )
    if folder.exists() and (
        not folder.is_dir()
        or (any(folder.iterdir()) and not (folder / CARD_FILE).is_file())
    ):
        raise ValueError(f"{folder} exists and is not a model; it is left as it is.")
