"""One file that says how labels and tables were made, and makes them again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from napari_nucleiseg.core.measure.gates import Gate
from napari_nucleiseg.core.params import (
    InstanceSettings,
    MeasureParams,
    SegmentParams,
)
from napari_nucleiseg.core.record import Record
from napari_nucleiseg.core.segment.result import Segmentation
from napari_nucleiseg.io.atomic import write_whole
from napari_nucleiseg.models.engines import choose_engine
from napari_nucleiseg.models.registry import (
    RUN_FILE,
    Model,
    find_model,
    list_models,
)

#: What a recipe is called beside the results it made.
RECIPE_FILE = "recipe.json"

_GATES_IMPORT = "from napari_nucleiseg.core.measure.gates import Gate, add_gates"


class SavedRecipe(Record):
    """How images were segmented and measured.

    Parameters
    ----------
    version : str
        Of this package.
    model : str or None
        The model's name, or its folder; None for labels from elsewhere.
    model_hash : str or None
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
    pixel_size : float, [float, float] or None
        µm, along y and x where they differ; None for what each file says.
    image_name : str
        What the image is called in the names of columns; see
        `core.measure.channels.split_channels`.
    measure : MeasureParams or None
        What was measured; None if nothing was.
    gates : list of Gate
        Those drawn in plots.
    condition : str
        What the conditions of image files are told by; see
        `io.conditions.conditions_of`.
    corrected : bool
        Whether the labels were corrected by hand afterwards, which a recipe does not
        do again.
    """

    version: str = metadata.version("napari-nucleiseg")
    model: str | None = None
    model_hash: str | None = None
    axes: str | None = None
    channel: int | None = None
    series: int | None = None
    segment: SegmentParams = Field(default_factory=SegmentParams)
    pixel_size: float | list[float] | None = None
    image_name: str = ""
    measure: MeasureParams | None = None
    gates: list[Gate] = Field(default_factory=list)
    condition: str = ""
    corrected: bool = False

    @classmethod
    def of(cls, model: str | Path, **how: Any) -> Self:
        """Return the recipe for a model that there is; see the class for the rest."""
        return cls.of_model(find_model(model), **how)

    @classmethod
    def of_model(cls, model: Model, **how: Any) -> Self:
        """Return the recipe for a model that was found; see the class for the rest.

        One that is not in the list of models is named by its folder.
        """
        listed = any(model.folder == other.folder for other in list_models())
        name = model.card.name if listed else str(model.folder)
        return cls(model=name, model_hash=_hash_of(model), **how)

    @classmethod
    def of_result(
        cls, result: Segmentation, model: str | Path | None = None, **how: Any
    ) -> Self:
        """Return the recipe that made a result.

        Parameters
        ----------
        result : Segmentation
            From `segment`.
        model : str or path, optional
            The model's folder, if it is not in the list of models.
        **how
            What was measured; see the class.
        """
        return cls.of(
            model or result.model,
            axes=result.axes,
            channel=result.channel,
            segment=own_left_out(result.params, result.model_settings),
            **how,
        )

    def check_model(self) -> None:
        """Raise ValueError if the model of this name is another one by now."""
        if self.model and _hash_of(find_model(self.model)) != self.model_hash:
            raise ValueError(
                f"The recipe was made with another model called {self.model}: its "
                "network has changed since, and so would the labels."
            )

    def on_engine(self) -> Self:
        """Return the recipe with the engine that "auto" is on this computer."""
        if self.model is None:
            return self
        engine = choose_engine(find_model(self.model), self.segment.engine)
        return self.replace(segment=self.segment.replace(engine=engine))

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
        """Return the line for the shell that does the same to image files."""
        words = ["nucleiseg", "segment", *inputs, "--output", output]
        if self.model:
            words += ["--model", self.model]
        for name in ("axes", "channel", "series"):
            if getattr(self, name) is not None:
                words += [f"--{name}", str(getattr(self, name))]
        words += _options(self.segment)
        if self.measure is not None:
            words += ["--measure", *self._measure_options()]
            if self.image_name:
                words += ["--image-name", self.image_name]
        if self.condition:
            words += ["--condition", self.condition]
        return shlex.join(words)

    def as_measure_command(
        self, labels: str, images: Mapping[str, str], output: str
    ) -> str:
        """Return the line for the shell that measures label files in the same way.

        Parameters
        ----------
        labels : str
            A file or folder of labels.
        images : mapping of str to str
            Files or folders of images, by the names that columns are to have.
        output : str
            The folder for the tables.
        """
        words = ["nucleiseg", "measure", "--labels", labels, "--output", output]
        if images:
            named = [f"{name}={path}" for name, path in images.items()]
            words += ["--images", *named]
        if self.axes is not None:
            words += ["--axes", self.axes]
        return shlex.join([*words, *self._measure_options()])

    def as_measure_python(self, labels: str, images: Mapping[str, str]) -> str:
        """Return the lines of Python that measure label files in the same way.

        Parameters
        ----------
        labels, images
            See `as_measure_command`.
        """
        lines = [
            "from pathlib import Path",
            "",
            "from napari_nucleiseg import measure",
            "from napari_nucleiseg.io.images import read_image",
            "from napari_nucleiseg.io.pair_reading import read_labels",
            "",
            f"labels = read_labels(Path({labels!r}))",
            "images = {",
            *(
                f"    {name!r}: read_image(Path({path!r})).data,"
                for name, path in images.items()
            ),
            "}",
        ]
        how = _keyword("axes", self.axes) + _keyword("scale", self.pixel_size)
        how += "".join(_keyword(*item) for item in changed(self._measuring).items())
        lines.append(f"table = measure(labels, images{how})")
        if self.gates:
            lines[3:3] = [_GATES_IMPORT]
            lines += self._gate_lines()
        return "\n".join(lines) + "\n"

    @property
    def _measuring(self) -> MeasureParams:
        return self.measure or MeasureParams()

    def _gate_lines(self) -> list[str]:
        lines = ["gates = ["]
        for gate in self.gates:
            values = gate.model_dump(exclude_defaults=True).items()
            words = ", ".join(f"{name}={value!r}" for name, value in values)
            lines.append(f"    Gate({words}),")
        return [*lines, "]", "table = add_gates(table, gates)"]

    def _measure_options(self) -> list[str]:
        words = []
        if self.pixel_size is not None:
            words += ["--pixel-size", _numbers(self.pixel_size)]
        words += _options(self._measuring)
        for gate in self.gates:
            words += ["--gate", gate.model_dump_json(exclude_defaults=True)]
        return words

    def as_python(self, path: str | None = None) -> str:
        """Return the lines of Python that do the same.

        Parameters
        ----------
        path : str, optional
            The image's file; without one the lines are for an array ``image``.
        """
        imports = ["from napari_nucleiseg import segment"]
        lines, image, scale = [], "image", _keyword("scale", self.pixel_size)
        axes = _keyword("axes", self.axes)
        if path is not None:
            imports.append("from napari_nucleiseg.io.images import read_image")
            series = "" if self.series is None else f", series={self.series}"
            lines += [f"path = Path({path!r})", f"image = read_image(path{series})"]
            image, axes = "image.data", axes or ", axes=image.axes"
            scale = scale or ", scale=read_pixel_size(path)"
        how = axes + _keyword("channel", self.channel)
        how += "".join(_keyword(*item) for item in changed(self.segment).items())
        lines.append(f"result = segment({image}, {self.model!r}{how})")
        if self.measure is not None:
            imports[0] = "from napari_nucleiseg import measure, segment"
            if "read_pixel_size" in scale:
                module = "napari_nucleiseg.io.pixel_size"
                imports.append(f"from {module} import read_pixel_size")
            if self.image_name:
                image = f"{{{self.image_name!r}: {image}}}"
            how = f", axes=result.axes{scale}, confidence=result.confidence"
            how += "".join(_keyword(*item) for item in changed(self.measure).items())
            lines.append(f"table = measure(result.labels, {image}{how})")
        if self.measure is not None and self.gates:
            imports.append(_GATES_IMPORT)
            lines += self._gate_lines()
        first = ["# What was corrected by hand is not done again."] * self.corrected
        first += ["from pathlib import Path", ""] if path is not None else []
        return "\n".join([*first, imports[0], *sorted(imports[1:]), "", *lines]) + "\n"


def read_recipe(path: Path, *, check: bool = True) -> SavedRecipe:
    """Read a recipe.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    check : bool
        Whether its model must be there, and the same.

    Raises
    ------
    ValueError
        If the file is no recipe, or its model is another one by now.
    OSError
        If it cannot be read.
    """
    try:
        recipe = SavedRecipe.from_json(path.read_bytes())
        if "version" not in recipe.model_fields_set:
            raise ValueError("version is missing.")
    except ValueError as e:
        raise ValueError(f"{path} is no recipe: {e}") from e
    if check:
        recipe.check_model()
    return recipe


def own_left_out(params: SegmentParams, own: InstanceSettings) -> SegmentParams:
    """Return parameters with None for those that are the model's own."""
    known = dict(own)
    same = [name for name, x in params if name in known and x == known[name]]
    return params.replace(**dict.fromkeys(same))


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


def _keyword(name: str, value: Any) -> str:
    return "" if value is None else f", {name}={value!r}"


def _numbers(value: float | Sequence[float]) -> str:
    values = [value] if isinstance(value, int | float) else value
    return ",".join(map(repr, values))


def _hash_of(model: Model) -> str:
    return model.card.files[RUN_FILE]
