"""The tables of a report, from the frame of finished trials: cells, paired differences, tests.

A cell is (problem, recovery, method, budget); it is complete when every trial that the plan expects
of it is done. Nothing is averaged over an incomplete cell.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from suites.method import matched_name
from suites.schema import Suite

from .. import statistics
from ..formats import counted
from ..records import Labels, budget_words
from ..statistics import Floats

Family = Literal["control", "matched"]
CELL = ["problem", "recovery", "method", "budget"]
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
    `_percent`, of macs, params, channels, weights, latency (and `latency_low`, `latency_high`).
    Incomplete cells hold NaN, and so does what was not measured.
    """
    planned: dict[tuple[Any, ...], list[Labels]] = defaultdict(list)
    for trial in expected:
        planned[_cell(trial)].append(trial)
    done = trials.groupby(CELL, sort=False).size().to_dict() if len(trials) else {}
    lost = Counter(map(_cell, failed))
    means = _means(trials, level)
    rows = []
    for key, labels in planned.items():
        row: dict[str, Any] = dict(zip(CELL, key, strict=True))
        row |= {"matched_to": labels[0].matched_to, "cost": labels[0].cost}
        row |= {"expected": len(labels), "done": done.get(key, 0), "failed": lost[key]}
        row["complete"] = row["expected"] == row["done"]
        row["bases"] = len({one.base for one in labels})
        rows.append(row | means[key] if row["complete"] else row)
    columns = [*CELL, "cost", "matched_to", "expected", "done", "failed"]
    columns += ["complete", "bases", *_MEANS]
    return pd.DataFrame(rows).reindex(columns=columns)


def _cell(labels: Labels) -> tuple[Any, ...]:
    return (labels.problem, labels.recovery, labels.method, labels.budget)


_RATIOS = ("macs", "params", "channels", "weights", "latency", "latency_low", "latency_high")
_MEANS = [
    *("top1", "top1_low", "top1_high", "retained_top1", "best_validation_top1"),
    *(f"{one}_{unit}" for one in _RATIOS for unit in ("ratio", "percent")),
    *("score_s", "recovery_s"),
]


def _means(trials: pd.DataFrame, level: float) -> dict[tuple[Any, ...], dict[str, float]]:
    """Means and intervals of every cell that has a trial."""
    if trials.empty:
        return {}
    names = ["retained_top1", "best_validation_top1", "score_s", "recovery_s"]
    names += [f"{one}_ratio" for one in _RATIOS]
    # One pass over all cells: a group at a time takes pandas a minute for ten thousand trials.
    means = trials[[*CELL, *names]].astype(dict.fromkeys(names, float)).groupby(CELL).mean()
    for cost in _RATIOS:
        means[f"{cost}_percent"] = 100 * means[f"{cost}_ratio"]
    by_cell = cast("dict[tuple[Any, ...], dict[str, float]]", means.to_dict("index"))
    by_base: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    tops = trials.groupby([*CELL, "base"])["top1"].mean()
    for place, top1 in zip(tops.index.to_list(), tops, strict=True):
        by_base[place[:-1]].append(top1)
    for key, values in by_base.items():
        over = statistics.t_interval(values, level)
        by_cell[key] |= {"top1": over.mean, "top1_low": over.low, "top1_high": over.high}
    return by_cell


def dense(trials: pd.DataFrame) -> pd.DataFrame:
    """One row a base that has a finished trial: `problem`, `base`, `dense_top1` in percent."""
    columns = ["problem", "base", "dense_top1"]
    return trials.reindex(columns=columns).drop_duplicates(["problem", "base"], ignore_index=True)


def paired(
    averaged: Averaged, table: pd.DataFrame, declared: Sequence[Comparison], suite: Suite
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
        averaged: of `by_trial`.
        table: the cells of the same trials.
        declared: the comparisons.
        suite: gives alpha and the ROPE.
    """
    alpha, rope = suite.analysis.alpha, suite.analysis.rope
    by_base = collapsed(averaged)
    gaps, lost = _gaps(table), failures(table)
    planned = {key for key, _ in _by_method(table)}
    rows = []
    for recovery, problem in _pairs_of(table, "recovery", "problem"):
        for comparison in declared:
            row: dict[str, Any] = {
                "family": comparison.family,
                "recovery": recovery,
                "method": comparison.method,
                "reference": comparison.reference,
                "problem": problem,
            }
            both = [(problem, recovery, name) for name in (comparison.method, comparison.reference)]
            if not planned.issuperset(both):
                continue  # a way of finetuning, where nothing is finetuned
            row["failed"] = WHO[both[0] in lost, both[1] in lost]
            missing = [f"{key[2]} has {gaps[key]}" for key in both if key in gaps]
            if missing:
                rows.append(row | {"verdict": "missing", "reason": "; ".join(missing)})
                continue
            difference = by_base[both[0]] - by_base[both[1]]
            family_size = sum(other.family == comparison.family for other in declared)
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
        "verdict": statistics.rope_verdict(interval, rope),
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
        # Plain arrays: pandas takes a millisecond for what is microseconds, thousands of times.
        axes = [rows[axis].to_numpy() for axis in ("budget", "base", "repeat")]
        levels = [np.unique(axis) for axis in axes]
        cube = rows["retained_top1"].to_numpy(dtype=float)[np.lexsort(axes[::-1])]
        cube = cube.reshape([level.size for level in levels])
        result[key] = statistics.per_trial(cube, levels[0] if shares else None)
    return result


def collapsed(averaged: Averaged) -> Averaged:
    """[bases] means over repeats of `by_trial`."""
    return {key: found.mean(axis=1) for key, found in averaged.items()}


def failures(table: pd.DataFrame) -> set[tuple[str, str, str]]:
    """(problem, recovery, method) of which a trial failed or could not meet its budget."""
    lost = table.loc[table["failed"].astype(bool), CELL[:3]]
    return set(lost.itertuples(index=False, name=None))


def _gaps(table: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """(problem, recovery, method) -> what is missing, in words."""
    words = {}
    for key, holes in _by_method(table[~table["complete"].astype(bool)]):
        lost = int((holes["expected"] - holes["done"]).sum())
        places = (budget_words(one["cost"], one["budget"]) for one in holes.to_dict("records"))
        words[key] = f"{counted(lost, 'trial')} without a result at {', '.join(places)}"
    return words


def _by_method(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    if table.empty:
        return
    for (problem, recovery, method), rows in table.groupby(CELL[:3], sort=False):
        yield (str(problem), str(recovery), str(method)), rows


def _pairs_of(table: pd.DataFrame, *axes: str) -> list[tuple[str, ...]]:
    return list(table[list(axes)].drop_duplicates().itertuples(index=False, name=None))
