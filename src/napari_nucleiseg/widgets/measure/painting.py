"""Colours of the nuclei by a column, and of those selected; going to one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap

from napari_nucleiseg.widgets.shared.layers import RECORD

#: Colours of the nuclei that are selected, and of the others meanwhile.
_CHOSEN, _OTHERS = (1.0, 0.85, 0.1, 1.0), (0.5, 0.5, 0.5, 0.55)

_CLEAR = (0.0, 0.0, 0.0, 0.0)

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


def colours_of(table: pd.DataFrame, column: str) -> dict[int | None, Any]:
    """Return a colour for each label, by the values of a column."""
    values = table[column]
    if values.dtype == object or isinstance(values.dtype, pd.StringDtype):
        numbers = pd.factorize(values)[0].astype(float)
    else:
        numbers = values.to_numpy(float)
    known = np.isfinite(numbers)
    low, high = np.percentile(numbers[known], (_LOW, _HIGH)) if known.any() else (0, 1)
    if high <= low:  # nearly all have one value: of the others, none is left out
        low, high = (
            (numbers[known].min(), numbers[known].max()) if known.any() else (0, 1)
        )
    shares = np.clip((numbers - low) / (high - low or 1), 0, 1)
    shown = ensure_colormap("viridis").map(np.where(known, shares, 0))
    shown[~known] = _OTHERS
    found: dict[int | None, Any] = dict(
        zip(table["label"].astype(int).tolist(), shown, strict=True)
    )
    return {**found, None: _OTHERS, 0: _CLEAR}


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
        self, colours: dict[int | None, Any] | None, selected: np.ndarray
    ) -> None:
        """Paint nuclei by these colours, if any, and bring out the selected labels."""
        layer = self._layer
        if layer.colormap is not self._ours:
            self._own = layer.colormap  # someone else has changed it
        if colours is None and not selected.size:
            self.restore()
            return
        if colours is None or selected.size:
            base: dict[int | None, Any] = {None: _OTHERS, 0: _CLEAR}
            colours = base | {int(label): _CHOSEN for label in selected}
        layer.colormap = DirectLabelColormap(color_dict=colours)
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
