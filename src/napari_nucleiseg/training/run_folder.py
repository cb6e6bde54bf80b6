"""A training on disk: what it was asked to do, how far it is, and its outcome.

Whoever starts a training (a window, a terminal) writes the folder; whoever trains (the
same process, or one of its own) works in it. So a training can be resumed after a
crash, and nothing but the folder's path has to pass between the two.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from pydantic import Field

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.record import JsonTable, Record
from napari_nucleiseg.io.atomic import make_folder, write_whole
from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.registry import DEFAULT_MODEL, check_target
from napari_nucleiseg.networks.architectures import DEFAULT_ARCHITECTURE
from napari_nucleiseg.training.checkpoint import (
    TrainState,
    load_state,
    read_arrays,
    save_state,
    write_arrays,
)

#: What stands behind a model's name in the name of its training's folder.
SUFFIX = ".training"

_ORDER, _PAIRS, _STATE, _BEST = "order.json", "pairs.npz", "state.npz", "best.npz"

#: Locked while a process trains here, and which one that is. The system lifts the
#: lock when the process ends, however it ends.
_LOCK, _OWNER = "lock", "process.json"

#: A lock may be held for a moment by whoever looks whether it is free, seconds.
_PATIENCE, _LOOK = 2.0, 0.05


class TrainingBusy(ValueError):
    """A training is under way in another process; the text names it."""


class Order(Record):
    """What a training is asked to do.

    Parameters
    ----------
    name : str
        Of the model to be made.
    params : TrainParams
        How to train.
    base : str or None
        Model (name or folder) to start from; None from scratch.
    architecture : str
        Network to build if there is no base.
    pretrained : bool
        Whether pretrained weights are downloaded, where the architecture has some.
    title, license : str
        For the model's card.
    data : dict
        What it is trained on, for the card.
    keep_always : bool
        Whether the model is kept even if it is not better than its base.
    """

    name: str
    params: TrainParams = Field(default_factory=TrainParams)
    base: str | None = DEFAULT_MODEL
    architecture: str = DEFAULT_ARCHITECTURE
    pretrained: bool = True
    title: str = ""
    license: str = "your own"
    data: JsonTable = Field(default_factory=dict)
    keep_always: bool = False


class RunFolder:
    """The folder of one training, beside the model folder that is to come of it.

    Parameters
    ----------
    output : path
        The model folder to come.
    """

    def __init__(self, output: Path) -> None:
        self.output = Path(output)
        self.path = self.output.with_name(self.output.name + SUFFIX)
        self.report = self.path / "report"
        self.log = self.path / "log.txt"
        self.finished_model = self.path / "model" / self.output.name
        # One for all threads: what one prepares, another trains.
        self._lock = FileLock(
            self.path / _LOCK, timeout=_PATIENCE, poll_interval=0.02, thread_local=False
        )

    @classmethod
    def at(cls, path: Path) -> RunFolder:
        """Return the run whose folder is at a path."""
        return cls(Path(path).with_name(Path(path).name.removesuffix(SUFFIX)))

    @classmethod
    def create(
        cls,
        output: Path,
        order: Order,
        pairs: Sequence[Pair],
        validation: Sequence[Pair],
    ) -> RunFolder:
        """Write the folder of a new training, which is this process's own from now on.

        Raises
        ------
        TrainingBusy
            If another process is training a model of that name.
        ValueError
            If the output cannot be a model folder, or an earlier training there was
            interrupted and can be resumed.
        OSError
            If it cannot be written.
        """
        run = cls(output)
        check_target(run.output, order.name)
        try:
            run.acquire()
            if run.can_resume or run.has_model:
                run.release()
                raise ValueError(
                    f"An earlier training of {order.name!r} waits in {run.path}: "
                    "resume it or discard it first, or choose another name."
                )
            run._clear()
            run.report.mkdir()
            run._write_pairs(pairs, validation)
            text = order.model_dump_json(indent=1)
            write_whole(
                run.path / _ORDER, lambda path: path.write_text(text, encoding="utf-8")
            )
        except OSError:
            run.discard()
            raise
        return run

    # ---- whose it is -------------------------------------------------------------

    def acquire(self) -> None:
        """Make the training this process's own, until `release` or the process ends.

        Raises
        ------
        TrainingBusy
            If another process is training here.
        OSError
            If the folder cannot be written to.
        """
        if self._lock.is_locked:
            return
        make_folder(self.path)
        try:
            self._lock.acquire()
        except Timeout as e:
            raise TrainingBusy(
                f"The model {self.output.name!r} is being trained by "
                f"{self._owner_name()}. Wait until that ends, or choose another name."
            ) from e
        owner = {"pid": os.getpid(), "host": socket.gethostname()}
        # Only for messages: on a full disk, a training must still be discarded.
        with contextlib.suppress(OSError):
            (self.path / _OWNER).write_text(json.dumps(owner), encoding="utf-8")

    def release(self) -> None:
        """Release the training, for another process to take."""
        self._lock.release()

    @property
    def owner(self) -> str:
        """Who else is training here, such as ``"process 1234"``; empty if nobody."""
        if self._lock.is_locked or not (self.path / _LOCK).is_file():
            return ""
        try:
            self._lock.acquire(timeout=_LOOK)
        except Timeout:
            return self._owner_name()
        except OSError:  # of a folder that may only be read
            return ""
        self._lock.release()
        return ""

    def _owner_name(self) -> str:
        try:
            owner = json.loads((self.path / _OWNER).read_text(encoding="utf-8"))
            pid, host = int(owner["pid"]), str(owner["host"])
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"
        where = "" if host == socket.gethostname() else f" on {host}"
        return f"process {pid}{where}"

    # ---- what is in it -----------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether there is a training here."""
        return (self.path / _ORDER).is_file()

    @property
    def can_resume(self) -> bool:
        """Whether at least one epoch was saved, and no model has come of it yet."""
        return self.exists and (self.path / _STATE).is_file() and not self.has_model

    @property
    def has_model(self) -> bool:
        """Whether training ended, and its model waits to be kept or discarded."""
        return (self.finished_model / CARD_FILE).is_file()

    @property
    def picture(self) -> Path:
        """The latest picture of what the network finds."""
        found = sorted((self.report / "panels").glob("epoch_*.png"))
        return found[-1] if found else self.report / "panels" / "none.png"

    def order(self) -> Order:
        """Read what the training is asked to do."""
        path = self.path / _ORDER
        try:
            return Order.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as e:
            raise ValueError(f"{self.path} holds no training to resume.") from e
        except ValueError as e:
            raise ValueError(f"{path} is damaged: {e}") from e

    def _write_pairs(self, pairs: Sequence[Pair], validation: Sequence[Pair]) -> None:
        arrays: dict[str, list[np.ndarray]] = {"image": [], "labels": [], "known": []}
        notes = []
        for part, some in (("train", pairs), ("validation", validation)):
            for pair in some:
                arrays["image"].append(np.asarray(pair.image))
                arrays["labels"].append(_small(pair.labels))
                if pair.known is not None:
                    arrays["known"].append(pair.known)
                notes.append(
                    {
                        "part": part,
                        "name": pair.name,
                        "weight": pair.weight,
                        "known": pair.known is not None,
                    }
                )
        write_arrays(self.path / _PAIRS, arrays, notes)

    def pairs(self) -> tuple[list[Pair], list[Pair]]:
        """Read the pairs to learn from and those to check on."""
        arrays, notes = read_arrays(self.path / _PAIRS)
        known = iter(arrays["known"])
        parts: dict[str, list[Pair]] = {"train": [], "validation": []}
        for image, labels, note in zip(
            arrays["image"], arrays["labels"], notes, strict=True
        ):
            mask = next(known) if note["known"] else None
            parts[note["part"]].append(
                Pair(image, labels, note["name"], note["weight"], mask)
            )
        return parts["train"], parts["validation"]

    def save(
        self, state: TrainState, best: Sequence[np.ndarray], *, better: bool
    ) -> None:
        """Save where the training is; the best weights first, if they are new.

        Raises
        ------
        OSError
            If it cannot be written; a sentence that names the file. What an earlier
            call saved is still there, and after the first call nothing is.
        """
        first = not (self.path / _STATE).is_file()
        try:
            if better or not (self.path / _BEST).is_file():
                write_arrays(self.path / _BEST, {"weights": list(best)}, None)
            save_state(self.path / _STATE, state)
        except OSError:
            if first:
                (self.path / _BEST).unlink(missing_ok=True)
            raise

    def load(self) -> tuple[TrainState, list[np.ndarray]]:
        """Read what `save` wrote: the state, and the best weights."""
        best, _ = read_arrays(self.path / _BEST)
        return load_state(self.path / _STATE), best["weights"]

    def accept(self) -> Path:
        """Put the finished model where it belongs, and remove the folder.

        Returns
        -------
        pathlib.Path
            The model folder.

        Raises
        ------
        TrainingBusy
            If another process is training here.
        """
        self.acquire()
        old = self.path / "replaced"
        check_target(self.output, self.output.name)
        if self.output.exists():
            self.output.rename(old)
        try:
            self.finished_model.rename(self.output)
        except OSError:
            if old.exists():
                old.rename(self.output)
            raise
        self.discard()
        return self.output

    def discard(self) -> None:
        """Remove the folder and all in it.

        Raises
        ------
        TrainingBusy
            If another process is training here.
        """
        if not self.path.exists():
            return
        with contextlib.suppress(OSError):
            self.acquire()
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()
        if os.name == "nt":  # where a file that is open cannot be deleted
            shutil.rmtree(self.path, ignore_errors=True)

    def discard_if_empty(self) -> None:
        """Remove the folder if nothing was saved in it, and nobody trains there."""
        if not (self.can_resume or self.has_model or self.owner):
            self.discard()

    def _clear(self) -> None:
        """Remove what is left of a training that saved nothing."""
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in (_LOCK, _OWNER):
                path.unlink()


def _small(labels: np.ndarray) -> np.ndarray:
    """Return labels in the smallest unsigned type that holds them."""
    labels = np.asarray(labels)
    highest = int(labels.max()) if labels.size else 0
    return labels.astype(np.min_scalar_type(max(highest, 1)))


def list_runs(parent: Path) -> list[RunFolder]:
    """Return the trainings in a folder: under way, interrupted, or not yet kept."""
    if not parent.is_dir():
        return []
    runs = [RunFolder.at(path) for path in sorted(parent.glob("*" + SUFFIX))]
    return [run for run in runs if run.can_resume or run.has_model or run.owner]
