"""A project's model in the list of models, under the project's name."""

from __future__ import annotations

import shutil
import uuid

from napari_nucleiseg.io.atomic import make_folder, write_whole
from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.registry import (
    Model,
    is_taken,
    list_models,
    own_model_folder,
    put_in_place,
    unique_name,
)


def published_model(key: str) -> Model | None:
    """Return the model of the project with this key in the list of models, if any."""
    found = [x for x in list_models() if x.card.data.get("project") == key]
    return found[0] if found else None


def publish(model: Model, name: str, key: str) -> Model:
    """Put a copy of a project's model into the list; an older one of it goes.

    Parameters
    ----------
    model : Model
        In the project's folder.
    name : str
        What to call it; if another model has that name, with a number behind it.
    key : str
        The project's.

    Returns
    -------
    Model
        The copy.

    Raises
    ------
    OSError
        If it cannot be written; an older one is as it was.
    """
    mine = published_model(key)
    if mine is not None:
        name = mine.card.name
    elif is_taken(name):
        name = unique_name(name)
    folder = own_model_folder(name) if mine is None else mine.folder
    make_folder(folder.parent)
    fresh = folder.with_name(f".{name}-{uuid.uuid4().hex[:8]}")
    try:
        shutil.copytree(model.folder, fresh)
        card = model.card.replace(name=name)
        text = card.model_dump_json(indent=1) + "\n"
        write_whole(
            fresh / CARD_FILE, lambda path: path.write_text(text, encoding="utf-8")
        )
        put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Model(folder, card, False)


def withdraw(key: str) -> None:
    """Take a project's model out of the list."""
    mine = published_model(key)
    if mine is not None:
        shutil.rmtree(mine.folder)
