"""A trained network as files: one to run it, and one to train it further.

Import this module only to train or to export: it loads Keras, and to export TensorFlow.
"""

from __future__ import annotations

import io
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from napari_nucleiseg.networks.subpixel import without_transposed


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
    makers = {id(layer.output): layer for layer in network.layers}
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            conv = makers[id(layer.input)]
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


def _converter(network: keras.Model) -> Any:
    """Return TensorFlow's converter to LiteRT, for tiles of any size."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            "Exporting a network to run needs Keras on TensorFlow; it runs on "
            f"{keras.backend.backend()}. Load the saved network there and export it."
        )
    import tensorflow as tf

    network = without_transposed(network)
    shape = (1, None, None, network.input_shape[-1])
    call = tf.function(lambda image: network(image, training=False), autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [call.get_concrete_function(tf.TensorSpec(shape, tf.float32))]
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter


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
    import tensorflow as tf

    converter = _converter(network)
    converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def to_int8(network: keras.Model, tiles: np.ndarray) -> bytes:
    """Convert a network to a LiteRT model that computes with integers of 8 bits.

    Weights are quantised by channel, and what is between the layers by the range that
    it has on the tiles [1]_.

    Parameters
    ----------
    network : keras.Model
        ``(n, y, x, c)`` to ``(n, y, x, maps)``; works on tiles of any size.
    tiles : numpy.ndarray
        ``(n, y, x, c)`` float32 in 0-1: what it is to see, of every kind.

    Returns
    -------
    bytes
        Content of a ``.tflite`` file. It takes and gives float32.

    Raises
    ------
    RuntimeError
        If Keras runs on another backend than TensorFlow.

    References
    ----------
    .. [1] B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
       Integer-Arithmetic-Only Inference", CVPR 2018.
    """
    import tensorflow as tf

    converter = _converter(network)
    converter.representative_dataset = lambda: ([tile[None]] for tile in tiles)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with warnings.catch_warnings():
        # It is said of every network that takes and gives float32.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")
        return bytes(converter.convert())


def to_keras_file(network: keras.Model) -> bytes:
    """Return the content of a ``.keras`` file with the network, without optimizer."""
    optimizer, compiled = getattr(network, "optimizer", None), network.compiled
    network.optimizer, network.compiled = None, False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
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


def halvings(network: keras.Model) -> int:
    """Return how often a network halves its image."""
    pools = sum(isinstance(x, keras.layers.MaxPooling2D) for x in network.layers)
    shrinking = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    strided = sum(type(x) in shrinking and x.strides[0] == 2 for x in network.layers)
    return pools + strided
