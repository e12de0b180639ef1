"""What several labs have found of the same trials, and what lies between them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ..formats import few
from ..records import Record, frame

_CLOSE = 1e-6  # relative: CPUs sum in other orders
_TIMED = ("latency", "undeployed", "budget_check")


class Both(NamedTuple):
    """A trial that two labs have run."""

    mine: Record
    theirs: Record
    labs: tuple[str, str]

    @property
    def apart(self) -> list[str]:
        """`pruned.top1 0.52, 0.5`, of all that they have found otherwise; latency apart."""
        left_out = {"measurements": set(_TIMED)}
        kept = {"status", "measurements", "fidelity"}
        mine, theirs = (
            one.model_dump(include=kept, exclude=left_out) for one in (self.mine, self.theirs)
        )
        return [f"{name} {a}, {b}" for name, a, b in _apart(mine, theirs)]

    def __str__(self) -> str:
        """Which trial, and what of it differs, with whose the two values are."""
        name, apart = self.mine.labels.whole, few(self.apart, before="; ")
        return f"{name}: {apart} ({', '.join(self.labs)})" if apart else name


def shared(labs: Mapping[str, Iterable[Record]]) -> list[Both]:
    """Each trial that several have run: the first lab's record of it, and every other's."""
    first, found = dict[str, tuple[Record, str]](), list[Both]()
    for lab, records in sorted(labs.items()):
        for record in records:
            mine, whose = first.setdefault(record.key, (record, lab))
            if whose != lab:
                found.append(Both(mine, record, (whose, lab)))
    return found


def between_labs(labs: Mapping[str, Sequence[Record]], place: Sequence[str]) -> pd.Series:
    """By `place`, the standard deviation between labs of the same trial, in points: the root mean
    square over all trials that several have run; empty where there are none."""
    found = pd.concat([frame(records) for records in labs.values()])
    return found.groupby([*place, "key"])["retained_top1"].var().groupby([*place]).mean() ** 0.5


def _apart(mine: Any, theirs: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, without its first part, and both values of whatever differs."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in {**mine, **theirs}:
            yield from _apart(mine.get(key), theirs.get(key), f"{name}.{key}")
    elif isinstance(mine, list | tuple) and isinstance(theirs, list | tuple):
        yield from _apart(dict(enumerate(mine)), dict(enumerate(theirs)), name)
    elif not (isinstance(mine, float) and isinstance(theirs, float)):
        yield from [(name[1:].partition(".")[2] or name[1:], mine, theirs)] * (mine != theirs)
    elif not math.isclose(mine, theirs, rel_tol=_CLOSE):
        yield name[1:].partition(".")[2], mine, theirs
