"""The declared analysis of a suite: everything that figures, tables and page draw on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from suites.schema import AnySuite, Suite

from ..records import Labels, Record, frame
from ..statistics import Power, declared_power
from . import cells as tables
from . import noise, over_problems
from .against_published import ours_and_published
from .best import standing
from .ranking import Ranking, ranking

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Results:
    """Everything that the figures and the page draw on, computed once."""

    suite: Suite
    records: Sequence[Record]  # those that the plan expects, sorted by key
    expected: Sequence[Labels]
    ignored: int  # records that the plan does not hold
    power: Power
    trials: pd.DataFrame
    dense: pd.DataFrame
    cells: pd.DataFrame
    averaged: tables.Averaged  # of `tables.by_trial`
    paired: pd.DataFrame
    overall: pd.DataFrame
    per_budget: pd.DataFrame
    disagreements: pd.DataFrame  # of `overall`, where another meaning of failing changes a test
    ranking: Mapping[str, Ranking]  # recovery -> ranks of all methods over problems
    noise: pd.DataFrame
    inflation: pd.DataFrame

    @cached_property
    def problems(self) -> list[str]:
        return list(dict.fromkeys(one.problem for one in self.expected))

    @cached_property
    def budgets(self) -> dict[str, list[float]]:
        """Problem -> the budgets asked for there, largest first."""
        asked: dict[str, set[float]] = {}
        for one in self.expected:
            if one.budget is not None:
                asked.setdefault(one.problem, set()).add(one.budget)
        return {problem: sorted(several, reverse=True) for problem, several in asked.items()}

    @property
    def shared_budgets(self) -> list[float]:
        """Those of every problem, largest first: over problems nothing can be said of others."""
        return sorted(set.intersection(*map(set, self.budgets.values())), reverse=True)

    @cached_property
    def recoveries(self) -> list[str]:
        return list(dict.fromkeys(one.recovery for one in self.expected))

    @cached_property
    def standing(self) -> pd.DataFrame:
        """The best of each problem and those not told from it; see `reports.analysis.best`."""
        return standing(self)

    @cached_property
    def published(self) -> pd.DataFrame:
        """Ours and the published; see `reports.analysis.against_published`."""
        return ours_and_published(self)

    @property
    def digest(self) -> str:
        return digest(self.records)


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


def analyse(suite: Suite, records: Sequence[Record], expected: Sequence[Labels]) -> Results:
    """The declared analysis; arguments and errors as `reports.build.build_report`."""
    known = of_plan(suite, records, expected)
    declared = tables.comparisons(suite)
    against_control = sum(one.family == "control" for one in declared)
    problems = len({one.problem for one in expected})
    trials = frame(known)
    failed = [one.labels for one in known if one.status != "done"]
    cells = tables.cells(trials, expected, 1 - suite.analysis.alpha, failed)
    averaged = tables.by_trial(trials, cells)
    pairs = tables.paired(averaged, cells, declared, suite)
    overall = over_problems.overall(pairs, averaged, suite)
    recoveries = dict.fromkeys(one.recovery for one in expected)
    return Results(
        suite=suite,
        records=known,
        expected=expected,
        ignored=len(records) - len(known),
        # A suite of the control alone compares nothing; its family counts as one comparison.
        power=declared_power(problems, max(against_control, 1), suite.analysis.alpha),
        trials=trials,
        dense=tables.dense(trials),
        cells=cells,
        averaged=averaged,
        paired=pairs,
        overall=overall,
        per_budget=over_problems.per_budget(cells, declared, suite),
        disagreements=over_problems.disagreements(pairs, averaged, suite, overall),
        ranking={one: ranking(one, averaged, cells, suite) for one in recoveries},
        noise=noise.noise(averaged),
        inflation=noise.inflation(averaged, known),
    )
