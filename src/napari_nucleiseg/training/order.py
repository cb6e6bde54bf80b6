"""What a training is asked to do."""

from __future__ import annotations

from pydantic import Field

from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.record import JsonTable, Record
from napari_nucleiseg.models.registry import DEFAULT_MODEL
from napari_nucleiseg.networks.architectures import DEFAULT_ARCHITECTURE


class Order(Record):
    """What a training is asked to do.

    Parameters
    ----------
    name : str
        Of the model to be made.
    params : TrainParams
        How to train.
    base : str or None
        Model (name or folder) to start from; None from scratch.
    architecture : str
        Network to build if there is no base.
    pretrained : bool
        Whether pretrained weights are downloaded, where the architecture has some.
    title, license : str
        For the model's card.
    data : dict
        What it is trained on, for the card.
    keep_always : bool
        Whether the model is kept even if it is not better than its base.
    go_on : bool
        Whether it goes on to its end if the window that started it is gone.
    replaces : str
        Hash of the card of the model that the new one is to replace; empty if there
        was none when the training began.
    """

    name: str
    params: TrainParams = Field(default_factory=TrainParams)
    base: str | None = DEFAULT_MODEL
    architecture: str = DEFAULT_ARCHITECTURE
    pretrained: bool = True
    title: str = ""
    license: str = "your own"
    data: JsonTable = Field(default_factory=dict)
    keep_always: bool = False
    go_on: bool = False
    replaces: str = ""
