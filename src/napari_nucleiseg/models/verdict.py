"""Whether a trained model is better than the one it started from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, computed_field

from napari_nucleiseg.core.record import Record

#: A gain in the mean of AP@0.5 and AP@0.75 that is less than this is none.
LEAST_GAIN = 0.005

#: On fewer nuclei nothing is judged.
LEAST_NUCLEI = 25

#: How many more nuclei to label is reckoned for a gain of at least this, and not told
#: beyond so many.
_GAIN_SOUGHT, _MOST_WANTED = 0.03, 500

#: A loss on the packaged images that counts: more than from one training to the next.
_LOSS = 0.03

#: What a verdict may be.
Word = Literal["better", "not better", "can't tell"]


class Figures(Record):
    """Figures of one model on the images that it is judged by.

    Parameters
    ----------
    AP50, AP75, mean_AP : float
        Average precision at IoU 0.5, 0.75 and the mean over .5:.95, over all nuclei.
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
        # Over all nuclei: in the mean of images, one with three counts like one of 90.
        pooled = summary["pooled"]
        return cls(
            AP50=float(pooled["AP"]["0.50"]),
            AP75=float(pooled["AP"]["0.75"]),
            mean_AP=float(pooled["mean_AP"]),
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


def _score(figures: Figures) -> float:
    return (figures.AP50 + figures.AP75) / 2


class Verdict(Record):
    """Two models, side by side on the same images.

    Parameters
    ----------
    new : Figures
        The trained model.
    base : Figures or None
        What it is compared with; None if there was nothing.
    base_name : str
        What the base is called.
    images : int
        Images, or crops of them, that they were compared on.
    interval : tuple of float, or None
        What 90% of the gains lie between; see `core.score.comparing`. None in
        cards of earlier versions.
    on : str
        What the images are: ``"held out"`` of those learnt from, or a ``"test"`` set.
    share : float
        Of all labelled nuclei, how many are in these images.
    unchanged : bool
        Whether no epoch was better than the base, so that it is the base.
    packaged : tuple of float, or None
        The base's score on the images that come with the package, and the new one's.
    worst : str
        The image in which the new model is least right.
    trainings : int
        How many trainings were judged together, each by nuclei that it had not learnt
        from; 1 if only those that were held out of the model's own.
    """

    new: Figures
    base: Figures | None
    base_name: str
    images: int = Field(ge=0)
    interval: Annotated[tuple[float, float] | None, Field(strict=False)] = None
    on: Literal["held out", "test"] = "held out"
    share: float = Field(default=0.2, gt=0, le=1)
    unchanged: bool = False
    packaged: Annotated[tuple[float, float] | None, Field(strict=False)] = None
    worst: str = ""
    trainings: int = Field(default=1, ge=1)

    @property
    def gain(self) -> float:
        """How much the mean of AP@0.5 and AP@0.75 rose; all of it without a base."""
        return _score(self.new) - (0.0 if self.base is None else _score(self.base))

    @property
    def word(self) -> Word:
        """The verdict in a word or two."""
        if self.base is None:
            return "better"
        if self.unchanged or self._finds_less:
            return "not better"
        if self.interval is None:  # of an earlier version, which had no other word
            return "better" if self.gain >= LEAST_GAIN else "not better"
        low, high = self.interval
        if high < LEAST_GAIN:
            return "not better"
        sure = low > 0 and self.gain >= LEAST_GAIN
        return "better" if sure and self.new.nuclei >= LEAST_NUCLEI else "can't tell"

    @property
    def _finds_less(self) -> bool:
        """Whether only the outlines are surely better, and fewer nuclei are found."""
        return (
            self.base is not None
            and (self.interval is None or self.interval[0] > 0)
            and self.gain >= LEAST_GAIN
            and self.new.AP50 < self.base.AP50 - LEAST_GAIN
            and self.new.nuclei >= LEAST_NUCLEI
        )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def better(self) -> bool:
        """Whether the new model is surely to be preferred."""
        return self.word == "better"

    @property
    def forgets(self) -> bool:
        """Whether it is worse than its base on the images in this package."""
        return self.packaged is not None and (
            self.packaged[1] < self.packaged[0] - _LOSS
        )

    @property
    def worth_keeping(self) -> bool:
        """Whether it is better, or may be and is not worse anywhere it was measured."""
        if self.word != "can't tell":
            return self.better
        few = self.new.nuclei < LEAST_NUCLEI
        return not self.forgets and (few or self.gain >= 0)

    @property
    def wanted(self) -> int:
        """How many more nuclei to label for an answer, about; 0 if there is one."""
        if self.word != "can't tell" or self.interval is None:
            return 0
        nuclei = max(self.new.nuclei, 1)
        off = (self.interval[1] - self.interval[0]) / 2
        needed = nuclei * (off / max(abs(self.gain), _GAIN_SOUGHT)) ** 2
        more = (max(needed, LEAST_NUCLEI) - nuclei) / self.share
        step = 5 if more < 100 else 50
        return max(math.ceil(more / step) * step, step)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        images = f"{self.images} image{'' if self.images == 1 else 's'}"
        many = f"{self.new.nuclei} nucle{'us' if self.new.nuclei == 1 else 'i'}"
        if self.on == "test":
            on = f"the {many} of {images} to test on"
        else:
            on = f"{many.replace(' ', ' held-out ')} in {images}"
        if self.trainings > 1:
            on = (
                f"{many} in {images}, each judged in one of {self.trainings} trainings "
                "that did not learn from it"
            )
        if self.base is None:
            return f"Measured on {on}."
        if self.unchanged:
            text = (
                f"Not better than {self.base_name} on {on}: no epoch was better than "
                "the model it started from."
            )
        elif self._finds_less:
            text = (
                f"Not better than {self.base_name} on {on}: its outlines are closer "
                f"(AP@0.75 {self.base.AP75:.3f} → {self.new.AP75:.3f}), but it finds "
                f"less (AP@0.5 {self.base.AP50:.3f} → {self.new.AP50:.3f})."
            )
        elif self.word == "can't tell":
            text = (
                f"Can't tell yet whether it is better than {self.base_name}, on {on}: "
                f"{self._figures}. {self._advice}"
            )
        else:
            text = f"{self.word.capitalize()} than {self.base_name} on {on}: "
            text += f"{self._figures}."
        if self.forgets:
            assert self.packaged is not None
            text += (
                " It is worse on the images that come with this package: AP "
                f"{self.packaged[0]:.3f} → {self.packaged[1]:.3f}."
            )
        return text

    @property
    def _figures(self) -> str:
        """What decides, and how sure it is."""
        assert self.base is not None
        text = f"AP {_score(self.base):.3f} → {_score(self.new):.3f}"
        if self.interval is None:
            return text
        low, high = (f"{value:+.3f}".replace("-", "−") for value in self.interval)
        return f"{text} (90% interval of the gain: {low} to {high})"

    @property
    def _advice(self) -> str:
        where = f", for instance in {self.worst}" if self.worst else ""
        if self.wanted > _MOST_WANTED:
            return f"They are much alike: it would take several hundred more{where}."
        return f"Label about {self.wanted} more{where}."

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
