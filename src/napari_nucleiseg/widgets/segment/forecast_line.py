"""What an image will take, said beside Segment before it is pressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_nucleiseg.core.monitor import Monitor, duration
from napari_nucleiseg.core.params import NEEDS_RUN
from napari_nucleiseg.io.lazy_images import LazyImage
from napari_nucleiseg.models.forecast import Forecast, Pace, time_window
from napari_nucleiseg.widgets.segment.run import Run
from napari_nucleiseg.widgets.shared.controls import MessageLine, one_shot
from napari_nucleiseg.widgets.shared.job import Job

#: What takes less is not worth a sentence, seconds.
LEAST_SECONDS = 10.0

#: Smaller images take less for certain, and are not timed.
LEAST_PIXELS = 1_500_000

#: A choice is timed when it has stood so long, milliseconds.
SETTLE_MS = 600


class ForecastLine(MessageLine):
    """Times a window of what is chosen, and says what all of it will take."""

    def __init__(self) -> None:
        super().__init__("forecast_line")
        self.setVisible(False)
        self._job: Job | None = None
        self._asked: tuple[Any, ...] | None = None
        self._work: Callable[[Monitor], Pace] | None = None
        self._settle = one_shot(self, SETTLE_MS, self._start)
        self._pace: Pace | None = None
        self._run: Run | None = None
        self._done = 0.0
        #: The last one, of what is chosen now.
        self.forecast: Forecast | None = None

    def follow(
        self,
        data: LazyImage | None,
        run: Run | None,
        *,
        pixels: int = 0,
        by_block: bool = False,
        done: float = 0.0,
    ) -> None:
        """Say what this run will take; nothing if it is None or small.

        Parameters
        ----------
        data : LazyImage or None
            The image.
        run : Run or None
            What is asked for.
        pixels : int
            Of all planes.
        by_block : bool
            Whether it is segmented by blocks.
        done : float
            The share of the blocks, 0-1, that are there already.
        """
        asked = None
        if data is not None and run is not None and pixels >= LEAST_PIXELS:
            needed = [getattr(run.params, name) for name in NEEDS_RUN]
            asked = id(data.data), run.choice, run.model.folder, by_block, needed
        self._run, self._done = run, done
        if asked == self._asked:
            self._say()
            return
        self.stop()
        self._asked, self._pace, self.forecast = asked, None, None
        self.setVisible(False)
        if asked is None or data is None or run is None:
            return
        chosen, wanted = data, run

        def work(monitor: Monitor) -> Pace:
            return time_window(
                chosen,
                wanted.load(),
                params=wanted.params,
                axes=wanted.choice.axes,
                channel=wanted.choice.channel,
                by_block=by_block,
                monitor=monitor,
            )

        self._work = work
        self._settle.start()

    def stop(self) -> None:
        """Say no more until asked again; what was not timed yet is begun again then."""
        self.setVisible(False)
        self._settle.stop()
        if self._job is not None:
            self._job.quit()
            self._job = None
        if self._pace is None:
            self._asked = None

    def _start(self) -> None:
        assert self._work is not None
        job = self._job = Job(self._work)
        job.returned.connect(self._on_returned)
        # That it is no image, or there is no room, is said when it is segmented.
        job.errored.connect(self._on_errored)
        job.start()

    def _on_errored(self, error: Exception) -> None:
        if self._job is not None and self.sender() is self._job.signals:
            self._job = None

    def _on_returned(self, found: Pace) -> None:
        if self._job is None or self.sender() is not self._job.signals:
            return
        self._job, self._pace = None, found
        self._say()

    def _say(self) -> None:
        """Say what is known of what is asked for now."""
        if self._pace is None or self._run is None:
            return
        region = self._run.region
        # Which blocks of a region are there is not looked at.
        done = self._done if region is None else 0.0
        found = self.forecast = self._pace.forecast(region, done)
        memory = max(0.1, found.megabytes / 1000)
        what = "The whole image" if region is None else _named(self._run.place)
        what = "The rest of the image" if done else what
        self.setText(
            f"{what} will take about {long_duration(found.seconds)} and "
            f"{memory:.1f}\N{NO-BREAK SPACE}GB of memory."
        )
        self.setVisible(found.seconds > LEAST_SECONDS)


def _named(place: str) -> str:
    """Return what a place is called at the beginning of a sentence."""
    return f"What is {place}" if place.startswith("inside") else "What is in view"


def long_duration(seconds: float) -> str:
    """Return a time for the user, in hours where it is that long."""
    if seconds < 5400:
        return duration(seconds)
    return f"{seconds / 3600:.1f}\N{NO-BREAK SPACE}h"
