"""The state of a training on disk, from which it can be resumed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucleiseg.io.atomic import write_whole


@dataclass
class TrainState:
    """What a training needs to resume exactly where an epoch ended.

    Parameters
    ----------
    weights, optimizer, average : list of numpy.ndarray
        Of the network, of its optimizer, and the moving average of the weights.
    history : list of dict
        One row for each epoch so far.
    values : dict
        Small values: the learning rate's factor, epochs since the best, minutes used,
        updates of the average, and the like.
    """

    weights: list[np.ndarray]
    optimizer: list[np.ndarray]
    average: list[np.ndarray]
    history: list[dict[str, float]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)


_LISTS = ("weights", "optimizer", "average")


def write_arrays(
    path: Path, lists: Mapping[str, Sequence[np.ndarray]], note: Any
) -> None:
    """Write lists of arrays and a JSON value to one file, whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; a sentence that names the file.
    """
    arrays = {
        f"{name}_{i}": array
        for name, items in lists.items()
        for i, array in enumerate(items)
    }
    text = json.dumps({"note": note, "lists": {k: len(v) for k, v in lists.items()}})

    def write(fresh: Path) -> None:
        with fresh.open("wb") as file:
            np.savez(file, json=np.array(text), **arrays)  # type: ignore[arg-type]

    write_whole(path, write)


def read_arrays(path: Path) -> tuple[dict[str, list[np.ndarray]], Any]:
    """Read what `write_arrays` wrote.

    Raises
    ------
    ValueError
        If the file is damaged.
    FileNotFoundError
        If it is not there.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            head = json.loads(str(file["json"]))
            lists = {
                name: [file[f"{name}_{i}"] for i in range(count)]
                for name, count in head["lists"].items()
            }
            return lists, head["note"]
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
        raise ValueError(f"{path} is damaged: {e}") from e


def read_note(path: Path) -> Any:
    """Read the JSON value alone of what `write_arrays` wrote; see `read_arrays`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return json.loads(str(file["json"]))["note"]
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
        raise ValueError(f"{path} is damaged: {e}") from e


def save_state(path: Path, state: TrainState) -> None:
    """Write the state, whole or not at all; see `write_arrays`."""
    write_arrays(
        path,
        {name: getattr(state, name) for name in _LISTS},
        {"history": state.history, "values": state.values},
    )


def load_state(path: Path) -> TrainState:
    """Read the state; see `read_arrays`."""
    lists, note = read_arrays(path)
    return TrainState(**lists, history=note["history"], values=note["values"])
