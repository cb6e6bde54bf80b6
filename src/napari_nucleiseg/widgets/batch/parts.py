"""The controls of the Batch widget, and what they say."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import ComboBox, FileEdit, LineEdit, Select

from napari_nucleiseg.io.conditions import BY_FOLDER
from napari_nucleiseg.widgets.shared.controls import NarrowBox

#: Where the images are.
FOLDER, FILES, LAYERS = "folder", "files", "layers"

#: What the conditions are told by, beside `io.conditions.BY_FOLDER`.
BY_PATTERN, BY_TABLE = "pattern", "table"


def image_parts(layers: Any) -> list[Any]:
    """Return the controls that say which images, and by what conditions."""
    return [
        ComboBox(
            name="source",
            label="Images",
            choices=[("A folder", FOLDER), ("Files", FILES), ("Open layers", LAYERS)],
            tooltip="Where the images are.",
        ),
        FileEdit(name="folder", label="Folder", mode="d", tooltip="Of the images."),
        LineEdit(
            name="pattern",
            label="Pattern",
            value="*",
            tooltip="Which of its images: * for all, *_dapi.tif for those whose names "
            "end so, **/* for those in the folders within, too. Labels, masks and "
            "overlays are left out.",
        ),
        FileEdit(name="files", label="Files", mode="rm", tooltip="Several at once."),
        Select(
            name="layers",
            label="Layers",
            choices=layers,
            tooltip="Which of the open images. Ctrl chooses several.",
        ),
        ComboBox(
            name="conditions",
            label="Conditions",
            choices=[
                ("None", ""),
                ("Name of the folder", BY_FOLDER),
                ("Part of the file name", BY_PATTERN),
                ("Column of a table", BY_TABLE),
            ],
            tooltip="What the condition of each image is told by. The list of images "
            "shows it.",
        ),
        LineEdit(
            name="condition_pattern",
            label="Name",
            value="{condition}_*",
            tooltip="How file names are made, without their ending: what stands in "
            "braces is the condition, and * is anything.",
        ),
        FileEdit(
            name="condition_table",
            label="Table",
            mode="r",
            filter="*.csv",
            tooltip="A CSV file with a column of file names or wells, and one of "
            "conditions.",
        ),
        NarrowBox(
            name="condition_column",
            label="Column",
            tooltip="The column with the conditions.",
        ),
    ]


def setting_parts() -> list[Any]:
    """Return the controls that say how, and where to."""
    return [
        ComboBox(
            name="settings",
            label="Settings",
            choices=[("As in Segment now", "widgets"), ("From a recipe", "recipe")],
            tooltip="Diameter and thresholds: as they stand in the Segment widget when "
            "you press Run (the model's own if it is not open), or from a recipe.json.",
        ),
        FileEdit(
            name="recipe",
            label="Recipe",
            mode="r",
            filter="*.json",
            tooltip="As it is written beside every result.",
        ),
        NarrowBox(name="model", label="Model", tooltip="The trained network to use."),
        LineEdit(
            name="axes",
            label="Axes",
            tooltip="What the images' axes are, a letter for each, such as TCYX; empty "
            "for what each file says.",
        ),
        FileEdit(
            name="output",
            label="Results in",
            mode="d",
            tooltip="A folder, which is made. Labels, tables, contact sheet, report "
            "and recipe.json go there.",
        ),
    ]
