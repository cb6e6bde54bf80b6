"""Figures go into the docs between two comments, and nowhere else."""

import re
from pathlib import Path


def put(path: Path, section: str, text: str) -> None:
    """Replace what stands between a section's two comments in a Markdown file.

    Parameters
    ----------
    path : pathlib.Path
        The file, with ``<!-- SECTION -->`` and ``<!-- /SECTION -->`` in it.
    section : str
        Name of the section.
    text : str
        Markdown.

    Raises
    ------
    SystemExit
        If the comments are not there.
    """
    start, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    old = path.read_text(encoding="utf-8")
    new, count = re.subn(
        f"{re.escape(start)}.*?{re.escape(end)}",
        lambda _: f"{start}\n{text.strip()}\n{end}",
        old,
        flags=re.DOTALL,
    )
    if count != 1:
        raise SystemExit(f"{path} must have {start} … {end} once; it has it {count}×.")
    path.write_text(new, encoding="utf-8")


def markdown(header: list[str], rows: list[list[object]]) -> str:
    """Return a Markdown table; floats with three decimals, NaN as a dash."""

    def cell(value: object) -> str:
        if isinstance(value, float):
            return "–" if value != value else f"{value:.3f}"
        return str(value)

    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)
