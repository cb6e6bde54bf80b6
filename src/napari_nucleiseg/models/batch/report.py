"""The report of a batch: one HTML file, with everything in it, to hand round."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleiseg.core.parameter import parameter_specs
from napari_nucleiseg.core.params import MeasureParams, SegmentParams
from napari_nucleiseg.io.atomic import write_whole
from napari_nucleiseg.models.recipe import SavedRecipe, changed
from napari_nucleiseg.models.registry import find_model

if TYPE_CHECKING:
    import pandas as pd

    from napari_nucleiseg.models.batch.run import Batch
from napari_nucleiseg.models.batch.watching import Outcome

#: So many images whose nuclei are the least certain are shown.
_LEAST_CERTAIN = 6

#: Of a group's nuclei so many are drawn as points.
_POINTS = 1500

#: What images without a condition are called.
_NO_CONDITION = "—"

_COLOUR = "#0072B2"

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .25rem .8rem; border-bottom: 1px solid #ddd; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: #f4f4f4; padding: .8rem; white-space: pre-wrap;
      overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: 18rem; } figure img, .plot { max-width: 100%; }
figcaption { font-size: .85rem; color: #555; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } .failed { color: #b00020; }
"""


def write_report(path: Path, batch: Batch) -> None:
    """Write the report of a batch.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    batch : Batch
        After it has run.

    Raises
    ------
    NotWritten
        If it cannot be written.
    """
    there = [x for x in batch.outcomes if x.state in ("done", "skipped")]
    measured = batch.recipe.measure is not None
    nuclei, images = batch.work.tables.collect() if measured else (None, None)
    parts = [
        f"<h1>Nuclei: {_escaped('/'.join(batch.folder.absolute().parts[-2:]))}</h1>",
        f"<p>{_sentence(batch, there)}</p>",
        "<h2>By condition</h2>",
        _by_condition(there, images),
        *_plots(there, nuclei),
        "<h2>The least certain images</h2>",
        _least_certain(batch, there),
        "<h2>Settings</h2>",
        _settings(batch.recipe),
        "<h2>Images</h2>",
        _images(batch.outcomes),
    ]
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Nuclei</title><style>{_STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))


def _sentence(batch: Batch, there: Sequence[Outcome]) -> str:
    count = sum(x.nuclei for x in there)
    text = f"{count:,} nuclei in {len(there)} of {len(batch.items)} images"
    failed = sum(x.state == "failed" for x in batch.outcomes)
    if failed:
        text += f"; {failed} could not be done"
    day = datetime.now().astimezone().strftime("%d %B %Y, %H:%M")
    return f"{text}. napari-nucleiseg {_escaped(batch.recipe.version)}, {day}."


# ---- by condition ------------------------------------------------------------------


def _by_condition(there: Sequence[Outcome], images: pd.DataFrame | None) -> str:
    """Return a table with a row for each condition: counts, densities, sizes, gates."""
    by_name = None if images is None else images.set_index("image")
    heads = ["condition", "images", "nuclei", "nuclei an image (mean ± SD)"]
    columns: list[str] = []
    if by_name is not None:
        known = by_name["nuclei_per_mm2"].notna().any()
        columns += ["nuclei_per_mm2"] if known else []
        columns += [x for x in by_name if x.startswith(("median(area", "share("))]
    rows = []
    for condition, group in _grouped(there):
        counts = np.array([x.nuclei for x in group])
        spread = f" ± {counts.std(ddof=1):.0f}" if len(counts) > 1 else ""
        row = [condition, f"{len(group)}", f"{counts.sum():,}"]
        row.append(f"{counts.mean():.0f}{spread}")
        for column in columns:
            assert by_name is not None
            values = by_name[column].reindex([x.item.name for x in group])
            mean = values.astype(float).mean()
            row.append("–" if np.isnan(mean) else _figure(column, mean))
        rows.append(row)
    titles = [f"{_spoken(x)} (mean of images)" for x in columns]
    return _table([*heads, *titles], rows)


def _figure(column: str, value: float) -> str:
    return f"{value:.1%}" if column.startswith("share(") else f"{value:.4g}"


def _spoken(column: str) -> str:
    if column == "nuclei_per_mm2":
        return "nuclei per mm²"
    for name, unit in (("_um2", ", µm²"), ("_px2", ", px²")):
        column = column.replace(name, unit)
    return re.sub(r"^(\w+)\(([^)]*)\)$", r"\1 \2", column).replace("_", " ")


def _grouped(there: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    groups: dict[str, list[Outcome]] = {}
    for outcome in sorted(there, key=lambda x: x.item.condition):
        groups.setdefault(outcome.item.condition or _NO_CONDITION, []).append(outcome)
    return list(groups.items())


# ---- plots -------------------------------------------------------------------------


def _plots(there: Sequence[Outcome], nuclei: pd.DataFrame | None) -> Iterable[str]:
    """Give a picture of the counts, and one of each measurement that matters."""
    counts = {
        name: np.array([x.nuclei for x in group], float)
        for name, group in _grouped(there)
    }
    drawn = [("nuclei in an image", counts)]
    if nuclei is not None and len(nuclei):
        where = nuclei.get("condition")
        names = [x for x in nuclei if x.startswith(("area_", "mean_"))]
        for name in names[:6]:
            values = nuclei[name].to_numpy(float)
            groups = {}
            for condition in counts:
                own = np.ones(len(values), bool)
                if where is not None:
                    word = "" if condition == _NO_CONDITION else condition
                    own = (where == word).to_numpy()
                groups[condition] = values[own & np.isfinite(values)]
            drawn.append((_spoken(name), groups))
    yield '<div class="pictures">'
    for title, groups in drawn:
        picture = _embedded(_box_plot(title, groups))
        yield f'<img class="plot" alt="{_escaped(title)} by condition" src="{picture}">'
    yield "</div>"


def _box_plot(title: str, groups: dict[str, np.ndarray]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = min(max(3.2, 1.2 + 0.9 * len(groups)), 9)
    figure = Figure(figsize=(width, 3), layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    rng = np.random.default_rng(0)
    for place, values in enumerate(groups.values()):
        if not values.size:
            continue
        axes.boxplot(
            values, positions=[place], widths=0.6, showfliers=False,
            medianprops={"color": "black"},
        )  # fmt: skip
        some = rng.permutation(values)[:_POINTS]
        beside = place + rng.uniform(-0.22, 0.22, len(some))
        axes.plot(beside, some, ".", ms=6, color=_COLOUR, alpha=0.45, mew=0, zorder=0)
    names = ["all images"] if list(groups) == [_NO_CONDITION] else list(groups)
    crowded = sum(map(len, names)) > 12 * width
    turn = {"rotation": 30, "ha": "right"} if crowded else {}
    axes.set_xticks(range(len(names)), names, **turn)
    axes.set_ylabel(title)
    axes.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return file.getvalue()


# ---- the rest ----------------------------------------------------------------------


def _least_certain(batch: Batch, there: Sequence[Outcome]) -> str:
    """Return the pictures of the images with the lowest mean confidence."""
    judged = [
        (float(np.mean(x.entry.confidence)), x)
        for x in there
        if x.entry is not None and x.entry.confidence
    ]
    judged.sort(key=lambda pair: pair[0])
    if not judged:
        return "<p>The confidence of these nuclei is not known.</p>"
    figures = []
    for mean, outcome in judged[:_LEAST_CERTAIN]:
        item, file = outcome.item, batch.work.ledger.picture(outcome.item.name)
        picture = f'<img alt="" src="{_embedded(file.read_bytes())}">'
        unsure = int(np.sum(np.array(outcome.entry.confidence) < 0.5))  # type: ignore[union-attr]
        text = (
            f"{item.name}: mean confidence {mean:.2f}, {unsure} of {outcome.nuclei} "
            "nuclei below 0.5"
        )
        figures.append(
            f"<figure>{picture}<figcaption>{_escaped(text)}</figcaption></figure>"
        )
    return f'<div class="pictures">{"".join(figures)}</div>'


def _settings(recipe: SavedRecipe) -> str:
    """Return what made the results, in words and as a command."""
    rows = []
    if recipe.model:
        card = find_model(recipe.model).card
        rows.append(["Model", f"{recipe.model}: {card.title}"])
        rows.append(["Hash of its network", str(recipe.model_hash)])
    rows.append(["Axes", recipe.axes or "as each file says"])
    channel = "the first, or all colours" if recipe.channel is None else recipe.channel
    rows.append(["Channel, counted from 0", str(channel)])
    rows += _parameters(SegmentParams, dict(recipe.segment))
    if recipe.measure is not None:
        size = "as each file says" if recipe.pixel_size is None else recipe.pixel_size
        rows.append(["Size of a pixel", f"{size}{' µm' if recipe.pixel_size else ''}"])
        rows += _parameters(MeasureParams, changed(recipe.measure))
    for gate in recipe.gates:
        rows.append([f"Gate {gate.name}", gate.in_words()])
    if recipe.condition:
        rows.append(["Conditions by", recipe.condition])
    line = recipe.as_command(["IMAGES"], "FOLDER")
    return (
        _table(["setting", "value"], rows)
        + "<p>The same again, in the shell:</p>"
        + f"<pre>{_escaped(line)}</pre>"
    )


def _parameters(kind: Any, values: dict[str, Any]) -> list[list[str]]:
    rows = []
    for spec in parameter_specs(kind):
        if spec.name not in values:
            continue
        value = values[spec.name]
        if value is None:
            text = spec.auto
        elif spec.kind is bool:
            text = "yes" if value else "no"
        else:
            text = f"{value} {spec.unit}".rstrip()
        rows.append([spec.label, text])
    return rows


def _images(outcomes: Sequence[Outcome]) -> str:
    words = {"done": "done", "skipped": "done before", "failed": "failed"}
    rows = [
        [
            x.item.name,
            x.item.condition,
            words.get(x.state, x.state),
            f"{x.nuclei:,}" if x.entry else "",
            f"{x.entry.seconds:.1f}" if x.entry else "",
            " ".join(x.complaints),
        ]
        for x in outcomes
    ]
    heads = ["image", "condition", "state", "nuclei", "seconds", "message"]
    return f'<div class="wide">{_table(heads, rows)}</div>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cell(tag: str, text: str, *, number: bool) -> str:
        kind = ' class="number"' if number else ""
        return f"<{tag}{kind}>{_escaped(text)}</{tag}>"

    # A column of figures is set to the right.
    numbers = [
        any(row[i] for row in rows)
        and all(row[i][:1] in "0123456789–" for row in rows)
        and len(heads) > 2
        for i in range(len(heads))
    ]
    lines = []
    for tag, row in [("th", heads), *(("td", row) for row in rows)]:
        kind = ' class="failed"' if "failed" in row else ""
        cells = (cell(tag, x, number=n) for x, n in zip(row, numbers, strict=True))
        lines.append(f"<tr{kind}>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _embedded(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def _escaped(text: object) -> str:
    return html.escape(str(text))
