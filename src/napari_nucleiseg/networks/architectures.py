"""The networks that can be trained, by name.

Importing this module loads no Keras; building a network does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.core.segment.instances import MAPS
from napari_nucleiseg.core.segment.tiling import TILE

if TYPE_CHECKING:
    import keras

#: What the two-class networks return.
TWO_CLASSES = ("background", "nucleus")


class PretrainedWeightsError(OSError):
    """Weights learnt elsewhere, to start from, cannot be had."""


@dataclass(frozen=True)
class Architecture:
    """A network that can be built and trained.

    Parameters
    ----------
    name, title : str
        Its name, and one line for the user.
    maps : tuple of str
        What each map that it returns means.
    channels : int
        Channels it takes.
    patch_size : int
        Side of the patches it is trained on unless told otherwise, pixels.
    multiple : int
        What a tile's sides must be multiples of.
    tile : int
        Longest side of a tile it runs on, pixels: the longer, the less of an image
        is seen twice, and the more memory it takes.
    pretrained : bool
        Whether it can start from weights learnt elsewhere.
    """

    name: str
    title: str
    maps: tuple[str, ...] = MAPS
    channels: int = 3
    patch_size: int = 192
    multiple: int = 32
    tile: int = TILE
    pretrained: bool = False

    def build(self, *, pretrained: bool = True, fetch: bool = True) -> keras.Model:
        """Build the network, untrained.

        Parameters
        ----------
        pretrained : bool
            Whether to start from weights learnt elsewhere, if it is made for that;
            the part that has them is frozen.
        fetch : bool
            False leaves those weights out, for a caller that goes on to set all the
            network's weights: what learns and what is frozen is the same.

        Returns
        -------
        keras.Model
            ``(n, y, x, channels)`` float32 in 0-1 to ``(n, y, x, len(maps))``
            float32 in 0-1.

        Raises
        ------
        PretrainedWeightsError
            If those weights are neither on this machine, where Keras keeps such
            files, nor to be fetched.
        """
        if self.name == "nuclei":
            from napari_nucleiseg.networks.unet import build_unet

            return build_unet(channels=self.channels, maps=len(self.maps))
        if self.name == "unet":
            from napari_nucleiseg.networks.unet import build_plain_unet

            return build_plain_unet(channels=self.channels)
        from napari_nucleiseg.networks.mobilenet import build_mobilenet_unet

        return build_mobilenet_unet(pretrained=pretrained, fetch=fetch)

    def loss(self) -> Callable[[Any, Any], Any]:
        """Return the loss: true targets and weights, and maps, to a number.

        See `losses.nuclei_loss` and `losses.two_class_loss`.
        """
        from napari_nucleiseg.networks.losses import nuclei_loss, two_class_loss

        return nuclei_loss if self.maps == MAPS else two_class_loss

    def optimizer(
        self, learning_rate: float, weight_decay: float
    ) -> keras.optimizers.Optimizer:
        """Return the optimizer: AdamW with clipped gradients, or plain Adam.

        Parameters
        ----------
        learning_rate, weight_decay : float
            As in `TrainParams`; a weight decay of 0 is none.
        """
        import keras

        if self.maps == MAPS:
            return keras.optimizers.AdamW(
                learning_rate, weight_decay=weight_decay, global_clipnorm=1.0
            )
        return keras.optimizers.Adam(learning_rate, weight_decay=weight_decay or None)


ARCHITECTURES = {
    one.name: one
    for one in (
        Architecture(
            name="nuclei",
            title="U-Net that separates touching nuclei (the built-in model's)",
            tile=1024,
        ),
        Architecture(
            name="unet",
            title="Plain U-Net: nucleus or background (Ronneberger et al. 2015)",
            maps=TWO_CLASSES,
            patch_size=128,
            multiple=16,
        ),
        Architecture(
            name="unet-mobilenetv2",
            title="U-Net on MobileNetV2 trained on ImageNet: nucleus or background",
            maps=TWO_CLASSES,
            patch_size=128,
            pretrained=True,
        ),
    )
}


def find_architecture(name: str) -> Architecture:
    """Return an architecture by name; of an unknown one a ValueError lists them."""
    if name not in ARCHITECTURES:
        raise ValueError(
            f"There is no architecture named {name!r}; there are "
            f"{', '.join(ARCHITECTURES)}."
        )
    return ARCHITECTURES[name]
