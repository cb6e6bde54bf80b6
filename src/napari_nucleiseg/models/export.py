"""A trained network as a model: what runs it, what training goes on from, its card.

Import this module only to train or to export: it loads Keras, and to export TensorFlow.
"""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

import napari_nucleiseg
from napari_nucleiseg.core.instances import InstanceSettings
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.models.architectures import find_architecture
from napari_nucleiseg.models.card import ModelCard
from napari_nucleiseg.models.dataset import sizes_for
from napari_nucleiseg.models.registry import (
    RUN_FILE,
    TRAIN_FILE,
    Model,
    find_model,
    save_model,
)
from napari_nucleiseg.models.trainer import TrainResult
from napari_nucleiseg.models.verdict import Verdict


def _to_half(values: np.ndarray) -> np.ndarray:
    """Round to what half precision can hold; stays float32."""
    half = np.finfo(np.float16)
    return np.clip(values, half.min, half.max).astype(np.float16).astype(np.float32)


#: Convolutions that a normalisation after them is folded into.
_FOLDING = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Conv2DTranspose,
)


def round_weights(network: keras.Model) -> None:
    """Round a network's kernels to half precision, in place.

    The exported network holds its weights in half precision, after each batch
    normalisation has been folded into the convolution before it. So that rounding
    there changes nothing, each kernel is first multiplied by what folding would
    multiply it by, which its normalisation undoes: what the network computes,
    running or training, stays the same but for the rounding. Kernels that are so
    rounded also compress to about half.

    Parameters
    ----------
    network : keras.Model
        Each ``BatchNormalization`` follows one of `_FOLDING` without bias.
    """
    folded = set()
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            (node,) = layer._inbound_nodes
            conv = node.input_tensors[0]._keras_history.operation
            if type(conv) in _FOLDING and not conv.use_bias:
                _fold_scale(conv, layer)
                folded.add(conv.name)
    for layer in network.layers:
        is_plain = layer.weights and layer.name not in folded
        if is_plain and not isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([_to_half(w) for w in layer.get_weights()])


def _fold_scale(
    conv: keras.layers.Layer, norm: keras.layers.BatchNormalization
) -> None:
    """Move the scale of a normalisation into the kernel before it, and round that."""
    gamma, beta, mean, variance = (w.astype(np.float64) for w in norm.get_weights())
    # A channel that is as good as switched off cannot carry its scale.
    carries = gamma**2 > 2 * norm.epsilon
    scale = np.where(carries, np.abs(gamma) / np.sqrt(variance + norm.epsilon), 1.0)
    (kernel,) = conv.get_weights()
    # The output channels are a kernel's last axis, or the last but one.
    along = scale if type(conv) is keras.layers.Conv2D else scale[:, None]
    conv.set_weights([_to_half(kernel * along)])
    variance = np.where(carries, gamma**2 - norm.epsilon, variance)
    factor = gamma / np.sqrt(variance + norm.epsilon)
    # What remains of the folded normalisation is a bias: choose the mean so that
    # half precision holds it.
    bias = _to_half(beta - factor * scale * mean)
    safe = np.where(carries, factor, 1.0)
    mean = np.where(carries, (beta - bias) / safe, mean)
    norm.set_weights([w.astype(np.float32) for w in (gamma, beta, mean, variance)])


def to_lite(network: keras.Model) -> bytes:
    """Convert a network to a LiteRT model, with weights in half precision.

    Parameters
    ----------
    network : keras.Model
        ``(n, y, x, c)`` to ``(n, y, x, maps)``; works on tiles of any size.

    Returns
    -------
    bytes
        Content of a ``.tflite`` file. It computes in float32.

    Raises
    ------
    RuntimeError
        If Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Exporting a network to run needs Keras on TensorFlow; it runs on "
            f"{keras.backend.backend()}. Load the saved network there and export it."
        )
    import tensorflow as tf

    shape = (1, None, None, network.input_shape[-1])
    call = tf.function(lambda image: network(image, training=False), autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [call.get_concrete_function(tf.TensorSpec(shape, tf.float32))]
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def to_keras_file(network: keras.Model) -> bytes:
    """Return the content of a ``.keras`` file with the network, without optimizer."""
    optimizer, compiled = getattr(network, "optimizer", None), network.compiled
    network.optimizer, network.compiled = None, False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / TRAIN_FILE
        try:
            network.save(path)
        finally:
            network.optimizer, network.compiled = optimizer, compiled
        packed = io.BytesIO()
        # Keras stores without compressing; rounded weights shrink by almost half,
        # and level 3 takes twice as long for four percent more.
        with (
            zipfile.ZipFile(path) as loose,
            zipfile.ZipFile(
                packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1
            ) as tight,
        ):
            for entry in loose.infolist():
                tight.writestr(entry.filename, loose.read(entry))
        return packed.getvalue()


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
        If there is no such model, or it is damaged.
    """
    return keras.models.load_model(find_model(model).folder / TRAIN_FILE, compile=False)


def save_network(
    folder: Path,
    result: TrainResult,
    *,
    title: str,
    params: TrainParams,
    base: ModelCard | None = None,
    thresholds: InstanceSettings | None = None,
    data: dict[str, Any] | None = None,
    license: str = "your own",
    version: str = "1",
    architecture: str = "nuclei",
    verdict: Verdict | None = None,
    report: Path | None = None,
) -> Model:
    """Write a trained network as a model folder, to run and to train further.

    Parameters
    ----------
    folder : pathlib.Path
        Where to; its last part is the model's name.
    result : TrainResult
        The network (its weights are rounded to half precision) and its history.
    title, base, thresholds, data, license, version, architecture
        For the card; see `ModelCard`.
    params : TrainParams
        How it was trained.
    verdict : Verdict, optional
        How it compares with its base.
    report : pathlib.Path, optional
        Folder with the curves and pictures of the training, to keep with the model.

    Returns
    -------
    Model
    """
    round_weights(result.network)
    design = find_architecture(architecture)
    if design.multiple % 2 ** _halvings(result.network):
        raise ValueError(f"The network is not of the architecture {architecture!r}.")
    sizes = sizes_for(architecture, params.diameter, base)
    card = ModelCard(
        name=folder.name,
        title=title,
        version=version,
        license=license,
        channels=result.network.input_shape[-1],
        diameter=sizes.diameter,
        diameter_range=sizes.known,
        working_diameter=sizes.working,
        working_range=sizes.left,
        maps=design.maps,
        architecture=architecture,
        multiple=design.multiple,
        thresholds=thresholds or InstanceSettings(),
        calibration=base.calibration if base else None,
        data=data or {},
        training={
            "base": base and base.name,
            # What the base went through, and where it came from, is kept.
            "before": [*base.training.get("before", []), _brief(base)] if base else [],
            "params": params.to_dict(),
            "made_with": f"napari-nucleiseg {napari_nucleiseg.__version__}, "
            f"Keras {keras.__version__} on {keras.backend.backend()}",
            "best_epoch": result.best_epoch,
            "stopped_early": result.stopped,
            "minutes": result.history[-1]["minutes"] if result.history else 0.0,
            **({"problem": result.problem} if result.problem else {}),
            **({"verdict": verdict.to_dict()} if verdict else {}),
            "history": [
                {name: round(value, 5) for name, value in row.items()}
                for row in result.history
            ],
        },
    )
    files = {
        RUN_FILE: to_lite(result.network),
        TRAIN_FILE: to_keras_file(result.network),
    }
    return save_model(folder, card, files, report=report)


def _brief(card: ModelCard) -> dict[str, Any]:
    """Return what a model's training was, for the card of one that goes on from it."""
    kept = ("params", "made_with", "best_epoch", "history", "verdict")
    return {"name": card.name} | {
        name: card.training[name] for name in kept if name in card.training
    }


def _halvings(network: keras.Model) -> int:
    """Return how often a network halves its image."""
    pools = sum(isinstance(x, keras.layers.MaxPooling2D) for x in network.layers)
    shrinking = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    strided = sum(type(x) in shrinking and x.strides[0] == 2 for x in network.layers)
    return pools + strided
