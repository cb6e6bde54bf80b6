"""A loaded network: tiles in, maps out. LiteRT runs it; there is no TensorFlow here."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_nucleiseg.core.params import Engine
from napari_nucleiseg.core.segment.instances import MAPS
from napari_nucleiseg.models.engines import (
    Network,
    ProcessorNetwork,
    choose_engine,
    choose_on_processor,
)
from napari_nucleiseg.models.graphics import GraphicsNetwork, check_graphics
from napari_nucleiseg.models.registry import (
    DEFAULT_MODEL,
    INT8_FILE,
    RUN_FILE,
    Model,
    find_model,
)


def complete_maps(maps: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Convert a network's maps to the three that nuclei are separated by, and the size.

    A network that knows only nucleus and background gives no distance: the watershed
    then works on the probability of nucleus itself, which falls towards the borders,
    and there is no contact.

    Parameters
    ----------
    maps : numpy.ndarray
        ``(…, len(names))`` float32 in 0-1.
    names : sequence of str
        What each map means; one of them is "nucleus".

    Returns
    -------
    numpy.ndarray
        ``(…, 3)`` float32 in 0-1, in the order of `core.segment.instances.MAPS`; with a
        fourth, the size, if the network says it. `maps` itself if it is that already.

    Raises
    ------
    ValueError
        If there are not as many maps as names, or none is "nucleus".
    """
    names = tuple(names)
    if maps.shape[-1] != len(names):
        raise ValueError(
            f"The network must return {len(names)} maps ({', '.join(names)}); it "
            f"returned {maps.shape[-1]}."
        )
    if names == MAPS:
        return maps
    if "nucleus" not in names:
        raise ValueError(
            'One of a model\'s maps must be "nucleus"; received '
            f"{', '.join(names) or 'none'}."
        )
    nucleus = maps[..., names.index("nucleus")]
    depth = maps[..., names.index("distance")] if "distance" in names else nucleus
    contact = (
        maps[..., names.index("contact")]
        if "contact" in names
        else np.zeros_like(nucleus)
    )
    size = [maps[..., names.index("size")]] if "size" in names else []
    return np.stack([nucleus, depth, contact, *size], axis=-1)


class LitePredictor:
    """A model running on LiteRT.

    Parameters
    ----------
    model : Model
        Which one.
    engine : str
        What to run it on; see `core.params.SegmentParams`. If the graphics card cannot
        be used, the processor is, and the note of `spec` says why.
    threads : int, optional
        Processor threads to use; all there are if not given.

    Attributes
    ----------
    spec : NetworkSpec
        From the model's card and its architecture, with the engine that it runs on.
    threads : int
        Processor threads that it uses.
    """

    def __init__(
        self, model: Model, engine: Engine = "auto", *, threads: int | None = None
    ) -> None:
        card = model.card
        engine, note = choose_engine(model, engine), ""
        if engine == "gpu" and (problem := check_graphics(model)):
            engine, note = choose_on_processor(model), problem
        self.model = model
        self.spec = replace(card.spec, engine=engine, note=note)
        self.threads = threads or os.cpu_count() or 1
        self._network: Network
        if engine == "gpu":
            self._network = GraphicsNetwork(model.folder / RUN_FILE)
        else:
            # Now, so that loading is over when this returns; at a size that every
            # network can halve, which the one pixel that the file says is not.
            self._network = ProcessorNetwork(
                model.folder / (INT8_FILE if engine == "int8" else RUN_FILE),
                (1, card.multiple, card.multiple, card.channels),
                self.threads,
            )
        # A network holds one picture at a time: callers take turns.
        self._lock = threading.Lock()

    def predict(self, tiles: np.ndarray) -> np.ndarray:
        """Run the network.

        Parameters
        ----------
        tiles : numpy.ndarray
            ``(n, y, x, channels)`` float32 in 0-1; sides multiples of the network's.

        Returns
        -------
        numpy.ndarray
            ``(n, y, x, 3)`` float32 in 0-1: nucleus, distance, contact, whatever
            maps the network itself has; see `complete_maps`.

        Raises
        ------
        MemoryError
            If there is not enough memory for a tile.
        """
        with self._lock:
            try:
                out = [self._network.run(tile[None]) for tile in tiles]
                maps = out[0] if len(out) == 1 else np.concatenate(out)
                return complete_maps(maps, self.spec.maps)
            except RuntimeError as e:
                if str(e):
                    raise
                # LiteRT says nothing where it gets no memory.
                text = f"the network gets none for a tile of {tiles.shape[1:3]} pixels"
                raise MemoryError(text) from e


#: Models kept in memory at most, for each may take hundreds of megabytes at work; those
#: used last.
MOST_LOADED = 3

_loaded: dict[tuple[Path, Engine], LitePredictor] = {}
_loading = threading.Lock()


def load_model(
    model: str | os.PathLike[str] = DEFAULT_MODEL,
    engine: Engine = "auto",
    *,
    threads: int | None = None,
) -> LitePredictor:
    """Load a model, or return the one that is already loaded.

    Parameters
    ----------
    model : str or path
        Name or folder; see `registry.find_model`.
    engine : str
        See `core.params.SegmentParams`.
    threads : int, optional
        See `LitePredictor`; one that is loaded keeps those that it has.

    Returns
    -------
    LitePredictor

    Raises
    ------
    ValueError
        If there is no such model, it is damaged, or it has no network for the engine.
    """
    found = find_model(model)
    with _loading:
        key = found.folder, choose_engine(found, engine)
        predictor = _loaded.pop(key, None)
        # The card holds the files' hashes too: any change reloads it.
        if predictor is None or predictor.model.card != found.card:
            predictor = LitePredictor(found, key[1], threads=threads)
        _loaded[key] = predictor
        for old in list(_loaded)[:-MOST_LOADED]:
            del _loaded[old]
        return predictor
