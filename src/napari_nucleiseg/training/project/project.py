"""A project: the examples that a model is taught, and the models that came of them.

It is a folder, which grows round by round, and can be taken up again at any time:

    project.json       what it is called, what it starts from, how it trains, and a line
                       for each example and each round
    examples/          an image, its labels and what is known of them, a file for each;
                       images to test on, too
    models/            the models of the rounds, each with its card
    base/              the model it starts from, unless that is built in

Every round trains the same base on all examples so far. So nothing is learnt twice, and
the verdict compares the new model with one that has seen none of them.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Literal

from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.atomic import make_folder
from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.registry import DEFAULT_MODEL, Model, find_model
from napari_nucleiseg.models.verdict import Verdict
from napari_nucleiseg.training.outcome import TrainOutcome
from napari_nucleiseg.training.project.folder import ProjectFolder
from napari_nucleiseg.training.project.notes import (
    BASE,
    EXAMPLES,
    MODELS,
    ProjectNote,
    Round,
    model_name,
    now,
    write_note,
)
from napari_nucleiseg.training.project.publishing import (
    publish,
    published_model,
    withdraw,
)
from napari_nucleiseg.training.run import execute, prepare
from napari_nucleiseg.training.run_folder import Order, RunFolder


class Project(ProjectFolder):
    """A project that is there; see `create` for a new one.

    Parameters
    ----------
    folder : path
        The project's.

    Raises
    ------
    ValueError
        If that is no project, or is damaged.
    """

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        *,
        base: str | os.PathLike[str] = DEFAULT_MODEL,
        params: TrainParams | None = None,
    ) -> Project:
        """Make a new project.

        Parameters
        ----------
        folder : path
            A new or empty folder; its last part is the project's name.
        base : str or path
            The model to start from.
        params : TrainParams, optional
            How to train.

        Raises
        ------
        ValueError
            If the folder holds something, or there is no such model.
        OSError
            If it cannot be written.
        """
        folder = Path(folder).resolve()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"{folder} is not empty; a project needs its own folder.")
        model = find_model(base)
        make_folder(folder / EXAMPLES)
        make_folder(folder / MODELS)
        if not model.built_in:
            shutil.copytree(model.folder, folder / BASE)
        note = ProjectNote(
            name=model_name(folder.name),
            key=uuid.uuid4().hex,
            base=model.card.name if model.built_in else BASE,
            params=params or TrainParams(),
        )
        write_note(folder, note)
        return cls(folder)

    # ---- the models --------------------------------------------------------------

    @property
    def rounds(self) -> list[Round]:
        """How often the model was taught, and what came of it."""
        return self.note.rounds

    @property
    def model(self) -> Model:
        """The model of the last round that was kept; the base if there is none."""
        return self._models()[-1]

    @property
    def before(self) -> Model | None:
        """The model that was used before that one; None if that is the base."""
        models = self._models()
        return models[-2] if len(models) > 1 else None

    def _models(self) -> list[Model]:
        """Return the base, and the models of the rounds that were kept."""
        kept = [one for one in self.rounds if one.state == "kept"]
        return [self.base, *(self.model_of(x) for x in kept if self._has_model(x))]

    @property
    def waiting(self) -> Round | None:
        """The last round, if it is to be kept or refused."""
        last = self.rounds[-1:]
        return last[0] if last and last[0].state == "waiting" else None

    def model_of(self, one: Round) -> Model:
        """Return the model of a round.

        Raises
        ------
        ValueError
            If it is not there any more.
        """
        return find_model(self.folder / MODELS / one.model)

    def _has_model(self, one: Round) -> bool:
        return (self.folder / MODELS / one.model / CARD_FILE).is_file()

    # ---- rounds ------------------------------------------------------------------

    def prepare(self) -> RunFolder:
        """Begin a round: write the folder of its training; see `training.run`.

        One that still waited is refused, and one that was interrupted discarded.

        Raises
        ------
        ValueError
            If there is nothing to learn from, or another process is at it.
        """
        if owner := self.busy:
            raise ValueError(
                f"The project {self.note.name} is being taught by {owner}: wait until "
                "that ends."
            )
        if self.waiting is not None:
            self.back()
        self.abandon()
        note = self.note
        number = note.highest + 1
        output = self.folder / MODELS / f"{note.name}-{number}"
        run = prepare(
            self.pairs(),
            None,
            output,
            Order(
                name=output.name,
                params=note.params,
                base=str(self.base.folder) if note.base == BASE else note.base,
                title=f"Taught in the project {note.name}",
                data={"project": note.key, "round": number},
                # Whether it is kept is said when it has been looked at.
                keep_always=True,
            ),
            test=self.test_pairs(),
        )
        begun = Round(
            model=output.name,
            examples=len(note.examples),
            nuclei=sum(example.nuclei for example in note.examples),
            began=now(),
        )
        self._change(lambda it: it.replace(rounds=[*it.rounds, begun], highest=number))
        return run

    def finish(self, outcome: TrainOutcome) -> Round:
        """Note how the training of the last round ended; it waits to be kept."""
        row = outcome.history[-1] if outcome.history else {}
        return self._settle(
            "waiting", verdict=outcome.verdict, minutes=float(row.get("minutes") or 0)
        )

    @property
    def interrupted(self) -> RunFolder | None:
        """The training of a round that was interrupted, and can be resumed."""
        for one in self.rounds:
            run = RunFolder(self.folder / MODELS / one.model)
            if one.state == "training" and run.can_resume and not run.owner:
                return run
        return None

    def abandon(self) -> None:
        """Discard the training of a round that was interrupted."""
        run = self.interrupted
        if run is not None:
            run.discard()
            self.drop(run.output.name)

    def settle_failed(self, run: RunFolder) -> None:
        """Leave a round whose training failed to be resumed; forget it if it cannot."""
        run.release()
        if not run.can_resume:
            run.discard()
            self.drop(run.output.name)

    def drop(self, model: str) -> None:
        """Forget a round, given by its `Round.model`, whose training did not end."""
        self._change(
            lambda note: note.replace(
                rounds=[x for x in note.rounds if x.model != model]
            )
        )

    @property
    def busy(self) -> str:
        """Who else is teaching it just now, such as ``"process 1234"``; or empty."""
        begun = [x.model for x in self.rounds if x.state == "training"]
        owners = (RunFolder(self.folder / MODELS / name).owner for name in begun)
        return next(filter(None, owners), "")

    def tidy(self) -> None:
        """Take note of a training that ended when nobody waited for it any more.

        One that no process is at, and that has not ended its first epoch, is forgotten.
        """
        for one in self.rounds:
            run = RunFolder(self.folder / MODELS / one.model)
            if one.state != "training" or run.owner:
                continue
            if self._has_model(one):
                told = self.model_of(one).card.training
                verdict = Verdict(**told["verdict"]) if "verdict" in told else None
                minutes = float(told.get("minutes") or 0)
                self._settle(
                    "waiting", model=one.model, verdict=verdict, minutes=minutes
                )
            elif not run.can_resume:
                run.discard()
                self.drop(one.model)

    def teach(
        self,
        *,
        keep: bool | None = None,
        resume: bool = False,
        monitor: Monitor | None = None,
    ) -> TrainOutcome:
        """Train on all examples, in this process, and keep the model if it is better.

        Parameters
        ----------
        keep : bool, optional
            Whether to keep it; by default, if the verdict is that it is worth keeping.
        resume : bool
            Whether to go on with a round that was interrupted, on the examples that
            there were then.
        monitor : Monitor, optional
            See `training.run.train`.

        Returns
        -------
        TrainOutcome

        Raises
        ------
        ValueError
            If there is nothing to learn from, or to resume.
        """
        self.tidy()
        run = self.interrupted if resume else self.prepare()
        if run is None:
            raise ValueError(f"No round of {self.note.name} was interrupted.")
        try:
            outcome = execute(run, monitor)
        except BaseException:
            self.settle_failed(run)
            raise
        self.finish(outcome)
        if outcome.verdict.worth_keeping if keep is None else keep:
            self.keep()
        else:
            self.back()
        return outcome

    def keep(self) -> Model:
        """Keep the model of the last round: from now on it is the project's.

        Returns
        -------
        Model
            As it is in the list of models, under the project's name.

        Raises
        ------
        OSError
            If it cannot be written; then the round still waits.
        """
        self._settle("kept")
        try:
            return self._publish()
        except OSError:
            self._settle("waiting")
            raise

    def back(self) -> Model:
        """Go back to the model before: of the last round that waits or was kept.

        Returns
        -------
        Model
            The project's now: an earlier round's, or the base.

        Raises
        ------
        OSError
            If it cannot be written; then all is as it was.
        """
        for one in reversed(self.rounds):
            if one.state in ("waiting", "kept"):
                self._settle("refused", model=one.model)
                try:
                    model = self._publish() if one.state == "kept" else self.model
                except OSError:
                    self._settle(one.state, model=one.model)
                    raise
                shutil.rmtree(self.folder / MODELS / one.model, ignore_errors=True)
                return model
        return self.model

    def _settle(
        self,
        state: Literal["waiting", "kept", "refused"],
        *,
        model: str = "",
        verdict: Verdict | None = None,
        minutes: float | None = None,
    ) -> Round:
        changed: list[Round] = []

        def settle(note: ProjectNote) -> ProjectNote:
            if not note.rounds:
                raise ValueError(f"The project {note.name} has not been taught yet.")
            at = [x.model for x in note.rounds].index(model or note.rounds[-1].model)
            one = note.rounds[at].replace(state=state)
            if minutes is not None:
                one = one.replace(verdict=verdict, minutes=minutes)
            changed.append(one)
            rounds = [*note.rounds[:at], one, *note.rounds[at + 1 :]]
            return note.replace(rounds=rounds)

        self._change(settle)
        return changed[0]

    # ---- the list of models ------------------------------------------------------

    def _publish(self) -> Model:
        """Put the project's model into the list of models, or take it out."""
        model, note = self.model, self.note
        if model.folder.parent == self.folder / MODELS:
            return publish(model, note.name, note.key)
        withdraw(note.key)
        return model

    @property
    def published(self) -> Model | None:
        """The project's model in the list of models, if it is there."""
        return published_model(self.note.key)
