"""What several labs have found of the same trials, and what lies between them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from ..formats import after, few, shown
from ..records import Labels, Record, frame

_TIMED = {"latency", "undeployed", "budget_check"}
_CLOSE = 1e-6  # relative: CPUs sum in other orders


class Both(NamedTuple):
    """A trial that two labs have run."""

    mine: Record
    theirs: Record
    labs: tuple[str, str]

    @property
    def apart(self) -> list[str]:
        """`pruned.top1 0.52, 0.5`, of all that they have found otherwise; times apart."""
        mine, theirs = map(_found, (self.mine, self.theirs))
        names = [one for one in {**mine, **theirs} if not _equal(mine.get(one), theirs.get(one))]
        return [f"{name} {mine.get(name)}, {theirs.get(name)}" for name in names]

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


def as_other_seeds(both: Sequence[Both], records: Iterable[Record]) -> str:
    """`3.10 (2.90) after finetune`: how far the two runs of a trial lie apart, and in brackets the
    bases of such trials, as standard deviations; a dash where they are of no comparison."""
    of = [one for one in Labels.model_fields if one not in ("base", "matched_to")]
    twice = frame(record for one in both for record in (one.mine, one.theirs))
    if twice.empty:
        return "–"
    alike = frame(records).merge(twice[of].drop_duplicates(), on=of)
    runs, bases = (
        found.groupby(by)["retained_top1"].var().groupby("recovery").mean() ** 0.5
        for found, by in ((twice, [*of, "key"]), (alike, of))
    )
    return ", ".join(f"{shown(runs[one])} ({shown(bases[one])}) {after(one)}" for one in runs.index)


def _found(record: Record) -> dict[str, Any]:
    """By dotted names."""
    found = record.measurements or record.fidelity
    whole = found.model_dump(exclude=_TIMED) if found else {}
    return dict(pd.json_normalize(whole | {"status": record.status}).iloc[0])


def _equal(mine: Any, theirs: Any) -> bool:
    both_float = isinstance(mine, float) and isinstance(theirs, float)
    return math.isclose(mine, theirs, rel_tol=_CLOSE) if both_float else mine == theirs
