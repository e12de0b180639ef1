"""What networks are compared by: the primary metric of a task, its unit, and words for it.

A report speaks of one metric. Which, is set once for all that it writes, as a decimal context is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pydantic import BaseModel, ConfigDict

STEM = "top1"  # of the keys and columns that hold it, here and in records of classification


class Metric(BaseModel):
    """A number of one network; higher is better. Records hold it as it is, reports scaled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = STEM  # in keys and columns
    title: str = "top-1"  # at the head of a column or an axis, before its unit
    quality: str = "accuracy"  # what changes, in running text
    unit: str = "%"  # of shown values
    point: str = "point"  # of shown differences; one of them
    scale: float = 100  # what records hold, times this, is shown
    digits: int = 2  # of shown values, after the decimal point
    # least, most: which values are possible; None knows no limit
    least: float | None = 0
    most: float | None = 1
    large: float = 10  # a shown difference that nobody doubts
    poor: float | None = 50  # a shown value below which a network is hardly trained
    counts: bool = True  # whether a sample is right or wrong, so that one of n is worth 1/n
    about: str = ""  # what a page says of it beyond that

    @property
    def full(self) -> str:
        """Its whole name: `top-1 accuracy`."""
        return self.title if self.quality in self.title else f"{self.title} {self.quality}"

    @property
    def points(self) -> str:
        """The unit of shown differences."""
        return f"{self.point}s"

    @property
    def change(self) -> str:
        """What figures show of a pruned network against its dense one, with the unit."""
        return f"{self.quality} change ({self.points})"

    @property
    def test_axis(self) -> str:
        """What axes and columns of values on the test split are called."""
        return f"test {self.title} ({self.unit})"

    @property
    def shown_limits(self) -> tuple[float, float]:
        """What shown values lie between."""
        least = float("-inf") if self.least is None else self.scale * self.least
        return least, float("inf") if self.most is None else self.scale * self.most

    @property
    def span(self) -> float:
        """The largest difference that two shown values can have."""
        least, most = self.shown_limits
        return most - least

    def named(self, name: str) -> str:
        """A column, `retained_top1`, or `accuracy_change`, under this metric's name."""
        if self.name == STEM:
            return name
        return name.replace(STEM, self.name).replace("accuracy_change", f"{self.name}_change")


TOP1 = Metric()
_SPOKEN = ContextVar("metric", default=TOP1)


def spoken() -> Metric:
    """The metric that is spoken of: top-1 unless something else is being reported."""
    return _SPOKEN.get()


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
    if of.least is not None and value < of.least:
        raise ValueError(f"{of.title} should be greater than or equal to {of.least:g}")
    if of.most is not None and value > of.most:
        raise ValueError(f"{of.title} should be less than or equal to {of.most:g}")
    return value


def renamed(found: Any, old: str, new: str) -> Any:
    """Nested JSON with keys that end in one name under another: `validation_top1`."""
    if isinstance(found, dict):
        return {
            key.removesuffix(old) + new if key.endswith(old) else key: renamed(value, old, new)
            for key, value in found.items()
        }
    return [renamed(one, old, new) for one in found] if isinstance(found, list) else found
