"""A trained network as a model folder: its files and its card.

Import this module only to train or to export: it loads Keras, and to export TensorFlow.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

import napari_nucleiseg
from napari_nucleiseg.models.card import ModelCard
from napari_nucleiseg.models.engines import ProcessorNetwork
from napari_nucleiseg.models.keras_file import check_keras_file
from napari_nucleiseg.models.registry import (
    INT8_FILE,
    RUN_FILE,
    TRAIN_FILE,
    Model,
    find_model,
    save_model,
)
from napari_nucleiseg.networks.export import (
    halvings,
    round_weights,
    to_int8,
    to_keras_file,
    to_lite,
)
from napari_nucleiseg.training.outcome import TrainOutcome
from napari_nucleiseg.training.run_folder import Order
from napari_nucleiseg.training.specs import spec_for

#: The share of pixels that may be told differently with integers of 8 bits; of the
#: built-in model's .0013 are.
MOST_CHANGED = 0.01


def load_network(model: str | os.PathLike[str]) -> keras.Model:
    """Load a model's Keras network, to train it further.

    Parameters
    ----------
    model : str or path
        See `registry.find_model`.

    Returns
    -------
    keras.Model

    Raises
    ------
    ValueError
        If there is no such model, it is damaged, or its network holds code.
    """
    path = find_model(model).folder / TRAIN_FILE
    check_keras_file(path)
    return keras.models.load_model(path, compile=False)


def save_network(
    folder: Path,
    network: keras.Model,
    order: Order,
    outcome: TrainOutcome | None = None,
    *,
    base: ModelCard | None = None,
    report: Path | None = None,
    tiles: np.ndarray | None = None,
) -> Model:
    """Write a trained network as a model folder, to run and to train further.

    Parameters
    ----------
    folder : pathlib.Path
        Where to; its last part is the model's name.
    network : keras.Model
        Its weights are rounded to half precision.
    order : Order
        What its training was asked to do.
    outcome : TrainOutcome, optional
        How that ended; by default it was not trained.
    base : ModelCard, optional
        Of the model that it started from.
    report : pathlib.Path, optional
        Folder with the curves and pictures of the training, to keep with the model.
    tiles : numpy.ndarray, optional
        ``(n, y, x, channels)`` float32 in 0-1, such as the network is to see: it is
        saved with integers of 8 bits too if that changes next to nothing on them.

    Returns
    -------
    Model
    """
    round_weights(network)
    spec = spec_for(order.architecture, order.params.diameter, base)
    if spec.multiple % 2 ** halvings(network):
        raise ValueError(
            f"The network is not of the architecture {order.architecture!r}."
        )
    card = ModelCard(
        name=folder.name,
        title=order.title,
        version="1",
        license=order.license,
        channels=spec.channels,
        diameter=spec.diameter,
        diameter_range=spec.diameter_range,
        working_diameter=spec.working_diameter,
        working_range=spec.working_range,
        maps=spec.maps,
        architecture=order.architecture,
        multiple=spec.multiple,
        thresholds=spec.settings,
        calibration=base.calibration if base else None,
        data=order.data,
        training={
            "base": base and base.name,
            # The history of the base is kept.
            "before": [*base.training.get("before", []), _brief(base)] if base else [],
            "params": order.params.model_dump(),
            "made_with": f"napari-nucleiseg {napari_nucleiseg.__version__}, "
            f"Keras {keras.__version__} on {keras.backend.backend()}",
            **(_tell(outcome) if outcome else {}),
        },
    )
    files = {RUN_FILE: to_lite(network), TRAIN_FILE: to_keras_file(network)}
    if tiles is not None:
        nucleus = spec.maps.index("nucleus")
        small = to_int8(network, tiles)
        if _changed(files[RUN_FILE], small, tiles, nucleus) <= MOST_CHANGED:
            files[INT8_FILE] = small
    return save_model(folder, card, files, report=report)


def _changed(exact: bytes, small: bytes, tiles: np.ndarray, nucleus: int) -> float:
    """Return the share of pixels that two networks tell differently."""
    networks = [
        ProcessorNetwork(content, tiles[:1].shape) for content in (exact, small)
    ]
    differs = [
        np.not_equal(*(net.run(tile[None])[..., nucleus] > 0.5 for net in networks))
        for tile in tiles
    ]
    return float(np.mean(differs))


def _tell(outcome: TrainOutcome) -> dict[str, Any]:
    """Return how a training ended, for the card."""
    return {
        "best_epoch": outcome.best_epoch,
        "stopped_early": outcome.stopped,
        "minutes": outcome.history[-1]["minutes"],
        **({"problem": outcome.problem} if outcome.problem else {}),
        "verdict": outcome.verdict.model_dump(mode="json"),
        "history": outcome.history,
    }


def _brief(card: ModelCard) -> dict[str, Any]:
    """Return what a model's training was, for the card of one made from it."""
    kept = ("params", "made_with", "best_epoch", "history", "verdict")
    return {"name": card.name} | {
        name: card.training[name] for name in kept if name in card.training
    }
