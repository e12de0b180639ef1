"""What several labs have found of the same trials, and what lies between them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ..formats import few
from ..records import Record, frame

_CLOSE = 1e-6  # relative: CPUs sum in other orders


class Both(NamedTuple):
    """A trial that two labs have run."""

    mine: Record
    theirs: Record
    labs: tuple[str, str]

    @property
    def differences(self) -> list[str]:
        """`pruned.top1 0.52, 0.5`, of all that they have measured otherwise; latency apart."""
        kept = {"status": True, "measurements": True, "fidelity": True}
        mine, theirs = (one.model_dump(include=kept) for one in (self.mine, self.theirs))
        for one in (mine, theirs):
            for timed in ("latency", "undeployed", "budget_check"):
                (one["measurements"] or {}).pop(timed, None)
        return [f"{name.partition('.')[2] or name} {a}, {b}" for name, a, b in _apart(mine, theirs)]

    def __str__(self) -> str:
        """Which trial, and what of it differs, with whose the two values are."""
        of, apart = self.mine.labels, few(self.differences, before="; ")
        name = f"{of.brief} · base {of.base} · repeat {of.repeat}"
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
    found = pd.concat([frame(records) for records in labs.values()] or [frame(())])
    return found.groupby([*place, "key"])["retained_top1"].var().groupby([*place]).mean() ** 0.5


def _apart(mine: Any, theirs: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name and both values of whatever differs."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in {**mine, **theirs}:
            yield from _apart(mine.get(key), theirs.get(key), f"{name}.{key}".strip("."))
    elif isinstance(mine, list | tuple) and isinstance(theirs, list | tuple):
        yield from _apart(dict(enumerate(mine)), dict(enumerate(theirs)), name)
    elif isinstance(mine, float) and isinstance(theirs, float):
        if not math.isclose(mine, theirs, rel_tol=_CLOSE):
            yield name, mine, theirs
    elif mine != theirs:
        yield name, mine, theirs
