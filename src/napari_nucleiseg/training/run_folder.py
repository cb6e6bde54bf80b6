"""A training on disk: what it was asked to do, where it is, and what came of it.

Whoever starts a training (a window, a terminal) writes the folder; whoever trains (the
same process, or one of its own) works in it. So a training can go on after a crash, and
nothing but the folder's path has to pass between the two.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.record import JsonTable, Record
from napari_nucleiseg.io.atomic import make_folder, write_whole
from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.registry import check_target
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


class Order(Record):
    """What a training is asked to do.

    Parameters
    ----------
    name : str
        Of the model that is to come out.
    params : TrainParams
        How to train.
    base : str or None
        Model (name or folder) to go on from; None from scratch.
    architecture : str
        Network to build from scratch.
    pretrained : bool
        Whether an encoder trained elsewhere is to be fetched, where the architecture
        has one.
    title, license : str
        For the model's card.
    data : dict
        What it is trained on, for the card.
    keep_always : bool
        Whether the model is kept even if it is not better than its base.
    """

    name: str
    params: TrainParams = Field(default_factory=TrainParams)
    base: str | None = "nuclei"
    architecture: str = "nuclei"
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
        """Write the folder of a new training.

        Raises
        ------
        ValueError
            If the output cannot be a model folder, or an earlier training there was
            interrupted and can be resumed.
        OSError
            If it cannot be written.
        """
        run = cls(output)
        check_target(run.output, order.name)
        if run.can_resume or run.has_model:
            raise ValueError(
                f"An earlier training of {order.name!r} waits in {run.path}: resume "
                "it or discard it first, or choose another name."
            )
        run.discard()
        make_folder(run.path)
        try:
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
            raise ValueError(f"{self.path} holds no training to go on with.") from e
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
        """
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
        """Remove the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def _small(labels: np.ndarray) -> np.ndarray:
    """Return labels in the smallest unsigned type that holds them."""
    labels = np.asarray(labels)
    highest = int(labels.max()) if labels.size else 0
    return labels.astype(np.min_scalar_type(max(highest, 1)))


def list_runs(parent: Path) -> list[RunFolder]:
    """Return the trainings that wait in a folder: interrupted, or not yet kept."""
    if not parent.is_dir():
        return []
    runs = [RunFolder.at(path) for path in sorted(parent.glob("*" + SUFFIX))]
    return [run for run in runs if run.can_resume or run.has_model]
