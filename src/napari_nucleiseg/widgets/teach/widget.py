"""The widget that teaches the model in a loop: correct, teach, compare, go on."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton

from napari_nucleiseg.core.monitor import Progress, duration
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.models.registry import Model, find_model
from napari_nucleiseg.training.folds import STAGE, judging_minutes, judging_time
from napari_nucleiseg.training.speed import estimate_minutes
from napari_nucleiseg.widgets.segment.putting import put_result
from napari_nucleiseg.widgets.shared.controls import MessageLine, explain, quoted
from napari_nucleiseg.widgets.shared.param_form import ParamForm
from napari_nucleiseg.widgets.teach.comparison import Comparison
from napari_nucleiseg.widgets.teach.frames import (
    remove_frames,
)
from napari_nucleiseg.widgets.teach.gathering import (
    base_used,
    given,
    note_known,
    note_targets,
    nuclei_given,
    segmented,
    told,
)
from napari_nucleiseg.widgets.teach.interrupted import InterruptedPanel
from napari_nucleiseg.widgets.teach.next_panel import NextPanel
from napari_nucleiseg.widgets.teach.next_shell import TITLE
from napari_nucleiseg.widgets.teach.projects import ProjectBox
from napari_nucleiseg.widgets.teach.questions import may_take_frames
from napari_nucleiseg.widgets.teach.round_panel import RoundPanel, told_of
from napari_nucleiseg.widgets.teach.testing_shell import TestingShell
from napari_nucleiseg.widgets.teach.work import (
    PREPARING,
    Lesson,
    Taught,
    as_published,
    teach,
)
from napari_nucleiseg.widgets.train.closing import main_window
from napari_nucleiseg.widgets.train.form import LEFT_OUT, folded

if TYPE_CHECKING:
    import napari

_TIP = (
    "Learn from the nuclei that you accepted, corrected or drew on the open images, "
    "and from all taught before; then compare what is found now with what was found."
)
_NOTHING = (
    "Press Next, or segment an image. Accept, correct or draw some nuclei: these are "
    "what the model is taught."
)
_INTERRUPTED = "Resume the round that was interrupted, or discard it, first."
_UNDECIDED = "Keep the new model, or go back to the one before, first."


class TeachWidget(TestingShell):
    """Correct some nuclei, press Teach, compare, keep or go back, and go on.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    """

    #: Below Segment in a small window, the button that teaches still shows.
    LEAST_HEIGHT = 210

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, title=TITLE, button=TITLE, tip=_TIP)
        self._taught: Taught | None = None
        self._again = self.run
        self._busy = ""  # who else is teaching the project
        self._given_up, self._enough = threading.Event(), threading.Event()
        self.projects = ProjectBox()
        self.given_line = MessageLine("given_line")
        self.reason_line = MessageLine("reason_line")
        self.enough_button = QPushButton("Judge by what is known")
        self.enough_button.setToolTip(
            "The new model is there, and is judged by more of the nuclei. End that, "
            "and judge by those it has been judged by so far."
        )
        self.enough_button.hide()
        self.comparison = Comparison(self.viewer)
        self.interrupted = InterruptedPanel()
        self.round = RoundPanel()
        self.next_panel = NextPanel()
        self.form = ParamForm(TrainParams, advanced=False)
        self.more_form = ParamForm(TrainParams, advanced=True, leave_out=LEFT_OUT)
        self.how = folded("How long it learns", self.form.native)
        self.experts = folded("For experts", self.more_form.native)
        self.fill(
            (
                self.projects,
                self.given_line,
                self.run_button,
                self.reason_line,
                self.progress,
                self.enough_button,
                self.result_line,
                self.interrupted,
                self.round,
                self.next_panel,
                self.how,
                self.experts,
            ),
            self.projects.form,
            self.form,
            self.more_form,
        )
        self.projects.changed.connect(self._on_project_changed)
        self.projects.tested.connect(self.judge_on)
        self.interrupted.resumed.connect(self.resume)
        self.interrupted.discarded.connect(self.abandon)
        self.enough_button.clicked.connect(self._on_enough)
        self.round.kept.connect(self.keep)
        self.round.refused.connect(self.back)
        self.round.viewed.connect(self.comparison.view)
        self.next_panel.asked.connect(self.look_for_regions)
        self.next_panel.wanted.connect(self.go_to)
        self.projects.name_edit.changed.connect(lambda _: self._show_reason())
        layers = self.viewer.layers
        self._listen(layers.selection.events.active, self._on_looked)
        self._on_project_changed()

    # ---- what there is -----------------------------------------------------------

    def showEvent(self, event: Any) -> None:
        """Look at the layers anew."""
        super().showEvent(event)
        self._on_looked()

    def enterEvent(self, event: Any) -> None:
        """Count anew what was corrected meanwhile: the mouse comes for the button."""
        super().enterEvent(event)
        self._on_looked()

    def why_not(self) -> str:
        """Return why the model cannot be taught just now; empty if it can."""
        project = self.projects.project
        owner = "" if project is None else project.busy
        if owner:
            return f"The model is being taught by {owner}."
        if self.is_undecided:
            return _UNDECIDED
        if project is not None and project.interrupted is not None:
            return _INTERRUPTED
        return self.projects.why_not() or ("" if given(self.viewer) else _NOTHING)

    @property
    def is_undecided(self) -> bool:
        """Whether a new model waits to be kept or refused."""
        project = self.projects.project
        return project is not None and project.waiting is not None

    def _on_looked(self, *_: object) -> None:
        """Say what there is to learn from."""
        if self._closed or self.is_busy:
            return
        self._follow()
        counts = [told(self.viewer, *pair) for pair in given(self.viewer)]
        if counts and not self.is_undecided:
            counts.append(self._time())
        self.given_line.setText("\n".join(counts))
        self.given_line.setVisible(bool(counts))
        self.result_line.setVisible(bool(self.result_line.text()))
        self._show_reason()

    def _follow(self) -> None:
        """Show what has become of a round that another window was at."""
        project = self.projects.project
        busy = "" if project is None else project.busy
        waits = project is not None and not busy and project.interrupted is not None
        changed = waits == self.interrupted.isHidden()
        if (self._busy and not busy) or changed:
            self._on_project_changed()
        self._busy = busy

    def _time(self) -> str:
        """Say how long a round takes, from the trainings before it."""
        project = self.projects.project
        base = find_model() if project is None else project.base
        before = 0 if project is None else project.nuclei
        nuclei = max(before, nuclei_given(self.viewer))  # some may be the same
        try:
            params, network = self._params(), base.card.architecture
            minutes = estimate_minutes(params, network)
        except ValueError as e:
            return explain(e)
        text = f"Learning takes at most about {duration(60 * minutes)}."
        judging = judging_minutes(params, network, nuclei)
        if not judging or (project is not None and project.tests):
            return text
        return f"{text} {judging_time(params, judging)}"

    def _on_project_changed(self) -> None:
        """Take up another project where it was left."""
        project = self.projects.project
        self._taught, self._busy = None, ""
        self.comparison.remove()
        self.next_panel.clear()
        if project is not None:
            try:
                project.tidy()
            except (OSError, ValueError) as e:
                self._say(explain(e))
            params = project.note.params
            self.form.set_values(params.model_dump())
            self.more_form.set_values(params.model_dump())
        self._show_round()
        self._on_looked()

    def _show_round(self) -> None:
        """Show what the last round brought, if that is to be decided."""
        project, taught = self.projects.project, self._taught
        waiting = None if project is None else project.waiting
        self.interrupted.tell(None if project is None else project.interrupted)
        self.round.setVisible(waiting is not None)
        self.next_panel.setVisible(waiting is None)
        if waiting is None:
            return
        text = told_of(waiting, taught)
        self.round.tell(text, compared=self.comparison.is_there)

    # ---- teaching ----------------------------------------------------------------

    def run(self, *, sure: bool = False) -> None:
        """Teach the model what was corrected, and compare.

        Parameters
        ----------
        sure : bool
            Whether what is asked before was answered.
        """
        if self.why_not() or self.is_busy:
            return
        if not (sure or may_take_frames(self, self.viewer)):
            return
        self._again = functools.partial(self.run, sure=True)
        try:
            project = self.projects.make(base_used(self.viewer))
            self._teach(
                Lesson(
                    project,
                    note_known(self.viewer),
                    note_targets(self.viewer),
                    self._params(),
                    sure=sure,
                )
            )
        except (OSError, ValueError) as e:
            self._fail(explain(e))

    def resume(self) -> None:
        """Go on with the round that was interrupted, on the examples it had."""
        project = self.projects.project
        if project is not None and not self.is_busy:
            targets = note_targets(self.viewer)
            self._teach(Lesson(project, [], targets, self._params(), resume=True))

    def abandon(self) -> None:
        """Discard the round that was interrupted; the examples stay."""
        project = self.projects.project
        if project is not None and not self.is_busy:
            try:
                project.abandon()
            except (OSError, ValueError) as e:
                self._fail(explain(e))
            self._show_round()
            self._on_looked()

    def _teach(self, lesson: Lesson) -> None:
        self._given_up, self._enough = lesson.given_up, lesson.enough
        self.interrupted.tell(None)
        images = [image for image, _ in segmented(self.viewer)]
        work = functools.partial(teach, lesson)
        self._start(work, self._on_taught, layers=images)

    def _on_run_clicked(self) -> None:
        """Give up what is trained if the button, which says Cancel then, is pressed.

        If the dock or napari is closed instead, it can be resumed.
        """
        if self.is_busy:
            self._given_up.set()
        super()._on_run_clicked()

    def _params(self) -> TrainParams:
        """Return how to train: as the forms say, else as the project did before."""
        project = self.projects.project
        before = TrainParams() if project is None else project.note.params
        return before.replace(**self.form.values(), **self.more_form.values())

    def _on_taught(self, taught: Taught) -> None:
        self._taught = taught
        self.next_panel.line.clear()
        for image, _ in segmented(self.viewer):
            remove_frames(self.viewer, image)
        hide = [labels for _, labels in segmented(self.viewer)]
        self.comparison.show(taught.compared, hide)
        self.projects.tell()
        self._show_round()
        self._on_looked()
        self.ensureWidgetVisible(self.round)

    def _on_cancelled(self) -> None:
        task = self._current()
        super()._on_cancelled()
        if task is not None and not task.quiet:
            self._say("Cancelled. What was taught before is as it was.")
        self.projects.tell()

    def _on_progress(self, progress: Progress) -> None:
        super()._on_progress(progress)
        if progress.stage == PREPARING:  # the examples have been added
            self.projects.tell()
        judging = progress.stage == STAGE and not self._enough.is_set()
        self.enough_button.setVisible(judging and self.is_busy)

    def _on_enough(self) -> None:
        self._enough.set()
        self.enough_button.hide()

    def _on_ended(self) -> None:
        self.enough_button.hide()
        self.projects.tell()
        self._show_round()
        self._on_looked()

    def _say(self, text: str) -> None:
        super()._say(text)
        self.result_line.setVisible(bool(text))

    # ---- keeping -----------------------------------------------------------------

    def keep(self) -> None:
        """Use the new model from now on, here and in the list of models."""
        project = self.projects.project
        if project is None or not self.is_undecided:
            return
        try:
            model = project.keep()
        except (OSError, ValueError) as e:
            self._fail(f"It could not be kept: {explain(e)}")
            return
        self.comparison.remove()
        found = [] if self._taught is None else self._taught.found
        for image, one in found:
            if image in self.viewer.layers:
                put_result(self.viewer, image, as_published(one, model))
        self._use(model)
        self._decided(f"{quoted(model.card.name)} is in use now. Press Next to go on.")

    def back(self) -> None:
        """Throw the new model away; the examples stay."""
        project = self.projects.project
        if project is None or not self.is_undecided:
            return
        try:
            project.back()
        except (OSError, ValueError) as e:
            self._fail(explain(e))
            return
        self.comparison.remove()
        self._decided("The model before is in use as it was. The examples stay.")

    def _decided(self, text: str) -> None:
        self._taught = None
        self.next_panel.clear()
        self.projects.tell()
        self._show_round()
        self._on_looked()
        self._say(text)

    def _use(self, model: Model) -> None:
        """Have the Segment widgets beside this one offer the model, and choose it."""
        from napari_nucleiseg.widgets.segment.widget import SegmentWidget

        window = main_window(self)
        for widget in () if window is None else window.findChildren(SegmentWidget):
            widget.refresh_models()
            widget.inputs.choose_model(model.card.name)
