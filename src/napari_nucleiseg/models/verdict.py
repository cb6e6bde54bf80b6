"""Whether a trained model is better than the one it started from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, computed_field

from napari_nucleiseg.core.record import Record

#: A gain in the mean of AP@0.5 and AP@0.75 that is less than this is none.
LEAST_GAIN = 0.005


class Figures(Record):
    """Figures of one model on the held-out images.

    Parameters
    ----------
    AP50, AP75, mean_AP : float
        Average precision at IoU 0.5, 0.75 and the mean over .5:.95, per-image mean.
    nuclei : int
        True nuclei there are.
    missed, false, merged, split, misshapen : int
        Nuclei by their fate at IoU 0.5; see `core.score.fates`.
    """

    AP50: float = Field(ge=0, le=1)
    AP75: float = Field(ge=0, le=1)
    mean_AP: float = Field(ge=0, le=1)
    nuclei: int = Field(ge=0)
    missed: int = Field(ge=0)
    false: int = Field(ge=0)
    merged: int = Field(ge=0)
    split: int = Field(ge=0)
    misshapen: int = Field(ge=0)

    @classmethod
    def collect(
        cls, summary: Mapping[str, Any], fates: Sequence[Mapping[str, int]]
    ) -> Figures:
        """Make figures from `matching.summarise` and the images' fate counts."""
        mean = summary["per_image_mean"]
        return cls(
            AP50=float(mean["AP"]["0.50"]),
            AP75=float(mean["AP"]["0.75"]),
            mean_AP=float(mean["mean_AP"]),
            nuclei=int(summary["nuclei"]),
            **{
                name: int(sum(counts[name] for counts in fates))
                for name in ("missed", "false", "merged", "split", "misshapen")
            },
        )


#: Rows of the table: what it says, and the field.
ROWS = (
    ("AP at IoU 0.5", "AP50"),
    ("AP at IoU 0.75", "AP75"),
    ("AP, mean .5:.95", "mean_AP"),
    ("missed nuclei", "missed"),
    ("false nuclei", "false"),
    ("merged nuclei", "merged"),
    ("split nuclei", "split"),
    ("misshapen nuclei", "misshapen"),
)


class Verdict(Record):
    """Two models, side by side on the same held-out images.

    Parameters
    ----------
    new : Figures
        The trained model.
    base : Figures or None
        What it is compared with; None if there was nothing.
    base_name : str
        What the base is called.
    images : int
        Held-out crops they were compared on.
    """

    new: Figures
    base: Figures | None
    base_name: str
    images: int = Field(ge=0)

    @property
    def gain(self) -> float:
        """How much the mean of AP@0.5 and AP@0.75 rose; all of it without a base."""
        after = (self.new.AP50 + self.new.AP75) / 2
        if self.base is None:
            return after
        return after - (self.base.AP50 + self.base.AP75) / 2

    @computed_field  # type: ignore[prop-decorator]
    @property
    def better(self) -> bool:
        """Whether the new model is to be preferred."""
        return self.base is None or self.gain >= LEAST_GAIN

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        on = (
            f"{self.new.nuclei} held-out nuclei in {self.images} "
            f"image{'' if self.images == 1 else 's'}"
        )
        if self.base is None:
            return f"Measured on {on}."
        ap = (
            f"AP@0.5 {self.base.AP50:.3f} → {self.new.AP50:.3f}, "
            f"@0.75 {self.base.AP75:.3f} → {self.new.AP75:.3f}"
        )
        if self.better:
            return f"Better than {self.base_name} on {on}: {ap}."
        return f"Not better than {self.base_name} on {on}: {ap}."

    def rows(self) -> list[tuple[str, str, str]]:
        """Return the table: what, the base's figure, the new model's."""

        def text(figures: Figures | None, name: str) -> str:
            if figures is None:
                return "–"
            value = getattr(figures, name)
            return f"{value:.3f}" if isinstance(value, float) else str(value)

        return [
            (label, text(self.base, name), text(self.new, name)) for label, name in ROWS
        ]

    @property
    def text(self) -> str:
        """The verdict and its table, for a terminal."""
        head = self.base_name if self.base is not None else "–"
        width = max(10, len(head) + 2)
        lines = [self.sentence, f"{'':20}{head:>{width}}{'new':>10}"]
        lines += [f"{a:20}{b:>{width}}{c:>10}" for a, b, c in self.rows()]
        return "\n".join(lines)
