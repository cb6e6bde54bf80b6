"""Time and score the engines that a model can run on, on this computer.

    python benchmarks/engines.py [--data FOLDER ...] [--docs docs/runtime.md]

float32 and int8 take turns on the same pictures, round after round, so that what else
the computer does meets both: the network alone on one tile, and `segment()` on mosaics
of the packaged images, with the memory that it takes besides what is there already.
`--data` scores both on the `val` split of data sets, with all else as users get it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from images import list_images
from memory import kilobytes
from napari_nucleiseg import segment
from napari_nucleiseg.core.score.matching import score_image, summarise
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.engines import ProcessorNetwork, processor_name, time_share
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import INT8_FILE, RUN_FILE, find_model
from report import markdown, put

ENGINES = {"float32": RUN_FILE, "int8": INT8_FILE}
TILES, SIDES, ROUNDS = (256, 512, 1024), (512, 1024, 2048), 5


def mosaic(side: int) -> np.ndarray:
    """Return a real image, repeated to ``(side, side)`` uint8."""
    sample = load_sample("large").image
    return np.tile(sample, [-(-side // length) for length in sample.shape])[
        :side, :side
    ]


def time_tiles() -> list[list[object]]:
    """Return a row a tile: seconds for a million pixels, and int8's share."""
    model, rows = find_model(), []
    for threads in sorted({1, os.cpu_count() or 1}):
        for side in TILES:
            picture = np.repeat(mosaic(side)[None, ..., None] / np.float32(255), 3, -1)
            running = {
                engine: ProcessorNetwork(model.folder / file, picture.shape, threads)
                for engine, file in ENGINES.items()
            }
            taken: dict[str, list[float]] = {engine: [] for engine in ENGINES}
            for _ in range(ROUNDS + 1):
                for engine, network in running.items():
                    start = time.perf_counter()
                    network.run(picture)
                    taken[engine].append(time.perf_counter() - start)
            each = [statistics.median(x[1:]) / side**2 * 1e6 for x in taken.values()]
            rows.append([f"{side}²", threads, *each, each[1] / each[0]])
    return rows


def time_images() -> list[list[object]]:
    """Return a row an image: seconds of `segment()`, and the memory it takes."""
    rows = []
    for engine in ENGINES:
        load_model(engine=engine)  # type: ignore[arg-type]
    for side in SIDES:
        image = mosaic(side)
        taken: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for _ in range(3):
            for engine in ENGINES:
                start = time.perf_counter()
                segment(image, engine=engine)
                taken[engine].append(time.perf_counter() - start)
        each = [statistics.median(x) for x in taken.values()]
        peaks = [peak(side, engine) / (side**2 / 1e6) for engine in ENGINES]
        row = [f"{side**2 / 1e6:.2f}", *each, each[1] / each[0]]
        rows.append([*row, *(f"{x:.0f}" for x in peaks)])
    return rows


def peak(side: int, engine: str) -> float:
    """Return the MB that `segment()` takes at most, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--peak", str(side), "--engine", engine],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


def tell_peak(side: int, engine: str) -> None:
    """Print the memory that an image takes besides what a small one has taken."""
    image = mosaic(side)
    segment(image[:64, :64], engine=engine)
    before = kilobytes("VmHWM")
    segment(image, engine=engine)
    print((kilobytes("VmHWM") - before) / 1024)


def score(folders: list[Path]) -> list[list[object]]:
    """Return a row a data set and engine: AP on its `val` split, per-image mean."""
    rows = []
    for folder in folders:
        images = [one.read() for one in list_images(folder, "val")]
        for engine in ENGINES:
            found = [
                score_image(truth, segment(image, engine=engine).labels)
                for image, truth in images
            ]
            mean = summarise(found)["per_image_mean"]
            row = [folder.name, engine, len(images), mean["AP"]["0.50"]]
            rows.append([*row, mean["AP"]["0.75"], mean["mean_AP"]])
    return rows


def main() -> None:
    """Time, score and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, default=[])
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        tell_peak(args.peak, args.engine)
        return
    about = f"{processor_name()}, {os.cpu_count()} threads; int8 takes "
    about += (
        f"{time_share(find_model()):.2f} of the processor's time that float32 takes."
    )
    header = ["tile", "threads", "float32, s/Mpx", "int8, s/Mpx", "int8 / float32"]
    tiles = markdown(header, time_tiles())
    header = ["megapixels", "float32, s", "int8, s", "int8 / float32"]
    header += ["float32, MB/Mpx", "int8, MB/Mpx"]
    images = markdown(header, time_images())
    text = f"{about}\n\n{tiles}\n\n{images}"
    if args.data:
        header = ["val of", "engine", "images", "AP@0.5", "@0.75", "mean .5:.95"]
        text += "\n\n" + markdown(header, score(args.data))
    print(text)
    if args.docs:
        put(args.docs, "engines", text)


if __name__ == "__main__":
    main()
