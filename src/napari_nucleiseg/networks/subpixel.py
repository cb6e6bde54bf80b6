"""Transposed convolutions as ordinary ones, which LiteRT runs several times as fast."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def as_convolution(kernel: np.ndarray) -> np.ndarray:
    """Return the kernel of a convolution that does what a transposed one does.

    What a transposed convolution of stride 2 puts into each 2 x 2 pixels of its output
    is a convolution of its input, with four times as many filters [1]_. Depth to space
    then spreads them.

    Parameters
    ----------
    kernel : numpy.ndarray
        ``(y, x, out, in)`` float32, of a transposed convolution of stride 2 with
        padding "same", at least 2 on each side.

    Returns
    -------
    numpy.ndarray
        ``(y, x, in, 4 * out)`` float32, of odd sides; for padding "same" and stride 1.

    References
    ----------
    .. [1] W. Shi et al., "Is the deconvolution layer the same as a convolutional
       layer?", arXiv:1609.07009, 2016.
    """
    height, width, filters, channels = kernel.shape
    reach_y, reach_x = (height - 1) // 2, (width - 1) // 2
    shape = (2 * reach_y + 1, 2 * reach_x + 1, channels, 4, filters)
    out = np.zeros(shape, np.float32)
    for phase in range(4):
        down, across = divmod(phase, 2)
        for y in range(-reach_y, reach_y + 1):
            for x in range(-reach_x, reach_x + 1):
                # What lies `y` pixels further down in the input reaches this phase
                # by this part of the kernel.
                row = down + (height - 2) // 2 - 2 * y
                column = across + (width - 2) // 2 - 2 * x
                if 0 <= row < height and 0 <= column < width:
                    part = out[y + reach_y, x + reach_x, :, phase]
                    part[:] = kernel[row, column].T
    return out.reshape(*shape[:3], 4 * filters)


class _SubPixel(keras.layers.Layer):
    """What a transposed convolution does, by `as_convolution`."""

    def __init__(self, layer: keras.layers.Conv2DTranspose) -> None:
        super().__init__(name=layer.name)
        kernel, *bias = layer.get_weights()
        self._kernel, self._activation = as_convolution(kernel), layer.activation
        self._bias = np.tile(bias[0], 4) if bias else None

    def call(self, x: Any) -> Any:
        import tensorflow as tf

        x = tf.nn.conv2d(x, self._kernel, 1, "SAME")
        if self._bias is not None:
            x = tf.nn.bias_add(x, self._bias)
        return self._activation(tf.nn.depth_to_space(x, 2))


def _is_doubling(layer: keras.layers.Layer) -> bool:
    return (
        type(layer) is keras.layers.Conv2DTranspose
        and layer.strides == (2, 2)
        and layer.padding == "same"
        and min(layer.kernel_size) >= 2
    )


def without_transposed(network: keras.Model) -> keras.Model:
    """Return a copy of a network in which ordinary convolutions double the resolution.

    LiteRT leaves transposed convolutions of tiles of any size to its slowest code,
    which also takes most of the memory. The copy computes the same maps, but for
    rounding; it runs on TensorFlow only, and cannot be trained.

    Parameters
    ----------
    network : keras.Model
        Any; its transposed convolutions of another stride than 2 stay.

    Returns
    -------
    keras.Model
    """

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        if _is_doubling(layer):
            return _SubPixel(layer)
        return type(layer).from_config(layer.get_config())

    compiled, network.compiled = network.compiled, False  # or Keras compiles the copy
    try:
        new = keras.models.clone_model(network, clone_function=copy)
    finally:
        network.compiled = compiled
    for layer in network.layers:
        if layer.weights and not _is_doubling(layer):
            new.get_layer(layer.name).set_weights(layer.get_weights())
    return new
