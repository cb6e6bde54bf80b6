"""Time and memory of large images: by blocks from file to file, and in one piece.

    python benchmarks/scale.py 2048 4096

Each run is a process of its own. Memory is how far the peak resident memory rises above
what the process takes with the network loaded, and in one piece the image. Time is that
of the clock, and that of the processors, which other work on the machine changes less.
With `--without-network` brightness stands for the network's maps: what is left is the
time and memory of all else. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from memory import kilobytes
from napari_nucleiseg.core.segment.pipeline import segment
from napari_nucleiseg.io.lazy_images import open_image
from napari_nucleiseg.io.sample_data import load_sample
from napari_nucleiseg.models.by_block import segment_blocks
from napari_nucleiseg.models.finishing import finish
from napari_nucleiseg.models.predictor import LitePredictor, load_model
from napari_nucleiseg.models.registry import find_model


class Brightness(LitePredictor):
    """What is bright is a nucleus, the deeper the brighter."""

    def predict(self, tiles: np.ndarray) -> np.ndarray:
        """Return maps as the network does."""
        bright = tiles.mean(axis=-1)
        empty = np.zeros_like(bright)
        maps = [bright > 0.3, bright, empty, empty + 0.5]
        return np.stack(maps, axis=-1).astype(np.float32)


def write_mosaic(path: Path, side: int) -> None:
    """Write a square image of a dense sample, turned and repeated, as tiled TIFF."""
    part = load_sample("crowded").image
    row = np.concatenate([part, part[:, ::-1]], axis=1)
    both = np.concatenate([row, row[::-1]])
    times = [-(-side // n) for n in both.shape]
    image = np.tile(both, times)[:side, :side]
    tifffile.imwrite(path, image, tile=(512, 512), bigtiff=True)


def memory(what: str) -> float:
    """Return the memory held, MB; see `kilobytes`."""
    return kilobytes(what) / 1e3


def run_one(path: Path, way: str, network: bool) -> dict[str, float]:
    """Segment the image; return seconds, MB and nuclei."""
    model = load_model() if network else Brightness(find_model("nuclei"))
    image = tifffile.imread(path) if way == "piece" else None
    before, start = memory("VmRSS"), time.perf_counter()
    worked = time.process_time()
    if image is not None:
        count = segment(image, model).count
    else:
        lazy, out = open_image(path), path.with_suffix(".zarr")
        segment_blocks(lazy, out, model)
        count = sum(finish(out).counts)
        lazy.close()
    return {
        "seconds": time.perf_counter() - start,
        "worked": time.process_time() - worked,
        "MB": memory("VmHWM") - before,
        "nuclei": count,
    }


def main() -> None:
    """Run each size both ways, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sides", nargs="+", type=int)
    parser.add_argument("--only", choices=["blocks", "piece"])
    parser.add_argument("--without-network", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        found = run_one(Path(args.child), args.only, not args.without_network)
        print(json.dumps(found))
        return
    print("| side, px | way | s | processor s | per Mpx | MB | nuclei |")
    print("|---|---|---|---|---|---|---|")
    for side in args.sides:
        for way in [args.only] if args.only else ["blocks", "piece"]:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "mosaic.tif"
                write_mosaic(path, side)
                command = [sys.executable, __file__, str(side), "--child", str(path)]
                command += ["--without-network"] if args.without_network else []
                done = subprocess.run(
                    [*command, "--only", way],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"| {side:,} | {way} | {found['seconds']:.0f} | "
                f"{found['worked']:.0f} | {found['worked'] / side**2 * 1e6:.2f} | "
                f"{found['MB']:.0f} | "
                f"{found['nuclei']:,} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
