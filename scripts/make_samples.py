"""Cut the packaged sample images from DSB2018: `make_samples.py DSB2018_FOLDER`.

All are from the `test` split, so that what the bundled model shows on them is what it
does on images it was not trained on.
"""

import sys
from pathlib import Path

import numpy as np
import tifffile
from skimage.segmentation import relabel_sequential

OUT = Path(__file__).parents[1] / "src" / "napari_nucleiseg" / "samples"

#: Sample name to the first letters of its images' ids; several become a stack.
SAMPLES = {
    "crowded": ["700afb"],
    "small": ["c75139"],
    "large": ["7d40ea"],
    "tissue": ["65c852"],
    "smear": ["091944"],
    "fields": ["a9d884", "b8fdc0", "bb481e", "d827a7"],
}

#: Part taken of an image, to keep the package small.
CROPS = {"smear": (slice(300, 812), slice(200, 840))}


def read(folder: Path, kind: str, start: str) -> np.ndarray:
    """Read the one file in a folder whose name starts so."""
    (path,) = (folder / kind).glob(f"{start}*.tif")
    return tifffile.imread(path)


def main() -> None:
    """Write an image and a labels file for each sample."""
    source = Path(sys.argv[1])
    for name, starts in SAMPLES.items():
        for kind, suffix in (("images", ""), ("masks", "_labels")):
            planes = [read(source, kind, start) for start in starts]
            data = np.stack(planes) if len(planes) > 1 else planes[0]
            data = data[CROPS.get(name, ())]
            if kind == "masks" and name in CROPS:
                data = relabel_sequential(data)[0]
            tifffile.imwrite(
                OUT / f"{name}{suffix}.tif",
                data,
                compression="zlib",
                compressionargs={"level": 9},
                predictor=data.dtype.kind == "u" and suffix == "",
                photometric="rgb"
                if data.ndim == 3 and data.shape[-1] == 3
                else "minisblack",
                metadata=None,
            )


if __name__ == "__main__":
    main()
