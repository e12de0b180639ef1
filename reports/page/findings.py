"""What a report says in words: the headline, the power line, what is missing, where it was made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ..analysis.results import Results
from ..formats import counted, interval, points
from ..records import Record, budget_words
from ..statistics import Power

MOST = 5  # methods that a sentence bears


def headline(results: Results, recovery: str) -> str:
    """What the suite shows under one recovery, no stronger than its data.

    Only methods that are complete on every problem take part. Where the problems are too few for
    a test over them, a method is told from the control if its Bonferroni intervals over bases lie
    on one side of zero on every problem.
    """
    suite, control = results.suite, results.suite.analysis.control
    compared = (results.overall["family"] == "control") & (results.overall["recovery"] == recovery)
    whole = results.overall["n_problems"] == len(results.problems)
    rows = results.overall[compared & whole].reset_index(drop=True)
    if not compared.any():
        return f"The suite holds {control} alone: nothing is compared."
    if rows.empty:
        return f"No method can be compared with {control} yet: trials are missing."
    some = (
        "No method" if len(rows) == compared.sum() else f"None of the {len(rows)} finished methods"
    )
    top = rows.iloc[int(rows["mean"].to_numpy(dtype=float).argmax())]
    best = f"{top['method']} has the highest mean: {points(top['mean'])} points against {control}"
    if top["mean"] < 0:
        best = f"{control}, the control, has the highest mean; {top['method']} comes nearest: "
        best += f"{points(top['mean'])} points"
    records = rows.to_dict("records")
    if results.power.can_reach_alpha:
        told = [row for row in records if row["rejected"]]
        where = f"over {len(results.problems)} problems (exact Wilcoxon test, Holm"
        where += f", level {suite.analysis.alpha:g})"
        spread = f", {interval(top['low'], top['high'])} over problems"
    else:
        if suite.bases == 1:
            return f"{best}. With one base a problem nothing is known of the uncertainty."
        told = [row for row in records if _told_everywhere(results, recovery, row["method"])]
        where = f"on {_places(results)}, after Bonferroni over {results.power.comparisons}"
        where += " comparisons"
        spread = " " + _spread(results, recovery, top["method"])
    if not told:
        return f"{some} can be told from {control} {where}. {best}{spread}."
    names = _better_and_worse(told)
    sentence = f"Told from {control} {where}: {names}."
    if results.power.can_reach_alpha and top["method"] in {row["method"] for row in told}:
        return sentence  # which has named it and its interval
    return f"{sentence} {best}{spread}."


def _better_and_worse(told: Sequence[Mapping[Any, Any]]) -> str:
    """Methods that are better, best first, with intervals; names of those that are worse."""
    order = sorted(told, key=lambda row: -row["mean"])
    better = [_with_interval(row) for row in order if row["mean"] > 0]
    worse = [row["method"] for row in order if row["mean"] <= 0]
    shown = better[:MOST] + ([f"and {len(better) - MOST} more"] if len(better) > MOST else [])
    parts = [f"better are {', '.join(shown)}"] if better else []
    parts += [f"worse are {', '.join(worse)}"] if worse else []
    return "; ".join(parts)


def _with_interval(row: Mapping[Any, Any]) -> str:
    span = interval(row["low"], row["high"])
    return f"{row['method']} ({points(row['mean'])} points" + (f", {span})" if span != "–" else ")")


def headline_numbers(results: Results) -> dict[str, dict[str, Any]]:
    """The same by recovery and in numbers, of methods that are complete on every problem.

    `best` has the highest mean difference to the control, of `mean` points, with `low`, `high` and
    `p_holm` where a test over problems could reject; `told_from_control` counts the methods that
    the tests tell from the control.
    """
    numbers_of: dict[str, dict[str, Any]] = {}
    for recovery in results.recoveries:
        rows = results.overall
        rows = rows[(rows["family"] == "control") & (rows["recovery"] == recovery)]
        rows = rows[rows["n_problems"] == len(results.problems)].reset_index(drop=True)
        if rows.empty:
            continue
        best = rows.iloc[int(rows["mean"].to_numpy(dtype=float).argmax())]
        numbers = {name: float(best[name]) for name in ("mean", "low", "high", "p_holm")}
        if not results.power.can_reach_alpha:
            del numbers["p_holm"]
        numbers_of[recovery] = {
            "best": str(best["method"]),
            **{name: value for name, value in numbers.items() if not pd.isna(value)},
            "problems": len(results.problems),
            "compared": len(rows),
            "told_from_control": int(rows["rejected"].sum()),
        }
    return numbers_of


def _places(results: Results) -> str:
    n = len(results.problems)
    return f"all {n} problems at once" if n > 1 else "this problem"


def _spread(results: Results, recovery: str, method: str) -> str:
    mine = _of(results, recovery, method)
    spans = (
        f"{interval(row['low'], row['high'])} on {row['problem']}"
        for row in mine.to_dict("records")
    )
    level = 100 * (1 - results.suite.analysis.alpha)
    return f"({level:g} % intervals, unadjusted: {', '.join(spans)})"


def _told_everywhere(results: Results, recovery: str, method: str) -> bool:
    """Whether the joint intervals of every problem lie on one side of zero."""
    mine = _of(results, recovery, method)
    width = mine["joint_high"] > mine["joint_low"]  # without width the spread is unknown
    above, below = mine["joint_low"] > 0, mine["joint_high"] < 0
    return bool((above & width).all() or (below & width).all())


def _of(results: Results, recovery: str, method: str) -> pd.DataFrame:
    pairs = results.paired
    mine = (pairs["family"] == "control") & (pairs["recovery"] == recovery)
    return pairs[mine & (pairs["method"] == method)].dropna(subset=["mean"])


def power_line(power: Power, bases: int) -> str:
    """What the number of problems can show at all, and what is left where they are too few.

    Args:
        power: of the declared tests.
        bases: of each problem.
    """
    problems = counted(power.problems, "problem")
    if power.can_reach_alpha:
        return (
            f"With {problems} and {power.comparisons} comparisons the smallest p after Holm is "
            f"{power.smallest_adjusted_p:.2g}; a mean difference of {power.detectable_effect:g} "
            "standard deviations over problems is found with 80 % power."
        )
    left = "Read the intervals as conditional on each problem."
    if bases == 1:
        left = "With one base a problem there are no intervals either: what is left is a "
        left += "description of single networks."
    return (
        f"With {problems} the smallest attainable p is {power.smallest_p:.3g}, and after Holm over "
        f"{power.comparisons} comparisons {power.smallest_adjusted_p:.3g}: no test can reject at "
        f"{power.alpha:g}; it takes {power.problems_needed} problems. {left}"
    )


def left_out(results: Results) -> list[tuple[str, str, str, str, str]]:
    """(method, reference, problem, recovery, reason) of differences that could not be formed."""
    rows = results.paired[results.paired["reason"] != ""]
    keys = ["method", "reference", "problem", "recovery", "reason"]
    return list(rows[keys].itertuples(index=False, name=None))


def failures(records: Sequence[Record]) -> list[tuple[str, str, int, str]]:
    """(kind, message, how many, an example) of the trials that ended without measurements."""
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in records:
        if one.failure is not None:
            grouped[one.failure.kind, one.failure.message].append(one.labels.brief)
    return [(*key, len(found), min(found)) for key, found in sorted(grouped.items())]


def unfinished(results: Results) -> list[tuple[str, str, str, str, int, int]]:
    """(problem, recovery, method, budget, done, expected) of every incomplete cell."""
    holes = results.cells[~results.cells["complete"].astype(bool)]
    kept = [budget_words(one["cost"], one["budget"]) for one in holes.to_dict("records")]
    holes = holes.assign(kept=kept)
    keys = ["problem", "recovery", "method", "kept", "done", "expected"]
    return list(holes[keys].itertuples(index=False, name=None))


def provenance(records: Sequence[Record]) -> dict[str, Counter[str]]:
    """Dotted name -> each value with the number of records that bear it."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for one in records:
        for name, value in _flat(one.provenance):
            found[name][value] += 1
    return found


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, str(value)
