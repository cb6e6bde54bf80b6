"""The widget that finds the nuclei in an image layer."""

from __future__ import annotations

import contextlib
import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_info
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_nucleiseg.core.monitor import Monitor, Progress
from napari_nucleiseg.core.params import SegmentParams
from napari_nucleiseg.core.segment.planes import to_image_axes
from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.registry import Model
from napari_nucleiseg.widgets.segment import large
from napari_nucleiseg.widgets.segment import run as runs
from napari_nucleiseg.widgets.segment.corrector import replace_labels
from napari_nucleiseg.widgets.segment.edits import (
    shown,
    watch_edits,
    watched_labels,
)
from napari_nucleiseg.widgets.segment.forecast_line import ForecastLine
from napari_nucleiseg.widgets.segment.form import SegmentForm
from napari_nucleiseg.widgets.segment.kept_blocks import KeptBlocks
from napari_nucleiseg.widgets.segment.large_labels import show_labels
from napari_nucleiseg.widgets.segment.part_shell import PartShell
from napari_nucleiseg.widgets.segment.places import WHOLE
from napari_nucleiseg.widgets.segment.putting import put_result
from napari_nucleiseg.widgets.segment.recipes import Recipes
from napari_nucleiseg.widgets.segment.review import ReviewPanel
from napari_nucleiseg.widgets.segment.run import Found, Run
from napari_nucleiseg.widgets.segment.state import NO_MODEL, State
from napari_nucleiseg.widgets.shared import layers as layer_tools
from napari_nucleiseg.widgets.shared.controls import (
    MessageLine,
    explain,
    one_shot,
    quoted,
)
from napari_nucleiseg.widgets.shared.docks import bring_forward, tab_behind
from napari_nucleiseg.widgets.shared.recipe_button import RecipeButton

if TYPE_CHECKING:
    import napari

#: What lies in the chosen place is looked at so often, milliseconds.
PLACE_MS = 700

#: What the first run needs is loaded so long after the widget was opened, ms.
WARM_UP_MS = 300

_STAYS = "Cancelled. What is finished stays; press Segment to go on after it."

_RUN_TIP = "Find every nucleus in the chosen image, and add them as a labels layer."


class SegmentWidget(PartShell):
    """Choose an image, press Segment, get a labels layer with every nucleus.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    """

    TABBED = True

    LETS_GO = True

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(
            napari_viewer, title="Segment nuclei", button="Segment", tip=_RUN_TIP
        )
        self._make_controls()
        self._lay_out()
        self._connect()
        self._on_source_changed()

    # ---- building ---------------------------------------------------------------

    def _make_controls(self) -> None:
        self.inputs = inputs = SegmentForm(self.viewer)
        self.state = State(self.viewer, inputs)
        self.form, self.more_form = inputs.values_form, inputs.more_form
        self.image_box, self.model_box = inputs.image.native, inputs.model.native
        self.model_line = MessageLine("model_line")
        self.forecast = ForecastLine()
        # The view is moved, and shapes are drawn, while the forecast is there.
        self._watch_place = QTimer(self)
        self._watch_place.setInterval(PLACE_MS)
        self._watch_place.timeout.connect(self._update_forecast)
        self.kept_blocks = KeptBlocks()
        self.reset_button = QPushButton("Reset to the model's defaults")
        self.reset_button.setToolTip(
            "Set every value to the one the model was tested with, and the diameter to "
            "Auto."
        )
        self.advanced = QCollapsible("Advanced", expandedIcon="▾", collapsedIcon="▸")
        recipes = Recipes(self.viewer, inputs, self.state)
        self.recipe_button = RecipeButton(
            recipe=recipes.recipe,
            command=recipes.as_command,
            python=recipes.as_python,
            load=recipes.take,
            say=self._say,
            note=recipes.left_out,
        )
        self.review = ReviewPanel(self.viewer)
        self.teach_button = QPushButton("Teach the model…")
        self.teach_button.setToolTip(
            "Learn from what you accepted, corrected and drew, compare before and "
            "after, and see what to label next."
        )

    def _lay_out(self) -> None:
        more = QWidget()
        column = QVBoxLayout(more)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.more_form.native)
        column.addWidget(self.reset_button)
        self.advanced.addWidget(more)
        self.fill(
            (
                self.inputs,
                self.model_line,
                self.form,
                self.advanced,
                self.kept_blocks,
                self.forecast,
                self.run_button,
                self.progress,
                self.apply_button,
                self.result_line,
                self.correct_button,
                self.write_button,
                self.recipe_button,
                self.review,
                self.teach_button,
            ),
            self.more_form,
        )

    def _connect(self) -> None:
        self.inputs.source_changed.connect(self._on_source_changed)
        self.inputs.model_changed.connect(self._on_model_changed)
        self.inputs.value_changed.connect(self._on_value_changed)
        self.inputs.place.changed.connect(self._on_place_chosen)
        self.inputs.output.changed.connect(self._follow_blocks)
        self.kept_blocks.discarded.connect(self._on_discarded)
        self.reset_button.clicked.connect(self.inputs.reset_values)
        self.review.tools.discarded.connect(self._on_edits_discarded)
        self.teach_button.clicked.connect(self._on_teach_clicked)
        one_shot(self, WARM_UP_MS, self._warm_up).start()
        self._on_model_changed()

    def _warm_up(self) -> None:
        """Load what the first run needs, while the user is still looking."""
        model = self.chosen_model()
        if model is not None:
            threading.Thread(
                target=_preload, args=(model.folder,), name="warm-up"
            ).start()

    def closeEvent(self, event: Any) -> None:
        """Stop what is running when the widget is closed."""
        self.forecast.stop()
        self._take_patch_off()
        super().closeEvent(event)

    # ---- what the user chose ------------------------------------------------------

    def chosen_layer(self) -> Image | None:
        """Return the image layer that is chosen, if there is one."""
        return self.inputs.chosen_layer()

    def chosen_model(self) -> Model | None:
        """Return the model that is chosen, if there is one."""
        return self.inputs.chosen_model()

    def params(self) -> SegmentParams:
        """Return the values in the form."""
        return self.inputs.params()

    def refresh_models(self) -> None:
        """Read the list of models anew, keeping the chosen one and the values."""
        self.inputs.refresh_models()

    def reset_choices(self, *_: object) -> None:
        """Offer the layers there are now; called by napari when they change."""
        if not self._closed:
            self.inputs.reset_choices()

    def why_not(self) -> str:
        """Return why Segment cannot be pressed; empty if it can."""
        return self.state.why_not()

    # ---- something changes ----------------------------------------------------------

    def _update_forecast(self) -> None:
        """Have it said what the image will take, unless that is known already."""
        image, model = self.chosen_layer(), self.chosen_model()
        if self.is_busy or self._closed:
            return
        data = run = None
        pixels, by_block, done = 0, self.inputs.is_large(), 0.0
        if image is not None and model is not None and not self.why_not():
            choice = self.inputs.chosen_channel()
            pixels = large.count_pixels(image, choice)
            if pixels and not self._is_found(image):
                with contextlib.suppress(ValueError):  # which the press says
                    run, data = self.state.to_run(), large.lazy_image(image, choice)
                    if by_block:
                        done = large.share_done(self.inputs.chosen_output(), run)
        self.forecast.follow(
            data,
            run,
            pixels=pixels,
            by_block=by_block,
            done=done,
        )

    def _on_place_chosen(self) -> None:
        self._update_forecast()
        if self.inputs.place.value == WHOLE:
            self._watch_place.stop()
        else:
            self._watch_place.start()

    def _is_found(self, image: Image) -> bool:
        in_file = large.kept_for(self.viewer, image)
        if in_file is not None:
            return in_file.found.complete
        return self.state.kept(image) is not None

    def _follow_blocks(self) -> None:
        """Say what is kept beside the labels of a large image."""
        at_rest = self.inputs.is_large() and not self.is_busy
        self.kept_blocks.follow(self.inputs.chosen_output() if at_rest else None)

    def _on_discarded(self, output: Path) -> None:
        large.forget(output)
        self._show_state()

    def _on_source_changed(self) -> None:
        self._message = ""
        self._follow_blocks()
        self._update_button()
        self._update_review()
        self._show_state()

    def _on_model_changed(self) -> None:
        model = self.chosen_model()
        self.model_line.setText(model.card.title if model else NO_MODEL)
        self._update_button()
        self._show_state()

    def _on_layer_removed(self, event: Any) -> None:
        super()._on_layer_removed(event)
        if isinstance(event.value, Labels):
            self.state.forget_deleted()
        self._update_review()
        self._show_state()

    def _update_review(self) -> None:
        """Let the chosen image's result be looked through, if there is one."""
        image = self.chosen_layer()
        labels = image and watched_labels(self.viewer, image)
        self.review.set_layer(labels)
        self.review.setVisible(labels is not None)
        self.teach_button.setVisible(labels is not None)

    def _show_state(self) -> None:
        """Say what there is to be said of the chosen image just now."""
        if not self.is_busy:
            self.result_line.setText(
                self._message or self.state.text(answering=self.is_running)
            )
        self._update_forecast()
        self._update_apply()
        self._update_parts()

    def _say(self, text: str) -> None:
        """Say what came of a press, until something else is chosen."""
        self._message = text
        super()._say(text)

    def _on_teach_clicked(self) -> None:
        """Open the dock that teaches, or bring it to the front."""
        _, teach = self.viewer.window.add_plugin_dock_widget(
            "napari-nucleiseg", "Teach the model"
        )
        tab_behind(teach, [self])
        bring_forward(teach)

    # ---- running ------------------------------------------------------------------

    def run(self) -> None:
        """Find the nuclei in the chosen image, with the values in the form.

        Those touched by hand stay as they are.
        """
        image, model = self.chosen_layer(), self.chosen_model()
        if image is None or model is None or self._closed or self.is_busy:
            return
        if not (model.folder / CARD_FILE).is_file():
            self._on_model_gone(model)
            return
        try:
            run = self.state.to_run()
        except ValueError as e:
            self._say(explain(e))
            return
        self.forecast.stop()
        self._take_patch_off()
        if self.inputs.is_large():
            self._run_by_block(image, run)
            return
        data = layer_tools.full_data(image)

        def work(monitor: Monitor) -> Found:
            monitor.report(Progress("Loading the model", 0, 0))
            return runs.find_nuclei(data, run, run.load(), monitor)

        self._message = ""
        done = functools.partial(self._on_found, image)
        self._start(work, done, layers=(image,))

    def _run_by_block(self, image: Image, run: Run) -> None:
        """Find the nuclei of an image that is too large for memory."""
        data, output = large.lazy_image(image, run.choice), self.inputs.chosen_output()
        if output is None:
            self._say("Choose a folder for the labels first.")
            return
        known, kept = self.forecast.forecast, large.kept_for(self.viewer, image)
        shares = None if kept is None else kept.shares(run)
        if shares is None and known is not None:
            shares = known.stages

        def work(monitor: Monitor) -> large.LargeFound:
            monitor.report(Progress("Loading the model", 0, 0))
            return large.find_by_block(data, run, output, run.load(), monitor, shares)

        def done(found: large.LargeFound) -> None:
            kept = large.kept_for(self.viewer, image)
            layer = show_labels(self.viewer, image, found, kept and kept.labels())
            large.keep(image, found, layer)
            self.inputs.choose(image)
            self._show_state()

        self._message = ""
        self._start(work, done, layers=(image,), cancelled=_STAYS)
        self._follow_blocks()

    def _on_model_gone(self, model: Model) -> None:
        self.refresh_models()
        text = (
            f"The model {quoted(model.card.name)} no longer exists: it was deleted or "
            "renamed. Nothing was changed."
        )
        chosen = self.chosen_model()
        if chosen is not None:
            name = quoted(chosen.card.name)
            text += f" {name} is chosen now; press Segment to use it."
        self._fail(text)

    def _on_found(self, image: Image, found: Found) -> None:
        self._put(image, found)
        if found.seconds is None:
            return
        if found.result.count == 0:
            show_info(f"{self._title}: no nuclei were found in this image.")
        # A slider moved while the network ran has not been answered yet.
        self._on_value_changed()

    def _on_ended(self) -> None:
        super()._on_ended()
        self._follow_blocks()
        self._show_state()

    def _put(self, image: Image, found: Found) -> None:
        """Show a result; what was touched by hand stays."""
        chosen = self.chosen_layer()
        put_result(self.viewer, image, found)
        if chosen is not None:
            self.inputs.choose(chosen)  # the new labels are active now, and their image
        self._update_review()
        self._show_state()

    def _on_edits_discarded(self) -> None:
        """Put back what the model found, so that undoing brings the edits back."""
        image = self.chosen_layer()
        kept = None if image is None else self.state.kept(image)
        layer = None if kept is None or kept.labels is None else kept.labels()
        if image is None or kept is None or layer is None:
            self._fail("Press Segment first: the network's maps are not in memory.")
            return
        result, table = kept.found.result, kept.found.editable()
        watch_edits(self.viewer, layer, table)
        replace_labels(layer, to_image_axes(result.labels, result.axes))
        layer.features = shown(table.table())
        runs.keep(image, kept.found, layer)
        self._show_state()


def _preload(folder: Path) -> None:
    """Load a model, and what makes labels and their table; for another thread."""
    # If anything is wrong with them, the run says so.
    with contextlib.suppress(Exception):
        import pandas  # noqa: F401
        import skimage.segmentation  # noqa: F401

        runs.load_model(folder)
