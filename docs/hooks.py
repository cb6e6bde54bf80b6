"""What the site takes from elsewhere when it is built.

Tables of parameters and the text of ``--help`` come from the code, so that they cannot
be out of date: a page says where with ``<!-- parameters: SegmentParams -->`` or
``<!-- help: train -->``. Pages that belong at the repository's root come from there.
"""

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from napari_nucleiseg.cli import main
from napari_nucleiseg.core import params
from napari_nucleiseg.core.parameter import parameter_specs

ROOT = Path(__file__).parents[1]

#: Pages of the site that are files of the repository.
ROOT_PAGES = {
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "notices.md": "NOTICES.md",
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from the root."""
    for page, source in ROOT_PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=fit_links(text, config)))
    return files


def fit_links(text: str, config: Any) -> str:
    """Make links to files of the repository links to pages, or to the repository."""
    pages = {source: page for page, source in ROOT_PAGES.items()}

    def fit(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        if target in pages:
            return f"]({pages[target]}{anchor})"
        if target.startswith("docs/") and not target.endswith(".py"):
            return f"]({target.removeprefix('docs/')}{anchor})"
        return f"]({config['repo_url']}/blob/main/{target}{anchor})"

    return re.sub(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)", fit, text)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what comes from the code in its place."""
    markdown = re.sub(r"<!-- parameters: (\w+) -->", parameter_table, markdown)
    return re.sub(r"<!-- help: ?([\w -]*?) -->", help_text, markdown)


def parameter_table(match: re.Match[str]) -> str:
    """Return a table of the parameters of a class of `core.params`."""
    rows = [
        "| name | control | default | limits | what it does |",
        "|---|---|---|---|---|",
    ]
    for spec in parameter_specs(getattr(params, match[1])):
        unit = f" {spec.unit}" if spec.unit else ""
        auto = f"Auto ({spec.auto})" if spec.auto != "auto" else "Auto"
        default = auto if spec.default is None else spec.default
        if spec.choices:
            limits = ", ".join(spec.choices)
        elif spec.low is not None and spec.high is not None:
            limits = f"{plain(spec.low)} to {plain(spec.high)}{unit}"
        else:
            limits, default = "on or off", "on" if default else "off"
        cells = (f"`{spec.name}`", spec.label, default, limits, spec.tip)
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def plain(number: float) -> str:
    """Return a number as a reader writes it: 1,000 and 0.05."""
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def help_text(match: re.Match[str]) -> str:
    """Return what a command says when it is asked for help."""
    out = io.StringIO()
    os.environ["COLUMNS"] = "80"
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*match[1].split(), "--help"])
    return f"```text\n{out.getvalue().strip()}\n```"
