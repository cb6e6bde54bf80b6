"""What is known of each network that can be trained, in one record.

A network is added by a module that builds it and registers its record, and by a line
in ``networks/__init__.py`` that imports the module. Importing either loads no Keras;
building the network does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nucleiseg.core.segment.tiling import TILE
from napari_nucleiseg.networks.optimizers import adam

if TYPE_CHECKING:
    import keras

#: What the two-class networks return.
TWO_CLASSES = ("background", "nucleus")

#: Diameters (shares of that of its training) a network copes with as they are: about
#: what training shows it (see `training.sampler.PatchSampler`); enlarging smaller
#: nuclei helps.
KNOWN = (0.625, 1.8)


class PretrainedWeightsError(OSError):
    """Pretrained weights are neither on this computer nor can they be downloaded."""


@dataclass(frozen=True)
class Architecture:
    """A network that can be built and trained.

    Parameters
    ----------
    name, title : str
        Its name, and one line for the user.
    builder : callable
        Returns the network, untrained: ``(n, y, x, channels)`` float32 in 0-1 to
        ``(n, y, x, len(maps))`` float32 in 0-1. If `pretrained`, it is called with
        the two arguments of `build`, else with none.
    loss : callable
        True targets and predicted maps to a scalar, in `keras.ops`. The last axis of
        the former is `targets`, then the weight of each pixel, 0 where nothing is
        known.
    maps : tuple of str
        What each map that it returns means; one is "nucleus".
    targets : tuple of str
        What the loss compares with, of `training.sampler.TARGETS`; one is "nucleus".
    optimizer : callable
        Learning rate and weight decay (0 is none) to a Keras optimizer.
    learning_rate : float
        Where training from scratch starts unless told otherwise.
    channels : int
        Channels it takes.
    diameter : float
        Diameter that nuclei are brought to in training unless told otherwise, pixels.
    patch_size : int
        Side of the patches it is trained on unless told otherwise, pixels.
    resize : int or None
        Side of the square that whole images are resized to in training unless told
        otherwise, pixels; None trains on patches.
    multiple : int
        What a tile's sides must be multiples of.
    tile : int
        Longest side of a tile it runs on, pixels: the longer, the less of an image
        is seen twice, and the more memory it takes.
    best : float
        The diameter that nuclei are best scaled to, as a share of the diameter it is
        trained at.
    left : tuple of float
        The diameters that are left as they are, as such shares.
    pretrained : bool
        Whether it can start from pretrained weights.
    int8 : bool
        Whether it is exported with integers of 8 bits too, which are faster on some
        processors.
    seconds_per_megapixel : float
        Time to train on a million pixels on one processor core, for the first
        estimate: measured on two cores of a 2.5 GHz server.
    """

    name: str
    title: str
    builder: Callable[..., keras.Model]
    loss: Callable[[Any, Any], Any]
    maps: tuple[str, ...] = TWO_CLASSES
    targets: tuple[str, ...] = ("nucleus",)
    optimizer: Callable[[float, float], keras.optimizers.Optimizer] = adam
    learning_rate: float = 1e-3
    channels: int = 3
    diameter: float = 20.0
    patch_size: int = 192
    resize: int | None = None
    multiple: int = 32
    tile: int = TILE
    best: float = 1.0
    left: tuple[float, float] = KNOWN
    pretrained: bool = False
    int8: bool = False
    seconds_per_megapixel: float = 10.0

    def build(self, *, pretrained: bool = True, fetch: bool = True) -> keras.Model:
        """Build the network, untrained.

        Parameters
        ----------
        pretrained : bool
            Whether to start from pretrained weights, if it is made for that; the part
            that has them is frozen.
        fetch : bool
            False leaves those weights out, for a caller that goes on to set all the
            network's weights: what learns and what is frozen is the same.

        Raises
        ------
        PretrainedWeightsError
            If those weights are neither on this machine nor to be fetched.
        """
        if self.pretrained:
            return self.builder(pretrained=pretrained, fetch=fetch)
        return self.builder()


#: Trained from scratch unless another is asked for.
DEFAULT_ARCHITECTURE = "generalist"

#: By name, in the order in which they are offered.
ARCHITECTURES: dict[str, Architecture] = {}


def register(architecture: Architecture) -> Architecture:
    """Make a network known by its name; returns its record."""
    ARCHITECTURES[architecture.name] = architecture
    return architecture


def find_architecture(name: str) -> Architecture:
    """Return an architecture by name; of an unknown one a ValueError lists them."""
    if name not in ARCHITECTURES:
        raise ValueError(
            f"There is no architecture named {name!r}; there are "
            f"{', '.join(ARCHITECTURES)}."
        )
    return ARCHITECTURES[name]
