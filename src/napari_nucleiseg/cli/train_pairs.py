"""The pairs that `nucleiseg train` learns from, and those it tests on."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from typing import TYPE_CHECKING

from napari_nucleiseg.cli.terminal import complain
from napari_nucleiseg.core.params import TrainParams

if TYPE_CHECKING:
    from napari_nucleiseg.core.labels.pairs import Pair


def read_pairs(args: argparse.Namespace, params: TrainParams) -> list[Pair]:
    """Read the pairs and print what the check finds, or why they cannot be used."""
    from napari_nucleiseg.core.labels.annotations import known_from_paint
    from napari_nucleiseg.core.labels.checking import check_pairs
    from napari_nucleiseg.core.labels.pieces import split_labels
    from napari_nucleiseg.io.pairs import find_pairs, load_pairs, read_pair_folder
    from napari_nucleiseg.models.registry import DEFAULT_MODEL, find_model
    from napari_nucleiseg.models.segmenting import find_labels
    from napari_nucleiseg.training.recipes import find_recipe
    from napari_nucleiseg.training.specs import spec_for

    base, card = None, None
    if args.recipe:
        architecture = find_recipe(args.recipe).architecture
    else:
        base = find_model(args.base or DEFAULT_MODEL)
        card, architecture = base.card, base.card.architecture
    spec = spec_for(architecture, params.diameter, card)
    if args.labels is None:
        files = read_pair_folder(args.images)
    else:
        files = find_pairs(args.images, args.labels)
    pairs, findings = load_pairs(
        files.pairs, channel=args.channel, max_megapixels=args.max_megapixels
    )
    if args.split:
        pairs = [dataclasses.replace(p, labels=split_labels(p.labels)) for p in pairs]
    if args.labelled == "painted":
        pairs = [
            dataclasses.replace(p, known=known_from_paint(p.labels)) for p in pairs
        ]
    check = check_pairs(
        pairs,
        diameter=spec.diameter,
        diameter_range=spec.diameter_range,
        share=params.validation_share,
        seed=params.seed,
        resize=params.resize,
        also=[*files.findings, *findings],
        segment=functools.partial(find_labels, model=base),
    )
    for finding in check.findings:
        complain(f"{finding.level}: {finding.text}")
    if not check.usable:
        raise ValueError("nothing was trained: see the errors above")
    return pairs


def read_test(args: argparse.Namespace) -> list[Pair]:
    """Read the pairs to judge by; none if no folder was given."""
    from napari_nucleiseg.io.pairs import load_pairs, read_pair_folder

    if args.test is None:
        return []
    files = read_pair_folder(args.test)
    pairs, findings = load_pairs(
        files.pairs, channel=args.channel, max_megapixels=args.max_megapixels
    )
    for finding in (*files.findings, *findings):
        complain(f"{finding.level}: {finding.text}")
    if not pairs:
        raise ValueError(f"there are no images with labels to test on in {args.test}")
    return pairs
