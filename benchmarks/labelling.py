"""What it is worth to label the regions that are proposed, rather than any.

    python benchmarks/labelling.py --pairs FOLDER [--model NAME|FOLDER]
        [--regions 1 2 4 8] [--pool N] [--test N] [--seeds N] [--epochs N] [--steps N]
        [--json FILE] [--docs docs/training.md]

Of a folder of X_image.tif and X_labels.tif, every second image may be labelled, and the
others, which are never learnt from, are scored. Regions of about 25 nuclei are taken in
two ways: as they are proposed, after each training by the model that came of it, and at
random. In a region all true labels are known, outside none. After so many regions the
model is trained on all of them, from the start, as a project is.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from images import read_numbered
from napari_nucleiseg.core.labels.annotations import known_inside, known_nuclei
from napari_nucleiseg.core.labels.pairs import Pair
from napari_nucleiseg.core.labels.proposing import NUCLEI, look_at, propose
from napari_nucleiseg.core.params import TrainParams
from napari_nucleiseg.core.score.matching import score_image
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import DEFAULT_MODEL
from napari_nucleiseg.models.segmenting import segment
from napari_nucleiseg.training.process import TrainingProcess
from napari_nucleiseg.training.run import prepare
from napari_nucleiseg.training.run_folder import Order
from report import markdown, put

Images = list[tuple[str, np.ndarray, np.ndarray]]


@dataclass
class Labelled:
    """The images of the pool, and what of each is labelled so far."""

    images: Images
    known: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with nothing known."""
        self.known = [np.zeros(labels.shape, bool) for _, _, labels in self.images]

    def add(self, index: int, box: tuple[slice, slice]) -> None:
        """Label all nuclei in a region of an image."""
        region = np.zeros(self.known[index].shape, bool)
        region[box] = True
        self.known[index] |= known_inside(self.images[index][2], region)

    def pairs(self) -> list[Pair]:
        """Return what can be learnt from."""
        return [
            Pair(image, labels, name, known=known)
            for (name, image, labels), known in zip(
                self.images, self.known, strict=True
            )
            if known.any()
        ]


#: Given what is labelled, the model, how many regions and a seed, labels these.
Way = Callable[[Labelled, str, int, int], None]


def as_proposed(labelled: Labelled, model: str, count: int, seed: int) -> None:
    """Label the regions that are proposed, which differ from each other."""
    predictor = load_model(model)
    looks = [
        look_at(
            image if image.ndim == 3 else image[..., None],
            predictor,
            before=None if model == DEFAULT_MODEL else load_model(DEFAULT_MODEL),
            known=known,
        )
        for (_, image, _), known in zip(labelled.images, labelled.known, strict=True)
    ]
    for region in propose(looks, labelled.pairs(), most=count):
        labelled.add(region.index, region.box)


def at_random(labelled: Labelled, model: str, count: int, seed: int) -> None:
    """Label regions of as many nuclei anywhere, but not what is labelled already."""
    rng = np.random.default_rng(seed + 1000 * sum(map(np.any, labelled.known)))
    for _ in range(count):
        for _ in range(100):
            index = int(rng.integers(len(labelled.images)))
            labels = labelled.images[index][2]
            nuclei = max(np.unique(labels).size - 1, 1)
            side = round((labels.size * NUCLEI / nuclei) ** 0.5)
            side = min(side, *labels.shape)
            top, left = (int(rng.integers(n - side + 1)) for n in labels.shape)
            box = (slice(top, top + side), slice(left, left + side))
            if labelled.known[index][box].mean() < 0.2 and labels[box].any():
                labelled.add(index, box)
                break


WAYS: dict[str, Way] = {"as proposed": as_proposed, "at random": at_random}


def train(pairs: list[Pair], output: Path, model: str, params: TrainParams) -> None:
    """Train in a process of its own; keep what comes of it, better or not."""
    order = Order(name=output.name, params=params, base=model, keep_always=True)
    process = TrainingProcess(prepare(pairs, None, output, order))
    try:
        process.wait()
    finally:
        process.kill()


def score(model: str, images: Images) -> float:
    """Return the mean AP at IoU 0.5 on images."""
    scores = [
        score_image(labels, segment(image, model).labels).average_precision(0.5)
        for _, image, labels in images
    ]
    return float(np.mean(scores))


def main() -> None:
    """Print the table; write it down where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--regions", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--pool", type=int, help="use so many images to label at most")
    parser.add_argument("--test", type=int, help="score so many images at most")
    parser.add_argument("--crop", type=int, help="use this many pixels of each side")
    parser.add_argument("--seeds", type=int, default=1, help="of regions at random")
    parser.add_argument("--epochs", type=int, help="instead of the default")
    parser.add_argument("--steps", type=int, help="an epoch, instead of the default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    given = {"epochs": args.epochs, "steps_per_epoch": args.steps}
    params = TrainParams(**{k: v for k, v in given.items() if v is not None})
    cut = np.s_[: args.crop, : args.crop]
    images = [
        (name, image[cut], labels[cut])
        for name, image, labels in read_numbered(args.pairs)
    ]
    pool, test = images[::2][: args.pool], images[1::2][: args.test]
    before = score(args.model, test)
    print(f"{len(pool)} images to label, {len(test)} scored; before {before:.3f}")
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for way, label in WAYS.items():
            for seed in range(1 if way == "as proposed" else args.seeds):
                labelled, model, had = Labelled(pool), args.model, 0
                for count in sorted(args.regions):
                    label(labelled, model, count - had, seed)
                    had = count
                    pairs = labelled.pairs()
                    nuclei = sum(known_nuclei(pair).size for pair in pairs)
                    output = Path(folder) / f"taught-{len(rows)}"
                    train(pairs, output, args.model, params)
                    model = str(output)
                    ap = score(model, test)
                    rows.append([way, seed, count, nuclei, ap, ap - before])
                    print(*rows[-1], flush=True)
    header = ["regions", "seed", "how many", "nuclei", "AP@0.5", "gain"]
    text = markdown(header, rows)
    print(f"\n{text}")
    if args.json:
        record = {"before": before, "rows": rows}
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if args.docs:
        put(args.docs, "labelling", text)


if __name__ == "__main__":
    main()
