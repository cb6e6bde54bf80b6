"""The report of a training: curves, pictures and tables (no Keras here).

Everything goes into one folder: ``history.csv``, ``curves.png``, ``panels/``,
``tensorboard/``, ``report.txt``, ``report.json`` and ``confusion_matrix.png``. Each
file is written whole or not at all.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.score import pixels
from napari_nucleiseg.core.score.matching import format_summary, score_image, summarise
from napari_nucleiseg.io.atomic import NotWritten, make_folder, write_whole
from napari_nucleiseg.training.plots import draw_confusion, draw_curves, draw_panels

#: Columns of ``history.csv``; others a row may have follow.
COLUMNS = (
    "epoch",
    "minutes",
    "loss",
    "val_loss",
    "accuracy",
    "val_accuracy",
    "val_AP50",
    "val_AP75",
    "val_mean_AP",
    "learning_rate",
)

#: Pictures kept of a training, and crops shown on each.
MOST_PANELS, MOST_CROPS = 12, 6

#: Where a column stands in TensorBoard: run and tag. Runs share a chart.
_TAGS = {
    "loss": ("train", "loss"),
    "accuracy": ("train", "pixel_accuracy"),
    "learning_rate": ("train", "learning_rate"),
    "val_loss": ("validation", "loss"),
    "val_accuracy": ("validation", "pixel_accuracy"),
    "val_AP50": ("validation", "AP/0.50"),
    "val_AP75": ("validation", "AP/0.75"),
    "val_mean_AP": ("validation", "AP/mean"),
}


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    make_folder(path.parent)
    write_whole(path, write)


def _write_text(path: Path, text: str) -> None:
    _write(path, lambda fresh: fresh.write_text(text, encoding="utf-8", newline=""))


def write_history(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write ``history.csv`` and ``curves.png``.

    Parameters
    ----------
    folder : pathlib.Path
        The training's report folder.
    history : sequence of dict
        One row an epoch, with keys of `COLUMNS`; any may be missing.

    Raises
    ------
    OSError
        If a file cannot be written; it names the file.
    """
    more = dict.fromkeys(name for row in history for name in row)
    columns = [*COLUMNS, *(name for name in more if name not in COLUMNS)]
    table = io.StringIO()
    rows = csv.DictWriter(table, columns, lineterminator="\n")
    rows.writeheader()
    rows.writerows(history)
    _write_text(folder / "history.csv", table.getvalue())
    _write(folder / "curves.png", draw_curves(history).savefig)


class TensorBoardLog:
    """A training's log for TensorBoard.

    A log that is opened again, to resume a training, continues: what it held of the
    epochs that are done again is no longer shown.

    Parameters
    ----------
    folder : pathlib.Path
        The log directory; ``tensorboard --logdir`` takes it or any folder above.

    Raises
    ------
    OSError
        By any method, if the log cannot be written; it names the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, Any] = {}

    def add(self, row: Mapping[str, float]) -> None:
        """Add one epoch's row of the history."""
        from tensorboardX.summary import scalar

        runs: dict[str, list[Any]] = {}
        for name, (run, tag) in _TAGS.items():
            if name not in row:
                continue
            runs.setdefault(run, []).extend(scalar(tag, row[name]).value)
        for run, values in runs.items():
            try:
                self._write(run, int(row["epoch"]), values)
            except OSError as e:
                raise NotWritten(self._folder / run, e) from e

    def _write(self, run: str, epoch: int, values: Sequence[Any]) -> None:
        # Not by a SummaryWriter: its thread dies of a full disk, and whoever adds to
        # its queue then waits for ever.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        now = time.time()
        if run not in self._writers:
            folder = self._folder / run
            folder.mkdir(parents=True, exist_ok=True)
            # TensorBoard reads the files of a folder in the order of their names, which
            # must not be that of a clock: it may be set back.
            number = len(list(folder.glob("*tfevents*")))
            writer = EventsWriter(str(folder / f"events_{number:04d}"))
            self._writers[run] = writer
            # What earlier files say from this epoch on is void.
            start = SessionLog(status=SessionLog.START)
            writer.write_event(Event(wall_time=now, step=epoch, session_log=start))
        summary = Summary(value=values)
        self._writers[run].write_event(
            Event(wall_time=now, step=epoch, summary=summary)
        )
        self._writers[run].flush()

    def close(self) -> None:
        """Close the log; `add` would open it again."""
        while self._writers:
            run, writer = self._writers.popitem()
            try:
                writer.close()
            except OSError as e:
                raise NotWritten(self._folder / run, e) from e


def panels_path(folder: Path, epoch: int) -> Path:
    """Return where `write_panels` puts the picture of an epoch."""
    return folder / "panels" / f"epoch_{epoch:04d}.png"


def write_panels(
    folder: Path,
    crops: Sequence[tuple[Any, ...]],
    epoch: int,
) -> Path:
    """Write a picture of crops as they are now: image, true, predicted.

    Parameters
    ----------
    folder : pathlib.Path
        The training's report folder; the picture is ``panels/epoch_NNNN.png``. At
        most `MOST_PANELS` are kept: the first, the latest, and some between.
    crops : sequence of tuple
        Image, true labels, predicted labels and, if wanted, where the truth is known
        of each; see `panel`. At most `MOST_CROPS` are shown.
    epoch : int
        Which epoch's network it was.

    Returns
    -------
    pathlib.Path
        The picture.

    Raises
    ------
    OSError
        If it cannot be written; it names the file.
    """
    from PIL import Image

    path = panels_path(folder, epoch)
    _write(path, Image.fromarray(draw_panels(crops[:MOST_CROPS])).save)
    _thin_out(path.parent)
    return path


def _thin_out(folder: Path) -> None:
    """Delete panels until few enough are left, where they stand closest."""
    found = {
        int(match[1]): path
        for path in folder.iterdir()
        if (match := re.fullmatch(r"epoch_(\d+)\.png", path.name))
    }
    epochs = sorted(found)
    while len(epochs) > MOST_PANELS:
        gaps = [
            after - before for before, after in zip(epochs, epochs[2:], strict=False)
        ]
        found[epochs.pop(1 + int(np.argmin(gaps)))].unlink(missing_ok=True)


def write_report(
    folder: Path,
    pairs: Sequence[Pair],
    predicted: Sequence[np.ndarray],
    *,
    title: str = "",
    resized: tuple[int, np.ndarray, float] | None = None,
) -> dict[str, Any]:
    """Write how good predicted labels are, by pixels and by nuclei side by side.

    Parameters
    ----------
    folder : pathlib.Path
        The training's report folder; gets ``report.txt``, ``report.json`` and
        ``confusion_matrix.png``.
    pairs : sequence of Pair
        The truth; only where it is known does anything count.
    predicted : sequence of numpy.ndarray
        ``(y, x)`` predicted labels of each pair.
    title : str
        First line of the text.
    resized : tuple, optional
        Of a network that learns from whole resized images: the side they are resized
        to, the counts of their pixels (see `core.score.pixels.confusion`) and the loss.

    Returns
    -------
    dict
        ``pixels`` (see `core.score.pixels.classification_report`), ``confusion`` (rows
        true, columns predicted; background, nucleus) and ``nuclei`` (see
        `core.score.matching.summarise`): what the JSON file holds; also ``resized``,
        with ``side, loss, pixels, confusion``, if that was given.

    Raises
    ------
    ValueError
        If there are no pairs, shapes differ, or nothing is known.
    OSError
        If a file cannot be written; it names the file.
    """
    compared = [
        (pair.labels, found, pair.known)
        for pair, found in zip(pairs, predicted, strict=True)
    ]
    nuclei = summarise([score_image(t, p, known=known) for t, p, known in compared])
    matrix = np.sum([pixels.confusion(t, p, known) for t, p, known in compared], axis=0)
    by_pixel = pixels.classification_report(matrix)
    values: dict[str, Any] = {
        "pixels": by_pixel,
        "confusion": matrix.tolist(),
        "nuclei": nuclei,
    }
    after = []
    if resized is not None:
        side, counts, loss = resized
        whole = pixels.classification_report(counts)
        values["resized"] = {
            "side": side,
            "loss": loss,
            "pixels": whole,
            "confusion": counts.tolist(),
        }
        after = [
            "",
            f"Whole validation images resized to {side} x {side} pixels, as they are",
            f"learnt from; the loss is {loss:.4f}:",
            "",
            pixels.format_report(whole, counts),
        ]
    text = "\n".join(
        [
            *([title, ""] if title else []),
            pixels.format_report(by_pixel, matrix),
            "",
            format_summary(nuclei),
            "",
            "Pixels are right or wrong one by one, and most are easy background. AP",
            "asks nucleus by nucleus: two that were merged, or one that was split, are",
            "wrong, though nearly all of their pixels are right.",
            *after,
        ]
    )
    _write_text(folder / "report.txt", text + "\n")
    _write_text(folder / "report.json", json.dumps(values, indent=1) + "\n")
    _write(folder / "confusion_matrix.png", draw_confusion(matrix).savefig)
    return values
