"""The bundled model's network: a U-Net for cells and dense tissue."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.core.segment.maps import DOUBLINGS, MEDIUM, REACH
from napari_nucleiseg.networks.architectures import Architecture, register
from napari_nucleiseg.networks.losses import nuclei_loss
from napari_nucleiseg.networks.optimizers import adamw

if TYPE_CHECKING:
    import keras

#: What it returns; the offsets and the size are learnt inside nuclei alone.
MAPS = ("nucleus", "distance", "contact", "offset_y", "offset_x", "size")

#: Filters from the finest level (half the image's resolution) to the coarsest. Coarse
#: levels cost next to no time.
FILTERS = (24, 48, 96, 160, 256)

#: Residual blocks of each level on the way down and on the way up, and the filters
#: between the two convolutions of one.
DOWN_BLOCKS, UP_BLOCKS = (0, 1, 1, 2, 1), (0, 1, 1, 2)
INNER = (24, 48, 96, 64, 64)

#: Weights of the losses of the offsets and of the size beside that of the other maps.
OFFSET_SHARE, SIZE_SHARE = 0.5, 0.15

#: Errors (radii of the nucleus, doublings of its size) above which the loss is linear.
SMOOTH = 0.1


def _conv_norm(
    x: keras.KerasTensor, filters: int, name: str, scale: str = "ones"
) -> keras.KerasTensor:
    """Add a convolution and its normalisation, which is scaled so at first."""
    from keras import layers

    x = layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(
        momentum=0.97, gamma_initializer=scale, name=f"{name}_norm"
    )(x)


def _conv(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    from keras import layers

    return layers.Activation("relu", name=f"{name}_relu")(_conv_norm(x, filters, name))


def _blocks(
    x: keras.KerasTensor, count: int, inner: int, name: str
) -> keras.KerasTensor:
    """Add residual blocks, each of which changes nothing before it has learnt."""
    from keras import layers

    for number in range(count):
        block = f"{name}_block{number}"
        y = _conv(x, inner, f"{block}a")
        y = _conv_norm(y, x.shape[-1], f"{block}b", scale="zeros")
        x = layers.Add(name=f"{block}_add")([x, y])
        x = layers.Activation("relu", name=f"{block}_relu")(x)
    return x


def build_unet(
    *,
    channels: int = 3,
    maps: int = len(MAPS),
    filters: Sequence[int] = FILTERS,
    inner: Sequence[int] = (),
    down_blocks: Sequence[int] = (),
    up_blocks: Sequence[int] = (),
) -> keras.Model:
    """Build a U-Net [1]_ with residual blocks [2]_ that works at half resolution.

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
    inner : sequence of int
        Filters between the two convolutions of a level's residual blocks, finest first.
    down_blocks, up_blocks : sequence of int
        Residual blocks of each level, finest first, on the way down and up; none of
        those that are not given.

    Returns
    -------
    keras.Model
        ``(n, y, x, channels)`` float32 in 0-1 to ``(n, y, x, maps)`` float32 in 0-1.
        y and x must be multiples of ``2 ** len(filters)``.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for
       Biomedical Image Segmentation", MICCAI 2015.
    .. [2] K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
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
        if level < len(down_blocks):
            x = _blocks(x, down_blocks[level], inner[level], f"down{level}")
        skips.append(x)
    for level in range(len(filters) - 2, -1, -1):
        width = filters[level]
        x = layers.Conv2DTranspose(
            width, 2, strides=2, padding="same", name=f"up{level}_grow"
        )(x)
        x = layers.Concatenate(name=f"up{level}_join")([x, skips[level]])
        x = _conv(x, width, f"up{level}a")
        x = _conv(x, width, f"up{level}b")
        if level < len(up_blocks):
            x = _blocks(x, up_blocks[level], inner[level], f"up{level}")
    x = layers.Conv2DTranspose(
        maps, 4, strides=2, padding="same", activation="sigmoid", name="maps"
    )(x)
    return keras.Model(image, x, name="unet")


def generalist_loss(y_true: Any, y_pred: Any) -> Any:
    """Return the loss of nuclei, and of where their middles lie and how large they are.

    Offsets count in radii of their own nucleus, so that those of small nuclei must be
    as good for their size as those of large ones.

    Parameters
    ----------
    y_true : tensor
        ``(n, y, x, 7)``: `MAPS` in 0-1, offsets of -1 where they are not known; and
        each pixel's weight (0 leaves a pixel out).
    y_pred : tensor
        ``(n, y, x, 6)`` in 0-1.

    Returns
    -------
    tensor
        Scalar.
    """
    from keras import ops

    nuclei = nuclei_loss(
        ops.concatenate([y_true[..., :3], y_true[..., -1:]], axis=-1), y_pred[..., :3]
    )
    weight = y_true[..., -1]
    known = y_true[..., 0] * ops.cast((y_true[..., 3] >= 0) & (weight > 0), "float32")

    def smooth(error: Any) -> Any:
        size = ops.abs(error)
        small = 0.5 * ops.square(error) / SMOOTH
        return ops.where(size < SMOOTH, small, size - 0.5 * SMOOTH)

    def mean(values: Any, weights: Any) -> Any:
        return ops.sum(values * weights) / (ops.sum(weights) + 1.0)

    doublings = (y_true[..., 5] - 0.5) * 2 * DOUBLINGS
    radius = MEDIUM / 2 * ops.power(2.0, doublings)
    pixels = (y_pred[..., 3:5] - y_true[..., 3:5]) * 2 * REACH
    off = ops.sum(smooth(pixels / ops.expand_dims(radius, -1)), axis=-1)
    # Where nuclei touch, the offsets tell them apart.
    offset = mean(off, known * (1 + 2 * y_true[..., 2]))
    size = mean(smooth((y_pred[..., 5] - y_true[..., 5]) * 2 * DOUBLINGS), known)
    return nuclei + OFFSET_SHARE * offset + SIZE_SHARE * size


#: It works at half resolution, on long tiles.
GENERALIST = register(
    Architecture(
        name="generalist",
        title="U-Net for cells and dense tissue (the built-in model's)",
        builder=partial(
            build_unet, inner=INNER, down_blocks=DOWN_BLOCKS, up_blocks=UP_BLOCKS
        ),
        maps=MAPS,
        targets=MAPS,
        loss=generalist_loss,
        optimizer=adamw,
        learning_rate=1e-3,
        diameter=26.0,
        tile=512,
        left=(0.87, 1.19),
        int8=True,
        seconds_per_megapixel=5.0,
    )
)
