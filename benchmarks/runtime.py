"""Choose what runs the network: LiteRT or ONNX Runtime, in float32 or int8.

    python benchmarks/runtime.py --data DSB2018_FOLDER [--model NAME|FOLDER]

Builds every variant from the model's own Keras network (int8 is calibrated on patches
of the `train` split), times each in turn on the same tiles, round after round, so that
a change in the machine's speed meets all of them, and scores each on the `val` split.
Needs `tf2onnx`, `onnx` and `onnxruntime` beside the package.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from accuracy import figures
from napari_nucleiseg.core.score.matching import score_image
from napari_nucleiseg.core.segment import pipeline
from napari_nucleiseg.io.splits import read_split
from napari_nucleiseg.models.predictor import LitePredictor
from napari_nucleiseg.models.registry import DEFAULT_MODEL, find_model
from napari_nucleiseg.training.recipes import RECIPES
from napari_nucleiseg.training.sampler import PatchSampler
from napari_nucleiseg.training.saving import load_network

THREADS, TILE, ROUNDS = 2, 512, 9

Predict = Callable[[np.ndarray], np.ndarray]


def lite(content: bytes) -> Predict:
    """Return a function that runs a LiteRT model on one tile of any size."""
    interpreter = Interpreter(model_content=content, num_threads=THREADS)
    source = interpreter.get_input_details()[0]["index"]
    shape = None

    def predict(tiles: np.ndarray) -> np.ndarray:
        nonlocal shape
        if tiles.shape != shape:
            interpreter.resize_tensor_input(source, tiles.shape)
            interpreter.allocate_tensors()
            shape = tiles.shape
        interpreter.set_tensor(source, tiles)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return predict


def onnx(path: Path) -> Predict:
    """Return a function that runs an ONNX model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda tiles: session.run(None, {name: tiles})[0]


def build_variants(model: str, patches: np.ndarray, folder: Path) -> dict:
    """Return the variants by name, and the size of each in MB."""
    import onnxruntime.quantization as quantization
    import tf2onnx

    network = load_network(model)
    shape = (1, None, None, network.input_shape[-1])
    function = tf.function(lambda image: network(image, training=False))
    call = function.get_concrete_function(tf.TensorSpec(shape, tf.float32))

    def convert(**settings: object) -> bytes:
        converter = tf.lite.TFLiteConverter.from_concrete_functions([call])
        for name, value in settings.items():
            target = converter.target_spec if name.startswith("supp") else converter
            setattr(target, name, value)
        return bytes(converter.convert())

    def samples() -> Iterator[list[np.ndarray]]:
        for patch in patches:
            yield [patch[None]]

    smaller = [tf.lite.Optimize.DEFAULT]
    found: dict = {}
    for name, settings in {
        "LiteRT float32": {},
        "LiteRT float32, weights in half precision": {
            "optimizations": smaller,
            "supported_types": [tf.float16],
        },
        "LiteRT int8": {
            "optimizations": smaller,
            "representative_dataset": samples,
            "supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8],
        },
    }.items():
        content = convert(**settings)
        found[name] = (lite(content), len(content) / 1e6)
    proto, _ = tf2onnx.convert.from_keras(
        network, [tf.TensorSpec(shape, tf.float32, name="image")], opset=17
    )
    plain, small = folder / "network.onnx", folder / "network-int8.onnx"
    plain.write_bytes(proto.SerializeToString())
    found["ONNX Runtime float32"] = (onnx(plain), plain.stat().st_size / 1e6)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._rows = iter(patches)

        def get_next(self) -> dict | None:
            row = next(self._rows, None)
            return None if row is None else {proto.graph.input[0].name: row[None]}

    quantization.quantize_static(
        str(plain),
        str(small),
        Reader(),
        per_channel=True,
        weight_type=quantization.QuantType.QInt8,
    )
    found["ONNX Runtime int8"] = (onnx(small), small.stat().st_size / 1e6)
    return found


def score(predict: Predict, predictor: LitePredictor, pairs: list) -> dict:
    """Score a variant on a split, with all else as users get it."""
    predictor.predict = predict
    found = [
        score_image(
            pair.labels,
            pipeline.segment(pair.image, predictor).labels,
        )
        for pair in pairs
    ]
    return figures(found)["per_image_mean"]


def main() -> None:
    """Print one row a variant."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    args = parser.parse_args()
    shares = RECIPES["nuclei"].stages[0].shares
    sampler = PatchSampler(
        read_split(args.data, "train", shares), patch_size=256, augmentation=0.3
    )
    patches = sampler.batch(64, 0)[0]
    pairs = read_split(args.data, "val", shares)
    with tempfile.TemporaryDirectory() as folder:
        variants = build_variants(args.model, patches, Path(folder))
        tile = np.tile(patches[:1], (1, 2, 2, 1))[:, :TILE, :TILE]
        reference = variants["LiteRT float32"][0](tile)
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(ROUNDS + 1):
            for name, (predict, _) in variants.items():
                start = time.perf_counter()
                predict(tile)
                seconds[name].append(time.perf_counter() - start)
        print(
            f"| engine | MB | s/Mpx | of LiteRT float32 | largest difference | "
            f"AP@0.5 | mean AP |\n|{'---|' * 7}"
        )
        base = statistics.median(seconds["LiteRT float32"][1:])
        predictor = LitePredictor(find_model(args.model))
        for name, (predict, size) in variants.items():
            median = statistics.median(seconds[name][1:])
            off = np.abs(predict(tile) - reference).max()
            ap = score(predict, predictor, pairs)
            print(
                f"| {name} | {size:.1f} | {median / tile[0, ..., 0].size * 1e6:.2f} | "
                f"{median / base:.2f} | {off:.1e} | {ap['AP50']:.4f} | "
                f"{ap['mean_AP']:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
