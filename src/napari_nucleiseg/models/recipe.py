"""One file that says how labels and tables were made, and makes them again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import Field

from napari_nucleiseg.core.measure.gates import Gate
from napari_nucleiseg.core.params import MeasureParams, SegmentParams
from napari_nucleiseg.core.record import Record
from napari_nucleiseg.io.atomic import write_whole
from napari_nucleiseg.models.registry import RUN_FILE, Model, find_model

#: What a recipe is called beside the results it made.
RECIPE_FILE = "recipe.json"


class SavedRecipe(Record):
    """How images were segmented and measured.

    Parameters
    ----------
    version : str
        Of this package.
    model : str
        The model's name, or its folder.
    model_hash : str
        SHA-256 of its network.
    axes : str or None
        Of the images; None for what each file says.
    channel : int or None
        The one that was segmented; None for the first, or all colours.
    series : int or None
        Of TIFF files with several.
    segment : SegmentParams
        Diameter and thresholds, as asked for: what is measured on an image is measured
        again.
    pixel_size : float or None
        µm; None for what each file says.
    measure : MeasureParams or None
        What was measured; None if nothing was.
    gates : list of Gate
        Those drawn in plots.
    """

    version: str = metadata.version("napari-nucleiseg")
    model: str
    model_hash: str
    axes: str | None = None
    channel: int | None = None
    series: int | None = None
    segment: SegmentParams = Field(default_factory=SegmentParams)
    pixel_size: float | None = None
    measure: MeasureParams | None = None
    gates: list[Gate] = Field(default_factory=list)

    @classmethod
    def of(cls, model: str, **how: Any) -> SavedRecipe:
        """Return the recipe for a model that there is; see the class for the rest."""
        return cls(model=model, model_hash=_hash_of(find_model(model)), **how)

    def check_model(self) -> None:
        """Raise ValueError if the model of this name is another one by now."""
        if _hash_of(find_model(self.model)) != self.model_hash:
            raise ValueError(
                f"The recipe was made with another model called {self.model}: its "
                "network has changed since, and so would the labels."
            )

    def write(self, path: Path) -> None:
        """Write the recipe as JSON.

        Raises
        ------
        NotWritten
            If it cannot be written.
        """
        text = self.model_dump_json(indent=1) + "\n"
        write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))

    def as_command(self, inputs: Sequence[str], output: str) -> str:
        """Return the line for the shell that does the same, but for gates."""
        words = ["nucleiseg", "segment", *inputs, "--output", output]
        words += ["--model", self.model]
        for name in ("axes", "channel", "series"):
            if getattr(self, name) is not None:
                words += [f"--{name}", str(getattr(self, name))]
        words += _options(self.segment)
        if self.measure is not None:
            words.append("--measure")
            if self.pixel_size is not None:
                words += ["--pixel-size", f"{self.pixel_size:g}"]
            words += _options(self.measure)
        return shlex.join(words)

    def as_python(self) -> str:
        """Return the lines of Python that do the same to an array ``image``."""
        given: dict[str, Any] = {"axes": self.axes, "channel": self.channel}
        how = {name: value for name, value in given.items() if value is not None}
        how |= changed(self.segment)
        words = "".join(f", {name}={value!r}" for name, value in how.items())
        lines = [
            "from napari_nucleiseg import measure, segment",
            "",
            f"result = segment(image, {self.model!r}{words})",
        ]
        if self.measure is None:
            lines[0] = "from napari_nucleiseg import segment"
        else:
            given = {"axes": self.axes, "scale": self.pixel_size}
            how = {name: value for name, value in given.items() if value is not None}
            how |= changed(self.measure)
            words = "".join(f", {name}={value!r}" for name, value in how.items())
            lines.append(f"table = measure(result.labels, image{words})")
        return "\n".join(lines) + "\n"


def read_recipe(path: Path) -> SavedRecipe:
    """Read a recipe.

    Raises
    ------
    ValueError
        If the file is no recipe, or its model is another one by now.
    OSError
        If it cannot be read.
    """
    try:
        recipe = SavedRecipe.from_json(path.read_bytes())
    except ValueError as e:
        raise ValueError(f"{path} is no recipe: {e}") from e
    recipe.check_model()
    return recipe


def changed(params: Record) -> dict[str, Any]:
    """Return the parameters that are not as they are by default."""
    fields = type(params).model_fields
    return {n: value for n, value in params if value != fields[n].default}


def _options(params: Record) -> list[str]:
    words = []
    for name, value in changed(params).items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", "auto" if value is None else str(value)]
    return words


def _hash_of(model: Model) -> str:
    return model.card.files[RUN_FILE]
