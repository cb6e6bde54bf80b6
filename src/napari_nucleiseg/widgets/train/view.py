"""What is shown of a training: curves, a picture of what it finds, the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QPalette, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_nucleiseg.core.monitor import Progress, TimeLeft
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.models.verdict import Verdict
from napari_nucleiseg.training.folds import STAGE
from napari_nucleiseg.training.run_folder import RunFolder
from napari_nucleiseg.widgets.shared.controls import MessageLine
from napari_nucleiseg.widgets.shared.stage_progress import StageProgress
from napari_nucleiseg.widgets.train.enlarged import enlarge

#: Height of the curves, pixels.
CURVES_HEIGHT = 260

#: Round the curves: left, right, below, above, and between the two; pixels.
MARGINS = (42, 10, 40, 22, 26)

#: Room above and below the curve of the AP.
AP_MARGIN = 0.1

#: Colours that colour-blind people can tell apart, on dark and on light.
_TRAIN, _VALIDATION, _AP = "#E69F00", "#56B4E9", "#009E73"


class Curves(FigureCanvasQTAgg):
    """Loss on the training and the validation set, and AP@0.5, epoch by epoch."""

    #: The colour of the writing, once something is drawn.
    _text = ""

    def __init__(self) -> None:
        self._figure = Figure()
        super().__init__(self._figure)
        self.setFixedHeight(CURVES_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Above: the loss, which training minimises. If the validation curve rises "
            "while the other falls, the model is overfitting. Below: how well the "
            "nuclei of the validation set are found (AP at IoU 0.5; 1 is perfect)."
        )
        self.rows: list[dict[str, float]] = []
        self._loss, self._ap = self._figure.subplots(2, 1, sharex=True)

    def sizeHint(self) -> QSize:
        """Return no width of its own: the dock decides."""
        return QSize(200, CURVES_HEIGHT)

    def minimumSizeHint(self) -> QSize:
        """See `sizeHint`."""
        return QSize(100, CURVES_HEIGHT)

    def resizeEvent(self, event: object) -> None:
        """Keep the margins what the writing needs; solving for them takes too long."""
        super().resizeEvent(event)
        left, right, bottom, top, between = MARGINS
        across, down = max(self.width(), 100), max(self.height(), 100)
        inside = down - bottom - top
        self._figure.subplots_adjust(
            left=left / across,
            right=1 - right / across,
            bottom=bottom / down,
            top=1 - top / down,
            hspace=between / ((inside - between) / 2),
        )

    def changeEvent(self, event: QEvent) -> None:
        """Draw in the colours of another theme."""
        super().changeEvent(event)
        text = self.palette().color(QPalette.ColorRole.WindowText).name()
        if event.type() == QEvent.Type.PaletteChange and self._text not in ("", text):
            self.show_rows(self.rows)

    def show_rows(self, rows: Sequence[dict[str, float]]) -> None:
        """Draw the curves of a history; see `training.outcome.TrainOutcome`."""
        self.rows = list(rows)
        text = self._text = self.palette().color(QPalette.ColorRole.WindowText).name()
        self._figure.set_facecolor("none")
        self.setStyleSheet("background: transparent;")
        epochs = [row["epoch"] for row in self.rows]
        for axes, title, lines in (
            (
                self._loss,
                "Loss",
                (("loss", "training", _TRAIN), ("val_loss", "validation", _VALIDATION)),
            ),
            (self._ap, "AP@0.5, validation", (("val_AP50", "", _AP),)),
        ):
            axes.clear()
            axes.set_facecolor("none")
            for name, label, colour in lines:
                values = [row.get(name, math.nan) for row in self.rows]
                axes.plot(
                    epochs, values, color=colour, label=label, marker="o", markersize=3
                )
            axes.set_title(title, fontsize=9, color=text, loc="left")
            axes.tick_params(colors=text, labelsize=8)
            for spine in axes.spines.values():
                spine.set_color(text)
            axes.grid(alpha=0.25)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        # Beside the title: inside, it would lie on the curves.
        self._loss.legend(
            fontsize=8,
            labelcolor=text,
            frameon=False,
            ncols=2,
            loc="lower right",
            bbox_to_anchor=(1, 1),
            borderpad=0,
            borderaxespad=0.3,
        )
        found = [row["val_AP50"] for row in self.rows if "val_AP50" in row]
        if found:
            # A change of a hundredth must not look large.
            self._ap.set_ylim(
                max(min(found) - AP_MARGIN, -0.02), min(max(found) + AP_MARGIN, 1.02)
            )
        self._ap.set_xlabel("Epoch", fontsize=8, color=text)
        self.draw_idle()


class Picture(QWidget):
    """What the network finds now, under a line that says what is what."""

    def __init__(self) -> None:
        super().__init__()
        self.image = _WidePicture()
        caption = QLabel(
            "Held out: image, your labels, and what is found now. Orange: no match. "
            "Click to enlarge."
        )
        caption.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(caption)
        column.addWidget(self.image)

    def show_file(self, path: Path) -> None:
        """Show a picture file, if it is there."""
        self.image.show_file(path)


class _WidePicture(QLabel):
    """A picture that is as wide as the dock."""

    def __init__(self) -> None:
        super().__init__()
        self._pixmap = QPixmap()
        self.setAlignment(Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Images of the validation set: as they are, as you labelled them, and "
            "the nuclei that the model finds now. Click to enlarge."
        )
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def show_file(self, path: Path) -> None:
        """Show a picture file, if it is there."""
        pixmap = QPixmap(str(path))
        if not pixmap.isNull():
            self._pixmap = pixmap
            self._fit()

    def mousePressEvent(self, event: object) -> None:
        """Show the picture in a window of its own."""
        enlarge(self._pixmap, self)

    def resizeEvent(self, event: object) -> None:
        """Keep the picture as wide as there is room."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._pixmap.isNull() or self.width() < 2:
            return
        scaled = self._pixmap.scaledToWidth(
            self.width(), Qt.TransformationMode.SmoothTransformation
        )
        self.setFixedHeight(scaled.height())
        self.setPixmap(scaled)


class VerdictTable(QWidget):
    """The base and the new model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.sentence = MessageLine("verdict")
        font = self.sentence.font()
        font.setBold(True)
        self.sentence.setFont(font)
        self._grid = QGridLayout()
        self._grid.setVerticalSpacing(2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.sentence)
        column.addLayout(self._grid)

    def show_verdict(self, verdict: Verdict, new_name: str) -> None:
        """Show a verdict."""
        while self._grid.count():
            widget = self._grid.takeAt(0).widget()
            if widget is not None:
                widget.deleteLater()
        self.sentence.setText(verdict.sentence)
        rows = [("", verdict.base_name, new_name), *verdict.rows()]
        for i, row in enumerate(rows):
            for j, text in enumerate(row):
                label = QLabel(text)
                if j:
                    label.setAlignment(Qt.AlignmentFlag.AlignRight)
                if i == 0:
                    label.setToolTip(text)
                    label.setText(
                        label.fontMetrics().elidedText(
                            text, Qt.TextElideMode.ElideRight, 100
                        )
                    )
                self._grid.addWidget(label, i, j)
        self._grid.setColumnStretch(0, 1)


class TrainProgress(StageProgress):
    """Where a training stands: what is done, which epoch, how long it will take."""

    def __init__(self) -> None:
        super().__init__()
        self.line.native.setWordWrap(True)
        self.line.native.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred
        )
        self._params = TrainParams()
        self._held = False

    def begin(self) -> None:
        """Show that something has been started."""
        self._held = False
        self.show_progress(Progress("Starting", 0, 0))

    def take_order(self, run: RunFolder) -> None:
        """Note how the training is done, to tell epochs and the time limit."""
        self._params = params = run.order().params
        limit = None if params.minutes is None else 60 * params.minutes
        # The first steps are slow: Keras compiles the network.
        self._left = TimeLeft(least_steps=3, limit=limit)

    def hold(self, text: str) -> None:
        """Show a text that no progress takes away."""
        self._held = True
        self.bar.max = 0
        self.line.value = text

    def show_progress(self, progress: Progress | None) -> None:
        """Show where the training stands, or nothing when it is over."""
        self.visible = progress is not None
        if progress is None or self._held or progress.stage in ("Epoch", "Checking"):
            return
        self.bar.max = progress.total
        self.bar.value = progress.done
        self.line.value = self._text(progress)

    def _text(self, progress: Progress) -> str:
        if progress.stage == STAGE:
            left = self._left.of(progress)
            return f"{STAGE}; at most {left} left" if left else f"{STAGE} …"
        if progress.stage != "Training":
            return f"{progress.stage} …"
        params = self._params
        epoch = (progress.done - 1) // params.steps_per_epoch + 1
        text = f"Epoch {epoch} of {params.epochs}, loss {progress.metrics['loss']:.3f}"
        left = self._left.of(progress)
        return f"{text}; at most {left} left" if left else text
