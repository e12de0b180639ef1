"""Two methods against each other: on each problem and over problems, and what may be said of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from suites.schema import Suite

from ..formats import after, capital, confidence, counted, interval, p_value, points
from ..records import Labels, Record
from ..statistics import FEWEST_BASES
from .by_problem import paired
from .cells import scores
from .comparisons import Comparison, comparisons
from .looks import course
from .off_budget import off_budget, off_by_method
from .over_problems import overall
from .results import of_plan


@dataclass(frozen=True)
class MethodDifference:
    """Method minus reference, in points of accuracy.

    Attributes:
        declared: whether the suite has declared this comparison, either way round.
        family: comparisons that share the level: those of the suite if it has declared this one,
            else all pairs of its methods, for it may have been chosen because it stood out.
        paired: one row a (recovery, problem), as of `by_problem.paired`.
        overall: one row a recovery, as of `over_problems.overall`.
        off_budget: where one of the two misses a budget, as of `off_budget.off_by_method`.
    """

    suite: Suite
    method: str
    reference: str
    declared: bool
    family: int
    paired: pd.DataFrame
    overall: pd.DataFrame
    off_budget: list[str]

    @property
    def words(self) -> list[str]:
        """A sentence a recovery, no stronger than the data, and what to read with care."""
        said = [_sentence(self, row) for row in self.overall.to_dict("records")]
        return [*said, *_reservations(self)]


def compare_methods(
    suite: Suite,
    records: Sequence[Record],
    expected: Sequence[Labels],
    method: str,
    reference: str,
) -> MethodDifference:
    """Compare two methods of a suite; arguments otherwise as `reports.build.build_report`."""
    comparison = Comparison("control", method, reference)
    of_suite = comparisons(suite)
    others = [one for one in of_suite if {one.method, one.reference} != {method, reference}]
    declared = len(others) < len(of_suite)
    family = [comparison, *others] if declared else _all_pairs(suite, comparison)
    needed = course(suite, records, expected).needed
    scored = scores(suite, of_plan(suite, records, needed), needed)
    tables = (
        paired(scored.by_base, scored.cells, family, suite),
        overall(scored.by_look, scored.cells, family, suite),
    )
    by_problem, over_problems = (
        table[(table["method"] == method) & (table["reference"] == reference)] for table in tables
    )
    tests = len(tables[1])
    both, axis = (
        scored.trials[scored.trials["method"].isin([method, reference])],
        suite.budgets.cost,
    )
    off = [] if axis == "threshold" or both.empty else off_by_method(off_budget(both, axis), axis)
    return MethodDifference(
        suite, method, reference, declared, tests, by_problem, over_problems, off
    )


def _all_pairs(suite: Suite, chosen: Comparison) -> list[Comparison]:
    """The chosen pair and every other, each in one direction."""
    others = [
        Comparison("control", *pair)
        for pair in combinations(suite.method_names, 2)
        if set(pair) != {chosen.method, chosen.reference}
    ]
    return [chosen, *others]


def _sentence(difference: MethodDifference, row: Mapping[Any, Any]) -> str:
    """What one recovery shows."""
    recovery = str(row["recovery"])
    where = capital(after(recovery))
    pairs = difference.paired[difference.paired["recovery"] == recovery]
    if not row["n_problems"]:
        reasons = "; ".join(dict.fromkeys(pairs["reason"]))
        return f"{where}: no comparison: {reasons}."
    problems = "these problems" if row["of"] > 1 else str(pairs["problem"].iloc[0])
    size = f"{difference.method} minus {difference.reference} is {points(row['mean'])} points"
    if row["n_problems"] < row["of"]:
        size += f" (on {row['n_problems']} of {row['of']})"
    text = f"{where}, on {problems}: {size}"
    if row["bases"] < FEWEST_BASES:
        return f"{text}. With {counted(row['bases'], 'base')} per problem its error is unknown."
    level = confidence(difference.suite.analysis.alpha)
    span = interval(row["joint_low"], row["joint_high"])
    alone = interval(row["low"], row["high"])
    text += f", {level} interval {alone}" if alone != "–" else ""
    text += f", and {span} for all {difference.family} at once" if span != "–" else ""
    said = row["word"] + (f" ({row['why']})" if row["why"] else "")
    text += f", p = {p_value(row['p_adjusted'])}. Verdict: {said}."
    for problem, lost in row["collapses"].items():
        text += f" {lost:+.0f} points on {problem}.".replace("-", "−")
    return text


def _reservations(difference: MethodDifference) -> Iterator[str]:
    tests = counted(difference.family, "comparison")
    if difference.declared:
        yield f"p and verdict allow for {tests}: all that the suite has declared."
    else:
        yield (
            f"The suite has not declared this comparison. p and verdict allow for all {tests} of "
            "two of its methods, as it may have been chosen because it stood out."
        )
    yield (
        "Better and worse speak of these problems, for other trainings of their bases, and for no "
        "other problems."
    )
    if difference.off_budget:
        yield (
            f"Off budget, so that costs are unequal: {'; '.join(difference.off_budget)} (share of "
            "the dense cost that is kept)."
        )
    missing = difference.paired[difference.paired["reason"] != ""]
    for row in missing.to_dict("records"):
        yield f"Left out, {row['problem']}, {row['recovery']}: {row['reason']}."
