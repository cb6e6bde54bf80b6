"""A stand-in for the engine that trains: it takes the calls, and no time."""

import inspect

import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.monitor import Progress
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.models.registry import (
    DEFAULT_MODEL,
    RUN_FILE,
    find_model,
    save_model,
)
from napari_nucleiseg.models.verdict import Figures, Verdict
from napari_nucleiseg.training import run as fine_tuning
from napari_nucleiseg.training.outcome import TrainOutcome
from napari_nucleiseg.training.recipes import Recipe
from napari_nucleiseg.training.run_folder import Order, RunFolder


def figures(ap):
    fates = dict.fromkeys(("missed", "false", "merged", "split", "misshapen"), 1)
    return Figures(AP50=ap, AP75=ap, mean_AP=ap, nuclei=20, **fates)


def a_verdict(new=0.8):
    return Verdict(
        new=figures(new), base=figures(0.6), base_name=DEFAULT_MODEL, images=2
    )


def write_model(folder, **training):
    card = find_model().card
    card = card.replace(name=folder.name, training={**card.training, **training})
    return save_model(folder, card, {RUN_FILE: b"network"})


def an_outcome(folder, **how):
    history = [{"epoch": epoch} for epoch in (0, 1, 2)]
    return TrainOutcome(folder=folder, history=history, **how)


class Engine:
    """Takes the calls, and does what a training does as seen from outside."""

    def __init__(self):
        self.calls = []
        self.better = True
        self.during = lambda monitor: None

    def train(self, *args, **kwargs):
        call = inspect.signature(real_train).bind(*args, **kwargs)
        call.apply_defaults()
        self.calls.append(call.arguments)
        monitor, output = call.arguments["monitor"], call.arguments["output"]
        row = {"loss": 0.5, "val_loss": 0.25, "val_AP50": 0.75}
        monitor.report(Progress("Epoch", 1, 3, row))
        self.during(monitor)
        kept = self.better or call.arguments["keep_always"]
        if kept:
            write_model(output)
        return an_outcome(
            output if kept else RunFolder(output).finished_model,
            kept=kept,
            verdict=a_verdict(0.8 if self.better else 0.5),
            stopped=monitor.should_stop(),
        )

    def run_recipe(self, recipe, data, output, **kwargs):
        inspect.signature(real_run).bind(recipe, data, output, **kwargs)
        self.calls.append({"recipe": recipe, "data": data, "output": output, **kwargs})
        self.during(kwargs["monitor"])
        write_model(output)
        return an_outcome(output, kept=True, verdict=a_verdict())


real_train, real_run = fine_tuning.train, Recipe.run


def interrupted_run(output, *, ended=False, **order):
    """Leave a training at an output as a crash after an epoch does."""
    pairs = [Pair(np.zeros((9, 9)), np.eye(9, dtype=int), "a")]
    given = Order(name=output.name, params=TrainParams(epochs=7), **order)
    waiting = RunFolder.create(output, given, pairs, pairs)
    (waiting.path / "state.npz").touch()
    waiting.release()  # as a process does that dies
    if ended:
        write_model(waiting.finished_model)
    return waiting
