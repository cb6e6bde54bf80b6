"""A U-Net whose encoder is MobileNetV2, and the ImageNet weights it starts from."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleiseg.networks.architectures import (
    TWO_CLASSES,
    Architecture,
    PretrainedWeightsError,
    register,
)
from napari_nucleiseg.networks.losses import two_class_loss

if TYPE_CHECKING:
    import keras

#: Layers of MobileNetV2 whose outputs are used, at 1/2 to 1/32 of the image's size;
#: the last one is the bottom of the U, the others are skip connections.
SKIPS = (
    "block_1_expand_relu",
    "block_3_expand_relu",
    "block_6_expand_relu",
    "block_13_expand_relu",
    "block_16_project",
)

#: Of the statistics of normalisations that learn: those of MobileNetV2 as it comes
#: (0.999) would take a thousand steps to forget what they began with, and the network
#: would see nothing for so long when it is used.
MOMENTUM = 0.97

#: Filters of the upsampling blocks, from the bottom up.
UP_FILTERS = (512, 256, 128, 64)

#: Where `keras.applications.MobileNetV2` gets its weights: the ones for 128 x 128.
WEIGHTS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_128_no_top.h5"
WEIGHTS_FOLDER = (
    "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
)

#: Seconds of silence after which fetching them is given up.
PATIENCE = 8.0


def build_mobilenet_unet(*, pretrained: bool = True, fetch: bool = True) -> keras.Model:
    """Build a U-Net on MobileNetV2 [1]_ for two classes.

    Five layers of the encoder feed four upsampling blocks (transposed 3x3
    convolution, batch normalisation, ReLU) and a last transposed convolution.

    Parameters
    ----------
    pretrained : bool
        True: the encoder has the weights that `keras.applications` offers, learnt on
        ImageNet, and is frozen: only the upsampling half learns. False: it starts
        from random weights and learns too, for random features are of no use.
    fetch : bool
        False builds the frozen encoder without its weights, to be set by the caller.

    Returns
    -------
    keras.Model
        ``(n, y, x, 3)`` float32 in 0-1 to ``(n, y, x, 2)`` float32: background and
        nucleus, which sum to 1. y and x must be multiples of 32.

    Raises
    ------
    PretrainedWeightsError
        If the ImageNet weights are neither on this machine nor to be fetched.

    References
    ----------
    .. [1] M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear
       Bottlenecks", CVPR 2018.
    """
    import keras
    from keras import layers

    # First: without them there is nothing to build.
    weights = _imagenet_weights(fetch_weights()) if pretrained and fetch else None
    image = layers.Input((None, None, 3), name="image")
    x = layers.Rescaling(2.0, offset=-1.0, name="rescale")(image)
    encoder = keras.applications.MobileNetV2(
        input_tensor=x, include_top=False, weights=None
    )
    if weights is not None:
        encoder.set_weights(weights)
    for layer in encoder.layers:
        # A frozen normalisation also keeps the statistics it has.
        layer.trainable = not pretrained
        if not pretrained and isinstance(layer, layers.BatchNormalization):
            layer.momentum = MOMENTUM
    *skips, x = (encoder.get_layer(name).output for name in SKIPS)
    for level, (width, skip) in enumerate(
        zip(UP_FILTERS, reversed(skips), strict=True), start=1
    ):
        x = layers.Conv2DTranspose(
            width, 3, strides=2, padding="same", use_bias=False, name=f"up{level}_conv"
        )(x)
        x = layers.BatchNormalization(momentum=MOMENTUM, name=f"up{level}_norm")(x)
        x = layers.Activation("relu", name=f"up{level}_relu")(x)
        x = layers.Concatenate(name=f"up{level}_join")([x, skip])
    x = layers.Conv2DTranspose(
        len(TWO_CLASSES),
        3,
        strides=2,
        padding="same",
        activation="softmax",
        name="maps",
    )(x)
    return keras.Model(image, x, name="unet_mobilenetv2")


def _imagenet_weights(path: Path) -> list:
    """Return the weights of `keras.applications.MobileNetV2` from a file."""
    import keras

    try:
        return keras.applications.MobileNetV2(
            input_shape=(128, 128, 3), include_top=False, weights=str(path)
        ).get_weights()
    except (OSError, ValueError, KeyError) as e:
        raise PretrainedWeightsError(
            f"{path} is not the file of MobileNetV2 weights it should be ({e}). Delete "
            "it to download it again, or train without pretrained weights "
            "(pretrained=False, --no-pretrained)."
        ) from e


def fetch_weights() -> Path:
    """Return the file of MobileNetV2's ImageNet weights; fetch it if it is not there.

    Returns
    -------
    pathlib.Path
        Where Keras itself keeps it too, 9 MB.

    Raises
    ------
    PretrainedWeightsError
        If it is not there and cannot be fetched whole.
    """
    import pooch

    home = os.environ.get("KERAS_HOME") or "~/.keras"
    folder = Path(home).expanduser() / "models"
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        return Path(
            pooch.retrieve(
                WEIGHTS_FOLDER + WEIGHTS_FILE,
                # Keras publishes none of this file, and it could not be downloaded
                # where this was written. That every array has its shape is checked when
                # they are loaded.
                known_hash=None,
                fname=WEIGHTS_FILE,
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=PATIENCE),
            )
        )
    except (OSError, ValueError) as e:
        raise PretrainedWeightsError(
            "The encoder's ImageNet weights could not be downloaded from "
            f"{WEIGHTS_FOLDER}{WEIGHTS_FILE} to {folder} ({e}). Put the file there by "
            "hand, or train without pretrained weights (pretrained=False, "
            "--no-pretrained)."
        ) from e


MOBILENET = register(
    Architecture(
        name="unet-mobilenetv2",
        title="U-Net on MobileNetV2 trained on ImageNet: nucleus or background",
        builder=build_mobilenet_unet,
        loss=two_class_loss,
        patch_size=128,
        resize=128,
        pretrained=True,
        seconds_per_megapixel=22.0,
    )
)
