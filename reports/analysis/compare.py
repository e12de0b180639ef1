"""Two methods against each other: on each problem and over problems, and what may be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from suites.schema import Suite

from ..records import Labels, Record, of_its_metric
from ..statistics import FEWEST_BASES
from ..words import Words
from .by_problem import paired
from .cells import scores
from .comparisons import Comparison, comparisons
from .looks import course
from .off_budget import off_budget, off_by_method
from .over_problems import overall
from .results import of_plan

_WORDS = Words("comparing.yaml", FEWEST_BASES=FEWEST_BASES)


@dataclass(frozen=True)
class MethodDifference:
    """Method minus reference, in points of accuracy.

    The level is shared by the comparisons of the suite if it has declared this one, else by all
    pairs of its methods, for it may have been chosen because it stood out.
    """

    suite: Suite
    method: str
    reference: str
    declared: bool  # by the suite, either way round
    family: int  # comparisons that share the level
    paired: pd.DataFrame  # one row a (recovery, problem), as of `by_problem.paired`
    overall: pd.DataFrame  # one row a recovery, as of `over_problems.overall`
    off_budget: list[str]  # where one of the two misses a budget, of `off_budget.off_by_method`

    @property
    def words(self) -> list[str]:
        """A sentence a recovery, no stronger than the data, and what to read with care."""
        said = []
        for row in self.overall.to_dict("records"):
            pairs = self.paired[self.paired["recovery"] == row["recovery"]]
            said.append(_WORDS("difference", "recovery", of=self, row=row, pairs=pairs))
        missing = self.paired[self.paired["reason"] != ""].to_dict("records")
        reservations = _WORDS.texts["difference"]["reservations"]
        lines = reservations.render(of=self, missing=missing).splitlines()
        return [*said, *filter(None, lines)]


@of_its_metric
def compare_methods(
    suite: Suite, records: Sequence[Record], expected: Sequence[Labels], method: str, reference: str
) -> MethodDifference:
    """Compare two methods of a suite; arguments otherwise as `reports.build.build_report`."""
    pair, family = {method, reference}, comparisons(suite)
    declared = any({one.method, one.reference} == pair for one in family)
    if not declared:  # every pair of the suite, each in one direction
        family = [Comparison("control", *two) for two in combinations(suite.method_names, 2)]
    others = [one for one in family if {one.method, one.reference} != pair]
    family = [Comparison("control", method, reference), *others]
    needed = course(suite, records, expected).needed
    scored = scores(suite, of_plan(suite, records, needed), needed, family)
    by_problem, over_problems = (
        table[(table["method"] == method) & (table["reference"] == reference)]
        for table in (paired(scored), overall(scored))
    )
    tests = len(scored.family)
    both = scored.trials[scored.trials["method"].isin([method, reference])]
    off = off_by_method(off_budget(both, suite.budgets.cost), suite.budgets.cost)
    return MethodDifference(
        suite, method, reference, declared, tests, by_problem, over_problems, off
    )
