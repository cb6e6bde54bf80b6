"""A large image in a real napari window: what the user sees while it is segmented.

    python benchmarks/large_window.py --side 10240
    python benchmarks/large_window.py --side 8192 --in-memory --cancel

Opens a mosaic of a sample (or of image files) as OME-Zarr of several levels, or as an
array in memory, docks the Segment widget, and presses its buttons. It prints

- what the forecast said, how soon, and what it took;
- for each stage the longest time in which neither the bar nor the line under it
  changed on the screen (the bar by a pixel at least);
- the memory of the process: with the image open, and the peak of each stage;
- with `--sliders`, how long after a move other labels were drawn in what is in view;
- with `--view`, the same for a run over what is in view;
- with `--cancel`, how soon each stage was over after a press of Cancel, and that the
  run goes on from there.

On a machine without a screen, run it under ``xvfb-run -a -s "-screen 0 1600x1000x24"``.
Linux only.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from memory import forget_peak, kilobytes

#: How often the screen is looked at, milliseconds.
LOOK_MS = 20

#: No step takes longer, seconds.
PATIENCE = 3600

#: Moves of each slider that are timed.
MOVES = {
    "separation": (0.7, 0.9, 0.75, 0.85),
    "min_area": (60.0, 200.0, 90.0, 120.0),
    "min_confidence": (0.3, 0.6, 0.4, 0.5),
    "probability": (0.4, 0.6, 0.45, 0.55),
}


def mosaic_part(files: list[Path], sample: str, diameter: float | None) -> np.ndarray:
    """Return what is repeated: a sample or files side by side, resized if asked."""
    from skimage.transform import rescale

    from napari_nucleiseg import segment
    from napari_nucleiseg.io.images import read_image
    from napari_nucleiseg.io.sample_data import load_sample

    if files:
        images = [read_image(path).data for path in files]
        images = [im[..., :3].mean(axis=-1) if im.ndim == 3 else im for im in images]
        side = [min(im.shape[i] for im in images) for i in (0, 1)]
        part = np.concatenate([im[: side[0], : side[1]] for im in images])
        part = part.astype(np.uint8)
    else:
        part = load_sample(sample).image
    if diameter is not None:
        now = segment(part).diameter
        small = rescale(part.astype(float), diameter / now, anti_aliasing=True)
        part = np.clip(small, 0, 255).astype(np.uint8)
    row = np.concatenate([part, part[:, ::-1]], axis=1)
    return np.concatenate([row, row[::-1]])


def write_zarr(path: Path, part: np.ndarray, side: int) -> None:
    """Write a square mosaic as OME-Zarr 0.5, in chunks of 1024, with smaller levels."""
    import zarr

    times = [-(-side // n) for n in part.shape]
    image = np.tile(part, times)[:side, :side]
    root = zarr.create_group(str(path), zarr_format=3)
    sets, level = [], 0
    while True:
        chunks = tuple(min(1024, n) for n in image.shape)
        array = root.create_array(
            f"{level}", shape=image.shape, dtype=image.dtype, chunks=chunks
        )
        array[...] = image
        scale = [float(2**level)] * 2
        change = [{"type": "scale", "scale": scale}]
        sets.append({"path": f"{level}", "coordinateTransformations": change})
        if max(image.shape) <= 1024:
            break
        image, level = image[::2, ::2], level + 1
    axes = [{"name": a, "type": "space"} for a in "yx"]
    about = [{"name": path.stem, "axes": axes, "datasets": sets}]
    root.attrs["ome"] = {"version": "0.5", "multiscales": about}


def memory(what: str) -> float:
    """Return the memory held, GB; see `kilobytes`."""
    return kilobytes(what) / 1e6


class Watch:
    """Looks at the bar and its line, and notes how long neither changed."""

    def __init__(self, widget: Any) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._widget = widget
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.look)
        self._shown: tuple[Any, ...] = ()
        self.begin()

    def begin(self) -> None:
        """Begin anew."""
        self.start = self._last = time.perf_counter()
        self.longest: dict[str, tuple[float, float]] = {}
        self.spent: dict[str, float] = {}
        self.peaks: dict[str, float] = {}
        self._stage, self._since = "Starting", self.start
        forget_peak()
        self._timer.start(LOOK_MS)

    def look(self) -> None:
        """Note what there is on the screen."""
        now = time.perf_counter()
        progress = self._widget.progress
        bar, text = progress.bar.native, progress.line.value
        moved = bar.value() * bar.width() // max(bar.maximum(), 1)
        shown = progress.visible, moved, bar.maximum() == 0, text
        stage = text.partition(":")[0].partition(" …")[0] or self._stage
        if shown != self._shown:
            gap = now - self._last, now - self.start
            self.longest[self._stage] = max(self.longest.get(self._stage, gap), gap)
            self._shown, self._last = shown, now
        if stage != self._stage:
            self.spent[self._stage] = self.spent.get(self._stage, 0) + now - self._since
            self.peaks[self._stage] = max(
                memory("VmHWM"), self.peaks.get(self._stage, 0)
            )
            forget_peak()
            self._stage, self._since = stage, now

    def end(self) -> None:
        """Look no more, and print what was seen."""
        self._timer.stop()
        now = time.perf_counter()
        self.spent[self._stage] = self.spent.get(self._stage, 0) + now - self._since
        self.peaks[self._stage] = max(memory("VmHWM"), self.peaks.get(self._stage, 0))
        print("| stage | s | still for at most, s | at, s | peak, GB |")
        print("|---|---|---|---|---|")
        for stage, spent in self.spent.items():
            gap, at = self.longest.get(stage, (0.0, 0.0))
            print(
                f"| {stage} | {spent:.1f} | {gap:.2f} | {at:.1f} | "
                f"{self.peaks[stage]:.2f} |",
                flush=True,
            )


class Session:
    """A window with the image, and the widget."""

    def __init__(self, image: Path | np.ndarray, output: Path) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        self.viewer = napari.Viewer(title="napari")
        self.viewer.window.resize(1500, 950)
        self.output = output
        _, self.widget = self.viewer.window.add_plugin_dock_widget(
            "napari-nucleiseg", "Segment nuclei"
        )
        self._process = QApplication.processEvents
        self.pump(1.0)
        print(f"window open: {memory('VmRSS'):.2f} GB")
        start = time.perf_counter()
        if isinstance(image, np.ndarray):
            (self.layer,) = [self.viewer.add_image(image, name="mosaic")]
        else:
            (self.layer,) = self.viewer.open(str(image), plugin="napari-nucleiseg")
        self.widget.inputs.output.value = output
        self.viewer.reset_view()
        self.pump(0.2)
        self.wait(lambda: self.widget.forecast.forecast is not None, 120)
        self.forecast_after = time.perf_counter() - start
        self.pump(0.5)
        print(f"image open: {memory('VmRSS'):.2f} GB, peak {memory('VmHWM'):.2f} GB")
        self.said("whole image")

    def said(self, what: str) -> None:
        """Print what the forecast says."""
        found = self.widget.forecast.forecast
        if found is None:
            print(f"forecast of the {what}: none")
            return
        stages = {name: round(s, 1) for name, s in found.stages.items()}
        print(
            f"forecast of the {what}: {found.seconds:.0f} s, "
            f"{found.megabytes:.0f} MB; {stages}; "
            f"{self.widget.forecast.text()!r} after {self.forecast_after:.1f} s",
            flush=True,
        )

    def pump(self, seconds: float) -> None:
        """Let the window work."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self._process()
            time.sleep(0.002)

    def wait(self, done: Any, seconds: float = PATIENCE) -> bool:
        """Let the window work until something has happened; return whether it has."""
        end = time.perf_counter() + seconds
        while not done():
            if time.perf_counter() > end:
                return False
            self._process()
            time.sleep(0.002)
        return True

    def run(self, what: str) -> None:
        """Press Segment and wait for the labels; print what was seen."""
        said = self.widget.forecast.forecast
        watch = Watch(self.widget)
        start = time.perf_counter()
        self.widget.run_button.click()
        self.wait(lambda: not self.widget.is_busy)
        self.pump(0.3)
        taken = time.perf_counter() - start - 0.3
        print(f"\n{what}: {self.widget.result_line.text()}")
        if said is not None:
            print(
                f"{what}: said {said.seconds:.1f} s, taken {taken:.1f} s, "
                f"{said.seconds / taken - 1:+.0%}"
            )
        watch.end()
        from napari.utils import resize_dask_cache

        cache = resize_dask_cache().cache
        print(
            f"afterwards: {memory('VmRSS'):.2f} GB, of which napari keeps "
            f"{cache.total_bytes / 1e9:.2f} GB of chunks",
            flush=True,
        )

    def cancel_in_stages(self) -> None:
        """Press Cancel in each stage; the next run goes on."""
        seen: set[str] = set()
        line = self.widget.progress.line
        for _ in range(12):
            self.widget.run_button.click()
            stage = ""

            def fresh() -> bool:
                nonlocal stage
                stage = line.value.partition(":")[0].partition(" …")[0]
                ended = not self.widget.is_busy
                return ended or (bool(stage) and stage not in seen)

            self.wait(fresh)
            if not self.widget.is_busy:
                break
            seen.add(stage)
            self.pump(0.7)
            start = time.perf_counter()
            self.widget.cancel()
            self.wait(lambda: not self.widget.is_busy, 60)
            print(f"Cancel in {stage!r}: {time.perf_counter() - start:.2f} s")
            self.pump(4.0)
            self.wait(lambda: self.widget.forecast.forecast is not None, 30)
            self.said("rest")

    def look_closely(self) -> None:
        """Show a part of the image pixel by pixel, away from its middle."""
        side = self.layer.data[0].shape if self.layer.multiscale else None
        side = side or self.layer.data.shape
        centre = [n * 0.4 for n in side[-2:]]
        self.viewer.scene.camera.zoom = 1.0
        self.viewer.scene.camera.center = (0.0, *centre)
        self.pump(2.0)
        print(f"the canvas has {tuple(self.viewer.canvas.size)} pixels")

    def time_sliders(self) -> None:
        """Move sliders; print how soon other labels are drawn in what is in view."""
        from napari.layers import Labels

        self.look_closely()
        (labels,) = [x for x in self.viewer.layers if isinstance(x, Labels)]
        canvas = self.viewer.window._qt_viewer.canvas._scene_canvas
        # When the layer had other labels, and when they were drawn.
        seen: dict[str, float] = {}

        def on_data(*_: object) -> None:
            seen.setdefault("labels", time.perf_counter())

        def on_draw(*_: object) -> None:
            if "labels" in seen:
                seen.setdefault("drawn", time.perf_counter())

        labels.events.set_data.connect(on_data)
        canvas.events.draw.connect(on_draw, position="last")
        form = self.widget
        print("\n| slider | shown after, s, each move | all after, s |")
        print("|---|---|---|")
        for name, values in MOVES.items():
            home = form.form if name in _names(form.form) else form.more_form
            before, shown, whole = home[name].value, [], []
            for value in values:
                self.pump(0.5)
                seen.clear()
                start = time.perf_counter()
                home[name].value = value
                was_drawn = self.wait(lambda: "drawn" in seen, 20)
                shown.append(f"{seen['drawn'] - start:.2f}" if was_drawn else "-")
                self.wait(lambda: not form.is_running, 300)
                whole.append(f"{time.perf_counter() - start:.1f}")
            home[name].value = before
            self.pump(0.3)
            self.wait(lambda: not form.is_running, 300)
            print(f"| {name} | {', '.join(shown)} | {', '.join(whole)} |", flush=True)


def _names(form: Any) -> list[str]:
    return [each.name for each in form]


def main() -> None:
    """Do what is asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192, help="pixels")
    parser.add_argument("--sample", default="crowded", help="what is repeated")
    parser.add_argument("--files", nargs="*", type=Path, default=[], help="instead")
    parser.add_argument("--diameter", type=float, help="resize nuclei to it, pixels")
    parser.add_argument("--folder", type=Path, help="where images are kept for reuse")
    parser.add_argument("--in-memory", action="store_true", help="no file")
    for name in ("view", "cancel", "sliders", "no-run"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.write:
        part = mosaic_part(args.files, args.sample, args.diameter)
        write_zarr(args.write, part, args.side)
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("NAPARI_CONFIG", f"{folder}/napari.yaml")
        home = args.folder or Path(folder)
        what = args.files[0].stem[:12] if args.files else args.sample
        name = f"{what}-{args.side}-{args.diameter or 'own'}.zarr"
        path = home / name
        if not path.exists():
            # In another process: this one's memory is measured.
            command = [sys.executable, *sys.argv, "--write", str(path)]
            subprocess.run(command, check=True)
        image: Any = path
        if args.in_memory:
            import zarr

            image = np.asarray(zarr.open_array(str(path / "0"), mode="r"))
        print(f"\n## {name}{', in memory' if args.in_memory else ''}")
        session = Session(image, Path(folder) / "out.zarr")
        if args.view:
            session.look_closely()
            session.widget.inputs.place.value = "view"
            session.pump(2.0)
            session.said("part in view")
            session.run("what is in view")
            session.widget.inputs.place.value = "whole"
            session.pump(2.0)
        if args.cancel:
            session.cancel_in_stages()
        if not args.no_run:
            session.run("the rest" if args.cancel else "the whole image")
        if args.sliders:
            session.time_sliders()
        session.viewer.close()


if __name__ == "__main__":
    main()
