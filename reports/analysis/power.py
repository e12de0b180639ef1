"""What each test of a page can show, before any run: its power, and what raises it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from suites.schema import Suite

from .. import statistics
from ..formats import counted
from ..records import Labels
from ..statistics import FEWEST_BASES, FEWEST_LEVELS, Grid
from .comparisons import comparisons, looks_of, planned

TYPICAL = 5.0  # base SDs: the difference whose power is printed


@dataclass(frozen=True)
class Layout:
    """The numbers that the power of a page's tests follows from."""

    problems: int  # model on dataset
    bases: int  # of each problem
    comparisons: int  # declared, over all recoveries: one family of tests
    pairs: int  # of methods, over all recoveries: another
    levels: int  # of the factor, dataset or model, that has the fewest; 1 of a single problem
    alpha: float  # of each family; of the last look alone, where there are several


@dataclass(frozen=True)
class PlannedTest:
    """One kind of statement that a page makes, and what its test can show."""

    name: str  # of the statement
    family: int  # tests that share the level
    power: float = 0.0  # of a difference of `TYPICAL`, at the level of one of the family
    detects: float | None = None  # the difference that is found with 80 % power; None: none is
    unit: str = "base SDs"  # of differences; or SDs over problems
    why_not: str = ""  # why nothing can be told, else empty


def layout_of(suite: Suite, expected: Sequence[Labels]) -> Layout:
    """The layout of a suite and its plan. A suite of the control alone compares nothing; its family
    counts as one comparison."""
    there = {(one.recovery, one.method): None for one in expected}
    recoveries = {recovery for recovery, _ in there}
    own = [sum((recovery, one.name) in there for one in suite.methods) for recovery in recoveries]
    places = dict.fromkeys((one.dataset, one.model) for one in expected)
    grid = Grid([dataset for dataset, _ in places], [model for _, model in places])
    return Layout(
        problems=len(places),
        bases=suite.bases,
        comparisons=max(len(planned(there, comparisons(suite))), 1),
        pairs=max(sum(k * (k - 1) // 2 for k in own), 1),
        levels=grid.levels,
        alpha=looks_of(suite)[-1].alpha,
    )


def planned_tests(layout: Layout) -> list[PlannedTest]:
    """The tests that a page of this layout makes."""
    m = layout.comparisons
    found = [
        leading_test(layout),
        _over_bases("on these problems, every pair", layout.problems, layout.pairs, layout),
    ]
    if layout.problems > 1:
        one_problem = "on one problem, against the control"
        found.append(_over_bases(one_problem, 1, m * layout.problems, layout))
    return [*found, sampling_test(layout)]


def leading_test(layout: Layout) -> PlannedTest:
    """The test that leads: for other trainings of the same problems' bases."""
    name = "on these problems, against the control"
    return _over_bases(name, layout.problems, layout.comparisons, layout)


def sampling_test(layout: Layout) -> PlannedTest:
    """The test for other datasets and models."""
    name = "for problems like these, against the control"
    test = PlannedTest(name, layout.comparisons, unit="SDs over problems")
    if layout.levels < FEWEST_LEVELS:
        few = f"it takes {FEWEST_LEVELS} datasets or models that vary, not {layout.levels}"
        return replace(test, why_not=few)
    return _powered(test, partial(statistics.power_of_blocks, layout.levels), layout)


def _over_bases(name: str, problems: int, family: int, layout: Layout) -> PlannedTest:
    """A test of means over so many problems whose sample is their bases."""
    few = f"it takes {FEWEST_BASES} bases per problem, not {layout.bases}"
    if layout.bases < FEWEST_BASES:
        return PlannedTest(name, family, why_not=few)
    power = partial(statistics.power_on_these, problems, layout.bases)
    return _powered(PlannedTest(name, family), power, layout)


def _powered(test: PlannedTest, of: Callable[..., float], layout: Layout) -> PlannedTest:
    power = partial(of, level=layout.alpha / test.family)
    return replace(test, power=power(TYPICAL), detects=statistics.detectable(power))


def advice(layout: Layout) -> list[tuple[str, float]]:
    """What would help the first test, with the difference that it would find; the best first.

    Each costs about as much as what it is held against: twice the bases, twice the problems; or
    saves half: half of the comparisons. What would not help is left out.
    """
    fewer = max(layout.comparisons // 2, 1)
    changed = {
        f"{counted(2 * layout.bases, 'base')} per problem": replace(layout, bases=2 * layout.bases),
        f"{2 * layout.problems} problems": replace(layout, problems=2 * layout.problems),
        counted(fewer, "comparison"): replace(layout, comparisons=fewer),
    }
    now = leading_test(layout).detects or float("inf")
    found = [(name, leading_test(one).detects) for name, one in changed.items()]
    helps = [(name, detects) for name, detects in found if detects and detects < now]
    return sorted(helps, key=lambda one: one[1])
