"""A project's folder: what is noted, and the examples."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from napari_nucleiseg.core.labels.annotations import known_nuclei
from napari_nucleiseg.core.labels.merging import add_knowledge
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.atomic import NotWritten
from napari_nucleiseg.models.registry import Model, find_model
from napari_nucleiseg.training.project.notes import (
    BASE,
    EXAMPLES,
    Example,
    ProjectNote,
    now,
    read_note,
    write_note,
)
from napari_nucleiseg.training.project.pairs import (
    image_hash,
    read_pair,
    write_pair,
)

#: Locked while the note is changed.
LOCK_FILE = ".lock"

#: Another window writes for less than this, seconds.
_PATIENCE = 20


class ProjectFolder:
    """The folder of a project, with its examples.

    Parameters
    ----------
    folder : path
        The project's.

    Raises
    ------
    ValueError
        If that is no project, or is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).resolve()
        self._lock = FileLock(self.folder / LOCK_FILE, timeout=_PATIENCE)
        self.note  # noqa: B018  says what is wrong with it

    # ---- what is in it -----------------------------------------------------------

    @property
    def note(self) -> ProjectNote:
        """All that is noted, as it is on the disk now."""
        return read_note(self.folder)

    @property
    def examples(self) -> list[Example]:
        """What is learnt from."""
        return self.note.examples

    @property
    def tests(self) -> list[Example]:
        """What to test on, and not to learn from; empty if part is held out for it."""
        return self.note.tests

    @property
    def nuclei(self) -> int:
        """How many nuclei are known in all examples."""
        return sum(example.nuclei for example in self.examples)

    def pairs(self) -> list[Pair]:
        """Read all examples.

        Raises
        ------
        ValueError
            If one is damaged.
        """
        return [self._read(example) for example in self.examples]

    def test_pairs(self) -> list[Pair]:
        """Read the images to test on.

        Raises
        ------
        ValueError
            If one is damaged.
        """
        return [self._read(example) for example in self.tests]

    def _read(self, example: Example) -> Pair:
        return read_pair(self.folder / EXAMPLES / example.file, example.name)

    @property
    def base(self) -> Model:
        """The model that every round starts from."""
        name = self.note.base
        return find_model(self.folder / BASE if name == BASE else name)

    # ---- examples ----------------------------------------------------------------

    def add(
        self, pairs: Iterable[Pair], *, sources: Sequence[str] = (), test: bool = False
    ) -> int:
        """Add examples, or what is known now of those there are.

        Parameters
        ----------
        pairs : iterable of Pair
            Images with labels and annotation masks. Of an image that is there already,
            what was known before stays known where nothing is known anew. One of which
            nothing is known is left out.
        sources : sequence of str
            Where each came from.
        test : bool
            Whether they are to test on, instead of what is held out of the others; then
            nothing is learnt from them.

        Returns
        -------
        int
            How many more nuclei are known now.

        Raises
        ------
        ValueError
            If an image to test on would be learnt from, or the other way round; nothing
            is added then.
        OSError
            If one cannot be written; the others are there.
        """
        known = [pair for pair in pairs if pair.known is None or pair.known.any()]
        digests = [image_hash(pair.image) for pair in known]
        others = {x.image for x in (self.examples if test else self.tests)}
        both = [
            pair.name for pair, x in zip(known, digests, strict=True) if x in others
        ]
        if both:
            is_now = "is learnt from" if test else "is one to test on"
            raise ValueError(
                f"{both[0]} {is_now} in this project: an image cannot be for both."
            )
        before = self._known(test)
        for i, (pair, digest) in enumerate(zip(known, digests, strict=True)):
            self._add(pair, digest, sources[i] if i < len(sources) else "", test)
        return self._known(test) - before

    def _known(self, test: bool) -> int:
        return sum(x.nuclei for x in (self.tests if test else self.examples))

    def _add(self, pair: Pair, digest: str, source: str, test: bool) -> None:
        with self._changing() as note:
            group = note.tests if test else note.examples
            same = [x for x in group if x.image == digest]
            if same:
                pair = add_knowledge(self._read(same[0]), pair)
            every = [*note.examples, *note.tests]
            numbers = [int(x.file.partition(".")[0]) for x in every]
            example = Example(
                # A file of its own, so that the older one is there until it is noted.
                file=f"{max(numbers, default=0) + 1:04d}.npz",
                name=pair.name,
                source=source or (same[0].source if same else ""),
                image=digest,
                nuclei=int(known_nuclei(pair).size),
                added=now(),
            )
            write_pair(self.folder / EXAMPLES / example.file, pair)
            group = [*(x for x in group if x.image != digest), example]
            write_note(
                self.folder,
                note.replace(**{"tests" if test else "examples": group}),
            )
        for old in same:
            (self.folder / EXAMPLES / old.file).unlink(missing_ok=True)

    def remove(self, files: Iterable[str]) -> None:
        """Forget examples or images to test on, given by their `Example.file`."""
        gone = set(files)
        self._change(
            lambda note: note.replace(
                examples=[x for x in note.examples if x.file not in gone],
                tests=[x for x in note.tests if x.file not in gone],
            )
        )
        for file in gone:
            (self.folder / EXAMPLES / Path(file).name).unlink(missing_ok=True)

    def set_params(self, params: TrainParams) -> None:
        """Train in another way from now on."""
        self._change(lambda note: note.replace(params=params))

    # ---- the note ----------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[ProjectNote]:
        """Give the note, which nobody else changes meanwhile."""
        try:
            self._lock.acquire()
        except Timeout as e:
            raise ValueError(
                f"Another window is writing to the project {self.folder.name}: wait "
                "until it has, and try again."
            ) from e
        except OSError as e:  # a folder that may only be read
            raise NotWritten(self.folder, e) from e
        try:
            yield self.note
        finally:
            self._lock.release()

    def _change(self, change: Callable[[ProjectNote], ProjectNote]) -> None:
        with self._changing() as note:
            write_note(self.folder, change(note))
