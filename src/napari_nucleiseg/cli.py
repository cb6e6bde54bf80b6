"""The `nucleiseg` command. Heavy modules are imported by the subcommands only."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleiseg import __version__
from napari_nucleiseg.core.monitor import Progress

if TYPE_CHECKING:
    from napari_nucleiseg.files import ImageFile


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="nucleiseg",
        description="Find every nucleus in microscopy images, on this computer alone.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_segment(commands)
    _add_score(commands)
    _add_models(commands)
    _add_train(commands)
    _add_demo(commands)
    return parser


def _add_segment(commands: Any) -> None:
    sub = commands.add_parser(
        "segment",
        help="find the nuclei in image files",
        description="Find the nuclei in TIFF, OME-TIFF, PNG or JPEG images and write "
        "<name>_labels.tif for each, one number a nucleus.",
    )
    sub.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="image file")
    sub.add_argument(
        "--output", required=True, type=Path, metavar="DIR", help="folder for labels"
    )
    sub.add_argument(
        "--model", default=None, metavar="NAME|FOLDER", help="model to use"
    )
    sub.add_argument(
        "--channel",
        type=int,
        metavar="N",
        help="use this channel only, counted from 0 (default: the first one, or all "
        "of a colour image)",
    )
    sub.add_argument(
        "--diameter",
        type=float,
        metavar="PX",
        help="width of a typical nucleus in pixels (default: measured)",
    )
    sub.add_argument(
        "--probability",
        type=float,
        metavar="P",
        help="how sure the model must be of a nucleus's pixel, 0.05 to 0.95 "
        "(default: the model's own)",
    )
    sub.add_argument(
        "--separation",
        type=float,
        metavar="S",
        help="how readily touching nuclei are split, 0.05 to 0.95 (default: the "
        "model's own)",
    )
    sub.add_argument(
        "--min-area",
        type=int,
        metavar="PX",
        help="leave out nuclei of fewer pixels (default: specks much smaller than a "
        "typical nucleus)",
    )
    sub.add_argument(
        "--overlay",
        action="store_true",
        help="also write <name>_overlay.png with the outlines (first plane of a stack)",
    )
    sub.set_defaults(run=_segment)


def _add_score(commands: Any) -> None:
    sub = commands.add_parser(
        "score",
        help="compare labels with true ones",
        description="Compare predicted with true labels. Files belong together by "
        "name: X.tif, X_labels.tif or X_masks.tif in either folder.",
    )
    sub.add_argument("--labels", required=True, type=Path, metavar="DIR", help="truth")
    sub.add_argument(
        "--predictions", required=True, type=Path, metavar="DIR", help="what was found"
    )
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub.set_defaults(run=_score)


def _add_models(commands: Any) -> None:
    sub = commands.add_parser(
        "models",
        help="list the models with their cards",
        description="List the models there are: the built-in one, and your own.",
    )
    sub.add_argument("--json", action="store_true", help="print the cards as JSON")
    sub.set_defaults(run=_models)


def _add_train(commands: Any) -> None:
    sub = commands.add_parser(
        "train",
        help="train a model by a recipe",
        description="Train a model by a recipe: what data, what network, how long. "
        "Ctrl-C stops and keeps the best so far.",
    )
    sub.add_argument(
        "--recipe", required=True, metavar="NAME", help="'nuclei': the built-in model"
    )
    sub.add_argument(
        "--data",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder with images/, masks/ and split.csv (id, split, kind)",
    )
    sub.add_argument(
        "--output", required=True, type=Path, metavar="FOLDER", help="model to write"
    )
    sub.add_argument(
        "--minutes", type=float, metavar="M", help="time limit (default: the recipe's)"
    )
    sub.add_argument("--seed", type=int, metavar="S", help="(default: the recipe's)")
    sub.set_defaults(run=_train)


def _add_demo(commands: Any) -> None:
    sub = commands.add_parser(
        "demo",
        help="open napari with a sample image and the widget, ready to segment",
        description="Open napari with a sample image and the widget docked. Without "
        "a display: do the same job, and write labels, overlay and a screenshot.",
    )
    from napari_nucleiseg.demo import SAMPLE_NAMES

    sub.add_argument(
        "--sample", choices=SAMPLE_NAMES, default=SAMPLE_NAMES[0], help="which image"
    )
    sub.add_argument(
        "--headless", action="store_true", help="write files instead of waiting"
    )
    sub.add_argument(
        "--output",
        type=Path,
        default=Path("nucleiseg-demo"),
        metavar="DIR",
        help="folder for the files (default: %(default)s)",
    )
    sub.set_defaults(run=_demo)


class TerminalMonitor:
    """Shows progress as a bar on standard error."""

    def __init__(self, title: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            desc=title,
            file=sys.stderr,
            bar_format="{desc} {bar:24} {percentage:3.0f}% {elapsed}{postfix}",
            leave=True,
            mininterval=0.2,
        )

    def report(self, progress: Progress) -> None:
        """Move the bar."""
        self._bar.total = progress.total or None
        self._bar.n = progress.done
        self._bar.set_postfix_str(progress.stage, refresh=False)
        self._bar.refresh()

    def should_stop(self) -> bool:
        """Never: Ctrl-C raises KeyboardInterrupt."""
        return False

    def close(self, text: str) -> None:
        """End the bar with a word on how it went."""
        if self._bar.total:
            self._bar.n = self._bar.total
        self._bar.set_postfix_str(text)
        self._bar.close()


def _complain(text: str) -> None:
    print(f"nucleiseg: {text}", file=sys.stderr)


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keep the runtime's greeting, written by its C++ side, off the terminal."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _plan_outputs(inputs: Sequence[Path], folder: Path) -> dict[Path, Path | str]:
    """Return where each input's labels go, or why they cannot."""
    sources = {path.resolve() for path in inputs}
    taken: dict[Path, Path] = {}
    plan: dict[Path, Path | str] = {}
    for path in inputs:
        target = folder / f"{path.stem}_labels.tif"
        if (
            target.resolve() in sources
            or target.with_name(f"{path.stem}_overlay.png").resolve() in sources
        ):
            plan[path] = f"its result would overwrite the input {target.name}"
        elif target in taken and taken[target].resolve() != path.resolve():
            plan[path] = f"{taken[target]} has the same name, and so the same result"
        else:
            taken[target] = path
            plan[path] = target
    return plan


def _segment(args: argparse.Namespace) -> int:
    from napari_nucleiseg.core.params import SegmentParams
    from napari_nucleiseg.models.predictor import load_model
    from napari_nucleiseg.models.registry import DEFAULT_MODEL

    params = SegmentParams(
        diameter=args.diameter,
        probability=args.probability,
        separation=args.separation,
        min_area=args.min_area,
    )
    model = args.model or DEFAULT_MODEL
    with quiet_start():
        load_model(model)
    args.output.mkdir(parents=True, exist_ok=True)
    failed = 0
    for path, target in _plan_outputs(args.inputs, args.output).items():
        try:
            if isinstance(target, str):
                raise ValueError(target)
            _segment_file(path, target, model, params.to_dict(), args)
        except (OSError, ValueError, TypeError, MemoryError) as e:
            _complain(f"{path}: {e or type(e).__name__}")
            failed += 1
    if failed:
        _complain(f"{failed} of {len(args.inputs)} images failed")
    return 1 if failed else 0


def _segment_file(
    path: Path, target: Path, model: str, params: dict, args: argparse.Namespace
) -> None:
    from napari_nucleiseg.core.pipeline import to_planes
    from napari_nucleiseg.files import read_image, write_labels, write_overlay
    from napari_nucleiseg.models.segmenting import segment

    found = read_image(path)
    how = _channel_choice(path, found, args.channel)
    monitor = TerminalMonitor(path.name)
    text = "failed"
    try:
        result = segment(found.data, model, **params, **how, monitor=monitor)
        write_labels(target, result.labels)
        if args.overlay:
            planes, _ = to_planes(found.data, **how)
            first = result.labels.reshape(-1, *result.labels.shape[-2:])[0]
            write_overlay(
                target.with_name(f"{path.stem}_overlay.png"), planes[0], first
            )
        text = f"{result.count} nuclei, diameter {result.diameter:.0f} px"
    finally:
        monitor.close(text)


def _channel_choice(path: Path, found: ImageFile, channel: int | None) -> dict:
    """Return how to read the image, saying so where a channel was chosen for one."""
    if found.channel_axis is not None and channel is None:
        if found.channels > 1:
            _complain(
                f"{path}: has {found.channels} channels; using 0 (--channel chooses)"
            )
        channel = 0
    elif found.channel_axis is None and not found.rgb and found.axes[0] in "ZTYX":
        # Its first axis is no channel, whatever the number.
        if channel:
            raise ValueError(
                f"has one channel only, number 0 (axes {found.axes}); received "
                f"--channel {channel}"
            )
        channel = None
    return {"rgb": found.rgb, "channel": channel, "channel_axis": found.channel_axis}


#: What may stand behind an image's name in the name of its labels.
_LABEL_ENDINGS = ("_labels", "_masks", "_mask")


def _label_files(folder: Path) -> dict[str, Path]:
    """Return the label files of a folder by the name of their image."""
    from napari_nucleiseg.files import PICTURE_SUFFIXES, TIFF_SUFFIXES

    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (*TIFF_SUFFIXES, *PICTURE_SUFFIXES[:1]):
            continue
        stem = path.stem
        for ending in _LABEL_ENDINGS:
            stem = stem.removesuffix(ending)
        # Beside X_labels.tif a plain X.tif is the image.
        if stem not in found or path.stem != stem:
            found[stem] = path
    return found


def _score(args: argparse.Namespace) -> int:
    from napari_nucleiseg.core.score import score_image, summarise
    from napari_nucleiseg.files import read_labels

    truths, predictions = _label_files(args.labels), _label_files(args.predictions)
    if not truths:
        raise ValueError(f"there are no label images in {args.labels}")
    scores, failed = {}, 0
    for name, path in truths.items():
        try:
            if name not in predictions:
                raise ValueError(f"has no counterpart in {args.predictions}")
            scores[name] = score_image(
                read_labels(path), read_labels(predictions[name])
            )
        except (OSError, ValueError) as e:
            _complain(f"{path}: {e}")
            failed += 1
    if not scores:
        return 1
    summary = summarise(list(scores.values()))
    if args.json:
        per_image = {
            name: {
                "nuclei": score.true,
                "predicted": score.predicted,
                "AP50": score.average_precision(0.5),
                "mean_AP": score.mean_average_precision(),
            }
            for name, score in scores.items()
        }
        print(json.dumps({**summary, "per_image": per_image}, indent=1))
    else:
        print(format_score(summary))
    return 1 if failed else 0


def format_score(summary: dict[str, Any]) -> str:
    """Return the figures of `core.score.summarise` as a table."""
    mean, pooled = summary["per_image_mean"], summary["pooled"]
    lines = [
        f"{summary['images']} images, {summary['nuclei']} true nuclei, "
        f"{summary['predicted']} found",
        f"{'':22}{'per-image mean':>16}{'pooled':>10}",
    ]

    def row(label: str, a: float, b: float) -> None:
        lines.append(f"{label:22}{a:16.3f}{b:10.3f}")

    for threshold in mean["AP"]:
        row(f"AP at IoU {threshold}", mean["AP"][threshold], pooled["AP"][threshold])
    row("AP, mean over IoU", mean["mean_AP"], pooled["mean_AP"])
    for key, label in (
        ("precision", "precision at IoU 0.50"),
        ("recall", "recall at IoU 0.50"),
        ("F1", "F1 at IoU 0.50"),
        ("pixel_accuracy", "pixel accuracy"),
        ("pixel_IoU", "pixel IoU"),
    ):
        row(label, mean[key], pooled[key])
    return "\n".join(lines)


def _models(args: argparse.Namespace) -> int:
    import dataclasses

    from napari_nucleiseg.models.registry import list_models, models_folder

    models = list_models()
    if args.json:
        print(json.dumps([dataclasses.asdict(m.card) for m in models], indent=1))
        return 0
    for model in models:
        print(format_card(model.card, str(model.folder), model.built_in), end="\n\n")
    print(f"Your own models are kept in {models_folder()}")
    return 0


def format_card(card: Any, folder: str, built_in: bool) -> str:
    """Return a model's card as text."""
    low, high = card.diameter_range
    lines = [
        f"{card.name} {card.version} ({'built in' if built_in else 'your own'})",
        f"  {card.title}",
        f"  licence      {card.license}",
        f"  folder       {folder}",
        f"  nuclei       {low:g} to {high:g} px wide as they are; others are scaled",
        f"  thresholds   probability {card.thresholds.probability:g}, separation "
        f"{card.thresholds.separation:g}, specks below "
        f"{card.thresholds.speck:.0%} of a typical nucleus left out",
    ]
    if source := card.data.get("source"):
        lines.append(f"  trained on   {source}")
    stages = [*card.training.get("before", []), card.training]
    histories = [stage["history"] for stage in stages if stage.get("history")]
    if histories:
        minutes = sum(history[-1]["minutes"] for history in histories)
        epochs = sum(len(history) for history in histories)
        lines.append(f"  training     {epochs} epochs in {minutes:.0f} minutes")
    for split, kinds in card.figures.items():
        for kind, figures in kinds.items() if isinstance(kinds, dict) else ():
            mean = figures["per_image_mean"]
            lines.append(
                f"  {split + ' ' + kind:23}AP@0.5 {mean['AP50']:.3f}  @0.75 "
                f"{mean['AP75']:.3f}  mean {mean['mean_AP']:.3f}  pixel accuracy "
                f"{mean['pixel_accuracy']:.3f}  ({figures['images']} images)"
            )
    return "\n".join(lines)


class _TrainMonitor:
    """Prints a line an epoch; the first Ctrl-C stops and keeps the best so far."""

    def __init__(self) -> None:
        import signal

        self._stop = False
        signal.signal(signal.SIGINT, self._on_interrupt)

    def _on_interrupt(self, *_: object) -> None:
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        print("\nStopping; press Ctrl-C again to give up.", file=sys.stderr)

    def report(self, progress: Progress) -> None:
        """Print what is new."""
        if progress.stage == "Epoch":
            figures = "  ".join(f"{k} {v:.4g}" for k, v in progress.metrics.items())
            print(f"\r{figures}", flush=True)
        elif progress.stage == "Training":
            loss = progress.metrics["loss"]
            text = f"\rstep {progress.done}  loss {loss:.3f}  "
            print(text, end="", file=sys.stderr, flush=True)
        else:
            print(progress.stage, file=sys.stderr, flush=True)

    def should_stop(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._stop


def _train(args: argparse.Namespace) -> int:
    from napari_nucleiseg.models.recipes import find_recipe

    model = find_recipe(args.recipe).run(
        args.data,
        args.output,
        minutes=args.minutes,
        seed=args.seed,
        monitor=_TrainMonitor(),
    )
    print(f"Saved {model.folder}")
    return 0


def _demo(args: argparse.Namespace) -> int:
    from napari_nucleiseg.demo import run_demo

    return run_demo(args.sample, args.output, headless=args.headless)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if not given.
    """
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except (OSError, ValueError, TypeError) as e:
        _complain(str(e))
        return 2
