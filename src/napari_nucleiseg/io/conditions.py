"""Under which condition an image was taken: by its folder, its name or a table."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

#: The rule by which a file's condition is the name of its folder.
BY_FOLDER = "folder"

#: Columns of a table that say which file a row is of, and which its condition, if no
#: other is named; without them, the first and the second.
_KEYS = ("image", "file", "filename", "name", "well")
_VALUES = ("condition", "treatment", "group")

_FIELD = re.compile(r"\{(\w+)\}")


def conditions_of(paths: Sequence[Path], rule: str) -> list[str]:
    """Return each file's condition; empty where the rule says nothing of it.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        Image files.
    rule : str
        Nothing, for no conditions; ``folder``, for the name of the file's folder; a
        pattern of file names without their ending, such as ``{condition}_*``, in which
        ``*`` is anything and what stands in braces is the condition (of several, all
        of them); or a CSV file, and perhaps a column of it, ``plate.csv:treatment``.
        Its rows are found by file name or, if the column is called *well*, by a well
        such as A01 within that.

    Raises
    ------
    ValueError
        If the pattern has no braces, or the table no such column or two rows for one
        file.
    OSError
        If the table cannot be read.
    """
    rule = rule.strip()
    if not rule:
        return ["" for _ in paths]
    if rule == BY_FOLDER:
        return [path.absolute().parent.name for path in paths]
    if re.search(r"\.csv(:|$)", rule, re.IGNORECASE):
        return _by_table(paths, rule)
    find = _pattern(rule)
    return [find(path.stem) for path in paths]


def _pattern(text: str) -> Callable[[str], str]:
    names = _FIELD.findall(text)
    if not names or len(set(names)) < len(names):
        raise ValueError(
            "A pattern for conditions needs braces where the condition stands, such as "
            f"{{condition}}_*, and each name once; received {text!r}."
        )
    parts = re.split(r"(\{\w+\}|\*)", text)
    regex = "".join(
        ".*?"
        if part == "*"
        else f"(?P<{part[1:-1]}>.+?)"
        if _FIELD.fullmatch(part)
        else re.escape(part)
        for part in parts
    )

    def find(stem: str) -> str:
        match = re.fullmatch(regex, stem)
        return " ".join(match[name] for name in names) if match else ""

    return find


def table_columns(path: Path) -> list[str]:
    """Return the columns of a CSV file.

    Raises
    ------
    ValueError
        If it is none, or cannot be read.
    """
    return list(_read(path).columns)


def _read(path: Path) -> Any:
    import pandas as pd

    try:
        data = path.read_bytes()
    except FileNotFoundError as e:
        raise ValueError(f"{path}: there is no such file") from e
    # As spreadsheets write it: perhaps not as UTF-8, perhaps with semicolons or tabs.
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    try:
        return pd.read_csv(io.StringIO(text), sep=mark, dtype=str, na_filter=False)
    except (ValueError, pd.errors.ParserError) as e:
        raise ValueError(f"{path} is no CSV table: {e}") from e


def _by_table(paths: Sequence[Path], rule: str) -> list[str]:
    match = re.fullmatch(r"(.*\.csv)(?::(.*))?", rule, re.IGNORECASE)
    assert match is not None
    table = _read(Path(match[1]))
    columns = {str(name).strip().lower(): name for name in table}
    names = list(table)
    if len(names) < 2:
        raise ValueError(
            f"{match[1]} must have a column with files or wells and one with "
            f"conditions; received {', '.join(map(str, names)) or 'nothing'}."
        )
    wanted = (match[2] or "").strip().lower()
    if wanted and wanted not in columns:
        raise ValueError(
            f"{match[1]} has no column {match[2]!r}; it has "
            f"{', '.join(map(str, names))}."
        )
    key = next((columns[x] for x in _KEYS if x in columns and x != wanted), names[0])
    known = [columns[x] for x in _VALUES if x in columns and columns[x] != key]
    value = columns[wanted] if wanted else (known or [x for x in names if x != key])[0]
    rows = dict[str, str]()
    for row_key, condition in zip(table[key], table[value], strict=True):
        words = _as_key(str(row_key))
        if rows.get(words, condition) != condition:
            raise ValueError(f"{match[1]} has two rows for {row_key!r}.")
        rows[words] = str(condition).strip()
    return [_look_up(path, rows) for path in paths]


def _look_up(path: Path, rows: dict[str, str]) -> str:
    for name in (path.name, path.stem, *re.split(r"[^A-Za-z0-9]+", path.stem)):
        if (words := _as_key(name)) in rows:
            return rows[words]
    return ""


def _as_key(name: str) -> str:
    """Return what names are compared by: without case, and A1 as A01."""
    text = name.strip().lower()
    well = re.fullmatch(r"([a-z]{1,2})0*(\d{1,2})", text)
    return f"{well[1]}{int(well[2]):02d}" if well else text
