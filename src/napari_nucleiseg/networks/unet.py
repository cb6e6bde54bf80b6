"""Network architectures, in backend-neutral Keras 3.

Import this module only to train or to export: it loads Keras.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

#: Filters from the finest level (half the image's resolution) to the coarsest.
FILTERS = (24, 48, 96, 128, 192)

#: Filters of the plain U-Net, from the finest level (the image's own) down.
PLAIN_FILTERS = (64, 128, 256, 512, 1024)


def _conv(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    x = layers.BatchNormalization(momentum=0.97, name=f"{name}_norm")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x)


def build_unet(
    *, channels: int = 3, maps: int = 3, filters: Sequence[int] = FILTERS
) -> keras.Model:
    """Build a U-Net [1]_ that works at half resolution inside.

    The first convolution halves the image (4x4, stride 2) and the last one doubles
    it back (transposed, 4x4), so that no convolution runs at full resolution: on a
    processor that is three times as fast as a full-resolution first level of the
    same width, and the sub-pixel output still draws full-resolution outlines.

    Parameters
    ----------
    channels : int
        Input channels.
    maps : int
        Output maps.
    filters : sequence of int
        Filters of each level, finest first.

    Returns
    -------
    keras.Model
        ``(n, y, x, channels)`` float32 in 0-1 to ``(n, y, x, maps)`` float32 in 0-1.
        y and x must be multiples of ``2 ** len(filters)``.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for
       Biomedical Image Segmentation", MICCAI 2015.
    """
    image = layers.Input((None, None, channels), name="image")
    x = layers.Conv2D(
        filters[0],
        4,
        strides=2,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name="stem_conv",
    )(image)
    x = layers.BatchNormalization(momentum=0.97, name="stem_norm")(x)
    x = layers.Activation("relu", name="stem_relu")(x)
    skips = []
    for level, width in enumerate(filters):
        if level:
            x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
            x = _conv(x, width, f"down{level}a")
        x = _conv(x, width, f"down{level}b")
        skips.append(x)
    for level in range(len(filters) - 2, -1, -1):
        width = filters[level]
        x = layers.Conv2DTranspose(
            width, 2, strides=2, padding="same", name=f"up{level}_grow"
        )(x)
        x = layers.Concatenate(name=f"up{level}_join")([x, skips[level]])
        x = _conv(x, width, f"up{level}a")
        x = _conv(x, width, f"up{level}b")
    x = layers.Conv2DTranspose(
        maps, 4, strides=2, padding="same", activation="sigmoid", name="maps"
    )(x)
    return keras.Model(image, x, name="unet")


def _plain_convs(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    for part in "ab":
        x = layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"{name}{part}",
        )(x)
    return x


def build_plain_unet(
    *, channels: int = 3, filters: Sequence[int] = PLAIN_FILTERS
) -> keras.Model:
    """Build the U-Net of Ronneberger et al. [1]_ for two classes.

    Two 3x3 convolutions a level, 2x2 max pooling on the way down, 2x2 transposed
    convolutions on the way up, dropout at the end of the way down, a 1x1 convolution
    to the classes at the end; 31 million parameters. One thing differs from the
    paper: its convolutions lose a pixel at each edge, so that it had to mirror the
    image beyond its edges; here they keep the size, and `core.segment.tiling`
    mirrors and overlaps the tiles of a large image.

    Parameters
    ----------
    channels : int
        Input channels.
    filters : sequence of int
        Filters of each level, finest first.

    Returns
    -------
    keras.Model
        ``(n, y, x, channels)`` float32 in 0-1 to ``(n, y, x, 2)`` float32: background
        and nucleus, which sum to 1. y and x must be multiples of
        ``2 ** (len(filters) - 1)``.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for
       Biomedical Image Segmentation", MICCAI 2015.
    """
    x = image = layers.Input((None, None, channels), name="image")
    skips = []
    for level, width in enumerate(filters[:-1]):
        x = _plain_convs(x, width, f"down{level}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
    x = _plain_convs(x, filters[-1], "bottom")
    x = layers.Dropout(0.5, name="bottom_drop")(x)
    for level in range(len(filters) - 2, -1, -1):
        width = filters[level]
        x = layers.Conv2DTranspose(
            width,
            2,
            strides=2,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"up{level}_grow",
        )(x)
        x = layers.Concatenate(name=f"up{level}_join")([skips[level], x])
        x = _plain_convs(x, width, f"up{level}")
    x = layers.Conv2D(2, 1, activation="softmax", name="maps")(x)
    return keras.Model(image, x, name="plain_unet")
