"""How much a model loses when an image comes in another size, contrast or stain.

    python benchmarks/robustness.py --data DSB2018_FOLDER [--model NAME|FOLDER]
        [--split test] [--limit N] [--only NAME ...] [--json FILE]
        [--docs docs/accuracy.md]

Every image is segmented as it is and in every variation, with the defaults, and the AP
at IoU 0.5 compared on the same images. The seeds are fixed: the same figures each time.
"""

import argparse
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.ndimage as ndi
from skimage import color, transform

from images import KINDS, TestImage, list_images, thin
from napari_nucleiseg.core.labels.pairs import median_diameter
from napari_nucleiseg.core.score.matching import ImageScore, score_image
from napari_nucleiseg.models.registry import DEFAULT_MODEL
from napari_nucleiseg.models.segmenting import segment
from report import markdown, put

#: Images whose typical nucleus would leave these limits (pixels) are left aside, and
#: so are those that would have more than so many pixels.
SMALLEST, LARGEST, MOST_PIXELS = 6.0, 150.0, 17e6

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Variation:
    """One way an image may differ from the one the model was measured on.

    Parameters
    ----------
    name : str
        For the table.
    change : callable
        ``change(image, rng)`` returns the image as it would come; the image is
        uint8, ``(y, x)`` or ``(y, x, 3)``.
    size : float
        What its sides are multiplied by.
    kinds : tuple of str
        Kinds of image it makes sense for.
    """

    name: str
    change: Change
    size: float = 1.0
    kinds: tuple[str, ...] = KINDS


def _rescale(size: float) -> Change:
    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        shape = scaled_shape(image, size)
        out = transform.resize(
            image,
            (*shape, *image.shape[2:]),
            order=3 if size > 1 else 1,
            anti_aliasing=size < 1,
            preserve_range=True,
        )
        return to_uint8(out)

    return change


def _stretch(highest: int) -> Change:
    """Return a change to uint16 that uses values up to `highest` only."""
    return lambda image, rng: np.round(image * (highest / 255)).astype(np.uint16)


def _gamma(power: float) -> Change:
    return lambda image, rng: to_uint8(255 * (image / 255) ** power)


def _shade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let the light fall off to three tenths from one corner to the other."""
    y, x = (np.linspace(0, 1, n) for n in image.shape[:2])
    light = 1 - 0.7 * (y[:, None] + x[None]) / 2
    return to_uint8(image * (light if image.ndim == 2 else light[..., None]))


def _noise(share: float) -> Change:
    """Return a change that adds normal noise, a share of the image's own range."""

    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = np.percentile(image, (1, 99.9))
        spread = share * max(high - low, 1)
        # Room at the bottom, so that a dark background's noise is not cut off.
        raised = image + 3 * spread
        noisy = raised + rng.normal(0, spread, image.shape)
        return np.clip(np.round(noisy * 64), 0, 65535).astype(np.uint16)

    return change


def _blur(sigma: float) -> Change:
    return lambda image, rng: to_uint8(
        ndi.gaussian_filter(
            image.astype(float), (sigma, sigma) + (0,) * (image.ndim - 2)
        )
    )


def _stain(hematoxylin: float, eosin: float) -> Change:
    """Return a change of how strongly tissue took up its two stains."""

    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        stains = color.rgb2hed(image)
        stains[..., 0] *= hematoxylin
        stains[..., 1] *= eosin
        return to_uint8(255 * color.hed2rgb(stains))

    return change


def _brown(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give hematoxylin the colour of DAB: brown nuclei, as in antibody stains."""
    stains = color.rgb2hed(image)
    stains[..., [0, 2]] = stains[..., [2, 0]]
    return to_uint8(255 * color.hed2rgb(stains))


def _turn_hue(turn: float) -> Change:
    def change(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        hsv = color.rgb2hsv(image)
        hsv[..., 0] = (hsv[..., 0] + turn) % 1
        return to_uint8(255 * color.hsv2rgb(hsv))

    return change


TISSUE = ("color",)

VARIATIONS = (
    Variation("size × 0.5", _rescale(0.5), size=0.5),
    Variation("size × 2", _rescale(2.0), size=2.0),
    Variation("size × 4", _rescale(4.0), size=4.0),
    Variation("inverted", lambda image, rng: 255 - image),
    Variation("dim: 1% of uint16's range", _stretch(655)),
    Variation("12 bits in uint16", _stretch(4095)),
    Variation("gamma 0.5", _gamma(0.5)),
    Variation("gamma 2", _gamma(2.0)),
    Variation("uneven light, down to 30%", _shade),
    Variation("noise, 5% of the range", _noise(0.05)),
    Variation("noise, 10% of the range", _noise(0.10)),
    Variation("blur, sigma 1 px", _blur(1.0)),
    Variation("blur, sigma 2 px", _blur(2.0)),
    Variation("hematoxylin × 0.6, eosin × 1.4", _stain(0.6, 1.4), kinds=TISSUE),
    Variation("hematoxylin × 1.4, eosin × 0.6", _stain(1.4, 0.6), kinds=TISSUE),
    Variation("hues turned by +30°", _turn_hue(30 / 360), kinds=TISSUE),
    Variation("hues turned by -30°", _turn_hue(-30 / 360), kinds=TISSUE),
    Variation("brown instead of blue nuclei", _brown, kinds=TISSUE),
)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Return values rounded and cut to uint8."""
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def scaled_shape(image: np.ndarray, size: float) -> tuple[int, int]:
    """Return ``(y, x)`` of an image whose sides are multiplied by `size`."""
    y, x = (max(1, round(side * size)) for side in image.shape[:2])
    return y, x


def scale_labels(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return labels of another shape: each pixel takes the nearest one's."""
    rows, cols = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for old, new in zip(labels.shape, shape, strict=True)
    )
    return labels[np.ix_(rows, cols)]


def why_aside(labels: np.ndarray, size: float) -> str:
    """Return why an image is left aside at a size; empty if it is not."""
    if size == 1:
        return ""
    diameter = size * median_diameter(labels)
    if diameter < SMALLEST:
        return f"nuclei under {SMALLEST:g} px"
    if diameter > LARGEST:
        return f"nuclei over {LARGEST:g} px"
    if labels.size * size**2 > MOST_PIXELS:
        return f"over {MOST_PIXELS / 1e6:g} megapixels"
    return ""


def score(image: np.ndarray, truth: np.ndarray, model: str) -> ImageScore:
    """Segment with the defaults and score."""
    return score_image(truth, segment(image, model).labels)


def measure(
    images: list[TestImage], variations: list[Variation], model: str
) -> list[dict]:
    """Return one row for each variation and kind of image.

    Returns
    -------
    list of dict
        ``variation, kind, images, plain, changed, loss`` (AP at IoU 0.5, per-image
        mean), ``plain_mean, changed_mean`` (mean over IoU .5:.95) and ``aside``
        (reason to names).
    """
    pairs: dict[tuple[str, str], list[tuple[ImageScore, ImageScore]]] = {}
    aside: dict[tuple[str, str], dict[str, list[str]]] = {}
    for one in images:
        image, truth = one.read()
        plain = score(image, truth, model)
        for variation in variations:
            if one.kind not in variation.kinds:
                continue
            key = variation.name, one.kind
            why = why_aside(truth, variation.size)
            if why:
                aside.setdefault(key, {}).setdefault(why, []).append(one.name)
                continue
            # Its own numbers for each image: leaving others out changes none.
            seed = zlib.crc32(f"{one.name} {variation.name}".encode())
            changed = variation.change(image, np.random.default_rng(seed))
            labels = scale_labels(truth, changed.shape[:2])
            found = plain, score(changed, labels, model)
            pairs.setdefault(key, []).append(found)
    rows = []
    for variation in variations:
        for kind in variation.kinds:
            found = pairs.get((variation.name, kind), [])
            left = aside.get((variation.name, kind), {})
            if not found and not left:
                continue
            row = {"variation": variation.name, "kind": kind, "images": len(found)}
            for at, name in enumerate(("plain", "changed")):
                some = [pair[at] for pair in found]
                row[name] = _mean([s.average_precision(0.5) for s in some])
                row[f"{name}_mean"] = _mean([s.mean_average_precision() for s in some])
            rows.append({**row, "loss": row["plain"] - row["changed"], "aside": left})
    return rows


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def count_in_nothing(model: str) -> dict[str, int]:
    """Return how many nuclei are found in images that hold none."""
    rng = np.random.default_rng(0)
    shape = (512, 512)
    empty = {
        "black, uint8": np.zeros(shape, np.uint8),
        "grey 100, uint8": np.full(shape, 100, np.uint8),
        "white RGB": np.full((*shape, 3), 255, np.uint8),
        "normal noise, uint8": to_uint8(rng.normal(100, 10, shape)),
        "Poisson noise of mean 3": rng.poisson(3, shape).astype(np.uint16),
        "uniform noise, uint16": rng.integers(0, 65536, shape).astype(np.uint16),
        "noise on a slope": to_uint8(
            np.linspace(40, 160, shape[1])[None] + rng.normal(0, 4, shape)
        ),
        "noise, RGB": rng.integers(0, 256, (*shape, 3)).astype(np.uint8),
        "a few hot pixels": np.where(rng.random(shape) < 1e-4, 255, 8).astype(np.uint8),
    }
    return {name: segment(image, model).count for name, image in empty.items()}


FIRST = ("variation", "kind", "images")


def table(rows: list[dict]) -> str:
    """Return the rows as a Markdown table, and below it what was left aside."""
    names = ("plain", "changed", "loss", "plain_mean", "changed_mean")
    header = ["variation", "kind", "images", "AP@0.5 as it is", "changed", "loss"]
    header += ["mean .5:.95 as it is", "changed"]
    lines = [markdown(header, [[row[n] for n in FIRST + names] for row in rows]), ""]
    for row in rows:
        lines += [
            f"- {row['variation']}, {row['kind']}: {len(left)} left aside ({why}): "
            + ", ".join(name[:8] for name in left)
            for why, left in row["aside"].items()
        ]
    return "\n".join(lines)


def main() -> None:
    """Print the tables; write them down where asked."""
    names = [variation.name for variation in VARIATIONS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, help="evenly spaced images, at most")
    parser.add_argument(
        "--only", nargs="+", metavar="TEXT", help="variations with this in their name"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    start = time.perf_counter()
    wanted = [
        variation
        for variation in VARIATIONS
        if args.only is None or any(text in variation.name for text in args.only)
    ]
    if not wanted:
        raise SystemExit(f"--only must be part of one of: {'; '.join(names)}.")
    images = thin(list_images(args.data, args.split), args.limit)
    rows = measure(images, wanted, args.model)
    counts = count_in_nothing(args.model)
    text = f"{table(rows)}\n\n" + markdown(
        ["an image of nothing, 512 × 512", "nuclei found"], list(counts.items())
    )
    print(f"{len(images)} images of the split {args.split}\n\n{text}")
    print(f"\n{time.perf_counter() - start:.0f} s")
    if args.json:
        record = {"rows": rows, "nothing": counts}
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if args.docs:
        put(args.docs, "robustness", text)


if __name__ == "__main__":
    main()
