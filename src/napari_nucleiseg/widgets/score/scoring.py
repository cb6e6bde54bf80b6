"""What the Score widget computes and shows: figures, error map, table, CSV."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget
from qtpy.QtWidgets import QTableWidgetItem as Item

from napari_nucleiseg.core.labels.annotations import drop_single_axes
from napari_nucleiseg.core.monitor import Monitor, Progress, check_cancelled
from napari_nucleiseg.core.score import fates
from napari_nucleiseg.core.score import matching as score
from napari_nucleiseg.io.atomic import write_whole
from napari_nucleiseg.widgets.shared.layers import ERRORS_OF, placement

#: Name, key and meaning of the figures beside the AP, in the order of the table.
FIGURES = (
    ("True nuclei", "true", "Nuclei in the ground truth."),
    ("Found nuclei", "predicted", "Nuclei in the labels."),
    ("Precision", "precision", "Share of the found nuclei that are matched."),
    ("Recall", "recall", "Share of the true nuclei that are matched."),
    (
        "F1",
        "F1",
        "Twice the matched nuclei over the true and found ones.",
    ),
    (
        "PQ",
        "panoptic_quality",
        "Panoptic quality: F1 times the mean IoU of the matched nuclei.",
    ),
    (
        "Matched",
        "matched",
        "True nuclei paired one to one with a found nucleus of IoU 0.5 or more.",
    ),
    ("Missed", "missed", "True nuclei that were not found."),
    ("False", "false", "Found nuclei where there is no true nucleus."),
    (
        "Merged",
        "merged",
        "True nuclei that share a single found nucleus with another.",
    ),
    (
        "Split",
        "split",
        "True nuclei found in several pieces, none of which matches.",
    ),
    (
        "Pieces",
        "pieces",
        "Found nuclei that cover only part of a true one, which is split, or matched "
        "by another.",
    ),
    (
        "Misshapen",
        "misshapen",
        "True nuclei that were found with a different outline (IoU below 0.5).",
    ),
)


@dataclass(frozen=True)
class Scored:
    """Labels compared with the ground truth.

    Parameters
    ----------
    figures : dict
        Of `core.score.matching.summarise`, for this one image.
    counts : dict of str to int
        Of `core.score.fates.Fates.counts`.
    picture : numpy.ndarray
        The error map, uint8, in the labels' shape.
    table : pandas.DataFrame
        One row for each nucleus, see `core.score.fates.tabulate`; in a stack that is
        compared plane by plane with the column ``plane``.
    """

    figures: dict[str, Any]
    counts: dict[str, int]
    picture: np.ndarray
    table: pd.DataFrame

    def value(self, key: str) -> float | int:
        """Return the figure of one of `FIGURES`."""
        return self.counts[key] if key in self.counts else self.figures[key]


def compare(
    truth: np.ndarray, prediction: np.ndarray, *, by_plane: bool, monitor: Monitor
) -> Scored:
    """Compare labels with the ground truth in every way the widget shows.

    Parameters
    ----------
    truth, prediction : numpy.ndarray
        ``(…, y, x)`` integer labels of one shape, but for axes of length 1.
    by_plane : bool
        A label stands for another nucleus in each plane; else for one in the whole.
    monitor : Monitor
        Asked between the steps.

    Returns
    -------
    Scored

    Raises
    ------
    ValueError
        If the labels do not fit together.
    """
    shape = prediction.shape
    truth, prediction = (
        labels.reshape(drop_single_axes(labels.shape)) for labels in (truth, prediction)
    )
    steps = None
    if by_plane and truth.ndim > 2:
        truth, true_step = score.number_by_plane(truth)
        prediction, found_step = score.number_by_plane(prediction)
        steps = {"true": true_step, "predicted": found_step}
    monitor.report(Progress("Matching nuclei", 0, 0))
    figures = score.summarise([score.score_image(truth, prediction)])["pooled"]
    check_cancelled(monitor)
    monitor.report(Progress("Sorting errors", 0, 0))
    found = fates.classify(truth, prediction)
    check_cancelled(monitor)
    table = pd.DataFrame(fates.tabulate(truth, prediction, found))
    if steps is not None:
        table = _plain_labels(table, steps)
    picture = fates.error_map(truth, prediction, found)
    assert isinstance(figures, dict)
    return Scored(figures, found.counts(), picture.reshape(shape), table)


def _plain_labels(table: pd.DataFrame, steps: dict[str, int]) -> pd.DataFrame:
    """Undo `number_by_plane`: labels as the layers have them, and a plane column."""
    true = table["kind"] == "true"
    own = np.where(true, steps["true"], steps["predicted"])
    other = np.where(true, steps["predicted"], steps["true"])
    table = table.assign(
        label=table["label"] % own,
        partner=table["partner"] % other,
    )
    table.insert(1, "plane", table.pop("centroid_0").round().astype(int))
    return table


def show_errors(viewer: ViewerModel, layer: Labels, scored: Scored) -> Labels:
    """Show the error map over its labels; update it if it is already there.

    Parameters
    ----------
    viewer : napari.Viewer
        Where to.
    layer : napari.layers.Labels
        The labels that were scored.
    scored : Scored
        The result.

    Returns
    -------
    napari.layers.Labels
    """
    for other in viewer.layers:
        if (
            isinstance(other, Labels)
            and other.metadata.get(ERRORS_OF) == layer.unique_id
            and other.data.shape == scored.picture.shape
        ):
            other.data = scored.picture
            other.visible = True
            return other
    colours: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    for code, colour in fates.MAP_COLOURS.items():
        colours[code] = colour
    errors = viewer.add_labels(
        scored.picture,
        name=f"{layer.name} errors",
        colormap=DirectLabelColormap(color_dict=colours),
        features=pd.DataFrame(
            {"index": list(fates.MAP_NAMES), "fate": list(fates.MAP_NAMES.values())}
        ),
        metadata={ERRORS_OF: layer.unique_id},
        **placement(layer),
    )
    errors.editable = False
    return errors


def export_csv(
    scored: Scored, path: Path, *, labels_name: str, truth_name: str
) -> None:
    """Write a result as one table that any program reads.

    Parameters
    ----------
    scored : Scored
        The result.
    path : pathlib.Path
        Written over. Rows whose ``kind`` is ``summary`` hold a ``figure`` and its
        ``value``; the others (``true``, ``predicted``) are a nucleus each.
    labels_name, truth_name : str
        What was compared.

    Raises
    ------
    OSError
        If the file cannot be written: a sentence that names it.
    """
    summary: dict[str, object] = {"labels": labels_name, "ground_truth": truth_name}
    summary |= {f"AP_{iou}": value for iou, value in scored.figures["AP"].items()}
    summary["AP_mean"] = scored.figures["mean_AP"]
    summary |= {key: scored.value(key) for _, key, _ in FIGURES}
    for key in ("pixel_accuracy", "pixel_IoU"):
        summary[key] = scored.figures[key]
    summary = {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in summary.items()
    }
    top = pd.DataFrame(
        {"kind": "summary", "figure": list(summary), "value": list(summary.values())},
        dtype=object,
    )
    # As objects, whole numbers stay whole beside the blanks of the summary.
    rows = scored.table.round(4).astype(object)
    columns = [*top.columns, *rows.columns.drop("kind")]
    whole = pd.concat([top, rows]).reindex(columns=columns)
    write_whole(path, lambda fresh: whole.to_csv(fresh, index=False))


class ScoreTable(QTableWidget):
    """AP by IoU on the left; on the right the other figures, with the map's colours."""

    def __init__(self) -> None:
        super().__init__(len(FIGURES), 4)
        self.setObjectName("score_table")
        self.setHorizontalHeaderLabels(["IoU", "AP", "At IoU 0.5", ""])
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setShowGrid(False)
        self.setIconSize(QSize(12, 12))
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        for policy in (
            self.setVerticalScrollBarPolicy,
            self.setHorizontalScrollBarPolicy,
        ):
            policy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        codes = {name: code for code, name in fates.MAP_NAMES.items()}
        codes["pieces"] = codes["split"]
        for row, (name, key, meaning) in enumerate(FIGURES):
            item = Item(name)
            if key in codes:
                swatch = QPixmap(12, 12)
                swatch.fill(QColor(fates.MAP_COLOURS[codes[key]]))
                item.setIcon(QIcon(swatch))
                meaning += " The colour is that of the error map."
            self._put(row, 2, item, meaning)
        for row, threshold in enumerate(score.THRESHOLDS):
            self._put(
                row,
                0,
                Item(f"{threshold:.2f}"),
                f"A found nucleus is correct if its IoU is at least {threshold:.2f}.",
            )
        self._put(len(score.THRESHOLDS), 0, Item("mean"), "Of the ten above.")
        self._fit()

    def show_scored(self, scored: Scored) -> None:
        """Fill in the figures of a result."""
        values = [*scored.figures["AP"].values(), scored.figures["mean_AP"]]
        tip = "Average precision: matched / (matched + wrong + missing) nuclei."
        for row, value in enumerate(values):
            self._put(row, 1, Item(f"{value:.3f}"), tip)
        for row, (_, key, meaning) in enumerate(FIGURES):
            figure = scored.value(key)
            text = str(figure) if isinstance(figure, int) else f"{figure:.3f}"
            self._put(row, 3, Item(text), meaning)
        self._fit()

    def text(self, name: str) -> str:
        """Return the figure shown beside a name, or beside an IoU such as 0.50."""
        for row in range(self.rowCount()):
            for column in (0, 2):
                item, value = self.item(row, column), self.item(row, column + 1)
                if item is not None and item.text() == name:
                    return value.text() if value is not None else ""
        raise KeyError(name)

    def _put(self, row: int, column: int, item: Item, tip: str) -> None:
        side = Qt.AlignmentFlag.AlignRight if column in (1, 3) else Qt.AlignmentFlag(0)
        item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
        item.setToolTip(tip)
        self.setItem(row, column, item)

    def _fit(self) -> None:
        """Be as high as the rows are: the dock scrolls, not the table."""
        self.resizeRowsToContents()
        height = self.horizontalHeader().sizeHint().height() + 2 * self.frameWidth()
        height += sum(self.rowHeight(row) for row in range(self.rowCount()))
        self.setFixedHeight(height)
