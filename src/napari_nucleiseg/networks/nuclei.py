"""A U-Net that separates touching nuclei: that of the bundled models up to 0.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_nucleiseg.networks.architectures import Architecture, register
from napari_nucleiseg.networks.losses import nuclei_loss
from napari_nucleiseg.networks.optimizers import adamw

if TYPE_CHECKING:
    import keras

#: What it returns, and learns; see `core.segment.instances`.
MAPS = ("nucleus", "distance", "contact")

#: Filters from the finest level (half the image's resolution) to the coarsest.
FILTERS = (24, 48, 96, 128, 192)


def _conv(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    from keras import layers

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
    import keras
    from keras import layers

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


#: It works at half resolution: it separates and outlines nuclei somewhat larger than
#: those of its training better, up to the largest it knows.
NUCLEI = register(
    Architecture(
        name="nuclei",
        title="U-Net that separates touching nuclei (that of older models)",
        builder=build_unet,
        maps=MAPS,
        targets=MAPS,
        loss=nuclei_loss,
        optimizer=adamw,
        learning_rate=2e-3,
        tile=1024,
        best=1.3,
        left=(1.0, 1.8),
        seconds_per_megapixel=3.7,
    )
)
