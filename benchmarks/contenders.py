"""What `speed.py` sets side by side, each in a process of its own.

    python benchmarks/contenders.py default|accurate|stardist [--model NAME|FOLDER]
    python benchmarks/contenders.py train-stardist --model FOLDER --data DSB2018_FOLDER
        --minutes M

Run by `speed.py`, with the Python that has what the contender needs. Each line that a
contender reads is JSON: the path of an image in NumPy's format, and where to write the
labels or null. It segments the image, and answers with a line of JSON. Memory is
counted from the end of the first image, a small one: all is loaded then.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from memory import forget_peak, kilobytes

#: Longest side of a tile that StarDist is given (pixels).
STARDIST_TILE = 1024

#: Steps of an epoch of StarDist's short training, and how many images its thresholds
#: are fitted on.
STEPS, FIT_ON = 50, 16

Segment = Callable[[np.ndarray], tuple[dict[str, Any], np.ndarray]]


def held(what: str) -> float:
    """Return the memory held, MB; see `kilobytes`."""
    return kilobytes(what) * 1024 / 1e6


def load_ours(model: str | None, *, accurate: bool) -> Segment:
    """Return a function that segments as a user would, and says where time went."""
    from napari_nucleiseg.models.predictor import load_model
    from napari_nucleiseg.models.registry import DEFAULT_MODEL
    from napari_nucleiseg.models.segmenting import segment

    model = model or DEFAULT_MODEL
    predictor = load_model(model)
    run = predictor.predict
    spent = {"network": 0.0, "seen": 0.0}

    def predict(tiles: np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        maps = run(tiles)
        spent["network"] += time.perf_counter() - start
        spent["seen"] += tiles[..., 0].size
        return maps

    predictor.predict = predict  # type: ignore[method-assign]

    class Watch:
        """Notes when the last stage, that from maps to labels, began."""

        began: float | None = None

        def report(self, progress: Any) -> None:
            if progress.stage == "Separating nuclei" and self.began is None:
                self.began = time.perf_counter()

        def should_stop(self) -> bool:
            return False

    def measure(image: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
        spent.update(network=0.0, seen=0.0)
        watch = Watch()
        found = segment(image, model, accurate=accurate, monitor=watch)
        figures = {
            "nuclei": found.count,
            "scale": found.scale,
            "separating": time.perf_counter() - (watch.began or time.perf_counter()),
            "network": spent["network"],
            "seen": spent["seen"] / image.size,
        }
        return figures, found.labels

    return measure


def load_stardist(folder: Path) -> Segment:
    """Return a function that segments as StarDist's examples do."""
    from csbdeep.utils import normalize
    from stardist.models import StarDist2D

    network = StarDist2D(None, name=folder.name, basedir=str(folder.parent))

    def measure(image: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
        tiles = tuple(-(-side // STARDIST_TILE) for side in image.shape)
        labels, found = network.predict_instances(
            normalize(image, 1, 99.8, axis=(0, 1)),
            n_tiles=tiles,
            show_tile_progress=False,
        )
        return {"nuclei": len(found["points"])}, labels

    return measure


def train_stardist(folder: Path, data: Path, minutes: float) -> None:
    """Train a StarDist model for some minutes, so that it finds what there is to find.

    Its figures are those of the published ``2D_versatile_fluo``: one channel, 32 rays,
    a grid of 2 × 2, all else the package's own default.
    """
    import keras
    from csbdeep.utils import normalize
    from stardist import fill_label_holes
    from stardist.models import Config2D, StarDist2D

    from images import list_images

    def read(split: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
        pairs = [one.read() for one in list_images(data, split) if one.kind == "fluo"]
        return (
            [normalize(image, 1, 99.8, axis=(0, 1)) for image, _ in pairs],
            [fill_label_holes(labels) for _, labels in pairs],
        )

    rng = np.random.default_rng(0)

    def vary(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        turns, flip = rng.integers(4), rng.integers(2)
        x, y = (np.rot90(part, turns)[:, :: 1 - 2 * flip] for part in (x, y))
        return x * rng.uniform(0.6, 2.0) + rng.uniform(-0.2, 0.2), y

    class UntilTime(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            if time.monotonic() > end:
                self.model.stop_training = True

    config = Config2D(
        n_rays=32,
        grid=(2, 2),
        n_channel_in=1,
        train_tensorboard=False,
        train_steps_per_epoch=STEPS,
        train_n_val_patches=FIT_ON,
    )
    part = folder.with_name(f"{folder.name}.part")
    network = StarDist2D(config, name=part.name, basedir=str(part.parent))
    network.prepare_for_training()
    network.callbacks.append(UntilTime())
    training, validation = read("train"), read("val")
    end = time.monotonic() + minutes * 60
    network.train(*training, validation_data=validation, augmenter=vary)
    network.optimize_thresholds(*(some[:FIT_ON] for some in validation))
    # Not before it is whole.
    part.rename(folder)


def serve(segment: Segment, answer: Callable[[dict[str, Any]], None]) -> None:
    """Do one image for each line that comes in, the first to be ready."""
    segment(np.load(json.loads(sys.stdin.readline())[0]))
    can_measure = forget_peak()
    ready = held("VmRSS")
    answer({"ready": ready})
    for line in sys.stdin:
        path, wanted = json.loads(line)
        image = np.load(path)
        start, used = time.perf_counter(), time.process_time()
        figures, labels = segment(image)
        figures["seconds"] = time.perf_counter() - start
        figures["core"] = time.process_time() - used
        # The highest so far: of all images of this size.
        peak = held("VmHWM") - ready - image.nbytes / 1e6
        if wanted is not None:
            np.save(wanted, labels)
        answer({**figures, "peak": peak if can_measure else float("nan")})


def main() -> None:
    """Be one of the contenders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("default", "accurate", "stardist", "train-stardist")
    parser.add_argument("name", choices=names)
    parser.add_argument("--model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--minutes", type=float)
    args = parser.parse_args()
    # What libraries print must not come between the answers.
    out, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    os.dup2(2, 1)

    def answer(figures: dict[str, Any]) -> None:
        print(json.dumps(figures), file=out, flush=True)

    if args.name == "train-stardist":
        train_stardist(Path(args.model), args.data, args.minutes)
    elif args.name == "stardist":
        serve(load_stardist(Path(args.model)), answer)
    else:
        serve(load_ours(args.model, accurate=args.name == "accurate"), answer)


if __name__ == "__main__":
    main()
