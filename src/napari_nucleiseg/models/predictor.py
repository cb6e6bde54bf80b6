"""A loaded network: tiles in, maps out. LiteRT runs it; there is no TensorFlow here."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_nucleiseg.core.segment.instances import MAPS
from napari_nucleiseg.models.registry import DEFAULT_MODEL, RUN_FILE, Model, find_model


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
    threads : int, optional
        Processor threads to use; all there are if not given.

    Attributes
    ----------
    spec : NetworkSpec
        From the model's card and its architecture.
    threads : int
        Processor threads that it uses.
    """

    def __init__(self, model: Model, *, threads: int | None = None) -> None:
        from ai_edge_litert.interpreter import Interpreter

        card = model.card
        self.model, self.spec = model, card.spec
        self.threads = threads or os.cpu_count() or 1
        self._interpreter = Interpreter(
            str(model.folder / RUN_FILE), num_threads=self.threads
        )
        # Now, so that loading is over when this returns; at a size that every network
        # can halve, which the one pixel that the file says is not.
        self._shape: tuple[int, ...] = (1, card.multiple, card.multiple, card.channels)
        self._interpreter.resize_tensor_input(
            self._interpreter.get_input_details()[0]["index"], self._shape
        )
        self._interpreter.allocate_tensors()
        # An interpreter holds one picture at a time: callers take turns.
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
                return complete_maps(self._run(tiles), self.spec.maps)
            except RuntimeError as e:
                if str(e):
                    raise
                # LiteRT says nothing where it gets no memory.
                text = f"the network gets none for a tile of {tiles.shape[1:3]} pixels"
                raise MemoryError(text) from e

    def _run(self, tiles: np.ndarray) -> np.ndarray:
        source = self._interpreter.get_input_details()[0]["index"]
        shape = (1, *tiles.shape[1:4])
        if shape != self._shape:
            self._shape = ()  # as long as it is not known to have succeeded
            self._interpreter.resize_tensor_input(source, shape)
            self._interpreter.allocate_tensors()
            self._shape = shape
        target = self._interpreter.get_output_details()[0]["index"]
        out = []
        for tile in tiles:
            self._interpreter.set_tensor(source, tile[None])
            self._interpreter.invoke()
            out.append(self._interpreter.get_tensor(target))
        return out[0] if len(out) == 1 else np.concatenate(out)


#: Models kept in memory at most, for each may take hundreds of megabytes at work; those
#: used last.
MOST_LOADED = 3

_loaded: dict[Path, LitePredictor] = {}
_loading = threading.Lock()


def load_model(
    model: str | os.PathLike[str] = DEFAULT_MODEL, *, threads: int | None = None
) -> LitePredictor:
    """Load a model, or return the one that is already loaded.

    Parameters
    ----------
    model : str or path
        Name or folder; see `registry.find_model`.
    threads : int, optional
        See `LitePredictor`; one that is loaded keeps those that it has.

    Returns
    -------
    LitePredictor

    Raises
    ------
    ValueError
        If there is no such model, or it is damaged.
    """
    found = find_model(model)
    with _loading:
        predictor = _loaded.pop(found.folder, None)
        # The card holds the files' hashes too: any change reloads it.
        if predictor is None or predictor.model.card != found.card:
            predictor = LitePredictor(found, threads=threads)
        _loaded[found.folder] = predictor
        for folder in list(_loaded)[:-MOST_LOADED]:
            del _loaded[folder]
        return predictor
