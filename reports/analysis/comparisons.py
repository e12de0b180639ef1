"""What a suite declares to compare, the paired differences of it, and what may be said of one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from suites.method import matched_name
from suites.schema import Suite

from .. import statistics
from ..metric import spoken
from ..statistics import Ends, Floats, Look, MeanDifference, on_these_problems

Averaged = dict[tuple[str, str, str], Floats]  # of (problem, recovery, method)
Family = Literal["control", "matched"]
Word = Literal["better", "worse", "equivalent", "mixed", "undecided", "not compared"]
WHO = ("", "method", "reference", "both")  # failed; the reference counts twice


@dataclass(frozen=True)
class Comparison:
    """One declared comparison: method minus reference."""

    family: Family
    method: str
    reference: str
    recovery: str = ""  # of one that is `planned`, under which


def comparisons(suite: Suite) -> list[Comparison]:
    """What the suite declares: every method against the control, every method against the controls
    that have its own layer widths. Both are one family of tests."""
    control = suite.analysis.control
    declared = [
        Comparison("control", one.name, control) for one in suite.methods if one.name != control
    ]
    matched = [
        Comparison("matched", one.name, matched_name(one, criterion))
        for one in suite.methods
        for criterion in one.matched
    ]
    known = {(one.method, one.reference) for one in declared}
    return declared + [one for one in matched if (one.method, one.reference) not in known]


def looks_of(suite: Suite) -> list[Look]:
    """The suite's looks with their levels; one at all bases, at alpha, where it declares none."""
    return statistics.looks(suite.analysis.looks or [suite.bases], suite.analysis.alpha)


def planned(there: Collection[tuple[str, str]], declared: Sequence[Comparison]) -> list[Comparison]:
    """Those under each recovery that a plan holds trials of: the family of a page.

    `there`: (recovery, method) of its trials, in order. A way of finetuning has none where nothing
    is finetuned.
    """
    return [
        replace(one, recovery=recovery)
        for recovery in dict.fromkeys(recovery for recovery, _ in there)
        for one in declared
        if {(recovery, one.method), (recovery, one.reference)} <= set(there)
    ]


def scores_of(
    by_base: Averaged, methods: Sequence[tuple[str, str]], problems: Sequence[str]
) -> Floats:
    """[methods, problems, bases] scores of each (recovery, method); NaN where one failed, or
    stopped at fewer bases."""
    most = max((len(one) for one in by_base.values()), default=0)
    cube = np.full((len(methods), len(problems), most), np.nan)
    for row, (recovery, method) in enumerate(methods):
        for place, problem in enumerate(problems):
            values = by_base.get((problem, recovery, method), np.empty(0))
            cube[row, place, : len(values)] = values
    return cube


def differences(by_base: Averaged, family: Sequence[Comparison], problems: Sequence[str]) -> Floats:
    """[comparisons, problems, bases] method minus reference, of a `planned` family; NaN where
    either is not there."""
    ours = scores_of(by_base, [(one.recovery, one.method) for one in family], problems)
    return ours - scores_of(by_base, [(one.recovery, one.reference) for one in family], problems)


def welch_in_groups(
    cube: Floats, groups: Sequence[object], *, floor: bool = True
) -> MeanDifference:
    """Welch's tests of many comparisons at once, each among those of its own group.

    `cube`: [rows, problems, bases] differences. `groups`: [rows] what rows of one spread share: a
    recovery, or a problem under it. `floor`: as of `statistics.on_these_problems`.
    """
    found = np.full((3, len(cube)), np.nan)
    for group in dict.fromkeys(groups):
        rows = [row for row, one in enumerate(groups) if one == group]
        test = on_these_problems(cube[rows], floor=floor)
        found[:, rows] = test.mean, test.error, test.freedom
    return MeanDifference(*found)


def bounded(ends: Ends) -> Ends:
    """Limits of differences of accuracies, within what accuracies can differ by; an interval that
    spans all of it says nothing, and is none."""
    span = spoken().span
    low, high = (np.clip(one, -span, span) for one in ends)
    says = (low > -span) | (high < span)
    return Ends(np.where(says, low, np.nan), np.where(says, high, np.nan))


def word(low: float, high: float, rope: float) -> Word:
    """What one comparison is called, by its interval alone: the word says no more than it shows.

    `equivalent`: it lies within the ROPE, so that whatever difference there is does not matter;
    `better` and `worse`: it leaves zero out; else, or without an interval, `undecided`.
    """
    if -rope <= low and high <= rope:
        return "equivalent"
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return "undecided"
