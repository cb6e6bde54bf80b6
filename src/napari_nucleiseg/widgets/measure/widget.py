"""The widget that measures nuclei, and opens their table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nucleiseg.core.measure.gates import Gate
from napari_nucleiseg.core.measure.units import area_mm2
from napari_nucleiseg.core.params import MeasureParams
from napari_nucleiseg.models.recipe import SavedRecipe
from napari_nucleiseg.widgets.measure.form import (
    Measured,
    MeasureForm,
    PixelSize,
    prepare,
)
from napari_nucleiseg.widgets.measure.panel import NucleiPanel
from napari_nucleiseg.widgets.measure.recipe import Asked
from napari_nucleiseg.widgets.shared.bottom_dock import dock_below
from napari_nucleiseg.widgets.shared.controls import MessageLine
from napari_nucleiseg.widgets.shared.job_shell import JobShell
from napari_nucleiseg.widgets.shared.param_form import ParamForm
from napari_nucleiseg.widgets.shared.recipe_button import RecipeButton

if TYPE_CHECKING:
    import napari

_RUN_TIP = "Measure every nucleus, and open the table and its plots under the viewer."


class MeasureWidget(JobShell):
    """Choose labels and images, press Measure, get a table and plots.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(
            napari_viewer, title="Measure nuclei", button="Measure", tip=_RUN_TIP
        )
        self.panel: NucleiPanel | None = None
        self.inputs = MeasureForm(self.viewer)
        self.form = ParamForm(MeasureParams)
        self.size_form = ParamForm(PixelSize)
        self.reason_line = MessageLine("reason_line")
        #: Of a recipe that was loaded; the next table has them.
        self._gates: list[Gate] | None = None
        self.recipe_button = RecipeButton(
            recipe=lambda: self._asked().with_gates(self._panel().gates),
            command=lambda: self._asked().as_command(self._panel().gates),
            python=lambda: self._asked().as_python(self._panel().gates),
            load=self._take_recipe,
            say=self._say,
            note=lambda: self._asked().note,
        )
        self.fill(
            (
                self.inputs,
                self.size_form,
                self.form,
                self.run_button,
                self.reason_line,
                self.progress,
                self.result_line,
                self.recipe_button,
            )
        )
        active = self.viewer.layers.selection.events.active
        self._listen(active, self._on_active_changed)
        for box in self.inputs:
            box.changed.connect(self._on_choice_changed)
        self.form.param_changed.connect(self._on_choice_changed)
        self.reset_choices()

    def reset_choices(self, *_: object) -> None:
        """Offer the layers there are now; called by napari when they change."""
        if not self._closed:
            self.inputs.offer_layers()
            self._on_choice_changed()

    def _on_active_changed(self, event: Any) -> None:
        box = self.inputs.labels_layer
        if event.value in box.choices:
            box.value = event.value

    def _on_choice_changed(self, _: object = None) -> None:
        self.form["around_width"].visible = self.form["around"].value != "nothing"
        self.form["density_radius"].visible = self.form["neighbours"].value
        self._show_reason()

    def why_not(self) -> str:
        """Return why nothing can be measured; empty if something can."""
        if self.inputs.labels_layer.value is None:
            return "Open a labels layer, or segment an image: its nuclei are measured."
        return ""

    def run(self) -> None:
        """Measure the chosen layer."""
        if self.is_running or self.why_not():
            return
        params = MeasureParams(**self.form.values())
        size = self.size_form.values()["pixel_size"]
        layer, work = prepare(self.inputs, params, size)
        self._start(work, self._show, layers=(layer,))

    def _panel(self) -> NucleiPanel:
        """Return the panel with the table.

        Raises
        ------
        ValueError
            If nothing is measured.
        """
        if self.panel is None or self.panel.is_gone or self.panel.measured is None:
            raise ValueError("Press Measure first: there is no table yet.")
        return self.panel

    def _asked(self) -> Asked:
        measured = self._panel().measured
        assert measured is not None
        return measured.asked

    def settings(self) -> SavedRecipe:
        """Return how the form says to measure, with the gates that there are."""
        gates = self._gates or []
        if self.panel is not None and not self.panel.is_gone and self._gates is None:
            gates = self.panel.gates
        return SavedRecipe(
            pixel_size=self.size_form.values()["pixel_size"],
            measure=MeasureParams(**self.form.values()),
            gates=gates,
        )

    def _take_recipe(self, recipe: SavedRecipe) -> str:
        """Take over what a recipe says of measuring."""
        if recipe.measure is None:
            raise ValueError("This recipe measures nothing. Nothing was changed.")
        self.form.set_values(recipe.measure.model_dump())
        size = recipe.pixel_size
        self.size_form.set_values(
            {"pixel_size": None if isinstance(size, list) else size}
        )
        self._gates = recipe.gates
        return "Settings loaded. Press Measure to use them."

    def _show(self, measured: Measured) -> None:
        count = len(measured.table)
        text = f"{count} {'nucleus' if count == 1 else 'nuclei'} measured"
        if measured.scale is not None:
            per_mm2 = count / area_mm2(measured.shape, measured.scale)
            y, x = (f"{size:.4g}" for size in measured.scale)
            pixel = f"{y} µm" if x == y else f"{y} × {x} µm"
            text += f", {per_mm2:,.0f} per mm². A pixel is {pixel} wide."
        else:
            text += ". The labels have no scale, so lengths are in pixels."
        self._say(text)
        panel = self._open_panel()
        if self._gates is not None:
            panel.gates, self._gates = self._gates, None
        panel.show_measured(measured)

    def _open_panel(self) -> NucleiPanel:
        """Return the panel under the viewer; a new one if it was closed."""
        if self.panel is None or self.panel.is_gone:
            self.panel = NucleiPanel(self.viewer)
            dock_below(self.viewer, self.panel, "Nuclei")
        return self.panel
