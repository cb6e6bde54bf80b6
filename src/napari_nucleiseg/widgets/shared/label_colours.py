"""Colours for any number of labels, of a palette."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from pydantic import PrivateAttr

#: Up to this label there is a table with a place for each; it takes that many bytes.
_TABLE_UP_TO = 50_000_000

#: So many pixels are looked up at once.
_AT_ONCE = 1 << 16

_CLEAR = (0.0, 0.0, 0.0, 0.0)


class LabelColours(DirectLabelColormap):
    """A colormap by which each label has a colour of a palette.

    napari's own has an entry for each label, which takes seconds for 100,000, and
    without numba it refuses labels above 65,536.
    """

    _palette: np.ndarray = PrivateAttr()
    _labels: np.ndarray = PrivateAttr()
    _codes: np.ndarray = PrivateAttr()
    _table: np.ndarray | None = PrivateAttr(default=None)

    @classmethod
    def of(
        cls, labels: np.ndarray, places: np.ndarray, palette: np.ndarray, others: Any
    ) -> LabelColours:
        """Return the colormap.

        Parameters
        ----------
        labels : numpy.ndarray
            ``(n,)``, above 0; of one that occurs twice, the last place counts.
        places : numpy.ndarray
            ``(n,)`` of their colours in the palette.
        palette : numpy.ndarray
            ``(m, 4)`` RGBA in 0–1, 250 colours at most.
        others : tuple of float
            RGBA of all other labels; the background is transparent.
        """
        found = cls(color_dict={None: others, 0: _CLEAR})
        # The textures' values: 0 for other labels, 1 for the background.
        found._palette = np.vstack([others, _CLEAR, palette]).astype(np.float32)
        first = np.unique(labels[::-1], return_index=True)
        found._labels = np.concatenate([[0], first[0]]).astype(np.int64)
        codes = np.asarray(places)[::-1][first[1]] + 2
        found._codes = np.concatenate([[1], codes]).astype(np.uint8)
        top = int(found._labels[-1])
        if top < _TABLE_UP_TO:
            found._table = np.zeros(top + 2, np.uint8)
            found._table[found._labels] = found._codes
        return found

    def _code(self, values: np.ndarray) -> np.ndarray:
        """Return the place of each label's colour."""
        if self._table is not None:  # below 0 is background, above the last is others
            flat = values.reshape(-1)
            found = np.empty(flat.shape, np.uint8)
            # Bit by bit: what is made on the way stays in the processor's cache.
            for start in range(0, len(flat), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                self._table.take(flat[part], mode="clip", out=found[part])
            return found.reshape(values.shape)
        at = np.searchsorted(self._labels, values).clip(max=len(self._labels) - 1)
        return np.where(self._labels[at] == values, self._codes[at], np.uint8(0))

    # ---- what napari asks ------------------------------------------------------------

    def map(self, values: Any) -> np.ndarray:
        """Return the colours of labels."""
        array = np.asarray(values)
        mapped = self._palette[self._code(array)]
        if self.use_selection:
            mapped = np.where((array == self.selection)[..., None], mapped, 0)
        return mapped

    def _map_without_cache(self, values: np.ndarray) -> np.ndarray:
        return self._palette[self._code(values)]

    def _data_to_texture(self, values: Any) -> Any:
        if values.itemsize <= 2:  # napari has a colour for each possible label
            return super()._data_to_texture(values)
        if self.use_selection:
            return (values == self.selection).astype(np.uint8)
        return self._code(values)

    @property
    def _num_unique_colors(self) -> int:
        return len(self._palette) - 1

    def _values_mapping_to_minimum_values_set(
        self, apply_selection: bool = True
    ) -> tuple[dict[int | None, int], dict[int, np.ndarray]]:
        if self.use_selection and apply_selection:
            clear = np.array(_CLEAR)
            return {self.selection: 1, None: 0}, {0: clear, 1: self.map(self.selection)}
        return {None: 0}, dict(enumerate(self._palette))
