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


def may_go_on(parent: QWidget, form: TrainForm) -> bool:
    """Ask before time is spent in vain, or before very much of it is spent."""
    foreign = (
        [x for x in form.check.findings if x.code == "foreign"] if form.check else []
    )
    if foreign and not ask(
        parent,
        "These labels do not seem to be of these images. Train on them?",
        foreign[0].text,
        yes="Train all the same",
        no="Do not train",
    ):
        return False
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
