"""Colours by confidence, and their legend."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import ensure_colormap
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from napari_nucleiseg.widgets.shared.label_colours import LabelColours

#: Colours run from this confidence, and all below, to 1: most nuclei lie in between.
UNSURE = 0.5

_SHADES = 128


class ConfidenceColours:
    """Gives a labels layer colours by confidence, and its own ones back."""

    def __init__(self) -> None:
        self._layer: Labels | None = None
        self._former: Any = None

    def put_on(self, layer: Labels, labels: np.ndarray, confidence: np.ndarray) -> None:
        """Colour some labels ``(n,)`` by their confidence ``(n,)``, others white."""
        if self._layer is not layer:
            self.take_off()
            self._layer, self._former = layer, layer.colormap
        doubt = np.clip((1 - confidence) / (1 - UNSURE), 0, 1)
        places = np.rint(doubt * (_SHADES - 1)).astype(int)
        palette = _colours(1 - np.linspace(0, 1, _SHADES) * (1 - UNSURE))
        layer.colormap = LabelColours.of(labels, places, palette, (1.0, 1.0, 1.0, 1.0))

    def take_off(self) -> None:
        """Give the layer that was coloured its own colours back."""
        if self._layer is not None:
            self._layer.colormap = self._former
        self._layer = self._former = None


def _colours(confidence: np.ndarray) -> np.ndarray:
    """Return ``(n, 4)`` RGBA in 0–1: bright is unsure; colour-blind people can tell."""
    doubt = np.clip((1 - confidence) / (1 - UNSURE), 0, 1)
    # The darkest quarter of the scale would not show on black.
    return ensure_colormap("viridis").map(0.25 + 0.75 * doubt)


def make_legend() -> QWidget:
    """Return a bar of the colours with their confidences."""
    colours = _colours(np.linspace(UNSURE, 1, 128))
    bytes_ = np.ascontiguousarray((255 * colours[None, :, :3]).round().astype(np.uint8))
    image = QImage(bytes_.data, 128, 1, 3 * 128, QImage.Format.Format_RGB888)
    bar = QLabel()
    bar.setPixmap(QPixmap.fromImage(image.copy()))
    bar.setScaledContents(True)
    bar.setFixedHeight(12)
    bar.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    legend = QWidget()
    row = QHBoxLayout(legend)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(QLabel(f"{UNSURE} or less"))
    row.addWidget(bar, 1)
    row.addWidget(QLabel("1"))
    return legend
