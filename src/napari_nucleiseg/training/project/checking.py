"""The check of what is to be added to a project, before it is."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from napari_nucleiseg.core.labels.checking import Finding, check_pairs
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.models.segmenting import find_labels
from napari_nucleiseg.training.project.project import Project

#: What says how much there is: that is asked of all examples, not of those added.
_OF_ALL = {"few", "none", "split", "summary", "size"}


def check_addition(project: Project, pairs: Sequence[Pair]) -> list[Finding]:
    """Check images and labels that are to be added to a project.

    Parameters
    ----------
    project : Project
        Its model is asked where labels do not seem to be of their image.
    pairs : sequence of Pair
        What is to be added.

    Returns
    -------
    list of Finding
        Errors and warnings, the worst first; see `core.labels.checking.check_pairs`.
    """
    spec = project.base.card.spec
    check = check_pairs(
        pairs,
        diameter=spec.diameter,
        diameter_range=spec.diameter_range,
        share=None,
        segment=functools.partial(find_labels, model=project.model),
    )
    return [
        found
        for found in check.findings
        if found.level != "note" and found.code not in _OF_ALL
    ]


def check_examples(project: Project) -> None:
    """Raise ValueError if a project's examples are not enough to be taught from."""
    params, spec = project.note.params, project.base.card.spec
    check = check_pairs(
        project.pairs(),
        diameter=spec.diameter,
        diameter_range=spec.diameter_range,
        share=params.validation_share,
        seed=params.seed,
    )
    if not check.usable:
        raise ValueError(" ".join(found.text for found in check.of_level("error")))
