"""What networks are compared by: a task's primary metric, its unit, and the words for it.

A report speaks of one metric. Which, is set once for all that it writes, as a decimal context is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pydantic import BaseModel

STEM = "top1"  # of the keys and columns that hold it, here and in records of classification


class Metric(BaseModel, frozen=True, extra="forbid"):
    """A number of one network; higher is better. Records hold it as it is, reports show it scaled.

    >>> TOP1.axis, TOP1.change, TOP1.full, TOP1.span
    ('test top-1 (%)', 'accuracy change (points)', 'top-1 accuracy', 100.0)
    """

    name: str = STEM  # in keys and columns
    title: str = "top-1"  # at the head of a column or an axis
    quality: str = "accuracy"  # what changes, in running text
    unit: str = "%"  # of shown values
    point: str = "point"  # of shown differences; one of them
    sample: str = "image"  # what is trained on, scored by and tested on; one of them
    scale: float = 100.0  # what records hold, times this, is shown
    digits: int = 2  # of shown values, after the point
    least: float = 0  # of what records hold
    most: float = 1
    large: float = 10  # a shown difference that nobody doubts
    poor: float = 50  # a shown value below which a network is hardly trained
    counts: bool = True  # a sample is right or wrong, so that one of n is worth 1/n
    about: str = ""  # what a page says beyond that

    @property
    def full(self) -> str:
        return self.title if self.quality in self.title else f"{self.title} {self.quality}"

    @property
    def points(self) -> str:
        return f"{self.point}s"

    @property
    def change(self) -> str:
        return f"{self.quality} change ({self.points})"

    @property
    def axis(self) -> str:
        return f"test {self.title} ({self.unit})"

    @property
    def ends(self) -> tuple[float, float]:
        """What shown values lie between."""
        return self.scale * self.least, self.scale * self.most

    @property
    def span(self) -> float:
        """The largest difference that two shown values can have."""
        return self.ends[1] - self.ends[0]

    def said(self, *values: float, fewer: int = 0) -> str:
        """Values as they are shown, with so many digits fewer, their unit and what they are of."""
        shown = (f"{self.scale * one:.{self.digits - fewer}f}" for one in values)
        return f"{', '.join(shown)} {self.unit} {self.title}"

    def named(self, name: str) -> str:
        """A column, `retained_top1`, `accuracy_change`, `images_scored`, in this metric's words."""
        changed = "accuracy_change" if self.name == STEM else f"{self.name}_change"
        name = name.replace(STEM, self.name).replace("accuracy_change", changed)
        return name.replace("images", f"{self.sample}s")


TOP1 = Metric()
_SPOKEN = ContextVar("metric", default=TOP1)
spoken = _SPOKEN.get  # the metric that is spoken of


@contextmanager
def speaking_of(metric: Metric) -> Iterator[None]:
    """All that is written inside is about this metric."""
    token = _SPOKEN.set(metric)
    try:
        yield
    finally:
        _SPOKEN.reset(token)


def possible(value: float) -> float:
    """The value, if a network can have it of the metric that is spoken of."""
    of = spoken()
    if value < of.least:
        raise ValueError(f"{of.title} should be greater than or equal to {of.least:g}")
    if value > of.most:
        raise ValueError(f"{of.title} should be less than or equal to {of.most:g}")
    return value


def renamed(found: Any, old: str, new: str) -> Any:
    """Nested JSON with keys that end in one name under another: `validation_top1`."""
    if isinstance(found, dict):
        ends = {key: key.removesuffix(old) + new if key.endswith(old) else key for key in found}
        return {ends[key]: renamed(value, old, new) for key, value in found.items()}
    return [renamed(one, old, new) for one in found] if isinstance(found, list) else found
