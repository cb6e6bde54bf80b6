"""What is printed on the terminal: progress bars, lines and error messages."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from napari_nucleiseg.core.monitor import Progress, TimeLeft


def complain(text: str) -> None:
    """Say what is wrong, on standard error."""
    print(f"nucleiseg: {text}", file=sys.stderr)


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keep what LiteRT's C++ code prints at start off the terminal."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


class Terminated(BaseException):
    """The process was asked to end; what is half written is cleared away on the way."""


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """While this lasts, SIGTERM raises `Terminated`; by itself it would end at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return

    def end(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make_bar(**how: Any) -> Any:
    """Return a bar on standard error that is drawn anew five times a second at most."""
    from tqdm import tqdm

    return tqdm(file=sys.stderr, mininterval=0.2, miniters=1, dynamic_ncols=True, **how)


class TerminalMonitor:
    """Shows progress on one file as a bar."""

    def __init__(self, title: str) -> None:
        form = "{desc} {bar:24} {percentage:3.0f}% {elapsed}{postfix}"
        self._bar = _make_bar(desc=title, bar_format=form)

    def report(self, progress: Progress) -> None:
        """Move the bar."""
        self._bar.total = progress.total or None
        self._bar.n = progress.done
        self._bar.set_postfix_str(progress.stage)

    def should_stop(self) -> bool:
        """Never: Ctrl-C raises KeyboardInterrupt."""
        return False

    def close(self, text: str = "") -> None:
        """End the bar with a word on how it went; without one it failed where it is."""
        if text and self._bar.total:
            self._bar.n = self._bar.total
        self._bar.set_postfix_str(text or "failed")
        self._bar.close()


class TrainMonitor:
    """A bar that follows a training, and a line for each epoch.

    Where there is no terminal there are only the lines.

    Parameters
    ----------
    epochs : int, optional
        Epochs there are to be; found out at the first one's end if not given.
    minutes : float, optional
        Time limit.
    """

    def __init__(self, epochs: int | None = None, minutes: float | None = None) -> None:
        self._epochs = epochs
        self._limit(minutes)
        self._stop = False
        self._last: dict[str, float] = {}
        self._stage = ""
        form = "{desc} {bar:12}"
        self._bar = _make_bar(bar_format=form, leave=False, disable=None, delay=0.01)

    @contextlib.contextmanager
    def heeding_ctrl_c(self) -> Iterator[None]:
        """In this context, the first Ctrl-C asks to stop, and the second quits."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are the main thread's
            return
        before = signal.signal(signal.SIGINT, self._on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
            self._bar.close()

    def _on_interrupt(self, *_: object) -> None:
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        self._write(
            "Stopping; the best epoch so far is kept. Ctrl-C again quits at once."
        )

    def should_stop(self) -> bool:
        """Return whether Ctrl-C was pressed."""
        return self._stop

    def report(self, progress: Progress) -> None:
        """Show what is new."""
        if progress.stage == "Training":
            self._on_step(progress)
        elif progress.stage == "Stage":  # of a recipe that has several
            self._stage = f"Stage {progress.done} of {progress.total}  "
            self._limit(progress.metrics.get("minutes"))
            self._epochs = int(progress.metrics.get("epochs", 0)) or None
            self._last = {}
        elif progress.stage == "Epoch":
            self._epochs = progress.total
            self._last = dict(progress.metrics)
            text = f"{self._stage}Epoch {progress.done} of {progress.total}"
            self._write(f"{text}  {_figures(progress.metrics)}")
        else:
            known = progress.total and progress.done
            where = f"{progress.done} of {progress.total}" if known else "…"
            self._bar.set_description_str(f"{progress.stage} {where}")

    def _on_step(self, progress: Progress) -> None:
        if self._epochs:
            epoch = (progress.done - 1) * self._epochs // progress.total + 1
            text = f"Epoch {epoch} of {self._epochs}"
        else:
            text = f"Step {progress.done} of {progress.total}"
        # The figures on the validation set are the last epoch's.
        line = [f"{self._stage}{text}", _figures({**self._last, **progress.metrics})]
        if left := self._left.of(progress):
            line.append(f"{left} left{' in this stage' if self._stage else ''}")
        self._bar.set_description_str("  ".join(line), refresh=False)
        if progress.total != self._bar.total or progress.done < self._bar.n:
            self._bar.reset(progress.total)
        self._bar.update(progress.done - self._bar.n)

    def _limit(self, minutes: float | None) -> None:
        """Begin to count, with a time limit or none."""
        limit = None if minutes is None else 60 * minutes
        self._left = TimeLeft(least_steps=3, limit=limit)

    def _write(self, line: str) -> None:
        """Write a line that stays, above the bar."""
        self._bar.write(line, file=sys.stderr)


#: Figures shown while training: what they are called in a history, and here.
_SHOWN = {"loss": "loss", "val_loss": "val_loss", "val_AP50": "AP@0.5"}


def _figures(metrics: Mapping[str, float]) -> str:
    """Return a training's figures as text."""
    found = [
        f"{label} {metrics[name]:.3f}"
        for name, label in _SHOWN.items()
        if name in metrics
    ]
    return "  ".join(found)
