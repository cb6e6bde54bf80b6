"""What is asked before a training begins."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_nucleiseg.core.monitor import duration
from napari_nucleiseg.training.speed import LONG
from napari_nucleiseg.widgets.shared.asking import ask
from napari_nucleiseg.widgets.shared.controls import quoted
from napari_nucleiseg.widgets.train.form import TrainForm


def may_use_unchecked(parent: QWidget, form: TrainForm) -> bool:
    """Ask before what a model found is learnt from as if it were right."""
    found = form.sources.unchecked()
    if not found:
        return True
    lines = [
        f"{mine} of {total} nuclei in {quoted(name)} are as the model found them."
        for name, mine, total in found
    ]
    right = ask(
        parent,
        "Is every nucleus found, and every outline right?",
        "\n".join(lines)
        + "\nNobody has accepted or corrected those. Their errors would be learnt, "
        "and what was missed would be learnt as background.",
        yes="Yes, learn from all",
        no="No, only from what I corrected",
    )
    if not right:
        form.sources.labelled_box.value = "by hand"
    return right


def may_learn(parent: QWidget, form: TrainForm) -> bool:
    """Ask before anything is learnt from that may be wrong."""
    return may_use_unchecked(parent, form) and _may_use_foreign(parent, form)


def _may_use_foreign(parent: QWidget, form: TrainForm) -> bool:
    """Ask before labels are learnt from that do not seem to be of their image."""
    findings = form.check.findings if form.check else ()
    foreign = [found for found in findings if found.code == "foreign"]
    return not foreign or ask_about_foreign(parent, foreign[0].text)


def ask_about_foreign(parent: QWidget, text: str) -> bool:
    """Ask whether to use labels that do not seem to be of their image."""
    return ask(
        parent,
        "These labels do not seem to be of these images. Use them?",
        text,
        yes="Use them all the same",
        no="Do not use them",
    )


def may_take_long(parent: QWidget, form: TrainForm) -> bool:
    """Ask before very much time is spent."""
    minutes = form.minutes
    return minutes < LONG or ask(
        parent,
        f"This may take {duration(60 * minutes)} on this computer. Begin?",
        "A time limit, fewer epochs, or starting from a model instead of from "
        "scratch make it shorter. It can be stopped at any time, keeps the best "
        "so far, and can go on without napari.",
        yes="Begin",
        no="Not now",
    )
