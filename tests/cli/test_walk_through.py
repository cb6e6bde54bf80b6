"""The walk-through of a small experiment, done as it is written."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
from PIL import Image

from napari_nucleiseg.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "batch.md"


def blocks(language):
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [code for name, code in found if name == language]


def test_files_tables_and_the_plot_by_condition(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (python,) = blocks("python")
    exec(python, {})
    assert len(list(Path("experiment").glob("*/*.tif"))) == 8
    (shell,) = blocks("")
    segment, plot = (
        shlex.split(line) for line in shell.replace("\\\n", " ").strip().split("\n")
    )
    assert (segment[0], plot[0]) == ("nucleiseg", "python")
    assert main(segment[1:]) == 0
    results = tmp_path / "results"
    nuclei = pd.read_csv(results / "nuclei.csv")
    assert set(nuclei["condition"]) == {"control", "treated"}
    areas = nuclei.groupby("condition")["area_px2"].median()
    assert areas["treated"] > 3 * areas["control"]
    made = {path.name for path in results.iterdir()}
    assert {"contact_sheet.png", "report.html", "images.csv", "recipe.json"} <= made
    # Without a window, whatever display the tests may have.
    env = {**os.environ, "MPLBACKEND": "agg"}
    subprocess.run([sys.executable, *plot[1:]], check=True, timeout=300, env=env)
    with Image.open("areas.png") as picture:
        assert len(set(picture.convert("L").tobytes())) > 1
    # When there are new images.
    Path("experiment/control/field0.tif").rename("experiment/control/field9.tif")
    assert main([*segment[1:], "--skip-existing"]) == 0


def test_every_picture_is_there():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert len(pictures) >= 5
    assert all((PAGE.parent / picture).is_file() for picture in pictures)
