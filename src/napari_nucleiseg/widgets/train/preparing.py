"""What is asked for in the training form, read and checked away from the screen."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels

from napari_nucleiseg.core.labels.annotations import known_from_paint
from napari_nucleiseg.core.labels.checking import Check, Finding, check_pairs
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.labels.pieces import split_labels
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.io.pairs import load_pairs, read_pair_folder
from napari_nucleiseg.models.registry import Model, models_folder
from napari_nucleiseg.models.segmenting import find_labels
from napari_nucleiseg.training.run import prepare
from napari_nucleiseg.training.run_folder import Order, RunFolder
from napari_nucleiseg.training.specs import spec_for
from napari_nucleiseg.widgets.shared.layers import full_data
from napari_nucleiseg.widgets.train.regions import LayerSource, read_sources


@dataclass(frozen=True)
class Plan:
    """A training as the form asks for it, noted on the GUI thread.

    Parameters
    ----------
    sources : tuple of LayerSource
        Layers to learn from.
    folder : pathlib.Path or None
        Folder to learn from too.
    labelled : str
        How far the labels go; see `regions.LABELLED`. A region is of layers only:
        the files of a folder are taken for complete then.
    base : Model or None
        The model to go on from.
    architecture : str
        What to build if there is none.
    name : str
        Of the new model.
    params : TrainParams
        How to train.
    pretrained : bool
        Whether an encoder's weights are fetched, where the network has one.
    go_on : bool
        Whether the training goes on if napari is gone.
    test : pathlib.Path or None
        Folder to judge by, and not to learn from.
    """

    sources: tuple[LayerSource, ...]
    folder: Path | None
    labelled: str
    base: Model | None
    architecture: str
    name: str
    params: TrainParams
    pretrained: bool = True
    go_on: bool = False
    test: Path | None = None


def read_plan(plan: Plan) -> tuple[list[Pair], list[Finding]]:
    """Read all there is to learn from, and what was wrong with it."""
    pairs, findings = read_sources(plan.sources)
    if plan.folder is not None:
        try:
            files = read_pair_folder(plan.folder)
            more, about = load_pairs(files.pairs)
        except (OSError, ValueError) as e:
            findings.append(Finding("error", "folder", str(e), (str(plan.folder),)))
        else:
            if plan.labelled == "painted":
                more = [
                    replace(pair, known=known_from_paint(pair.labels)) for pair in more
                ]
            pairs += more
            findings += [*files.findings, *about]
    return pairs, findings


def check(plan: Plan) -> Check:
    """Check what a plan would learn from; see `core.labels.checking.check_pairs`."""
    pairs, findings = read_plan(plan)
    card = plan.base.card if plan.base is not None else None
    spec = spec_for(plan.architecture, plan.params.diameter, card)
    return check_pairs(
        pairs,
        diameter=spec.diameter,
        diameter_range=spec.diameter_range,
        share=plan.params.validation_share,
        seed=plan.params.seed,
        resize=plan.params.resize,
        also=findings,
        segment=functools.partial(find_labels, model=plan.base),
    )


def read_test(plan: Plan) -> list[Pair]:
    """Read the images to judge by; raise ValueError if there are none."""
    if plan.test is None:
        return []
    files = read_pair_folder(plan.test)
    test, _ = load_pairs(files.pairs)
    if not test:
        raise ValueError(f"There are no images with labels to test on in {plan.test}.")
    return test


def prepare_run(plan: Plan) -> RunFolder:
    """Write the training's folder, in the user's models folder."""
    pairs, _ = read_plan(plan)
    return prepare(
        pairs,
        None,
        models_folder() / plan.name,
        Order(
            name=plan.name,
            params=plan.params,
            base=str(plan.base.folder) if plan.base else None,
            architecture=plan.architecture,
            pretrained=plan.pretrained,
            go_on=plan.go_on,
            data={"test_folder": str(plan.test)} if plan.test else {},
        ),
        test=read_test(plan),
    )


def split_layers(viewer: ViewerModel, layer: Labels) -> Labels | None:
    """Add a layer in which each separate piece of a labels layer has its own number.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    layer : napari.layers.Labels
        What to split; it stays as it is.

    Returns
    -------
    napari.layers.Labels or None
        The new layer; None if there was nothing to split.
    """
    data = np.asarray(full_data(layer))
    split = split_labels(data)
    if np.array_equal(split > 0, data > 0) and _count(split) == _count(data):
        return None
    fresh = viewer.add_labels(
        split,
        name=f"{layer.name} (split)",
        scale=layer.scale,
        translate=layer.translate,
        rotate=layer.rotate,
        shear=layer.shear,
        affine=layer.affine,
        units=layer.units,
        axis_labels=layer.axis_labels,
    )
    layer.visible = False
    return fresh


def _count(labels: np.ndarray) -> int:
    """Return how many labels there are, each plane by itself."""
    planes = labels.reshape(-1, *labels.shape[-2:])
    return sum(int(np.count_nonzero(np.unique(plane))) for plane in planes)
