"""Small controls and text helpers that several widgets share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from magicgui.widgets import ComboBox, Container, create_widget
from napari.layers import Layer
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QVBoxLayout,
    QWidget,
)

from napari_nucleiseg.io.atomic import NotWritten, reason_of
from napari_nucleiseg.widgets.shared.docks import main_window, tab_behind
from napari_nucleiseg.widgets.shared.layers import MARK

#: A longer run of characters without a space may be broken in a message.
LONGEST_WORD = 16

#: A longer name is shortened in a sentence.
LONGEST_NAME = 40


def combo(tip: str) -> QComboBox:
    """Return a drop-down list that cuts long entries rather than widen its dock.

    Parameters
    ----------
    tip : str
        Its tooltip.
    """
    box = QComboBox()
    box.setToolTip(tip)
    keep_narrow(box)
    return box


def keep_narrow(box: QComboBox) -> None:
    """Let a drop-down list elide long entries rather than widen its dock."""
    box.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    box.setMinimumContentsLength(8)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    box.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)
    box.installEventFilter(_Elider(box))


class _Elider(QObject):
    """Paints a drop-down list with its entry elided, where Qt would cut it off."""

    def eventFilter(self, box: QComboBox, event: QEvent) -> bool:
        """Paint in Qt's stead, if the entry is too long."""
        if event.type() != QEvent.Type.Paint:
            return False
        option, style = QStyleOptionComboBox(), box.style()
        option.initFrom(box)
        text = style.subControlRect(
            QStyle.ComplexControl.CC_ComboBox,
            option,
            QStyle.SubControl.SC_ComboBoxEditField,
            box,
        )
        option.currentText = box.fontMetrics().elidedText(
            box.currentText(), Qt.TextElideMode.ElideMiddle, text.width() - 4
        )
        if option.currentText == box.currentText():
            return False
        painter = QStylePainter(box)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()
        return True


class NarrowBox(ComboBox):
    """A magicgui drop-down list whose long entries are elided, with a tooltip.

    Parameters
    ----------
    **options
        See `magicgui.widgets.ComboBox`.
    """

    _offered: Sequence[tuple[str, Any]] = ()

    def __init__(self, **options: Any) -> None:
        options.setdefault("choices", lambda _: self._offered)
        self._tip = str(options.get("tooltip", ""))
        super().__init__(**options)
        keep_narrow(self.native)
        self.native.currentIndexChanged.connect(self._show_names)
        self._show_names()

    def offer(self, choices: Sequence[tuple[str, Any]], chosen: Any) -> None:
        """Offer these names and values, and choose one, without emitting `changed`.

        Parameters
        ----------
        choices : sequence of (str, object)
            What is shown, and what it stands for.
        chosen : object
            One of the values, or None for the first.
        """
        self._offered = choices
        with self.changed.blocked():
            self.reset_choices()
            if chosen is not None:
                self.value = chosen
        self._show_names()

    def _show_names(self, *_: object) -> None:
        box = self.native
        for i in range(box.count()):
            box.setItemData(i, box.itemText(i), Qt.ItemDataRole.ToolTipRole)
        self.tooltip = "\n".join(filter(None, (box.currentText(), self._tip)))


class LayerBox(NarrowBox):
    """A drop-down list of the layers of one kind, kept up to date by napari.

    A layer stays chosen when it is renamed, and when it goes the uppermost of the
    others takes its place; magicgui alone would jump to the lowest each time.

    Parameters
    ----------
    kind : type
        The kind of layer, such as `napari.layers.Image`.
    accepts : callable, optional
        Given a layer, whether it is offered.
    **options
        See `magicgui.widgets.ComboBox`.
    """

    def __init__(
        self,
        kind: type[Layer],
        accepts: Callable[[Layer], bool] = lambda _: True,
        **options: Any,
    ) -> None:
        # What napari registered for this annotation: the layers of the viewer around.
        of_kind = create_widget(annotation=kind).options["choices"]
        super().__init__(
            annotation=kind,
            choices=lambda box: [
                layer
                for layer in of_kind(box)
                if accepts(layer) and MARK not in layer.metadata
            ],
            **options,
        )

    def reset_choices(self, *_: object) -> None:
        """Offer the layers there are now; called by napari when they change."""
        before = self.value
        with self.changed.blocked():
            super().reset_choices()
            choices = self.choices
            if before in choices:
                self.value = before
            elif choices:
                self.value = choices[-1]
        self._show_names()
        if self.value != before:
            self.changed.emit(self.value)


class MessageLine(QLabel):
    """A message in as many lines as it takes; a long word is broken, not cut off.

    A label as wide as the address of a web page would push a dock off the screen.

    Parameters
    ----------
    name : str
        To be found by.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self._said = ""

    def setText(self, text: str) -> None:
        """Show a message."""
        self._said = text
        super().setText(breakable(text))

    def clear(self) -> None:
        """Show nothing."""
        self.setText("")

    def text(self) -> str:
        """Return the message."""
        return self._said


class Shell(QScrollArea):
    """What a dock holds: a column that scrolls where the window is too small for it.

    Parameters
    ----------
    width : int
        Least width, pixels: enough for napari to show the whole name above it.
    """

    #: With another dock beside it in a small window, still enough to work in.
    LEAST_HEIGHT = 150

    #: Whether it shares its place with others that do, as tabs.
    TABBED = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(width)
        self.setMinimumHeight(self.LEAST_HEIGHT)
        self._forms: tuple[Container, ...] = ()
        self._placed = False
        # Once the dock has its place, which it has not yet when it is first shown.
        self._placing = one_shot(self, 0, self._place)

    def _place(self) -> None:
        """Put the dock in one place with another of this package's, as tabs."""
        window = main_window(self)
        if window is not None and not self._placed:
            self._placed = True
            shells = [x for x in window.findChildren(Shell) if x.TABBED and x._placed]
            tab_behind(self, [shell for shell in shells if shell is not self])

    def fill(self, parts: Sequence[QWidget | Container], *more: Container) -> None:
        """Put parts under each other, and align the labels of those that are forms.

        Parameters
        ----------
        parts : sequence of widgets
            From top to bottom.
        *more : Container
            Forms within the parts.
        """
        inside = QWidget()
        column = QVBoxLayout(inside)
        for part in parts:
            column.addWidget(getattr(part, "native", part))
        column.addStretch(1)
        self.setWidget(inside)
        self._forms = (*(x for x in parts if isinstance(x, Container)), *more)

    def showEvent(self, event: Any) -> None:
        """Align labels now that they have their font, which magicgui did not know."""
        super().showEvent(event)
        if self.TABBED and not self._placed:
            self._placing.start()
        for form in self._forms:
            rows = [part.native.parent().layout() for part in form]
            beside = [row for row in rows if isinstance(row, QHBoxLayout)]
            first = [row.itemAt(0).widget() for row in beside]
            labels = [label for label in first if isinstance(label, QLabel)]
            widest = max((label.sizeHint().width() for label in labels), default=0)
            for label in labels:
                label.setMinimumWidth(widest)

    def sizeHint(self) -> QSize:
        """Ask for the height of all that is inside, and only the width needed."""
        hint, inside = super().sizeHint(), self.widget()
        if inside is not None:
            bar = self.verticalScrollBar().sizeHint().width()
            hint = QSize(
                inside.minimumSizeHint().width() + bar, inside.sizeHint().height()
            )
        return hint.expandedTo(self.minimumSize())


def breakable(text: str) -> str:
    """Return a text whose long words may be broken, at invisible spaces."""

    def broken(match: re.Match[str]) -> str:
        word = re.sub(r"([/\\._\-?&=,;:])", "\\1\u200b", match[0])
        return re.sub(rf"([^\u200b]{{{LONGEST_WORD}}})", "\\1\u200b", word)

    return re.sub(rf"\S{{{LONGEST_WORD},}}", broken, text)


def quoted(name: str) -> str:
    """Return a name for a sentence: in quotation marks, its middle left out if long."""
    if len(name) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        name = f"{name[:half]}…{name[-half + 1 :]}"
    return f"“{name}”"


def explain(error: BaseException) -> str:
    """Return what an exception says, as a sentence for the user.

    Parameters
    ----------
    error : BaseException
        Of an `OSError` the number is left out and the file is named.
    """
    if isinstance(error, OSError) and error.filename:
        whole = isinstance(error, NotWritten)
        return str(error) if whole else f"{reason_of(error)}: {error.filename}"
    if isinstance(error, MemoryError):
        return f"There is not enough memory. {error}"
    return reason_of(error)


def one_shot(parent: QObject, milliseconds: int, callback: Callable) -> QTimer:
    """Return a timer, not yet started, that calls back once each time it is started."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(callback)
    return timer


def unwrapped(thing: Any) -> Any:
    """Return the viewer or layer itself, without the wrapping napari hands plugins.

    The wrapping is emptied if it is collected together with a panel that is gone, and
    an error then, in a slot, would end the program.
    """
    return getattr(thing, "__wrapped__", thing)
