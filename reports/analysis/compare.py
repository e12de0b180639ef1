"""Two methods against each other: on each problem and over problems, and what may be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from suites.schema import Suite

from .. import statistics
from ..formats import interval, p_value, points
from ..records import Labels, Record, frame
from . import cells as tables
from . import over_problems
from .analysis import of_plan
from .cells import Comparison

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Duel:
    """Method minus reference, in points of retained top-1.

    Attributes:
        declared: whether the suite has declared this very comparison.
        paired: one row a (recovery, problem), as of `tables.paired`.
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
        return [*said, *_cautions(self)]


def duel(
    suite: Suite,
    records: Sequence[Record],
    expected: Sequence[Labels],
    method: str,
    reference: str,
) -> Duel:
    """Compare two methods of a suite; arguments otherwise as `reports.build.build_report`."""
    trials = frame(known := of_plan(suite, records, expected))
    failed = [one.labels for one in known if one.status != "done"]
    cells = tables.cells(trials, expected, 1 - suite.analysis.alpha, failed)
    asked = Comparison("control", method, reference)
    averaged = tables.by_trial(trials, cells)
    pairs = tables.paired(averaged, cells, [asked], suite)
    over = over_problems.overall(pairs, averaged, suite)
    declared = any(
        (one.method, one.reference) == (method, reference) for one in tables.comparisons(suite)
    )
    return Duel(suite, method, reference, declared, pairs, over)


def _sentence(one: Duel, row: Mapping[Any, Any]) -> str:
    """What one recovery shows."""
    recovery = str(row["recovery"])
    where = "Without recovery" if recovery == "none" else f"After {recovery}"
    pairs = one.paired[one.paired["recovery"] == recovery]
    found = pairs.dropna(subset=["mean"]).to_dict("records")
    if not found:
        reasons = "; ".join(dict.fromkeys(pairs["reason"]))
        return f"{where}: no comparison yet: {reasons}."
    level = f"{100 * (1 - one.suite.analysis.alpha):g} %"
    if len(found) == 1:
        (pair,) = found
        span = interval(pair["low"], pair["high"])
        spread = f"{level} interval {span} over {pair['n_bases']} bases"
        if span == "–":
            spread = "one base, so its uncertainty is unknown"
        return (
            f"{where}, on {pair['problem']}: {one.method} minus {one.reference} is "
            f"{points(pair['mean'])} points ({spread}): {pair['verdict']} "
            f"against a ROPE of ± {one.suite.analysis.rope:g}. This speaks for this problem alone."
        )
    text = f"{where}, over {len(found)} problems: a shift of {points(row['hodges_lehmann'])}"
    text += " points"
    shift = interval(row["shift_low"], row["shift_high"])
    text += f" ({level} interval {shift})" if shift != "–" else ""
    text += f", {row['wins']} won, {row['ties']} tied, {row['losses']} lost"
    if statistics.smallest_p(len(found)) > one.suite.analysis.alpha:
        return text + "; so few problems that no test over them can reject. Read each by itself."
    told = (
        "a difference is told" if row["p"] <= one.suite.analysis.alpha else "no difference is told"
    )
    return text + f"; exact Wilcoxon p = {p_value(row['p'])}: {told}."


def _cautions(one: Duel) -> Iterator[str]:
    if not one.declared:
        yield (
            "The suite has not declared this comparison. Its p and intervals hold if it was chosen "
            "before seeing results; picked from among many because it stood out, they say too much."
        )
    elif len(tables.comparisons(one.suite)) > 1:
        yield (
            "This is one of the comparisons that the suite has declared, shown here unadjusted; "
            "the report adjusts for all of them."
        )
    missing = one.paired[one.paired["reason"] != ""]
    for row in missing.to_dict("records"):
        yield f"Left out, {row['problem']}, {row['recovery']}: {row['reason']}."
