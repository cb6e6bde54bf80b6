"""How a network does on the validation images (NumPy; any network)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.score.comparing import tally
from napari_nucleiseg.core.score.fates import classify
from napari_nucleiseg.core.score.matching import score_image, summarise
from napari_nucleiseg.core.score.pixels import confusion
from napari_nucleiseg.core.segment import pipeline
from napari_nucleiseg.core.segment.predictor import NetworkSpec, Predictor
from napari_nucleiseg.models.predictor import complete_maps
from napari_nucleiseg.models.verdict import Figures
from napari_nucleiseg.networks.architectures import Architecture
from napari_nucleiseg.training.sampler import PatchSampler
from napari_nucleiseg.training.whole_images import WholeImageSampler

#: Crops scored after every epoch: at most so many, so large, so much in all (pixels).
MOST_CROPS, CROP_SIDE, MOST_PIXELS = 16, 768, 1_500_000

#: Patches that the network runs on at a time.
_AT_A_TIME = 8


class NetworkPredictor:
    """A network in training as what `core.segment.pipeline` runs.

    Parameters
    ----------
    run : callable
        ``(n, y, x, c)`` float32 to ``(n, y, x, maps)`` float32.
    spec : NetworkSpec
        What the network is made for.
    """

    def __init__(
        self, run: Callable[[np.ndarray], np.ndarray], spec: NetworkSpec
    ) -> None:
        self.run, self.spec = run, spec

    def predict(self, tiles: np.ndarray) -> np.ndarray:
        """Turn tiles into the maps that nuclei are separated by."""
        return complete_maps(self.run(tiles), self.spec.maps)


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation on the validation images gave.

    Parameters
    ----------
    row : dict
        For the history: ``val_loss, val_accuracy, val_AP50, val_AP75, val_mean_AP``.
    figures : Figures
        For the verdict.
    predicted : list of numpy.ndarray
        Labels of each crop, in the order of `ValidationSet.crops`.
    tallies : list of numpy.ndarray
        What was found of each crop; see `core.score.comparing.tally`.
    confusion : numpy.ndarray or None
        ``(2, 2)`` pixels of what the loss is of: true background and nucleus in rows,
        predicted in columns.
    """

    row: dict[str, float]
    figures: Figures
    predicted: list[np.ndarray]
    tallies: list[np.ndarray]
    confusion: np.ndarray | None = None


class ValidationSet:
    """Validation images, as fixed patches for the loss and as crops for the nuclei.

    The crops are segmented as a user's image is, by `core.segment.pipeline.segment`
    with the diameter measured, so that the figures are those a user will see.

    Parameters
    ----------
    pairs : sequence of Pair
        At least one.
    patches : int
        Patches to draw for the loss; the same ones every time.
    design : Architecture
        Of the network: which targets its loss takes.
    resize : int, optional
        Instead of patches, the loss is of all images resized to a square of this side.
    **cut
        How they are cut; see `PatchSampler`.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        patches: int,
        design: Architecture,
        resize: int | None = None,
        **cut: Any,
    ) -> None:
        how: dict[str, Any] = {"augmentation": 0.0, "targets": design.targets}
        if resize:
            whole = WholeImageSampler(
                pairs, side=resize, channels=design.channels, **how
            )
            self.x, self.y = whole.all()
        else:
            self.x, self.y, _ = PatchSampler(pairs, **how, **cut).batch(patches, 0)
        self._truth = design.targets.index("nucleus")
        self.crops = choose_crops(pairs)

    def evaluate(
        self,
        predictor: NetworkPredictor,
        loss: Callable[[np.ndarray, np.ndarray], float],
    ) -> Evaluation:
        """Run a network on the patches and the crops, and score it.

        Parameters
        ----------
        predictor : NetworkPredictor
            The network.
        loss : callable
            ``(y_true, y_pred)`` to a number.

        Returns
        -------
        Evaluation
        """
        n = _AT_A_TIME
        maps = np.concatenate(
            [predictor.run(self.x[i : i + n]) for i in range(0, len(self.x), n)]
        )
        nucleus = maps[..., predictor.spec.maps.index("nucleus")] > 0.5
        known = self.y[..., -1] > 0
        matrix = confusion(self.y[..., self._truth] > 0.5, nucleus, known)
        scored = score_crops(self.crops, predictor)
        figures = scored.figures
        row = {
            "val_loss": loss(self.y, maps),
            "val_accuracy": float(np.trace(matrix) / max(matrix.sum(), 1)),
            "val_AP50": figures.AP50,
            "val_AP75": figures.AP75,
            "val_mean_AP": figures.mean_AP,
        }
        return replace(scored, row=row, confusion=matrix)


def score_crops(crops: Sequence[Pair], predictor: Predictor) -> Evaluation:
    """Segment crops as a user's images are, and compare with what is true there.

    Parameters
    ----------
    crops : sequence of Pair
        At least one.
    predictor : Predictor
        The network.

    Returns
    -------
    Evaluation
        Without a row.
    """
    predicted = []
    for crop in crops:
        axes = "YXS" if crop.image.ndim == 3 else "YX"
        predicted.append(pipeline.segment(crop.image, predictor, axes=axes).labels)
    return score_labels(crops, predicted)


def score_labels(crops: Sequence[Pair], predicted: Sequence[np.ndarray]) -> Evaluation:
    """Compare what was found on crops with what is true there; see `score_crops`."""
    scores, fates, tallies = [], [], []
    for crop, labels in zip(crops, predicted, strict=True):
        scores.append(score_image(crop.labels, labels, known=crop.known))
        fates.append(classify(crop.labels, labels, known=crop.known).counts())
        tallies.append(tally(crop.labels, labels, known=crop.known))
    figures = Figures.collect(summarise(scores), fates)
    return Evaluation({}, figures, list(predicted), tallies)


def choose_crops(pairs: Sequence[Pair]) -> list[Pair]:
    """Choose what is scored after every epoch: a few crops, where nuclei are.

    Parameters
    ----------
    pairs : sequence of Pair
        Validation images.

    Returns
    -------
    list of Pair
        From evenly spaced images, each cut to a window round the middle of its
        nuclei; no more pixels in all than an epoch can spare.
    """
    with_nuclei = [pair for pair in pairs if pair.labels.any()] or list(pairs)
    count = min(MOST_CROPS, len(with_nuclei))
    picks = np.linspace(0, len(with_nuclei) - 1, count).round().astype(int)
    side = int(min(CROP_SIDE, (MOST_PIXELS / count) ** 0.5))
    return [_crop(with_nuclei[i], side) for i in dict.fromkeys(picks.tolist())]


def _crop(pair: Pair, side: int) -> Pair:
    inside = np.argwhere(pair.labels > 0)
    shape = np.array(pair.labels.shape)
    middle = np.median(inside, axis=0) if len(inside) else shape / 2
    low = np.clip(middle - side / 2, 0, np.maximum(shape - side, 0)).astype(int)
    window = tuple(slice(a, a + side) for a in low)
    return Pair(
        pair.image[window],
        pair.labels[window],
        pair.name,
        pair.weight,
        None if pair.known is None else pair.known[window],
    )
