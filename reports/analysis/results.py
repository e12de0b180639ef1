"""What an analysis has found, as data: everything that figures, tables and page draw on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from suites.schema import AnySuite, Suite

from ..declared import Footing
from ..formats import counted
from ..records import Labels, Record
from .cells import Averaged
from .looks import Course
from .power import Layout
from .ranking import MethodRanks


@dataclass(frozen=True)
class Results:
    """The results of `reports.analysis.analysis.analyse`, whose parts name what computes each."""

    suite: Suite
    records: Sequence[Record]  # those that the plan expects, sorted by key
    expected: Sequence[Labels]  # of a suite with looks, those that it needs
    course: Course  # how far a suite with looks has come
    ignored: int  # records that the plan does not hold
    layout: Layout  # of which the power of the tests follows
    trials: pd.DataFrame
    dense: pd.DataFrame
    cells: pd.DataFrame
    averaged: Averaged  # of `cells.by_trial`
    paired: pd.DataFrame
    overall: pd.DataFrame
    by_factor: pd.DataFrame
    per_budget: pd.DataFrame
    equal_cost: pd.DataFrame
    ranking: Mapping[str, MethodRanks]  # recovery -> ranks of all methods
    standing: pd.DataFrame  # the best of each problem and those not told from it
    noise: pd.DataFrame
    inflation: pd.DataFrame
    published: pd.DataFrame  # ours and the published
    footing: Footing  # what was declared, what differs, whether the plan is complete

    @cached_property
    def problems(self) -> list[str]:
        """Models on datasets, in the order of the plan."""
        return problems_of(self.expected)

    @cached_property
    def recoveries(self) -> list[str]:
        """Recoveries, in the order of the plan."""
        return recoveries_of(self.expected)

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
        low = high = self.suite.bases
        if self.course.looks:
            low, high = int(self.cells["bases"].min()), int(self.cells["bases"].max())
        return counted(high, "base") if low == high else f"{low} to {counted(high, 'base')}"

    @property
    def shared_budgets(self) -> list[float]:
        """Budgets of every problem, largest first: over problems nothing can be said of others."""
        return sorted(set.intersection(*map(set, self.budgets.values())), reverse=True)

    @property
    def digest(self) -> str:
        """SHA-256 over the keys of the records; see `digest`."""
        return digest(self.records)


def problems_of(expected: Sequence[Labels]) -> list[str]:
    """The problems of a plan, each once, in its order."""
    return list(dict.fromkeys(labels.problem for labels in expected))


def recoveries_of(expected: Sequence[Labels]) -> list[str]:
    """The recoveries of a plan, each once, in its order."""
    return list(dict.fromkeys(labels.recovery for labels in expected))


def of_plan(suite: AnySuite, records: Sequence[Record], expected: Sequence[Labels]) -> list[Record]:
    """The records that the plan expects, sorted by key.

    Raises:
        ValueError: the plan is empty, or two records stand for one trial.
    """
    if not expected:
        raise ValueError(f"the plan of {suite.suite} has no trials")
    planned = set(expected)
    known = sorted((one for one in records if one.labels in planned), key=lambda one: one.key)
    twice = [labels for labels, n in Counter(one.labels for one in known).items() if n > 1]
    if twice:
        raise ValueError(f"{len(twice)} trials have two records; the first: {twice[0]}")
    return known


def digest(records: Sequence[Record]) -> str:
    """SHA-256 over the sorted keys: which records a report was made from."""
    return hashlib.sha256("\n".join(one.key for one in records).encode()).hexdigest()
