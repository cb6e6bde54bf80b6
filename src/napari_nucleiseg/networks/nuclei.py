"""The network of the bundled models up to 0.1: separates nuclei by three maps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from napari_nucleiseg.networks.architectures import register
from napari_nucleiseg.networks.generalist import GENERALIST, build_unet
from napari_nucleiseg.networks.losses import nuclei_loss

#: What it returns, and learns; see `core.segment.maps`.
MAPS = ("nucleus", "distance", "contact")

#: It separates and outlines nuclei somewhat larger than those of its training better,
#: up to the largest it knows.
NUCLEI = register(
    replace(
        GENERALIST,
        name="nuclei",
        title="U-Net that separates touching nuclei (that of older models)",
        builder=partial(build_unet, maps=len(MAPS), filters=(24, 48, 96, 128, 192)),
        maps=MAPS,
        targets=MAPS,
        loss=nuclei_loss,
        learning_rate=2e-3,
        diameter=20.0,
        best=1.3,
        left=(1.0, 1.8),
        seconds_per_megapixel=3.7,
    )
)
