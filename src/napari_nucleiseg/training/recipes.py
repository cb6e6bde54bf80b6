"""Recipes: named ways to train a model, from data set to model folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_nucleiseg.core.labels.holdout import split_validation
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.monitor import Monitor, Progress, SilentMonitor
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.networks.architectures import ARCHITECTURES, Architecture
from napari_nucleiseg.training.outcome import TrainOutcome
from napari_nucleiseg.training.speed import estimate_minutes
from napari_nucleiseg.training.stages import Stage


@dataclass(frozen=True)
class Recipe:
    """How to make a model from a data set with a fixed split, or from pairs.

    Parameters
    ----------
    name, title : str
        Its name, and what the model that comes out is for.
    stages : tuple of Stage
        One after the other; each starts from the model of the one before.
    source, license : str
        What the data set is, and the licence of the weights, for the card.
    architecture : str
        Network it trains; see `networks.architectures.ARCHITECTURES`.
    """

    name: str
    title: str
    stages: tuple[Stage, ...]
    source: str
    license: str
    architecture: str

    def run(
        self,
        data: str | os.PathLike[str] | Sequence[Path] | Sequence[Pair],
        output: str | os.PathLike[str],
        *,
        epochs: int | None = None,
        minutes: float | None = None,
        seed: int | None = None,
        pretrained: bool = True,
        resume: bool = False,
        monitor: Monitor | None = None,
    ) -> TrainOutcome:
        """Train on a data set's ``train`` split and choose by its ``val`` split.

        Parameters
        ----------
        data : path, or sequence of path or Pair
            A data set or several (see `read_split`), or pairs, a fifth of which are
            held out to choose by.
        output : path
            Model folder to write; it holds a sound model after each stage.
        epochs : int, optional
            At most so many in each stage, instead of the recipe's.
        minutes : float, optional
            Time limit for all stages together, shared as the recipe shares its own.
        seed : int, optional
            Instead of the recipe's.
        pretrained : bool
            Whether pretrained weights are downloaded, where the network has some.
        resume : bool
            Resume an interrupted run of this recipe to this output.
        monitor : Monitor, optional
            See `training.run.train`; of several stages, it is told when each begins
            (``"Stage"``, with its limits). If it asks to stop, the stages that
            follow are left out.

        Returns
        -------
        TrainOutcome
            Of the last stage.

        Raises
        ------
        ValueError
            If the data are none, a value is outside its limits, or there is nothing
            to resume.
        OSError
            If a file cannot be read or written; `PretrainedWeightsError` if the
            encoder's weights cannot be fetched.
        """
        planned = self._plan(epochs, minutes, seed)
        output = Path(output).resolve()  # or it could be taken for a model's name
        first = self._stage_to_resume(output) if resume else 0
        sets = self._sets(data, planned)
        # Late: a mistyped folder is reported before Keras is imported.
        from napari_nucleiseg.training.run import train

        own = not isinstance(data, str | os.PathLike) and isinstance(data[0], Pair)
        outcome: TrainOutcome | None = None
        monitor = monitor or SilentMonitor()
        for i in range(first, len(planned)):
            if len(planned) > 1:
                params = planned[i].params
                limits = {"epochs": params.epochs, "minutes": params.minutes}
                given = {k: float(v) for k, v in limits.items() if v is not None}
                monitor.report(Progress("Stage", i + 1, len(planned), given))
            pairs, validation = sets[i]
            outcome = train(
                pairs,
                output,
                validation=validation,
                title=self.title,
                license="your own" if own else self.license,
                base=output if i else None,
                architecture=self.architecture,
                pretrained=pretrained,
                params=planned[i].params,
                data={
                    "source": "your own images" if own else self.source,
                    "recipe": self.name,
                    "stage": i + 1,
                },
                keep_always=True,
                resume=resume and i == first,
                monitor=monitor,
            )
            if outcome.stopped or outcome.problem:
                break
        assert outcome is not None  # every recipe has a stage
        return outcome

    def minutes(
        self,
        *,
        epochs: int | None = None,
        minutes: float | None = None,
        seed: int | None = None,
    ) -> float:
        """Return how long all stages will take at most on this computer, minutes."""
        return sum(
            estimate_minutes(stage.params, self.architecture)
            for stage in self._plan(epochs, minutes, seed)
        )

    def _plan(
        self, epochs: int | None, minutes: float | None, seed: int | None
    ) -> list[Stage]:
        """Return the stages with what was asked for instead of their own."""
        changes: dict[str, float | None] = {"epochs": epochs, "seed": seed}
        given = {name: value for name, value in changes.items() if value is not None}
        if minutes is not None:
            self.stages[0].params.replace(minutes=minutes)  # says if it will not do
        total = sum(stage.params.minutes or 0 for stage in self.stages)
        planned = []
        for stage in self.stages:
            if minutes is not None:
                own = stage.params.minutes or 0
                share = own / total if total else 1 / len(self.stages)
                given["minutes"] = max(minutes * share, 0.1)
            planned.append(replace(stage, params=stage.params.replace(**given)))
        return planned

    def _sets(
        self,
        data: str | os.PathLike[str] | Sequence[Path] | Sequence[Pair],
        planned: Sequence[Stage],
    ) -> list[tuple[Sequence[Pair], Sequence[Pair]]]:
        """Return what each stage learns from, and what it is chosen by."""
        if isinstance(data, str | os.PathLike):
            data = [Path(data)]
        if not data:
            raise ValueError("Training needs at least one image with labels.")
        folders = [folder for folder in data if isinstance(folder, Path)]
        if folders:
            return [stage.sets(folders) for stage in planned]
        # Once: what one stage learns from must not be in the next one's validation set.
        params = planned[0].params
        pairs = [pair for pair in data if isinstance(pair, Pair)]
        return [split_validation(pairs, params.validation_share, params.seed)] * len(
            planned
        )

    def _stage_to_resume(self, output: Path) -> int:
        """Return which stage was interrupted, counted from 0."""
        from napari_nucleiseg.training.run_folder import RunFolder

        data = RunFolder(output).order().data
        stage = data.get("stage", 0)
        if data.get("recipe") != self.name or not 1 <= stage <= len(self.stages):
            raise ValueError(
                f"The interrupted training at {output} is not one of the recipe "
                f"{self.name!r}; it is of {data.get('recipe') or 'no recipe'!r}."
            )
        return stage - 1


def params_from_scratch(design: Architecture) -> TrainParams:
    """Return what suits training a network from scratch, unless told otherwise."""
    return TrainParams(
        epochs=100,
        steps_per_epoch=32,
        learning_rate=design.learning_rate,
        patch_size=design.patch_size,
        resize=design.resize,
        schedule="plateau",
        patience=20,
        plateau_patience=6,
    )


#: What the stages of a training from scratch have in common: time ends them.
LONG = TrainParams(
    epochs=300,
    steps_per_epoch=250,
    schedule="cosine",
    patience=None,
    rehearsal=0.0,
    blend=1.0,
    ema_momentum=0.998,
)

#: What the data sets beside it are; see NOTICES.md for who made them.
TISSUE = (
    "NuInsSeg (CC BY 4.0), TNBC (CC BY 4.0) and Aitslab-bioimaging1 U2OS (CC BY 4.0), "
    "train split; made-up sheets of dense tissue"
)

#: The data set the recipes were made for.
DSB2018 = "2018 Data Science Bowl stage 1, corrected masks (BBBC038, CC0), train split"

#: What the two-class networks have in common: whole images of 128 x 128, flipped, Adam
#: without weight decay, its rate halved on plateaus, and an epoch that shows every
#: image of four fifths of the ``train`` split of DSB2018 once.
PLAIN = TrainParams(
    steps_per_epoch=53,
    batch_size=8,
    patch_size=128,
    resize=128,
    schedule="plateau",
    augmentation=0.0,
    weight_decay=0.0,
    ema_momentum=0.0,
    rehearsal=0.0,
    blend=1.0,
)

#: ``unet`` and ``unet-mobilenetv2`` are two student projects' systems on these images,
#: which this package grew from. Their own figures, of pixels, on their own splits:
#: the plain U-Net reached an accuracy of 96.29% in training and 96.36% in validation
#: after 10 epochs of Adam on binary cross-entropy with images of 128 x 128 split
#: 80:20 (another, with batches of 128 and early stopping, ended at epoch 60 with 97%
#: and 95%); the one on MobileNetV2 a test loss of 0.0891 and a test accuracy of
#: 0.9638 with Adam on sparse categorical cross-entropy, random flips, and early
#: stopping with patience 20 in up to 100 epochs.
RECIPES = {
    # The bundled weights learnt from the same patches with the same loss, in several
    # runs; their card has the history.
    "generalist": Recipe(
        name="generalist",
        title="Nuclei of cells and of dense tissue: fluorescence, stained, brightfield",
        stages=(
            Stage(
                LONG.replace(
                    minutes=240,
                    learning_rate=1e-3,
                    augmentation=0.8,
                    own_scale=0.15,
                    fluorescence=0.3,
                ),
                {
                    "fluo": 0.20,
                    "color": 0.11,
                    "brightfield-gray": 0.05,
                    "nuinsseg_color": 0.25,
                    "tnbc_color": 0.11,
                    "u2os_fluo": 0.06,
                    "sheets": 0.22,
                },
                sheets=700,
            ),
        ),
        source=f"{DSB2018}; {TISSUE}",
        license="CC-BY-4.0",
        architecture="generalist",
    ),
    "nuclei": Recipe(
        name="nuclei",
        title="Nuclei of any kind: fluorescence, stained tissue, brightfield",
        stages=(
            # The time limits are what ends them.
            Stage(
                LONG.replace(minutes=92, learning_rate=2e-3, augmentation=1.0),
                {"fluo": 0.58, "color": 0.30, "brightfield-gray": 0.12},
            ),
            Stage(
                LONG.replace(minutes=26, learning_rate=1e-3, augmentation=0.7, seed=2),
                {"fluo": 0.68, "color": 0.22, "brightfield-gray": 0.10},
            ),
            Stage(
                LONG.replace(
                    minutes=134, learning_rate=1.5e-3, augmentation=0.75, seed=3
                ),
                {"fluo": 0.68, "color": 0.22, "brightfield-gray": 0.10},
            ),
        ),
        source=DSB2018,
        license="CC0-1.0",
        architecture="nuclei",
    ),
    "unet": Recipe(
        name="unet",
        title="Plain U-Net (Ronneberger et al. 2015): nucleus or background",
        # Without normalisation layers a higher rate can end in all background.
        stages=(
            Stage(
                PLAIN.replace(epochs=10, patience=5, learning_rate=1e-4),
                hold_out=True,
            ),
        ),
        source=DSB2018,
        license="CC0-1.0",
        architecture="unet",
    ),
    "unet-mobilenetv2": Recipe(
        name="unet-mobilenetv2",
        title="U-Net on MobileNetV2: nucleus or background",
        stages=(
            Stage(
                PLAIN.replace(
                    epochs=100,
                    patience=20,
                    plateau_patience=6,
                    steps_per_epoch=27,
                    batch_size=16,
                    learning_rate=1e-3,
                ),
                hold_out=True,
            ),
        ),
        source=DSB2018,
        license="CC0-1.0",
        architecture="unet-mobilenetv2",
    ),
}


def find_recipe(name: str) -> Recipe:
    """Return a recipe by name; an unknown one is a ValueError that lists them.

    A network that has none of its own gets the usual one of its name.
    """
    if name in RECIPES:
        return RECIPES[name]
    if name in ARCHITECTURES:
        design = ARCHITECTURES[name]
        return Recipe(
            name=name,
            title=design.title,
            stages=(Stage(params_from_scratch(design)),),
            source="images and labels of your own",
            license="your own",
            architecture=name,
        )
    names = dict.fromkeys((*RECIPES, *ARCHITECTURES))
    raise ValueError(
        f"There is no recipe named {name!r}; there are {', '.join(names)}."
    )
