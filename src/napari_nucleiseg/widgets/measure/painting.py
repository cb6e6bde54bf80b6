"""Colours of the nuclei by a column, and of those selected; going to one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import ensure_colormap

from napari_nucleiseg.widgets.shared.label_colours import LabelColours
from napari_nucleiseg.widgets.shared.layers import RECORD

#: Colours of the nuclei that are selected, and of the others meanwhile.
_CHOSEN, _OTHERS = (1.0, 0.85, 0.1, 1.0), (0.5, 0.5, 0.5, 0.55)

#: Colours of a column.
_SHADES = 128

#: Values of a column run over the colours between these percentiles.
_LOW, _HIGH = 1, 99


def data_axes(layer: Labels) -> str:
    """Return the axes of a labels layer's data, a letter for each.

    Those of the image that it was made from, if it was; else 0, 1, … for planes.
    """
    ndim = layer.ndim
    axes = str(layer.metadata.get(RECORD, {}).get("axes", "")).replace("S", "")
    if axes.startswith("C") or len(axes) == ndim + 1:
        axes = axes.replace("C", "")
    if len(axes) == ndim and {"Y", "X"} <= set(axes):
        return axes
    return "".join(map(str, range(ndim - 2))) + "YX"


def shares_of(table: pd.DataFrame, column: str) -> np.ndarray:
    """Return ``(n,)`` how far up the scale of colours each row's value lies, 0 to 1.

    NaN where the value is not known.
    """
    values = table[column]
    if values.dtype == object or isinstance(values.dtype, pd.StringDtype):
        numbers = pd.factorize(values)[0].astype(float)
    else:
        numbers = values.to_numpy(float)
    known = np.isfinite(numbers)
    if not known.any():
        return np.full(len(numbers), np.nan)
    low, high = np.percentile(numbers[known], (_LOW, _HIGH))
    if high <= low:  # nearly all have one value: of the others, none is left out
        low, high = numbers[known].min(), numbers[known].max()
    shares = np.clip((numbers - low) / (high - low or 1), 0, 1)
    return np.where(known, shares, np.nan)


class Painter:
    """Colours of one labels layer, which gets its own back.

    Parameters
    ----------
    layer : napari.layers.Labels
        The layer.
    """

    def __init__(self, layer: Labels) -> None:
        self._layer, self._own = layer, layer.colormap
        self._ours: Any = None

    def paint(
        self, labels: np.ndarray, shares: np.ndarray | None, selected: np.ndarray
    ) -> None:
        """Bring out the nuclei that are selected; if none is, colour them by a column.

        Parameters
        ----------
        labels : numpy.ndarray
            ``(n,)``.
        shares : numpy.ndarray or None
            ``(n,)`` from `shares_of`; None for no column.
        selected : numpy.ndarray
            ``(n,)`` bool.
        """
        layer = self._layer
        if layer.colormap is not self._ours:
            self._own = layer.colormap  # someone else has changed it
        if selected.any():
            shown, places = labels[selected], np.zeros(selected.sum(), int)
            palette = np.array([_CHOSEN])
        elif shares is not None:
            known = np.isfinite(shares)
            shown = labels[known]
            places = np.rint(shares[known] * (_SHADES - 1)).astype(int)
            palette = ensure_colormap("viridis").map(np.linspace(0, 1, _SHADES))
        else:
            self.restore()
            return
        layer.colormap = LabelColours.of(shown, places, palette, _OTHERS)
        self._ours = layer.colormap

    def restore(self) -> None:
        """Give the layer its own colours back."""
        if self._ours is not None and self._layer.colormap is self._ours:
            self._layer.colormap = self._own
        self._ours = None


def go_to(viewer: ViewerModel, layer: Labels, place: dict[str, float]) -> None:
    """Bring a place of a layer to the middle of the canvas.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : napari.layers.Labels
        The layer.
    place : dict of str to float
        Where, in pixels, by the letters of `data_axes`.
    """
    point = [place.get(letter, 0.0) for letter in data_axes(layer)]
    world = np.asarray(layer.data_to_world(point))
    # The layer's axes are the viewer's last ones.
    first = viewer.dims.ndim - layer.ndim
    for axis, value in enumerate(world, start=first):
        if axis not in viewer.dims.displayed:
            viewer.dims.set_point(axis, value)
    centre = list(viewer.scene.camera.center)
    shown = [axis for axis in viewer.dims.displayed if axis >= first]
    for i, axis in enumerate(shown[-len(centre) :], start=len(centre) - len(shown)):
        centre[i] = world[axis - first]
    viewer.scene.camera.center = tuple(centre)
