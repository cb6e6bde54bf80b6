"""How long an image takes, and how much memory, beside StarDist on the same images.

    python benchmarks/speed.py --data DSB2018_FOLDER [--model NAME|FOLDER]
        [--stardist-python PYTHON --stardist-weights FOLDER [--stardist-minutes M]]
        [--sizes 0.25 1 4] [--fields 4] [--rounds 3] [--json FILE]
        [--docs docs/speed.md]

Real fluorescence fields of the `test` split are laid out by mirroring, at their own
scale, until they have so many megapixels. Each contender is loaded in a process of its
own, anew for each size, and all take turns at every image in every round, so that a
change in the machine's speed meets all of them. The first round is not counted.

StarDist may live in another Python, which needs `stardist` and `tensorflow`. Its model
folder is trained for `--stardist-minutes` on the `train` split if it is not there: what
it finds decides how much there is to sort out. `--json` adds to what the file holds, so
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
from pathlib import Path
from typing import Any

import numpy as np

from images import TestImage, list_images
from report import markdown, put

CONTENDERS = {"default": "ours", "accurate": "ours, accurate", "stardist": "StarDist"}
WORKER = Path(__file__).with_name("contenders.py")

#: Side of the image that is done first, pixels; it is not measured.
SMALL = 192

#: Fields with fewer nuclei have next to nothing to be sorted out.
FEWEST = 10


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

    def do(self, image: Path) -> dict[str, Any]:
        """Segment an image; returns the figures.

        Raises
        ------
        SystemExit
            If the process ended instead.
        """
        try:
            self._process.stdin.write(f"{image}\n")
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


def pick_fields(data: Path, count: int) -> list[tuple[TestImage, float]]:
    """Return fluorescence fields whose nuclei are of different sizes.

    Returns
    -------
    list of (TestImage, float)
        Evenly spaced in the order of their median nuclear diameter (pixels), with it.
    """
    from napari_nucleiseg.core.labels.pairs import median_diameter

    found = []
    for one in list_images(data, "test"):
        image, labels = one.read()
        if one.kind == "fluo" and image.ndim == 2 and labels.max() >= FEWEST:
            found.append((one, float(median_diameter(labels))))
    if not 1 <= count <= len(found):
        raise SystemExit(f"--fields must be 1 to {len(found)}; received {count}.")
    found.sort(key=lambda field: field[1])
    return [found[int((i + 0.5) * len(found) / count)] for i in range(count)]


def lay_out(image: np.ndarray, megapixels: float) -> np.ndarray:
    """Return a square of so many megapixels, filled by mirroring the image."""
    side = round(1000 * megapixels**0.5)
    rows, cols = (
        np.pad(np.arange(n), (0, max(0, side - n)), mode="symmetric")[:side]
        for n in image.shape
    )
    return np.ascontiguousarray(image[np.ix_(rows, cols)])


def measure_size(
    megapixels: float,
    fields: list[tuple[TestImage, float]],
    contenders: dict[str, tuple[str, str | None]],
    rounds: int,
) -> dict[str, Any]:
    """Let all contenders do all images of one size.

    Returns
    -------
    dict
        ``ready``: name to MB; ``rows``: one for each contender, field and round.
    """
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder, paths = Path(name), []
        for number, (one, _) in enumerate(fields):
            paths.append(folder / f"{number}.npy")
            np.save(paths[-1], lay_out(one.read()[0], megapixels))
        first = folder / "first.npy"
        np.save(first, lay_out(fields[-1][0].read()[0], SMALL**2 / 1e6))
        running = [Contender(n, *how, folder) for n, how in contenders.items()]
        try:
            ready = {one.name: one.do(first)["ready"] for one in running}
            for turn in range(rounds + 1):
                for path, (field, diameter) in zip(paths, fields, strict=True):
                    for one in running:
                        row = {"contender": one.name, "diameter": round(diameter, 1)}
                        row |= {"field": field.name, "round": turn, **one.do(path)}
                        rows.append(row)
                        print(json.dumps(row), file=sys.stderr, flush=True)
        finally:
            for one in running:
                one.close()
    return {"ready": ready, "rows": rows}


def middle(rows: list[dict[str, Any]], value: str) -> float:
    """Return the median of a figure over the rows that have it; NaN if none has."""
    return statistics.median([row[value] for row in rows if value in row] or [np.nan])


def count(rows: list[dict[str, Any]]) -> int:
    """Return how many nuclei were found in all images."""
    return sum(row["nuclei"] for row in rows)


def counted(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows that count by contender, with shares and ratios worked out."""
    rows = [row for row in result["rows"] if row["round"] > 0]
    rival = {
        (row["field"], row["round"]): row["seconds"]
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
        at = row["field"], row["round"]
        if at in rival:
            more["ratio"] = row["seconds"] / rival[at]
        out[row["contender"]].append({**row, **more})
    return out


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return one row for each size and contender, as a Markdown table."""
    header = ["megapixels", "", "seconds", "s per megapixel", "of StarDist's time"]
    header += ["core seconds per megapixel"]
    header += ["peak MB per megapixel", "MB when ready", "nuclei per megapixel"]
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
            line += [f"{count(rows) / len(rows) / pixels:.0f}"]
            line += [
                number(middle(rows, f"{part} share"), ".0%")
                for part in ("network", "separating")
            ]
            lines.append([*line, number(middle(rows, "seen"), ".2f")])
    return markdown(header, lines)


def table_by_field(results: dict[str, dict[str, Any]]) -> str:
    """Return seconds per megapixel for each width of nuclei, as a Markdown table."""
    sizes = sorted(results, key=float)
    rows = {size: counted(results[size]) for size in sizes}
    names = [name for name in CONTENDERS if any(name in rows[size] for size in sizes)]
    header = ["nuclei, px wide"]
    header += [f"{CONTENDERS[name]}, {size} Mpx" for size in sizes for name in names]
    widths = {row["diameter"] for size in sizes for row in results[size]["rows"]}
    lines: list[list[object]] = []
    for width in sorted(widths):
        line: list[object] = [f"{width:g}"]
        for size in sizes:
            for name in names:
                some = [r for r in rows[size].get(name, []) if r["diameter"] == width]
                line.append(number(middle(some, "seconds") / float(size), ".2f"))
        lines.append(line)
    return markdown(header, lines)


def describe(results: dict[str, dict[str, Any]]) -> str:
    """Return in a few words what the tables are made from."""
    rows = [row for result in results.values() for row in result["rows"]]
    widths = sorted({row["diameter"] for row in rows})
    rounds = sorted({result["rows"][-1]["round"] for result in results.values()})
    text = (
        f"{os.cpu_count()} processor cores, all used by each; {len(widths)} fields, "
        f"with nuclei {', '.join(f'{width:g}' for width in widths)} px wide; "
        f"{' or '.join(map(str, rounds))} rounds that count."
    )
    found = [
        count([row for row in rows if row["contender"] == name])
        for name in ("default", "stardist")
    ]
    if any(row["contender"] == "stardist" for row in rows) and found[1] < found[0] / 2:
        text += (
            f" StarDist found {found[1] / found[0]:.0%} as many nuclei as ours: it "
            "was trained too little, and had less to sort out than it would have."
        )
    return f"{text}\n\nSeconds per megapixel, field by field:"


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
    subprocess.run(command, check=True)
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
    parser.add_argument("--fields", type=int, default=4, help="how many different ones")
    parser.add_argument("--rounds", type=int, default=3, help="that count")
    parser.add_argument("--json", type=Path, help="add what is measured to this file")
    parser.add_argument("--docs", type=Path)
    args = parser.parse_args()
    if (args.stardist_python is None) != (args.stardist_weights is None):
        parser.error("--stardist-python and --stardist-weights go together")
    if args.rounds < 1 or min(args.sizes) <= 0:
        parser.error("--rounds must be at least 1, and --sizes above 0")
    start = time.perf_counter()
    contenders = dict.fromkeys(("default", "accurate"), (sys.executable, args.model))
    if args.stardist_python:
        weights = prepare_stardist(args)
        contenders["stardist"] = (args.stardist_python, str(weights))
    fields = pick_fields(args.data, args.fields)
    results: dict[str, dict[str, Any]] = {}
    if args.json and args.json.is_file():
        results = json.loads(args.json.read_text(encoding="utf-8"))
    for size in args.sizes:
        results[f"{size:g}"] = measure_size(size, fields, contenders, args.rounds)
        if args.json:
            args.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    text = f"{table(results)}\n\n{describe(results)}\n\n{table_by_field(results)}"
    print(f"{text}\n\n{time.perf_counter() - start:.0f} s")
    if args.docs:
        put(args.docs, "speed", text)


if __name__ == "__main__":
    main()
