"""A training on disk: what it was asked to do, how far it is, and its outcome.

Whoever starts a training (a window, a terminal) writes the folder; whoever trains (the
same process, or one of its own) works in it. So a training can be resumed after a
crash, and nothing but the folder's path has to pass between the two.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.io.atomic import NotWritten, write_whole
from napari_nucleiseg.models.card import CARD_FILE, ModelCard
from napari_nucleiseg.models.registry import (
    REPORT_FOLDER,
    Model,
    check_target,
    file_hash,
)
from napari_nucleiseg.models.verdict import Verdict
from napari_nucleiseg.training.checkpoint import (
    TrainState,
    load_state,
    read_arrays,
    read_note,
    save_state,
    write_arrays,
)
from napari_nucleiseg.training.order import Order
from napari_nucleiseg.training.run_lock import LOCK, OWNER, RunLock, TrainingBusy
from napari_nucleiseg.training.run_pairs import read_pairs, write_pairs

__all__ = ["SUFFIX", "Order", "RunFolder", "TrainingBusy"]

#: What stands behind a model's name in the name of its training's folder.
SUFFIX = ".training"

_ORDER, _PAIRS, _STATE, _BEST = "order.json", "pairs.npz", "state.npz", "best.npz"

#: Says after how many epochs the training had ended, where it is judged further.
_TRAINED = "trained.txt"


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
        self.base = self.path / "base"
        self._replaced = self.path / "replaced"
        self._lock = RunLock(self.path)

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
        *,
        test: Sequence[Pair] = (),
        base: Model | None = None,
    ) -> RunFolder:
        """Write the folder of a new training, which is this process's own from now on.

        Parameters
        ----------
        output : pathlib.Path
            The model folder to come.
        order : Order
            What is asked for.
        pairs, validation, test : sequence of Pair
            What to learn from, what to check on, and what to judge by instead.
        base : Model, optional
            The model to start from, if it is to be kept with the training: the
            original may then be renamed or deleted.

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
            if base is not None:
                run._keep_base(base)
                order = order.replace(base=str(run.base))
            order = order.replace(replaces=_identity(run.output))
            parts = {"train": pairs, "validation": validation, "test": test}
            write_pairs(run.path / _PAIRS, parts)
            text = order.model_dump_json(indent=1)
            write_whole(
                run.path / _ORDER, lambda path: path.write_text(text, encoding="utf-8")
            )
        except OSError:
            with contextlib.suppress(OSError):
                run.discard()
            raise
        return run

    # ---- whose it is -------------------------------------------------------------

    def acquire(self, place: str = "script") -> None:
        """Make the training this process's own, until `release` or the process ends.

        Parameters
        ----------
        place : str
            What others are told of where it is: ``"window"`` or ``"script"``.

        Raises
        ------
        TrainingBusy
            If another process is training here.
        OSError
            If the folder cannot be written to.
        """
        if self._lock.is_mine:
            return
        self._lock.take(self.output.name)
        self._lock.note(place)
        if self._replaced.exists() and not self.output.exists():
            # The process ended while it put the new model in the old one's place.
            self._replaced.rename(self.output)

    def tell_alone(self) -> None:
        """Tell others that no window follows this training any more."""
        if self._lock.is_mine:
            self._lock.note("background")

    def release(self) -> None:
        """Release the training, for another process to take."""
        self._lock.release()

    @property
    def owner(self) -> str:
        """Who else is training here, such as ``"another window (process 1234)"``.

        Empty if nobody is.
        """
        return self._lock.owner

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
        report = self.finished_model / REPORT_FOLDER if self.has_model else self.report
        found = sorted((report / "panels").glob("epoch_*.png"))
        return found[-1] if found else report / "panels" / "none.png"

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of the epochs so far; none if they cannot be read."""
        try:
            if self.has_model:
                return list(ModelCard.read(self.finished_model).training["history"])
            return list(read_note(self.path / _STATE)["history"])
        except (OSError, ValueError, KeyError, TypeError):
            return []

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on the best network so far; None if it cannot be read."""
        try:
            if self.has_model:
                return ModelCard.read(self.finished_model).verdict
            return Verdict(**read_note(self.path / _STATE)["values"]["verdict"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def order(self) -> Order:
        """Read what the training is asked to do."""
        path = self.path / _ORDER
        try:
            return Order.from_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as e:
            raise ValueError(f"{self.path} holds no training to resume.") from e
        except ValueError as e:
            raise ValueError(f"{path} is damaged: {e}") from e

    def pairs(self) -> tuple[list[Pair], list[Pair], list[Pair]]:
        """Read the pairs to learn from, those to check on, and those to judge by."""
        parts = read_pairs(self.path / _PAIRS)
        train, validation, test = (
            parts.get(name, []) for name in ("train", "validation", "test")
        )
        return train, validation, test

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

    def note_trained(self, epochs: int) -> None:
        """Note that training has ended, and only judging is left."""
        write_whole(
            self.path / _TRAINED,
            lambda path: path.write_text(str(epochs), encoding="utf-8"),
        )

    @property
    def trained_epochs(self) -> int | None:
        """After how many epochs training had ended; None if it goes on."""
        try:
            return int((self.path / _TRAINED).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def accept(self) -> Path:
        """Put the finished model where it belongs, and remove the folder.

        A model of that name that was not there when the training began stays, and the
        new one gets a number behind its name.

        Returns
        -------
        pathlib.Path
            The model folder.

        Raises
        ------
        TrainingBusy
            If another process is training here.
        OSError
            If it cannot be done; then all is as it was.
        """
        self.acquire()
        check_target(self.output, self.output.name)
        output = self.output
        if output.exists() and _identity(output) != self.order().replaces:
            output = self._rename_finished()
        elif output.exists():
            output.rename(self._replaced)
        try:
            (self.finished_model.parent / output.name).rename(output)
        except OSError:
            if self._replaced.exists():
                self._replaced.rename(output)
            raise
        self._remove()  # what is left behind is swept away later
        return output

    def _rename_finished(self) -> Path:
        """Give the finished model a name that is free; returns where it belongs."""
        number = 2
        while (
            output := self.output.with_name(f"{self.output.name}-{number}")
        ).exists():
            number += 1
        card = ModelCard.read(self.finished_model).replace(name=output.name)
        text = card.model_dump_json(indent=1) + "\n"
        write_whole(
            self.finished_model / CARD_FILE,
            lambda path: path.write_text(text, encoding="utf-8"),
        )
        self.finished_model.rename(self.finished_model.with_name(output.name))
        return output

    def discard(self) -> None:
        """Remove the folder and all in it.

        Raises
        ------
        TrainingBusy
            If another process is training here.
        OSError
            If it could not be removed.
        """
        if not self.path.exists():
            return
        try:
            self.acquire()
        except OSError as e:
            raise NotWritten(self.path, e) from e
        self._remove()
        if self.exists or self.has_model:
            raise OSError(f"{self.path} could not be removed.")

    def _remove(self) -> None:
        """Remove the folder as far as can be, and let go of it."""
        # First what makes it a training: half of one could not be resumed.
        for path in (self.path / _ORDER, self.finished_model / CARD_FILE):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
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
            elif path.name not in (LOCK, OWNER):
                path.unlink()

    def _keep_base(self, base: Model) -> None:
        """Keep the model to start from: links to its files, where there can be any."""
        self.base.mkdir()
        for name in (CARD_FILE, *base.card.files):
            source, target = base.folder / name, self.base / name
            try:
                # Model files are replaced as a whole, never written to.
                os.link(source, target)
            except OSError:
                shutil.copyfile(source, target)


def _identity(folder: Path) -> str:
    """Return what tells one model in a folder from another; empty if there is none."""
    card = folder / CARD_FILE
    return file_hash(card) if card.is_file() else ""
