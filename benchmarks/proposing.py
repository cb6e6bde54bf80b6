"""How many errors there are where labelling is proposed, beside regions at random.

    python benchmarks/proposing.py
        --pairs FOLDER [--only 07 08 …] | --data FOLDER --field NAME [--split test]
        [--crop N] [--most N] [--regions N]

What the built-in model gets wrong in each region of about 25 nuclei is counted, as the
nuclei that somebody who knows the truth deletes and draws. So many regions are then
chosen as they are proposed; by the expected number of wrong nuclei alone, which is one
part of that; and by the errors themselves, which nobody can know. Errors and nuclei in
them are told as multiples of those in regions at random.
"""

import argparse

import numpy as np

from labelling import Images, add_source, corrections, read_images
from napari_nucleiseg.core.labels import proposing
from napari_nucleiseg.core.labels.annotations import known_inside
from napari_nucleiseg.core.labels.proposing import Look, Region, look_at
from napari_nucleiseg.models.predictor import load_model
from napari_nucleiseg.models.registry import DEFAULT_MODEL
from report import markdown

#: Draws of regions at random that are averaged.
DRAWS = 300


#: Where a region is: the image, its first row and its first column.
Place = tuple[int, int, int]


def place_of(region: Region) -> Place:
    """Return where a region is."""
    return region.index, region.top, region.left


def truths(
    images: Images, looks: list[Look]
) -> tuple[list[Region], dict[Place, tuple[int, int, float]]]:
    """Return all regions, and of each: errors, nuclei, expected errors."""
    regions, found = [], {}
    for index, ((_, _, labels), look) in enumerate(zip(images, looks, strict=True)):
        expected, _ = proposing._doubts(look)
        for region in proposing._divide(index, look, proposing.NUCLEI):
            inside = np.zeros(labels.shape, bool)
            inside[region.box] = True
            known = known_inside(labels, inside)
            if known.any():
                wrong = corrections(labels, look.labels, known)
                nuclei = np.unique(labels[known]).size - 1
                expect = float(expected[region.box].sum())
                regions.append(region)
                found[place_of(region)] = wrong, nuclei, expect
    return regions, found


def choose(regions: list[Region], scores: np.ndarray, most: int) -> list[Region]:
    """Return the regions of the highest scores that hardly overlap."""
    chosen: list[Region] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(
            proposing._shared(regions[i], other) < proposing._SHARED for other in chosen
        ):
            chosen.append(regions[i])
        if len(chosen) == most:
            break
    return chosen


def main() -> None:
    """Print a row for each way of choosing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_source(parser, required=True)
    parser.add_argument("--most", type=int, default=14, help="images")
    parser.add_argument("--regions", type=int, default=8)
    args = parser.parse_args()
    images = read_images(args)[: args.most]
    predictor = load_model(DEFAULT_MODEL)
    looks = [
        look_at(image if image.ndim == 3 else image[..., None], predictor)
        for _, image, _ in images
    ]
    regions, true = truths(images, looks)
    columns = np.array(list(true.values()), float).T
    proposed = proposing.propose(looks, most=args.regions)
    rng = np.random.default_rng(0)
    drawn = [
        choose(regions, rng.random(len(regions)), args.regions) for _ in range(DRAWS)
    ]

    def count(chosen: list[Region]) -> np.ndarray:
        return np.sum([true[place_of(one)][:2] for one in chosen], axis=0)

    random = np.mean([count(chosen) for chosen in drawn], axis=0)
    ways = {
        "as proposed": [one for one in proposed if place_of(one) in true],
        "by the expected number of errors": choose(regions, columns[2], args.regions),
        "by the errors": choose(regions, columns[0], args.regions),
    }
    rows = [
        [name, *(f"{x:.2f}" for x in count(chosen) / random)]
        for name, chosen in ways.items()
    ]
    print(f"{len(images)} images, {len(regions)} regions")
    print(f"{args.regions} at random: {random[0]:.1f} errors, {random[1]:.1f} nuclei\n")
    print(markdown(["regions chosen", "errors", "nuclei"], rows))


if __name__ == "__main__":
    main()
