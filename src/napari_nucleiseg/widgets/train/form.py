"""What a user says about a training: what to learn from, what from, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from magicgui.widgets import CheckBox, Container, FileEdit, LineEdit
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_nucleiseg.core.labels.checking import Check
from napari_nucleiseg.core.monitor import duration
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.models.library import NameTaken
from napari_nucleiseg.models.registry import (
    DEFAULT_MODEL,
    Model,
    is_taken,
    list_models,
    unique_name,
)
from napari_nucleiseg.networks.architectures import ARCHITECTURES, Architecture
from napari_nucleiseg.training.folds import judging_minutes, judging_time
from napari_nucleiseg.training.recipes import params_from_scratch
from napari_nucleiseg.training.speed import estimate_minutes
from napari_nucleiseg.widgets.shared.controls import (
    MessageLine,
    NarrowBox,
    explain,
    one_shot,
)
from napari_nucleiseg.widgets.shared.job import Job
from napari_nucleiseg.widgets.shared.param_form import ParamForm
from napari_nucleiseg.widgets.train.preparing import Plan, check, split_layers
from napari_nucleiseg.widgets.train.sources import SourcesPanel

#: The check before training waits for painting to come to rest, milliseconds.
SETTLE_MS = 400

#: Parameters for the shell and the Python API alone.
LEFT_OUT = ("own_scale", "weight_decay", "ema_momentum", "diameter")

_ICONS = {"error": "✖", "warning": "⚠", "note": "•"}

_NOTHING = (
    "Open an image, and a labels layer with its nuclei (Segment nuclei makes one to "
    "correct), or choose a folder."
)


class TrainForm(QWidget):
    """Everything above the button: what to learn from, and how.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers are offered.
    """

    #: Emitted when anything was changed, or checked.
    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = viewer
        self.check: Check | None = None
        self.check_job: Job | None = None
        self._check_again = False
        self._proposed = ""
        self._suit = TrainParams()
        self._make_controls()
        self._lay_out()
        self.refresh_models()
        self._connect()
        self._on_sources_changed()

    # ---- building ----------------------------------------------------------------

    def _make_controls(self) -> None:
        self.sources = SourcesPanel(self.viewer)
        self.check_line = MessageLine("check_line")
        self.split_button = QPushButton("Split into single nuclei")
        self.split_button.setToolTip(
            "Give each separate piece a number of its own, in a new labels layer; the "
            "one you painted stays unchanged."
        )
        self.base_box = NarrowBox(
            label="Start from",
            tooltip="The model to start from. It needs far fewer images than training "
            "from scratch.",
        )
        self.pretrained_box = CheckBox(
            text="Fetch the encoder's ImageNet weights",
            value=True,
            tooltip="They are downloaded once (9 MB). Without internet access, untick "
            "this: the encoder then learns from your images alone, which takes "
            "longer.",
        )
        self.name_edit = LineEdit(
            label="Call it",
            tooltip="What the new model is called: letters, digits, - and _.",
        )
        self.go_on_box = CheckBox(
            text="Train on if napari is closed",
            tooltip="The training then goes on to its end in the background, even if "
            "napari crashes. Else it stops after its epoch, and can be resumed.",
        )
        self.model_form = Container()
        self.model_form.margins = (0, 0, 0, 0)
        self.model_form.extend(
            [self.base_box, self.pretrained_box, self.name_edit, self.go_on_box]
        )
        self.form = ParamForm(TrainParams, advanced=False)
        self.more_form = ParamForm(TrainParams, advanced=True, leave_out=LEFT_OUT)
        self.test_edit = FileEdit(
            mode="d",
            nullable=True,
            label="Test on",
            tooltip="A folder of images with labels to judge the new model by, from "
            "which nothing is learnt. If there is none, part of your nuclei is held "
            "out to judge by.",
        )
        self.test_form = Container(widgets=[self.test_edit])
        self.test_form.margins = (0, 0, 0, 0)
        self.estimate_line = MessageLine("estimate_line")
        self._settle = one_shot(self, SETTLE_MS, self._run_check)

    def _lay_out(self) -> None:
        inside = QWidget()
        more = QVBoxLayout(inside)
        more.setContentsMargins(0, 0, 0, 0)
        for form in (self.test_form, self.more_form):
            more.addWidget(form.native)
        self.advanced = folded("How it learns and is judged", inside)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (
            self.sources.native,
            self.check_line,
            self.split_button,
            self.model_form.native,
            self.form.native,
            self.advanced,
            self.estimate_line,
        ):
            column.addWidget(widget)
        self.split_button.hide()

    @property
    def parts(self) -> tuple[Container, ...]:
        """The forms in it, whose labels are aligned."""
        return (
            self.sources.extent,
            self.model_form,
            self.form,
            self.test_form,
            self.more_form,
        )

    def _connect(self) -> None:
        self.sources.sources_changed.connect(self._on_sources_changed)
        self.split_button.clicked.connect(self._on_split_clicked)
        self.base_box.changed.connect(self._on_base_chosen)
        self.name_edit.changed.connect(lambda _: self.changed.emit())
        self.test_edit.changed.connect(lambda _: self._show_estimate())
        for form in (self.form, self.more_form):
            form.param_changed.connect(self._on_value_changed)

    # ---- what is learnt from -----------------------------------------------------

    def _on_sources_changed(self) -> None:
        self.check = None
        if self.has_sources:
            self._settle.start()
        else:
            self._settle.stop()
            self.check_line.setText(_NOTHING)
            self.split_button.hide()
        self.changed.emit()

    @property
    def has_sources(self) -> bool:
        """Whether any pair or folder is chosen."""
        return bool(self.sources.rows) or self.sources.folder is not None

    def _on_value_changed(self, name: str) -> None:
        if name in ("validation_share", "seed", "resize"):
            self._on_sources_changed()
        self._show_estimate()
        self.changed.emit()

    def _run_check(self) -> None:
        """Look at the labels, in the background; while training it can wait."""
        if self.check_job is not None:
            self._check_again = True
            return
        if not self.isEnabled():
            self._settle.start()
            return
        plan = self.plan()
        job = self.check_job = Job(lambda monitor: check(plan))
        job.returned.connect(self._on_checked)
        job.errored.connect(self._on_check_failed)
        job.start()

    def _on_checked(self, found: Check) -> None:
        self.check_job = None
        if self._check_again or self._settle.isActive() or not self.has_sources:
            self._check_again = False
            self._on_sources_changed()
            return
        self.check = found
        self._show_estimate()
        lines = [f"{_ICONS[item.level]} {item.text}" for item in found.findings]
        self.check_line.setText("\n".join(lines))
        can_split = any(item.code in ("semantic", "pieces") for item in found.findings)
        self.split_button.setVisible(can_split and bool(self.sources.used_labels()))
        self.changed.emit()

    def _on_check_failed(self, error: Exception) -> None:
        self.check_job = None
        self.check_line.setText(f"{_ICONS['error']} {explain(error)}")
        self.changed.emit()

    def _on_split_clicked(self) -> None:
        for row in self.sources.rows:
            image, layer = row.image, row.labels_layer
            if image is not None and layer is not None:
                fresh = split_layers(self.viewer, layer)
                if fresh is not None:
                    row.choose(image, fresh)

    # ---- model and values --------------------------------------------------------

    def refresh_models(self, renamed: Mapping[str, str] | None = None) -> None:
        """Read the list of models again, keeping what is chosen and what is typed.

        Parameters
        ----------
        renamed : mapping of str to str, optional
            Models that have another name now: the old one, and the new one.
        """
        before = self.base_box.current_choice
        choices: list[tuple[str, Model | Architecture]] = [
            (model.card.name, model) for model in list_models()
        ]
        choices += [
            (f"From scratch: {architecture.name}", architecture)
            for architecture in ARCHITECTURES.values()
        ]
        offered = dict(choices)
        base = (renamed or {}).get(before, before)
        self.base_box.offer(choices, offered.get(base, offered.get(DEFAULT_MODEL)))
        name = self.name_edit.value
        if name == self._proposed and (not name or is_taken(name)):
            self.propose_name(after=name or "my-nuclei")
        if before and base not in offered:
            # The one chosen before is gone. What was typed stays.
            self._on_base_chosen()
        self._offer_pretrained()
        self._show_estimate()

    def propose_name(self, after: str = "my-nuclei") -> None:
        """Put a name into the form that no model has: `after`, or one like it."""
        self._proposed = unique_name(re.sub(r"-\d+$", "", after) or after)
        self.name_edit.value = self._proposed

    def free_name(self) -> None:
        """Put another name into the form if that in it is taken by now."""
        name = self.name_edit.value.strip()
        if name and is_taken(name):
            self.propose_name(after=name)

    @property
    def base(self) -> Model | None:
        """The model to start from; None from scratch."""
        chosen = self.base_box.value
        return chosen if isinstance(chosen, Model) else None

    @property
    def architecture(self) -> str:
        """Name of the network that would be trained."""
        base = self.base
        return base.card.architecture if base else self.base_box.value.name

    def params(self) -> TrainParams:
        """Return the values in the form."""
        return TrainParams(**self.form.values(), **self.more_form.values())

    def plan(self) -> Plan:
        """Return what is asked for, noted for another thread."""
        return Plan(
            sources=tuple(self.sources.sources()),
            folder=self.sources.folder,
            labelled=self.sources.labelled,
            base=self.base,
            architecture=self.architecture,
            name=self.name_edit.value.strip(),
            params=self.params(),
            pretrained=self.pretrained_box.value,
            go_on=self.go_on_box.value,
            test=self.test_edit.value,
        )

    def _on_base_chosen(self, *_: object) -> None:
        """Set what suits: from scratch takes more and longer than going on.

        What was set by hand stays.
        """
        self._offer_pretrained()
        suit = TrainParams()
        if self.base is None:
            suit = params_from_scratch(self.base_box.value)
        values, before = suit.model_dump(), self._suit.model_dump()
        for form in (self.form, self.more_form):
            now = form.values()
            form.set_values({k: values[k] for k in now if now[k] == before[k]})
        self._suit = suit
        self._on_sources_changed()

    def _offer_pretrained(self) -> None:
        chosen = self.base_box.value
        self.pretrained_box.visible = self.base is None and chosen.pretrained

    @property
    def minutes(self) -> float:
        """How long the training would take at most, minutes."""
        minutes = estimate_minutes(self.params(), self.architecture)
        return minutes + self._judging_minutes

    @property
    def _judging_minutes(self) -> float:
        """How much of that judging by all nuclei would take."""
        if self.base is None or self.test_edit.value is not None or not self.check:
            return 0.0
        return judging_minutes(self.params(), self.architecture, self.check.nuclei)

    def _show_estimate(self) -> None:
        judging = self._judging_minutes
        time = duration(60 * (self.minutes - judging))
        text = (
            f"At most about {time} on this computer; it ends early when the model no "
            "longer gets better."
        )
        if judging:
            text += f" {judging_time(self.params(), judging)}"
        self.estimate_line.setText(text)

    def reason(self) -> str:
        """Say why training cannot start, or nothing."""
        if reason := self.labels_reason():
            return reason
        name = self.name_edit.value.strip()
        if not name:
            return "Give the new model a name."
        if is_taken(name):
            return NameTaken(name).args[0]
        return ""

    def labels_reason(self) -> str:
        """Say why nothing can be learnt from what is chosen, or nothing."""
        if not self.has_sources:
            return _NOTHING
        if self.check is None:
            return "The labels are being checked."
        if not self.check.usable:
            return self.check.findings[0].text
        return ""


def folded(title: str, widget: QWidget) -> QCollapsible:
    """Return a part of a form that is folded away."""
    part = QCollapsible(title, expandedIcon="▾", collapsedIcon="▸")
    part.addWidget(widget)
    return part
