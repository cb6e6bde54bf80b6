"""Folders of images and masks, as pairs to train on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_nucleiseg.core.labels.annotations import split_planes
from napari_nucleiseg.core.labels.checking import Finding
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.monitor import (
    Monitor,
    Progress,
    SilentMonitor,
    check_cancelled,
)
from napari_nucleiseg.io import MAX_MEGAPIXELS
from napari_nucleiseg.io.atomic import reason_of
from napari_nucleiseg.io.images import PICTURE_SUFFIXES, TIFF_SUFFIXES
from napari_nucleiseg.io.pair_reading import list_files, read_channel, read_labels

#: What may stand behind a name, longest first: X_image.tif goes with X_masks.tif.
LABEL_ENDINGS = ("_cp_masks", "_labels", "_masks", "_label", "_mask")
IMAGE_ENDINGS = ("_image", "_img")

#: Pictures of a result, not images: left out without a word.
_NOT_IMAGES = ("_overlay",)

_IMAGE_FOLDERS, _LABEL_FOLDERS = ("images", "image"), ("masks", "labels", "mask")

_LAYOUTS = (
    "images/ beside masks/ or labels/, with files of the same names; or X.tif (or "
    "X_image.tif) beside X_labels.tif or X_masks.tif; or a folder for each image, with "
    "images/ and masks/ with one file for each nucleus. Files are .tif, .tiff, .png, "
    "images also .jpg"
)


@dataclass(frozen=True)
class PairFile:
    """Where an image and its labels are.

    Parameters
    ----------
    name : str
        What to call them: what the names of the files have in common.
    image, labels : pathlib.Path
        The files; `labels` may be a folder with one mask a nucleus.
    """

    name: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class PairFiles:
    """What `find_pairs` found.

    Parameters
    ----------
    pairs : tuple of PairFile
        By name.
    findings : tuple of Finding
        Files that were left out, and why.
    """

    pairs: tuple[PairFile, ...]
    findings: tuple[Finding, ...] = ()


def read_pair_folder(folder: str | os.PathLike[str]) -> PairFiles:
    """Find the images and labels in a folder, however they lie there.

    Parameters
    ----------
    folder : path
        With ``images/`` and ``masks/`` (or ``labels/``) and equal names in both; or
        with ``X.tif`` or ``X_image.tif`` beside ``X_labels.tif`` or
        ``X_masks.tif``; or with a folder for each image, as in the Data Science
        Bowl: ``X/images/X.png`` and ``X/masks/`` of one picture a nucleus.

    Returns
    -------
    PairFiles

    Raises
    ------
    ValueError
        If there is no pair, with what was looked for.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    images, masks = (
        _subfolder(folder, names) for names in (_IMAGE_FOLDERS, _LABEL_FOLDERS)
    )
    if images and masks:
        return find_pairs(images, masks)
    nested = _find_nested(folder)
    if nested.pairs:
        return nested
    try:
        return find_pairs(folder, folder)
    except ValueError as e:
        raise ValueError(
            f"There are no images with labels in {folder}: wanted {_LAYOUTS}."
        ) from e


def find_pairs(
    images: str | os.PathLike[str], labels: str | os.PathLike[str]
) -> PairFiles:
    """Match the images of one folder with the labels of another.

    Parameters
    ----------
    images, labels : path
        Folders; may be the same one, where labels are told by `LABEL_ENDINGS`.

    Returns
    -------
    PairFiles
        An image without labels, labels without an image, and two files for one are
        findings.

    Raises
    ------
    ValueError
        If a folder is missing, or nothing in one fits to anything in the other.
    """
    images, labels = Path(images), Path(labels)
    for folder in (images, labels):
        if not folder.is_dir():
            raise ValueError(f"There is no folder {folder}.")
    image_files, label_files = (
        [
            path
            for path in list_files(folder, (*TIFF_SUFFIXES, *PICTURE_SUFFIXES))
            if not path.stem.endswith(_NOT_IMAGES)
        ]
        for folder in (images, labels)
    )
    whole: set[str] = set()
    if images.resolve() == labels.resolve():
        label_files = [p for p in label_files if p.stem.endswith(LABEL_ENDINGS)]
        image_files = [p for p in image_files if p not in label_files]
    else:
        # In folders of their own names may be equal, whatever they end in.
        whole = {path.stem for path in image_files}
    by_name = _group(
        label_files,
        lambda path: (
            path.stem if path.stem in whole else _without(path.stem, LABEL_ENDINGS)
        ),
    )
    wanted = _group(
        image_files,
        lambda path: (
            path.stem if path.stem in by_name else _without(path.stem, IMAGE_ENDINGS)
        ),
    )
    pairs, findings = [], []
    for name in sorted(wanted.keys() & by_name.keys()):
        if len(wanted[name]) == len(by_name[name]) == 1:
            pairs.append(PairFile(name, wanted[name][0], by_name[name][0]))
        else:
            files = [path.name for path in (*wanted[name], *by_name[name])]
            findings.append(
                Finding(
                    "error",
                    "ambiguous",
                    f"{', '.join(files)}: one image and one file of labels are wanted "
                    "for each name.",
                    (name,),
                )
            )
    for code, text, groups, others in (
        ("unlabelled", "Images without labels", wanted, by_name),
        ("imageless", "Labels without an image", by_name, wanted),
    ):
        left = sorted(groups.keys() - others.keys())
        files = [path.name for name in left for path in groups[name]]
        if files:
            shown = ", ".join(files[:3]) + (" …" if len(files) > 3 else "")
            text = f"{text}, left out ({len(files)}): {shown}"
            findings.append(Finding("warning", code, text, tuple(left)))
    if not wanted.keys() & by_name.keys():
        raise ValueError(
            f"No image in {images} has labels in {labels}: of {len(image_files)} and "
            f"{len(label_files)} files no names fit together (X.tif with X.tif, "
            "X_labels.tif or X_masks.tif)."
        )
    return PairFiles(tuple(pairs), tuple(findings))


def find_label_files(folder: str | os.PathLike[str]) -> dict[str, list[Path]]:
    """Find the label files of a folder, by the name of the image they belong to.

    Parameters
    ----------
    folder : path
        With X.tif (or .png), or X with one of `LABEL_ENDINGS`; beside the latter,
        X.tif and X_image.tif are taken for the image, and left out.

    Returns
    -------
    dict of str to list of pathlib.Path
        More than one file for a name is an ambiguity, which is the caller's to name.

    Raises
    ------
    ValueError
        If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    files = [
        path
        for path in list_files(folder, (*TIFF_SUFFIXES, ".png"))
        if not path.stem.endswith(_NOT_IMAGES)
    ]
    groups = _group(
        files,
        lambda path: _without(_without(path.stem, LABEL_ENDINGS), IMAGE_ENDINGS),
    )
    return {
        name: [path for path in group if path.stem.endswith(LABEL_ENDINGS)] or group
        for name, group in groups.items()
    }


def load_pairs(
    files: Iterable[PairFile],
    *,
    channel: int | None = None,
    max_megapixels: float = MAX_MEGAPIXELS,
    monitor: Monitor | None = None,
) -> tuple[list[Pair], list[Finding]]:
    """Read pairs; stacks become one pair for each plane.

    Parameters
    ----------
    files : iterable of PairFile
        What to read.
    channel : int, optional
        The channel to train on, counted from 0. Without it, all colours of a colour
        image and the first channel of any other.
    max_megapixels : float
        The most pixels a plane may have, millions.
    monitor : Monitor, optional
        Told of every file, and asked after each whether to stop.

    Returns
    -------
    pairs : list of Pair
        What could be read.
    findings : list of Finding
        An error for each pair that could not, and a note on images with channels, or
        series, that were not chosen from.
    """
    files, monitor = list(files), monitor or SilentMonitor()
    pairs: list[Pair] = []
    findings: list[Finding] = []
    several: dict[str, list[str]] = {"channels": [], "series": []}
    for done, file in enumerate(files):
        monitor.report(Progress("Reading images", done, len(files)))
        check_cancelled(monitor)
        reading = file.labels
        try:
            labels = read_labels(file.labels, max_megapixels=max_megapixels)
            reading = file.image
            image, rgb, firsts = read_channel(
                file.image, labels.shape, channel, max_megapixels=max_megapixels
            )
        except (OSError, ValueError, TypeError, MemoryError) as e:
            text = f"{reading.name}: {reason_of(e)}"
            findings.append(Finding("error", "file", text, (file.name,)))
            continue
        try:
            pairs += split_planes(image, labels, name=file.name, rgb=rgb)
        except (ValueError, TypeError) as e:
            findings.append(Finding("error", "shape", str(e), (file.name,)))
            continue
        for what in firsts:
            several[what].append(file.name)
    for what, names in several.items():
        if names:
            text = f"Of images with several {what}, the first is used."
            findings.append(Finding("note", what, text, tuple(names)))
    return pairs, findings


def _find_nested(folder: Path) -> PairFiles:
    """Find images that have a folder each, with one mask a nucleus."""
    pairs, findings = [], []
    for each in sorted(path for path in folder.iterdir() if path.is_dir()):
        images = _subfolder(each, _IMAGE_FOLDERS)
        masks = _subfolder(each, _LABEL_FOLDERS)
        if images is None:
            continue
        found = list_files(images, (*TIFF_SUFFIXES, *PICTURE_SUFFIXES))
        if len(found) == 1 and masks is not None:
            pairs.append(PairFile(each.name, found[0], masks))
            continue
        text = (
            f"{each.name}: one image and a folder masks/ are wanted; there are "
            f"{len(found)} and {'one' if masks else 'none'}. Left out."
        )
        findings.append(Finding("warning", "ambiguous", text, (each.name,)))
    return PairFiles(tuple(pairs), tuple(findings))


def _subfolder(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the first folder in it of one of these names, upper case or lower."""
    there = {path.name.lower(): path for path in folder.iterdir() if path.is_dir()}
    return next((there[name] for name in names if name in there), None)


def _without(stem: str, endings: Sequence[str]) -> str:
    """Return a file's name without the first of these endings that it has."""
    for ending in endings:
        if stem.endswith(ending):
            return stem.removesuffix(ending)
    return stem


def _group(files: Iterable[Path], name: Callable[[Path], str]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = {}
    for path in files:
        groups.setdefault(name(path), []).append(path)
    return groups
