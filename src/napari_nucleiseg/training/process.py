"""Training in a process of its own: started, listened to, stopped, killed.

TensorFlow and a napari window crash each other where Mesa draws the window, so a
window never trains in its own process. What is to be done lies in a folder
(`run_folder`); the child is given its path, and reports in lines of JSON on a pipe. On
its standard input it is told to stop, or to go on without whoever started it. If that
is gone without a word, as when it was killed, the child stops when its epoch has ended,
to be resumed, unless the order says that it shall go on.

    python -m napari_nucleiseg.training.process FOLDER
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, TextIO

from napari_nucleiseg.core.monitor import Monitor, Progress, SilentMonitor
from napari_nucleiseg.io.atomic import NotWritten, reason_of
from napari_nucleiseg.models.registry import MODELS_VARIABLE, models_folder
from napari_nucleiseg.training.outcome import TrainOutcome, mark_unseen
from napari_nucleiseg.training.run_folder import RunFolder

#: What the child is told on its standard input.
_STOP, _GO_ON = "stop", "go on"

#: Lines of the child's log that are quoted when it ended without a message.
_QUOTED = 3

#: Those of TensorFlow's that say nothing of why.
_NOISE = re.compile(r"[IW]\d{4} |WARNING: All log messages before absl|INFO: ")

#: What the child's environment has besides ours. Keras must run on TensorFlow, whatever
#: another plugin chose; the C library keeps the memory of one step for the next, which
#: makes a step about a fifth faster.
_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "utf-8",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


def _environment() -> dict[str, str]:
    """Return the child's environment, in which no path depends on where we are."""
    found = {**os.environ, **_ENVIRONMENT, "PYTHONSAFEPATH": "1"}
    if MODELS_VARIABLE in os.environ:
        found[MODELS_VARIABLE] = str(models_folder().resolve())
    # An empty entry stands for the current folder; most often nobody meant it to.
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    found["PYTHONPATH"] = os.pathsep.join(
        str(Path(place).resolve()) for place in places if place
    )
    return found


class TrainingFailed(Exception):
    """A training ended with an error; the text is for the user."""


class TrainingKilled(TrainingFailed):
    """The training process ended without a message."""


class TrainingProcess:
    """One training in a process of its own.

    Parameters
    ----------
    run : RunFolder
        What to do. If it was begun before, it is resumed.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._stopping = self._released = False
        path = run.path.resolve()
        run.acquire("window")
        log = run.log.open("ab")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
                # Not where we are: a file there, such as a secrets.py or a
                # matplotlibrc, must not affect the child.
                cwd=path.parent,
                # Ctrl-C in the terminal is for us; the child is told by its pipe.
                start_new_session=True,
            )
        finally:
            log.close()
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="training", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The child's process number."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the child is there."""
        return self._process.poll() is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                # At its first word it is there to take the training over.
                self.run.release()
                self._lines.put(line.decode("utf-8", "replace"))
        self.run.release()
        self._lines.put(None)

    def stop(self) -> None:
        """Ask the child to stop after the step under way, and to keep the best."""
        self._stopping = True
        self._tell(_STOP)

    def _tell(self, order: str) -> None:
        assert self._process.stdin is not None
        # It may have ended by itself.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(f"{order}\n".encode())
            self._process.stdin.flush()

    def let_go(self, *, go_on: bool = False) -> None:
        """Leave the child to itself; `wait` returns at once.

        Parameters
        ----------
        go_on : bool
            Whether it trains to its end, or stops, keeps the best, and ends.
        """
        self._released = True
        self._tell(_GO_ON if go_on else _STOP)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End the child at once; what it has saved stays."""
        if self.is_running:
            self._process.kill()
        self._process.wait()

    def wait(self, monitor: Monitor | None = None) -> TrainOutcome | None:
        """Pass on what the child says until it has ended.

        Parameters
        ----------
        monitor : Monitor, optional
            Told of the child's progress; if it asks to stop, the child is told to.

        Returns
        -------
        TrainOutcome or None
            None if the child was let go.

        Raises
        ------
        TrainingFailed
            With the child's reason.
        TrainingKilled
            If it ended without one.
        """
        monitor = monitor or SilentMonitor()
        outcome: TrainOutcome | None = None
        failure: str | None = None
        while not self._released:
            if not self._stopping and monitor.should_stop():
                self.stop()
            try:
                line = self._lines.get(timeout=0.1)
            except queue.Empty:
                continue
            if line is None:
                break
            said = json.loads(line)
            if "progress" in said:
                stage, done, total, metrics = said["progress"]
                monitor.report(Progress(stage, done, total, metrics))
            elif "outcome" in said:
                outcome = TrainOutcome(**said["outcome"])
            elif "error" in said:
                failure = said["error"]
        if self._released:
            return None
        code = self._process.wait()
        self._reader.join()
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        if failure is not None:
            raise TrainingFailed(failure)
        if outcome is None:
            raise TrainingKilled(self._epitaph(code))
        return outcome

    def _epitaph(self, code: int) -> str:
        """Say how a child ended that did not say so itself."""
        if code < 0:
            name = signal.Signals(-code).name
            why = f"The training process was ended by the system ({name})"
            if -code == getattr(signal, "SIGKILL", 9):
                why += (
                    ": most often the computer ran out of memory. A smaller batch or "
                    "patch size needs less"
                )
        else:
            why = f"The training process ended by itself (exit code {code})"
            text = self.run.log.read_text(encoding="utf-8", errors="replace")
            lines = [line for line in text.splitlines() if line.strip()]
            if last := [line for line in lines if not _NOISE.match(line)][-_QUOTED:]:
                why += ": " + " / ".join(last)
        if self.run.can_resume:
            epochs = self.run.load()[0].values["best_epoch"]
            return (
                f"{why}. The training is saved up to its last full epoch (the best so "
                f"far is epoch {epochs}): Resume continues from there."
            )
        return f"{why}. No epoch had ended yet, so nothing was saved."


class _Abandoned(Exception):
    """Whoever started the training is gone, and nobody said that it shall go on."""


class _PipeMonitor:
    """The child's monitor: speaks on the pipe, listens to its standard input."""

    def __init__(self, out: TextIO, run: RunFolder) -> None:
        self._out, self._run = out, run
        self._stop, self._go_on = threading.Event(), threading.Event()
        self.alone = threading.Event()
        self._lock = threading.Lock()
        if run.exists and run.order().go_on:
            self._go_on.set()
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            {_STOP: self._stop, _GO_ON: self._go_on}[line.strip()].set()
        self.alone.set()
        self._run.tell_alone()

    def say(self, what: str, value: Any) -> None:
        """Write one line; nobody listening any more is no reason to fail."""
        with self._lock, contextlib.suppress(BrokenPipeError, OSError):
            self._out.write(json.dumps({what: value}) + "\n")
            self._out.flush()

    def report(self, progress: Progress) -> None:
        """Pass progress on; ends a training that was abandoned, with what is saved."""
        chosen = self._stop.is_set() or self._go_on.is_set()
        if self.alone.is_set() and not chosen and progress.stage != "Training":
            raise _Abandoned
        metrics = {name: float(v) for name, v in progress.metrics.items()}
        self.say("progress", [progress.stage, progress.done, progress.total, metrics])

    def should_stop(self) -> bool:
        """Return whether it was told to stop."""
        return self._stop.is_set()


def _private_output() -> TextIO:
    """Return the pipe for our lines; whatever else prints goes to the log."""
    sys.stdout.flush()
    pipe = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(pipe, "w", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Train as a folder asks for; the child's side."""
    (path,) = arguments if arguments is not None else sys.argv[1:]
    run = RunFolder.at(Path(path))
    monitor = _PipeMonitor(_private_output(), run)
    monitor.say("ready", os.getpid())
    try:
        from napari_nucleiseg.training.run import execute

        run.acquire("background" if monitor.alone.is_set() else "window")
        outcome = execute(run, monitor)
    except _Abandoned:
        run.release()
        run.discard_if_empty()
        return 1
    except Exception as e:  # noqa: BLE001  whatever it is, the user is told
        monitor.say("error", explain(e, run))
        with contextlib.suppress(OSError):  # the log's folder may be read-only by now
            traceback.print_exc()
        return 1
    if monitor.alone.is_set() and outcome.kept:
        mark_unseen(outcome.folder)
    monitor.say("outcome", outcome.model_dump(mode="json"))
    return 0


def explain(error: Exception, run: RunFolder | None = None) -> str:
    """Return what an error of a training means, for the user.

    Parameters
    ----------
    error : Exception
        What was raised.
    run : RunFolder, optional
        The training, to say whether anything of it is saved.
    """
    text = str(error).strip() or type(error).__name__
    if isinstance(error, OSError) and not isinstance(error, NotWritten):
        text = reason_of(error)
        if error.filename:
            text = f"{error.filename} cannot be read or written: {text}"
    kept = ""
    if run is not None and run.can_resume:
        kept = " The training is saved up to its last full epoch."
    if (
        isinstance(error, MemoryError)
        or "ResourceExhausted" in type(error).__name__
        or "OOM" in text
    ):
        return (
            "There was not enough memory for training; a smaller batch size or patch "
            f"size needs less.{kept}"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = f"The disk is full. {text}"
    return f"{text.rstrip('.')}.{kept}" if kept else text


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # All is said and saved; TensorFlow takes seconds to clear up after itself.
    os._exit(code)
