"""What an analysis has found, as data: everything that figures, tables and page draw on."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from suites.schema import AnySuite

from ..declared import Footing
from ..formats import ranged
from ..records import Labels, Measurements, Record
from .cells import Scores
from .looks import Course
from .power import Layout
from .ranking import MethodRanks


@dataclass(frozen=True)
class Analysed:
    """What the analyses of all kinds of suites have."""

    records: Sequence[Record]  # those that the plan expects, sorted by key
    expected: Sequence[Labels]  # of a suite with looks, those that it needs
    ignored: int  # records that the plan does not hold
    footing: Footing  # what was declared, what differs, whether the plan is complete
    # What each lab has found, where there are several
    labs: Mapping[str, Sequence[Record]] = field(default_factory=dict, kw_only=True)

    @cached_property
    def problems(self) -> list[str]:
        """Models on datasets, in the order of the plan."""
        return list(dict.fromkeys(labels.problem for labels in self.expected))

    @property
    def digest(self) -> str:
        """SHA-256 over the sorted keys: which records a report is made from."""
        return hashlib.sha256("\n".join(one.key for one in self.records).encode()).hexdigest()


@dataclass(frozen=True)
class Results(Analysed, Scores):
    """The results of `reports.analysis.analysis.analyse`, whose parts name what computes each."""

    course: Course  # how far a suite with looks has come
    layout: Layout  # of which the power of the tests follows
    dense: pd.DataFrame
    paired: pd.DataFrame
    overall: pd.DataFrame
    changes: pd.DataFrame
    by_factor: pd.DataFrame
    factorial: pd.DataFrame
    equal_cost: pd.DataFrame
    ranking: Mapping[str, MethodRanks]  # recovery -> ranks of all methods
    standing: pd.DataFrame  # the best of each problem and those not told from it
    noise: pd.DataFrame
    published: pd.DataFrame  # ours and the published

    @cached_property
    def recoveries(self) -> list[str]:
        """Recoveries, in the order of the plan."""
        return list(dict.fromkeys(labels.recovery for labels in self.expected))

    @cached_property
    def budgets(self) -> dict[str, list[float]]:
        """Problem -> the budgets asked for there, largest first."""
        asked: dict[str, set[float]] = {}
        for labels in self.expected:
            if labels.budget is not None:
                asked.setdefault(labels.problem, set()).add(labels.budget)
        return {problem: sorted(several, reverse=True) for problem, several in asked.items()}

    @property
    def bases(self) -> str:
        """How many a problem has, in words; in a suite with looks methods stop when decided."""
        counts = self.cells["bases"] if self.course.looks else [self.suite.bases]
        return ranged(counts, "base")

    @cached_property
    def tightest(self) -> dict[str, float]:
        """Problem -> the budget of which least is kept."""
        return {problem: kept[-1] for problem, kept in self.budgets.items()}

    def at_the_tightest(self) -> Iterator[tuple[Labels, Measurements]]:
        """Finished trials at the tightest budget of their problem, without matched controls."""
        for record in self.records:
            labels = record.labels
            own = not labels.matched_to and labels.budget == self.tightest[labels.problem]
            if own and record.measurements is not None:
                yield labels, record.measurements


def of_plan(suite: AnySuite, records: Sequence[Record], expected: Sequence[Labels]) -> list[Record]:
    """The records that the plan expects, sorted by key. Raises ValueError: the plan is empty, or
    two records stand for one trial."""
    if not expected:
        raise ValueError(f"the plan of {suite.suite} has no trials")
    planned = set(expected)
    known = sorted((one for one in records if one.labels in planned), key=lambda one: one.key)
    twice = [labels for labels, n in Counter(one.labels for one in known).items() if n > 1]
    if twice:
        raise ValueError(f"{len(twice)} trials have two records; the first: {twice[0]}")
    return known
