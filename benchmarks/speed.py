"""How long an image takes, and how much memory, beside StarDist on the same images.

    python benchmarks/speed.py --data DSB2018_FOLDER [--model NAME|FOLDER]
        [--stardist-python PYTHON --stardist-weights FOLDER [--stardist-minutes M]]
        [--sizes 0.25 1 4] [--widths 10 16 24 46] [--rounds 3] [--threads N]
        [--json FILE] [--docs docs/speed.md]

Real fluorescence fields of the `test` split are laid out as mosaics, at their own
scale: one for each width of nuclei, of the fields that come nearest to it. Each
contender is loaded in a process of its own, anew for each size, and all take turns at
every image in every round, so that a change in the machine's speed meets all of them.
The first round is not counted.

StarDist may live in another Python, which needs `stardist` and `tensorflow`. Its model
folder is trained for `--stardist-minutes` on the `train` split if it is not there (on
`--threads` processor cores): what it finds decides how much there is to sort out, and
how many of the true nuclei each finds is said. `--json` adds to what the file holds, so
that sizes can be done one at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from images import list_images
from report import markdown, put

CONTENDERS = {"default": "ours", "accurate": "ours, accurate", "stardist": "StarDist"}
WORKER = Path(__file__).with_name("contenders.py")

#: Side of the image that is done first, pixels; it is not measured.
SMALL = 192

#: Fields with fewer nuclei have next to nothing to be sorted out.
FEWEST = 10

#: Side of the pieces that mosaics are made of, pixels, and fields in one.
PIECE, FIELDS = 256, 8

#: More than any piece of a mosaic holds.
MOST_NUCLEI = 2000


class Contender:
    """A process that segments the images it is told to.

    Parameters
    ----------
    name : str
        One of `CONTENDERS`.
    python : str
        Python to run it with.
    model : str or None
        Name or folder.
    folder : pathlib.Path
        Where its messages go.
    """

    def __init__(self, name: str, python: str, model: str | None, folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        command = [python, str(WORKER), name]
        if model is not None:
            command += ["--model", model]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def do(self, image: Path, labels: Path | None = None) -> dict[str, Any]:
        """Segment an image, and write the labels where asked; returns the figures.

        Raises
        ------
        SystemExit
            If the process ended instead.
        """
        try:
            self._process.stdin.write(json.dumps([str(image), labels and str(labels)]))
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            said = self._log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"{CONTENDERS[self.name]} ended early. It said:\n{said}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@dataclass(frozen=True)
class Mosaic:
    """Pieces of fields whose nuclei are about as wide as each other.

    Parameters
    ----------
    width : float
        Median nuclear diameter, pixels.
    pieces : list of tuple
        Image ``(PIECE, PIECE)`` uint8, and its true labels.
    """

    width: float
    pieces: list[tuple[np.ndarray, np.ndarray]]

    def lay_out(self, megapixels: float) -> tuple[np.ndarray, np.ndarray]:
        """Return a square image of so many megapixels, and its true labels.

        Pieces that come again are turned and mirrored.
        """
        side = round(1000 * megapixels**0.5)
        across = -(-side // PIECE)
        image = np.zeros((across * PIECE,) * 2, np.uint8)
        truth = np.zeros(image.shape, np.int32)
        for number in range(across**2):
            again, which = divmod(number, len(self.pieces))
            y, x = (PIECE * place for place in divmod(number, across))
            here = np.s_[y : y + PIECE, x : x + PIECE]
            for whole, part in zip((image, truth), self.pieces[which], strict=True):
                whole[here] = np.rot90(part, again % 4)[:, :: 1 - 2 * (again // 4 % 2)]
            numbered = truth[here]
            numbered[numbered > 0] += number * MOST_NUCLEI
        image, truth = (part[:side, :side] for part in (image, truth))
        numbers = np.unique(truth)
        truth = np.searchsorted(numbers, truth).astype(np.int32)
        return np.ascontiguousarray(image), truth


def make_mosaics(data: Path, widths: list[float]) -> list[Mosaic]:
    """Return a mosaic for each width of nuclei (pixels), of the fields nearest to it.

    Each field has its contrast stretched before, so that none is too dim beside others.
    """
    from napari_nucleiseg.core.labels.pairs import median_diameter
    from napari_nucleiseg.core.segment.image import normalise

    found = []
    for one in list_images(data, "test"):
        image, labels = one.read()
        if one.kind == "fluo" and image.ndim == 2 and labels.max() >= FEWEST:
            found.append((median_diameter(labels), image, labels))
    if not found:
        raise SystemExit(f"{data} has no fluorescence field of {FEWEST} nuclei.")
    mosaics = []
    for width in widths:
        found.sort(key=lambda field: abs(np.log(field[0] / width)))
        pieces = []
        for _, image, labels in found[:FIELDS]:
            light = (255 * normalise(image[..., None])[..., 0]).astype(np.uint8)
            pieces += [
                (light[here], labels[here])
                for y in range(0, image.shape[0] - PIECE + 1, PIECE)
                for x in range(0, image.shape[1] - PIECE + 1, PIECE)
                for here in [np.s_[y : y + PIECE, x : x + PIECE]]
            ]
        typical = statistics.median(field[0] for field in found[:FIELDS])
        mosaics.append(Mosaic(round(float(typical), 1), pieces))
    return mosaics


def measure_size(
    megapixels: float,
    mosaics: list[Mosaic],
    contenders: dict[str, tuple[str, str | None]],
    rounds: int,
) -> dict[str, Any]:
    """Let all contenders do all images of one size.

    Returns
    -------
    dict
        ``ready``: name to MB; ``rows``: one for each contender, mosaic and round.
    """
    from napari_nucleiseg.core.score.matching import score_image

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder, paths, truths = Path(name), [], []
        for number, mosaic in enumerate(mosaics):
            image, truth = mosaic.lay_out(megapixels)
            paths.append(folder / f"{number}.npy")
            np.save(paths[-1], image)
            truths.append(truth)
        first, labels = folder / "first.npy", folder / "labels.npy"
        np.save(first, mosaics[-1].lay_out(SMALL**2 / 1e6)[0])
        running = [Contender(n, *how, folder) for n, how in contenders.items()]
        try:
            ready = {one.name: one.do(first)["ready"] for one in running}
            for turn in range(rounds + 1):
                for path, mosaic, truth in zip(paths, mosaics, truths, strict=True):
                    for one in running:
                        row = {"contender": one.name, "diameter": mosaic.width}
                        row |= {"round": turn, "true": int(truth.max())}
                        # Labels are the same in every round.
                        row |= one.do(path, None if turn != 1 else labels)
                        if turn == 1:
                            # Found is what fits a true nucleus with an IoU of 0.5.
                            score = score_image(truth, np.load(labels))
                            row["right"] = score.matched[0]
                        rows.append(row)
                        print(json.dumps(row), file=sys.stderr, flush=True)
        finally:
            for one in running:
                one.close()
    return {"ready": ready, "rows": rows}


def middle(rows: list[dict[str, Any]], value: str) -> float:
    """Return the median of a figure over the rows that have it; NaN if none has."""
    return statistics.median([row[value] for row in rows if value in row] or [np.nan])


def share(rows: list[dict[str, Any]], of: str) -> float:
    """Return which share is right: of those that are ``true``, or of ``nuclei``."""
    scored = [row for row in rows if "right" in row]
    whole = sum(row[of] for row in scored)
    return sum(row["right"] for row in scored) / whole if whole else float("nan")


def counted(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows that count by contender, with shares and ratios worked out."""
    rows = [row for row in result["rows"] if row["round"] > 0]
    rival = {
        (row["diameter"], row["round"]): row["seconds"]
        for row in rows
        if row["contender"] == "stardist"
    }
    out: dict[str, list[dict[str, Any]]] = {name: [] for name in result["ready"]}
    for row in rows:
        more = {
            f"{name} share": row[name] / row["seconds"]
            for name in ("network", "separating")
            if name in row
        }
        at = row["diameter"], row["round"]
        if at in rival:
            more["ratio"] = row["seconds"] / rival[at]
        out[row["contender"]].append({**row, **more})
    return out


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return one row for each size and contender, as a Markdown table."""
    header = ["megapixels", "", "seconds", "s per megapixel", "of StarDist's time"]
    header += ["core seconds per megapixel"]
    header += ["peak MB per megapixel", "MB when ready"]
    header += ["of the true nuclei found", "of those found true"]
    header += ["in the network", "maps to labels", "network sees"]
    lines: list[list[object]] = []
    for size in sorted(results, key=float):
        for name, rows in counted(results[size]).items():
            seconds, pixels = middle(rows, "seconds"), float(size)
            line: list[object] = [size, CONTENDERS[name], f"{seconds:.2f}"]
            line += [f"{seconds / pixels:.2f}", number(middle(rows, "ratio"), ".2f")]
            line += [number(middle(rows, "core") / pixels, ".2f")]
            # The peak is the highest so far: the last one is that of all.
            line += [number(max(row["peak"] for row in rows) / pixels, ".0f")]
            line += [number(results[size]["ready"][name], ".0f")]
            line += [number(share(rows, of), ".0%") for of in ("true", "nuclei")]
            line += [
                number(middle(rows, f"{part} share"), ".0%")
                for part in ("network", "separating")
            ]
            lines.append([*line, number(middle(rows, "seen"), ".2f")])
    return markdown(header, lines)


def table_by_width(results: dict[str, dict[str, Any]]) -> str:
    """Return time and nuclei found for each width of nuclei, as a Markdown table."""
    header = ["nuclei, px wide", "megapixels", "ours, s", "StarDist, s"]
    header += ["ratio", "accurate, ratio", "ours finds", "StarDist finds"]
    lines: list[list[object]] = []
    sizes = sorted(results, key=float)
    widths = {row["diameter"] for size in sizes for row in results[size]["rows"]}
    for width in sorted(widths):
        for size in sizes:
            some = {
                name: [row for row in rows if row["diameter"] == width]
                for name, rows in counted(results[size]).items()
            }
            ours, fine, rival = (some.get(name, []) for name in CONTENDERS)
            if not ours:
                continue
            line: list[object] = [f"{width:g}", size]
            line += [number(middle(rows, "seconds"), ".2f") for rows in (ours, rival)]
            line += [number(middle(rows, "ratio"), ".2f") for rows in (ours, fine)]
            line += [number(share(rows, "true"), ".0%") for rows in (ours, rival)]
            lines.append(line)
    return markdown(header, lines)


def describe(results: dict[str, dict[str, Any]]) -> str:
    """Return in a few words what the tables are made from."""
    rows = [row for result in results.values() for row in result["rows"]]
    widths = sorted({row["diameter"] for row in rows})
    rounds = sorted({result["rows"][-1]["round"] for result in results.values()})
    text = (
        f"{os.cpu_count()} processor cores, all used by each; mosaics with nuclei "
        f"{', '.join(f'{width:g}' for width in widths)} px wide; "
        f"{' or '.join(map(str, rounds))} rounds that count."
    )
    busy = [result["load"] for result in results.values() if "load" in result]
    if busy and max(busy) > 1:
        text += (
            f" The machine was not idle: up to {max(busy):.0f} other processes wanted "
            "its cores when the comparison began."
        )
    ours, rival = (
        share([row for row in rows if row["contender"] == name], "true")
        for name in ("default", "stardist")
    )
    if rival < 0.9 * ours:
        text += (
            f" StarDist found {rival:.0%} of the true nuclei and ours {ours:.0%}: it "
            "was trained too little for its time to be that of a user."
        )
    return f"{text}\n\nBy the width of nuclei:"


def number(value: float, how: str) -> str:
    """Return a number as text; NaN as a dash."""
    return "–" if value != value else format(value, how)


def prepare_stardist(args: argparse.Namespace) -> Path:
    """Return the folder of StarDist's model, made now if it is not there."""
    folder = args.stardist_weights.resolve()
    if folder.is_dir():
        return folder
    if args.stardist_minutes is None:
        raise SystemExit(
            "--stardist-weights must be a StarDist model's folder, or "
            f"--stardist-minutes be given to train one there; received {folder}."
        )
    print(f"Training StarDist for {args.stardist_minutes:g} minutes …", flush=True)
    command = [args.stardist_python, WORKER, "train-stardist", "--model", folder]
    command += ["--data", args.data, "--minutes", str(args.stardist_minutes)]
    threads = {}
    if args.threads is not None:
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        threads = dict.fromkeys(names, str(args.threads))
    subprocess.run(command, check=True, env={**os.environ, **threads})
    return folder


def main() -> None:
    """Print the tables; write them down where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--stardist-python", help="a Python that has stardist")
    parser.add_argument("--stardist-weights", type=Path, help="its model's folder")
    parser.add_argument("--stardist-minutes", type=float, help="to train it, if needed")
    parser.add_argument("--sizes", nargs="+", type=float, default=[0.25, 1, 4])
    parser.add_argument("--widths", nargs="+", type=float, default=[10, 16, 24, 46])
    parser.add_argument("--threads", type=int, help="that StarDist is trained on")
    parser.add_argument("--rounds", type=int, default=3, help="that count")
    parser.add_argument("--json", type=Path, help="add what is measured to this file")
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    if (args.stardist_python is None) != (args.stardist_weights is None):
        parser.error("--stardist-python and --stardist-weights go together")
    if args.rounds < 1 or min(args.sizes) <= 0:
        parser.error("--rounds must be at least 1, and --sizes above 0")
    if min(args.widths) <= 0 or len(set(args.widths)) < len(args.widths):
        parser.error("--widths must be different, and above 0")
    start = time.perf_counter()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    contenders = dict.fromkeys(("default", "accurate"), (sys.executable, args.model))
    if args.stardist_python:
        weights = prepare_stardist(args)
        contenders["stardist"] = (args.stardist_python, str(weights))
    mosaics = make_mosaics(args.data, args.widths)
    results: dict[str, dict[str, Any]] = {}
    if args.json and args.json.is_file():
        results = json.loads(args.json.read_text(encoding="utf-8"))
    for size in args.sizes:
        done = measure_size(size, mosaics, contenders, args.rounds)
        results[f"{size:g}"] = {"load": load, **done}
        if args.json:
            args.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = f"{table(results)}\n\n{describe(results)}\n\n{table_by_width(results)}"
    print(f"{text}\n\n{time.perf_counter() - start:.0f} s")
    if args.docs:
        put(args.docs, "speed", text)


if __name__ == "__main__":
    main()
