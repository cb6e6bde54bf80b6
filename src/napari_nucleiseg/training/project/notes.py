"""What is noted of a project: a line for each example and each round."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Literal

from pydantic import Field

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.record import Record
from napari_nucleiseg.io.atomic import write_whole
from napari_nucleiseg.models.card import check_name
from napari_nucleiseg.models.registry import DEFAULT_MODEL
from napari_nucleiseg.models.verdict import Verdict

#: The file that makes a folder a project, and the folders in it.
NOTE_FILE, EXAMPLES, MODELS, BASE = "project.json", "examples", "models", "base"

#: The longest name of a project: a model's name has a number behind it.
_LONGEST = 48


class Example(Record):
    """One image that is learnt from, or tested on.

    Parameters
    ----------
    file : str
        In the folder of examples.
    name : str
        What to call it.
    source : str
        Where it came from, such as the path of a file.
    image : str
        SHA-256 of its pixels: the same image again is the same example.
    nuclei : int
        How many are known.
    added : str
        Date and time, ISO 8601.
    """

    file: str = Field(pattern=r"^[0-9]+\.npz$")
    name: str
    source: str = ""
    image: str
    nuclei: int = Field(ge=0)
    added: str = ""


class Round(Record):
    """One time that the model was taught.

    Parameters
    ----------
    model : str
        Its folder's name in the folder of models.
    examples, nuclei : int
        How much it learnt from, the validation set included; not what it was tested
        on.
    state : str
        ``"training"`` before its model is there, then ``"waiting"`` to be ``"kept"`` or
        ``"refused"``.
    verdict : Verdict or None
        How it compares with the base.
    minutes : float
        How long it trained.
    began : str
        Date and time, ISO 8601.
    """

    model: str
    examples: int = Field(ge=0)
    nuclei: int = Field(ge=0)
    state: Literal["training", "waiting", "kept", "refused"] = "training"
    verdict: Verdict | None = None
    minutes: float = Field(default=0.0, ge=0)
    began: str = ""


class ProjectNote(Record):
    """What `NOTE_FILE` holds.

    Parameters
    ----------
    name : str
        The project's, and its model's in the list of models.
    key : str
        Tells it from another of the same name.
    base : str
        The model that every round starts from, or ``"base"`` for the project's own copy
        of it.
    params : TrainParams
        How to train.
    examples, rounds : list
        In the order in which they came.
    tests : list of Example
        Images to test on, from which nothing is learnt; if there is none, part of the
        examples is held out.
    highest : int
        How many rounds were ever begun.
    """

    name: str
    key: str
    base: str = DEFAULT_MODEL
    params: TrainParams = Field(default_factory=TrainParams)
    examples: list[Example] = Field(default_factory=list)
    tests: list[Example] = Field(default_factory=list)
    rounds: list[Round] = Field(default_factory=list)
    highest: int = Field(default=0, ge=0)


def model_name(text: str) -> str:
    """Return a name that a model can have, as near to a text as may be."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_")[:_LONGEST] or "project"
    try:
        return check_name(name)
    except ValueError:
        return f"project-{name}"[:_LONGEST]


def read_note(folder: Path) -> ProjectNote:
    """Read what is noted of a project.

    Raises
    ------
    ValueError
        If it is none, or the note is damaged.
    """
    path = folder / NOTE_FILE
    try:
        return ProjectNote.from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as e:
        raise ValueError(f"{folder} is no project: it has no {NOTE_FILE}.") from e
    except ValueError as e:
        raise ValueError(f"{path} is damaged: {e}") from e


def write_note(folder: Path, note: ProjectNote) -> None:
    """Write the note of a project, whole or not at all."""
    text = note.model_dump_json(indent=1) + "\n"
    write_whole(
        folder / NOTE_FILE, lambda path: path.write_text(text, encoding="utf-8")
    )


def now() -> str:
    """Return date and time, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
