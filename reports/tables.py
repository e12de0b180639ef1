"""The tables of a report, from the frame of finished trials: cells, paired differences, tests.

A cell is (problem, recovery, method, budget); it is complete when every trial that the plan expects
of it is done. Nothing is averaged over an incomplete cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from suites.method import matched_name
from suites.schema import Suite

from . import statistics
from .records import Labels, budget_words

Family = Literal["control", "matched"]
CELL = ["problem", "recovery", "method", "budget"]
Floats = NDArray[np.float64]
Averaged = dict[tuple[str, str, str], Floats]  # of (problem, recovery, method)


@dataclass(frozen=True)
class Comparison:
    """One declared comparison: method minus reference."""

    family: Family
    method: str
    reference: str


def comparisons(suite: Suite) -> list[Comparison]:
    """What the suite declares: every method against the control, every method against the controls
    that have its own layer widths. The two families are adjusted apart."""
    control = suite.analysis.control
    declared = [
        Comparison("control", one.name, control) for one in suite.methods if one.name != control
    ]
    matched = [
        Comparison("matched", one.name, matched_name(one, criterion))
        for one in suite.methods
        for criterion in one.matched
    ]
    return declared + matched


def cells(
    trials: pd.DataFrame, expected: Sequence[Labels], level: float, failed: Iterable[Labels] = ()
) -> pd.DataFrame:
    """One row a cell, in the order of the plan.

    Columns: the labels, `expected`, `done` and `failed` (trials; the rest was not run; an
    infeasible budget is a failure), `complete`, `bases`; for complete cells
    the mean test top-1 over bases in percent with its t-interval (`top1`, `top1_low`,
    `top1_high`), `retained_top1` (points), `best_validation_top1` (test top-1 of the epoch that was
    best on validation, percent), and means of `score_s`, `recovery_s` and, as `_ratio` and as
    `_percent`, of macs, params, channels, weights, latency. Incomplete cells hold NaN, and so does
    what was not measured.
    """
    plan = pd.DataFrame([{**one.model_dump(), "problem": one.problem} for one in expected])
    done = dict(iter(trials.groupby(CELL, sort=False))) if len(trials) else {}
    lost: Counter[tuple[Any, ...]] = Counter(
        (one.problem, one.recovery, one.method, one.budget) for one in failed
    )
    rows = []
    for key, planned in plan.groupby(CELL, sort=False):
        found = done.get(key)
        row: dict[str, Any] = dict(zip(CELL, key, strict=True))
        row["matched_to"] = planned["matched_to"].iloc[0]
        row["cost"] = planned["cost"].iloc[0]
        row["expected"] = len(planned)
        row["done"] = 0 if found is None else len(found)
        row["failed"] = lost[key]
        row["complete"] = row["expected"] == row["done"]
        row["bases"] = planned["base"].nunique()
        if found is not None and row["complete"]:
            row |= _means(found, level)
        rows.append(row)
    columns = [*CELL, "cost", "matched_to", "expected", "done", "failed"]
    columns += ["complete", "bases", *_MEANS]
    return pd.DataFrame(rows).reindex(columns=columns)


_RATIOS = ("macs", "params", "channels", "weights", "latency")
_MEANS = [
    *("top1", "top1_low", "top1_high", "retained_top1", "best_validation_top1"),
    *(f"{one}_{unit}" for one in _RATIOS for unit in ("ratio", "percent")),
    *("score_s", "recovery_s"),
]


def _means(found: pd.DataFrame, level: float) -> dict[str, float]:
    interval = statistics.t_interval(found.groupby("base")["top1"].mean().to_numpy(), level)
    row = {"top1": interval.mean, "top1_low": interval.low, "top1_high": interval.high}
    rest = ("retained_top1", "best_validation_top1", "score_s", "recovery_s")
    for name in (*rest, *(f"{one}_ratio" for one in _RATIOS)):
        row[name] = float(found[name].astype(float).mean())
    for one in _RATIOS:
        row[f"{one}_percent"] = 100 * row[f"{one}_ratio"]
    return row


def dense(trials: pd.DataFrame) -> pd.DataFrame:
    """One row a base that has a finished trial: `problem`, `base`, `dense_top1` in percent."""
    columns = ["problem", "base", "dense_top1"]
    return trials.reindex(columns=columns).drop_duplicates(["problem", "base"], ignore_index=True)


def paired(
    trials: pd.DataFrame, table: pd.DataFrame, declared: Sequence[Comparison], suite: Suite
) -> pd.DataFrame:
    """Differences inside each problem, over bases: one row a (recovery, comparison, problem).

    Budgets and repeats are averaged first; the same bases carry both methods. All of it is
    conditional on the problem: it speaks of other bases trained alike, not of other problems.
    Columns: `family`,
    `recovery`, `method`, `reference`, `problem`, `mean` (points of retained top-1, method minus
    reference) with the t-interval at 1 - alpha (`low`, `high`) and at 1 - alpha / m
    (`joint_low`, `joint_high`, Bonferroni over the m comparisons of the family), `n_bases`,
    `wins`, `ties`, `losses` (bases), `p` (paired t over bases), `p_holm` (over the family, inside
    the problem and recovery), `p_sign_flip` (exact, without normality; at least 2^(1-bases)),
    `failed` (who failed there: `method`, `reference`, `both` or empty), `verdict` against the
    ROPE, `reason` (why there is no difference, else empty).

    Args:
        trials: the frame of finished trials.
        table: the cells of the same trials.
        declared: the comparisons.
        suite: gives alpha and the ROPE.
    """
    alpha, rope = suite.analysis.alpha, suite.analysis.rope
    averaged = collapsed(trials, table)
    gaps, lost = _gaps(table), failures(table)
    asked = {key for key, _ in _by_method(table)}
    rows = []
    for recovery, problem in _pairs_of(table, "recovery", "problem"):
        for one in declared:
            row: dict[str, Any] = {
                "family": one.family,
                "recovery": recovery,
                "method": one.method,
                "reference": one.reference,
                "problem": problem,
            }
            both = [(problem, recovery, name) for name in (one.method, one.reference)]
            if not asked.issuperset(both):
                continue  # a way of finetuning, where nothing is finetuned
            row["failed"] = WHO[both[0] in lost, both[1] in lost]
            missing = [f"{key[2]} has {gaps[key]}" for key in both if key in gaps]
            if missing:
                rows.append(row | {"verdict": "missing", "reason": "; ".join(missing)})
                continue
            difference = averaged[both[0]] - averaged[both[1]]
            family_size = sum(other.family == one.family for other in declared)
            rows.append(row | _difference(difference, alpha, family_size, rope))
    columns = ["family", "recovery", "method", "reference", "problem", "mean", "low", "high"]
    columns += ["joint_low", "joint_high", "n_bases", "wins", "ties", "losses", "p", "p_holm"]
    columns += ["p_sign_flip", "failed", "verdict", "reason"]
    whole = dict.fromkeys(("n_bases", "wins", "ties", "losses"), "Int64")
    table = pd.DataFrame(rows, columns=columns).astype(whole)
    table["p_holm"] = holm_within(table, ["recovery", "problem", "family"])
    return table


WHO = {  # whether the method failed, whether the reference did
    (False, False): "",
    (True, False): "method",
    (False, True): "reference",
    (True, True): "both",
}


def holm_within(table: pd.DataFrame, keys: list[str]) -> pd.Series:
    """Holm-adjusted `p` inside each family of rows; a gap stays one, and counts as p = 1."""
    adjusted = pd.Series(np.nan, index=table.index)
    for _, member in table.groupby(keys, sort=False):
        raw = member["p"].astype(float)
        found = statistics.holm(raw.fillna(1.0).to_numpy())
        adjusted[member.index] = np.where(raw.isna(), np.nan, found)
    return adjusted


def _difference(difference: Floats, alpha: float, family_size: int, rope: float) -> dict[str, Any]:
    interval = statistics.t_interval(difference, 1 - alpha)
    joint = statistics.t_interval(difference, 1 - alpha / family_size)
    count = statistics.win_tie_loss(difference)
    return {
        "mean": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "joint_low": joint.low,
        "joint_high": joint.high,
        "n_bases": interval.n,
        "wins": count.wins,
        "ties": count.ties,
        "losses": count.losses,
        "p": statistics.t_test(difference),
        "p_sign_flip": statistics.sign_flip(difference),
        "verdict": statistics.verdict(interval, rope),
        "reason": "",
    }


def by_trial(trials: pd.DataFrame, table: pd.DataFrame) -> Averaged:
    """[bases, repeats] retained top-1 over the budget grid, where all cells are complete.

    The normalised area under the curve over log compression; over a knob's settings, the mean.
    """
    gaps = _gaps(table)
    shares = set(table["cost"]) != {"threshold"}
    result = {}
    for key, rows in _by_method(trials):
        if key in gaps:
            continue
        rows = rows.sort_values(["budget", "base", "repeat"])
        shape = [rows[axis].nunique() for axis in ("budget", "base", "repeat")]
        cube = rows["retained_top1"].to_numpy(dtype=float).reshape(shape)
        kept = np.sort(rows["budget"].unique()) if shares else None
        result[key] = statistics.per_trial(cube, kept)
    return result


def collapsed(trials: pd.DataFrame, table: pd.DataFrame) -> Averaged:
    """[bases] means over repeats of `by_trial`."""
    return {key: found.mean(axis=1) for key, found in by_trial(trials, table).items()}


def failures(table: pd.DataFrame) -> set[tuple[str, str, str]]:
    """(problem, recovery, method) of which a trial failed or could not meet its budget."""
    return {key for key, rows in _by_method(table) if rows["failed"].any()}


def _gaps(table: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """(problem, recovery, method) -> what is missing, in words."""
    words = {}
    for key, rows in _by_method(table):
        holes = rows[~rows["complete"].astype(bool)]
        if len(holes):
            lost = int((holes["expected"] - holes["done"]).sum())
            places = (budget_words(one["cost"], one["budget"]) for one in holes.to_dict("records"))
            at = ", ".join(places)
            words[key] = f"{lost} unfinished trial{'s' if lost > 1 else ''} at {at}"
    return words


def _by_method(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    if table.empty:
        return
    for (problem, recovery, method), rows in table.groupby(CELL[:3], sort=False):
        yield (str(problem), str(recovery), str(method)), rows


def _pairs_of(table: pd.DataFrame, *axes: str) -> list[tuple[str, ...]]:
    return list(table[list(axes)].drop_duplicates().itertuples(index=False, name=None))


def paired_markdown(pairs: pd.DataFrame, over: pd.DataFrame, suite: Suite) -> str:
    """The paired table as Markdown: a section a recovery, problems first, then over problems."""
    percent = f"{100 * (1 - suite.analysis.alpha):g} %"
    lines = [f"# Paired differences, {suite.suite}", "", "Points of retained top-1, averaged over"]
    lines[-1] += f" budgets: method minus reference. Intervals: {percent}, over bases."
    for recovery in pairs["recovery"].unique():
        lines += ["", f"## Recovery: {recovery}", ""]
        lines += [f"| method | reference | problem | difference | {percent} interval | bases "]
        lines[-1] += "| wins/ties/losses | verdict |"
        lines += ["|---|---|---|---:|---:|---:|---:|---|"]
        for row in pairs[pairs["recovery"] == recovery].to_dict("records"):
            name = f"| {row['method']} | {row['reference']} | {row['problem']} |"
            end = f"{row['verdict']}: {row['reason']}" if row["reason"] else row["verdict"]
            lines.append(f"{name} {_numbers(row, 'n_bases')} | {end} |")
        lines += ["", f"| method | reference | difference | {percent} interval | problems "]
        lines[-1] += "| wins/ties/losses | Wilcoxon p | Holm p |"
        lines += ["|---|---|---:|---:|---:|---:|---:|---:|"]
        for row in over[over["recovery"] == recovery].to_dict("records"):
            name = f"| {row['method']} | {row['reference']} |"
            tests = f"{p_value(row['p'])} | {p_value(row['p_holm'])}"
            lines.append(f"{name} {_numbers(row, 'n_problems')} | {tests} |")
    return "\n".join(lines) + "\n"


def _numbers(row: Mapping[Any, Any], n: str) -> str:
    return " | ".join(
        (points(row["mean"]), interval(row["low"], row["high"]), str(row[n]), counts(row))
    ).replace("<NA>", "–")


def points(value: float) -> str:
    """Signed, two decimals, with a true minus; a dash where there is no number."""
    return "–" if pd.isna(value) else f"{value:+.2f}".replace("-", "−")


def interval(low: float, high: float) -> str:
    return "–" if pd.isna(low) else f"[{points(low)}, {points(high)}]"


def counts(row: Mapping[Any, Any]) -> str:
    return "–" if pd.isna(row["wins"]) else f"{row['wins']}/{row['ties']}/{row['losses']}"


def p_value(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3g}"
