"""Make what runs of the built-in model, in float32 and in int8, from its Keras network.

    python scripts/export_networks.py --data FOLDER [FOLDER ...]

The ranges that the latter quantises by are those on the data sets' train images of
every kind, as `segment()` shows them to the network. Run it again whenever the weights
have changed; it writes the new files' hashes into the model's card.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from napari_nucleiseg import segment
from napari_nucleiseg.models import predictor
from napari_nucleiseg.models.card import CARD_FILE
from napari_nucleiseg.models.registry import (
    INT8_FILE,
    RUN_FILE,
    TRAIN_FILE,
    file_hash,
    find_model,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from images import TestImage, list_images

#: Images of each kind at most, and of other kinds; the side of the window, pixels.
MOST = {"fluo": 40, "NuInsSeg H&E": 30, "color": 25}
OTHERS, SIDE = 12, 256


def record(folders: list[Path]) -> np.ndarray:
    """Return a window of what the network sees of some train images of every kind."""
    kinds: dict[str, list[TestImage]] = {}
    for folder in folders:
        for image in list_images(folder, "train"):
            kinds.setdefault(image.kind, []).append(image)
    seen: list[np.ndarray] = []
    predict = predictor.LitePredictor.predict

    def watched(self: predictor.LitePredictor, tile: np.ndarray) -> np.ndarray:
        seen.append(tile)
        return predict(self, tile)

    predictor.LitePredictor.predict = watched  # type: ignore[method-assign]
    rng, tiles = np.random.default_rng(0), []
    for kind, images in kinds.items():
        for index in rng.permutation(len(images))[: MOST.get(kind, OTHERS)]:
            segment(images[index].read()[0], engine="float32")
            tile = seen[-1][0]
            seen.clear()
            y, x = (
                int(rng.integers(max(side - SIDE, 0) + 1)) for side in tile.shape[:2]
            )
            window = tile[y : y + SIDE, x : x + SIDE]
            short = [(0, SIDE - side) for side in window.shape[:2]]
            mode = "reflect" if min(window.shape[:2]) > SIDE // 2 else "symmetric"
            tiles.append(np.pad(window, [*short, (0, 0)], mode=mode))
    return np.stack(tiles).astype(np.float16).astype(np.float32)


def main() -> None:
    """Make it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    args = parser.parse_args()
    tiles = record(args.data)
    import keras

    from napari_nucleiseg.networks.export import to_int8, to_lite

    model = find_model()
    network = keras.models.load_model(model.folder / TRAIN_FILE, compile=False)
    made = {RUN_FILE: to_lite(network), INT8_FILE: to_int8(network, tiles)}
    for name, content in made.items():
        (model.folder / name).write_bytes(content)
    files = model.card.files | {name: file_hash(model.folder / name) for name in made}
    card = model.card.replace(files=files).model_dump_json()
    (model.folder / CARD_FILE).write_text(card, encoding="utf-8")
    print(
        f"{len(tiles)} tiles;",
        *(f"{n}: {len(c) / 1e6:.1f} MB" for n, c in made.items()),
    )


if __name__ == "__main__":
    main()
