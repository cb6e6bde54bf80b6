"""How long a nucleus takes to be measured, beside scikit-image's own function.

    python benchmarks/measuring.py [--nuclei N] [--channels N]

Copies of the packaged images, side by side, are measured with every property in so many
channels by `napari_nucleiseg.measure`, and by `regionprops_table` with the same
properties; the two take turns. The columns are compared to the last digit.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from skimage.measure import regionprops_table

from napari_nucleiseg import measure
from napari_nucleiseg.io.sample_data import load_sample

#: Our columns, and what scikit-image calls them.
SAME = {
    "centroid_y_um": "centroid-0",
    "centroid_x_um": "centroid-1",
    "area_um2": "area",
    "equivalent_diameter_um": "equivalent_diameter_area",
    "perimeter_um": "perimeter",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "orientation_rad": "orientation",
    "feret_diameter_um": "feret_diameter_max",
}
INTENSITIES = ("mean", "std", "min", "max")

#: Size of a pixel, µm.
SIZE = 0.325


def main() -> None:
    """Print milliseconds of processor time for a nucleus, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nuclei", type=int, default=1000)
    parser.add_argument("--channels", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for name in ("small", "crowded", "large"):
        sample = load_sample(name)
        copies = max(1, round(args.nuclei / sample.labels.max()))
        labels = np.concatenate(
            [
                np.where(sample.labels > 0, sample.labels + i * sample.labels.max(), 0)
                for i in range(copies)
            ]
        )
        image = np.concatenate([sample.image] * copies)
        ours, theirs = compare(labels, [image] * args.channels, args.rounds)
        count = len(np.unique(labels)) - 1
        print(
            f"{name:8} {count:5} nuclei: {ours:.2f} ms each, scikit-image "
            f"{theirs:.2f} ms, {theirs / ours:.1f} times"
        )


def compare(
    labels: np.ndarray, channels: list[np.ndarray], rounds: int
) -> tuple[float, float]:
    """Return the milliseconds that a nucleus takes here and there; the least count."""
    images = {f"c{i}": channel for i, channel in enumerate(channels)}
    shapes = ["centroid", *(x for x in SAME.values() if "-" not in x)]
    values = [f"intensity_{name}" for name in INTENSITIES]
    taken: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        start = time.process_time()
        found = measure(labels, images, scale=SIZE)
        taken["ours"].append(time.process_time() - start)
        start = time.process_time()
        size = {"spacing": (SIZE, SIZE)}
        known = regionprops_table(labels, properties=shapes, **size)
        for i, channel in enumerate(channels):
            more = regionprops_table(labels, channel, properties=values, **size)
            known |= {f"{name}-{i}": column for name, column in more.items()}
        taken["theirs"].append(time.process_time() - start)
    pairs = dict(SAME)
    for i in range(len(channels)):
        pairs |= {f"{x}_c{i}": f"intensity_{x}-{i}" for x in INTENSITIES}
    for own, other in pairs.items():
        if found[own].tolist() != known[other].tolist():
            raise SystemExit(f"{own} is not {other} to the last digit.")
    ours, theirs = (1000 * min(taken[x]) / len(found) for x in ("ours", "theirs"))
    return ours, theirs


if __name__ == "__main__":
    main()
