"""What is added to a project: examples, and images to test on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_nucleiseg.core.labels.checking import Finding
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.io.pairs import load_pairs, read_pair_folder
from napari_nucleiseg.training.project.checking import check_addition
from napari_nucleiseg.training.project.pairs import image_hash
from napari_nucleiseg.training.project.project import Project
from napari_nucleiseg.widgets.train.regions import LayerSource, read_sources


class ForeignLabels(ValueError):
    """Labels do not seem to be of their image; the text says which."""


def add_examples(
    project: Project,
    sources: Sequence[LayerSource],
    *,
    sure: bool = False,
) -> tuple[list[Pair], tuple[str, ...]]:
    """Add what is known on the open images to a project.

    Parameters
    ----------
    project : Project
        Where to.
    sources : sequence of LayerSource
        What is known.
    sure : bool
        Whether labels are taken that do not seem to be of their image.

    Returns
    -------
    pairs : list of Pair
        What was added.
    tested : tuple of str
        Images that were left out, since the project tests on them.

    Raises
    ------
    ForeignLabels
        If labels do not seem to be of their image; nothing was added.
    ValueError
        If one cannot be read, or cannot be learnt from.
    """
    pairs, findings = read_sources(sources)
    tests = {one.image for one in project.tests}
    tested = [pair.name for pair in pairs if image_hash(pair.image) in tests]
    pairs = [pair for pair in pairs if pair.name not in tested]
    if tested and not pairs:
        raise ValueError(
            f"The project tests on {tested[0]}: nothing is learnt from it. Correct "
            "nuclei on another image."
        )
    _add(project, pairs, findings, [pair.name for pair in pairs], sure=sure)
    return pairs, tuple(tested)


def add_tests(
    project: Project, where: Path | LayerSource, *, sure: bool = False
) -> None:
    """Have a project test on a folder of images, or on an open one.

    Parameters
    ----------
    project : Project
        The project.
    where : pathlib.Path or LayerSource
        A folder with images and labels (see `io.pairs.read_pair_folder`), or what is
        known of an open image.
    sure : bool
        Whether labels are taken that do not seem to be of their image.

    Raises
    ------
    ForeignLabels
        If labels do not seem to be of their image; nothing was added.
    ValueError
        If there is nothing to read, or it is learnt from already.
    """
    if isinstance(where, Path):
        files = read_pair_folder(where)
        pairs, about = load_pairs(files.pairs)
        findings = [*files.findings, *about]
        if not pairs:
            raise ValueError(f"There are no images with labels in {where}.")
        sources = [str(where)] * len(pairs)
    else:
        pairs, findings = read_sources([where])
        sources = [pair.name for pair in pairs]
    _add(project, pairs, findings, sources, sure=sure, test=True)


def _add(
    project: Project,
    pairs: Sequence[Pair],
    findings: Sequence[Finding],
    sources: Sequence[str],
    *,
    sure: bool,
    test: bool = False,
) -> None:
    """Add what was read, if nothing is wrong with it."""
    findings = [*findings, *check_addition(project, pairs)]
    if wrong := [found.text for found in findings if found.level == "error"]:
        raise ValueError(" ".join(wrong))
    foreign = [found.text for found in findings if found.code == "foreign"]
    if foreign and not sure:
        raise ForeignLabels(foreign[0])
    project.add(pairs, sources=sources, test=test)
