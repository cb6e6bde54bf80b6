"""The widget that links the nuclei of planes, through depth or time."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import Container
from napari.layers import Labels, Layer

from napari_nucleiseg.core.labels.linking import Tracks, link
from napari_nucleiseg.core.monitor import Monitor
from napari_nucleiseg.core.params import LinkParams
from napari_nucleiseg.widgets.shared.controls import LayerBox, MessageLine, quoted
from napari_nucleiseg.widgets.shared.job_shell import JobShell
from napari_nucleiseg.widgets.shared.layers import ERRORS_OF, placement, snapshot
from napari_nucleiseg.widgets.shared.param_form import ParamForm

if TYPE_CHECKING:
    import napari

_TIP = (
    "Find out which outlines in the planes are one nucleus, and add a layer in which "
    "it has one number. The layer that is chosen is only hidden."
)
_NO_STACK = "Open or segment a stack first: labels of several planes."

#: The parameters that matter through each.
_SHOWN = {"depth": ("min_overlap",), "time": ("max_distance", "divisions")}

#: Metadata of a layer that was linked: from which layer, and how.
LINKED_FROM = "napari-nucleiseg linked"


class LinkWidget(JobShell):
    """Choose labels of a stack, say what its planes are, press Link.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, title="Link nuclei", button="Link", tip=_TIP)
        self.labels_layer = LayerBox(
            Labels,
            _is_stack,
            name="labels_layer",
            label="Labels",
            tooltip="The labels of a stack, (plane, y, x), to be linked.",
        )
        self.form = ParamForm(LinkParams)
        self.layer_form = Container(widgets=[self.labels_layer])
        self.layer_form.margins = (0, 0, 0, 0)
        self.reason_line = MessageLine("reason_line")
        self.fill(
            (
                self.layer_form,
                self.form,
                self.run_button,
                self.reason_line,
                self.progress,
                self.result_line,
            ),
            self.layer_form,
            self.form,
        )
        self.labels_layer.changed.connect(self._on_choice_changed)
        self.form.param_changed.connect(self._on_choice_changed)
        self._on_choice_changed()

    def reset_choices(self, *_: object) -> None:
        """Offer the layers there are now; called by napari when they change."""
        if not self._closed:
            self.labels_layer.reset_choices()
            self._on_choice_changed()

    def _on_choice_changed(self, *_: object) -> None:
        through = self.form["through"].value
        for planes, names in _SHOWN.items():
            for name in names:
                self.form[name].visible = planes == through
        self._show_reason()

    def why_not(self) -> str:
        """Return why nothing can be linked; empty if something can."""
        return "" if self.labels_layer.value is not None else _NO_STACK

    def run(self) -> None:
        """Link the chosen labels."""
        layer = self.labels_layer.value
        if layer is None or self.is_running:
            return
        params = LinkParams(**self.form.values())
        labels = snapshot(layer)

        def work(monitor: Monitor) -> np.ndarray | Tracks:
            return link(np.asarray(labels), params, monitor=monitor)

        self._start(work, functools.partial(self._show, layer, params), layers=(layer,))

    def _show(
        self, layer: Labels, params: LinkParams, found: np.ndarray | Tracks
    ) -> None:
        labels = found.labels if isinstance(found, Tracks) else found
        place = placement(layer)
        record = {LINKED_FROM: {"layer": layer.name, **params.model_dump()}}
        options: dict[str, Any] = {"metadata": record, **place}
        self.viewer.add_labels(labels, name=f"{layer.name} linked", **options)
        layer.visible = False
        count = int(labels.max(initial=0))
        if not count:
            self._say(f"{quoted(layer.name)} has no nuclei.")
            return
        if isinstance(found, Tracks):
            table = found.table
            self.viewer.add_tracks(
                table[["track", "frame", "y", "x"]].to_numpy(float),
                graph=found.graph,
                features=table,
                name=f"{layer.name} tracks",
                **options,
            )
            born = sum(map(len, found.graph.values())) // 2
            self._say(
                f"{quoted(layer.name)}: {count} tracks in {len(labels)} frames, "
                f"{born} {'division' if born == 1 else 'divisions'}."
            )
        else:
            self._say(
                f"{quoted(layer.name)}: {count} nuclei in {len(labels)} planes. Press "
                "the button of the 3-D view below the layer list to see them so."
            )


def _is_stack(layer: Layer) -> bool:
    return layer.ndim == 3 and ERRORS_OF not in layer.metadata
