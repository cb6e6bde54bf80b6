"""The plain U-Net of 2015: nucleus or background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_nucleiseg.networks.architectures import Architecture, register
from napari_nucleiseg.networks.losses import two_class_loss

if TYPE_CHECKING:
    import keras

#: Filters of each level, from the finest (the image's own resolution) down.
FILTERS = (64, 128, 256, 512, 1024)


def _convs(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    from keras import layers

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
    *, channels: int = 3, filters: Sequence[int] = FILTERS
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
    import keras
    from keras import layers

    x = image = layers.Input((None, None, channels), name="image")
    skips = []
    for level, width in enumerate(filters[:-1]):
        x = _convs(x, width, f"down{level}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
    x = _convs(x, filters[-1], "bottom")
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
        x = _convs(x, width, f"up{level}")
    x = layers.Conv2D(2, 1, activation="softmax", name="maps")(x)
    return keras.Model(image, x, name="plain_unet")


UNET = register(
    Architecture(
        name="unet",
        title="Plain U-Net: nucleus or background (Ronneberger et al. 2015)",
        builder=build_plain_unet,
        loss=two_class_loss,
        patch_size=128,
        resize=128,
        multiple=16,
        seconds_per_megapixel=110.0,
    )
)
