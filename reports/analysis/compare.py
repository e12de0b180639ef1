"""Two methods against each other: on each problem and over problems, and what may be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from suites.schema import Suite

from .. import statistics
from ..formats import interval, p_value, points
from ..records import Labels, Record, frame
from . import cells, over_problems
from .results import of_plan


@dataclass(frozen=True)
class MethodDifference:
    """Method minus reference, in points of retained top-1.

    Attributes:
        declared: whether the suite has declared this very comparison.
        paired: one row a (recovery, problem), as of `cells.paired`.
        overall: one row a recovery, as of `over_problems.overall`; its Holm family is this one
            comparison.
    """

    suite: Suite
    method: str
    reference: str
    declared: bool
    paired: pd.DataFrame
    overall: pd.DataFrame

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
    trials = frame(known := of_plan(suite, records, expected))
    failed = [one.labels for one in known if one.status != "done"]
    table = cells.cells(trials, expected, 1 - suite.analysis.alpha, failed)
    comparison = cells.Comparison("control", method, reference)
    averaged = cells.by_trial(trials, table)
    pairs = cells.paired(averaged, table, [comparison], suite)
    over = over_problems.overall(pairs, averaged, suite)
    declared = any(
        (one.method, one.reference) == (method, reference) for one in cells.comparisons(suite)
    )
    return MethodDifference(suite, method, reference, declared, pairs, over)


def _sentence(difference: MethodDifference, row: Mapping[Any, Any]) -> str:
    """What one recovery shows."""
    analysis, recovery = difference.suite.analysis, str(row["recovery"])
    where = "Without recovery" if recovery == "none" else f"After {recovery}"
    pairs = difference.paired[difference.paired["recovery"] == recovery]
    finished = pairs.dropna(subset=["mean"]).to_dict("records")
    if not finished:
        reasons = "; ".join(dict.fromkeys(pairs["reason"]))
        return f"{where}: no comparison yet: {reasons}."
    level = f"{100 * (1 - analysis.alpha):g} %"
    if len(finished) == 1:
        (pair,) = finished
        span = interval(pair["low"], pair["high"])
        spread = f"{level} interval {span} over {pair['n_bases']} bases"
        if span == "–":
            spread = "one base, so its uncertainty is unknown"
        return (
            f"{where}, on {pair['problem']}: {difference.method} minus {difference.reference} is "
            f"{points(pair['mean'])} points ({spread}): {pair['verdict']} "
            f"against a ROPE of ± {analysis.rope:g}. This speaks for this problem alone."
        )
    text = f"{where}, over {len(finished)} problems: a shift of {points(row['hodges_lehmann'])}"
    text += " points"
    shift = interval(row["shift_low"], row["shift_high"])
    text += f" ({level} interval {shift})" if shift != "–" else ""
    text += f", {row['wins']} won, {row['ties']} tied, {row['losses']} lost"
    if statistics.smallest_p(len(finished)) > analysis.alpha:
        return text + "; so few problems that no test over them can reject. Read each by itself."
    told = "a difference is told" if row["p"] <= analysis.alpha else "no difference is told"
    return text + f"; exact Wilcoxon p = {p_value(row['p'])}: {told}."


def _reservations(difference: MethodDifference) -> Iterator[str]:
    if not difference.declared:
        yield (
            "The suite has not declared this comparison. Its p and intervals hold if it was chosen "
            "before seeing results; picked from among many because it stood out, they say too much."
        )
    elif len(cells.comparisons(difference.suite)) > 1:
        yield (
            "This is one of the comparisons that the suite has declared, shown here unadjusted; "
            "the report adjusts for all of them."
        )
    missing = difference.paired[difference.paired["reason"] != ""]
    for row in missing.to_dict("records"):
        yield f"Left out, {row['problem']}, {row['recovery']}: {row['reason']}."
