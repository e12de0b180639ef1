"""Accuracy changes as a page first shows them: of every method, at a budget, against the dense
network and against the control, on all problems and on each.

What is tested are the means over budgets, in `over_problems` and `by_problem`, and their numbers
and words stand here too. Those at one budget are a description, with intervals like theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from suites.schema import Suite

from .. import statistics
from ..statistics import Look
from .best import OVER
from .cells import CELL, Averaged
from .comparisons import bounded, looks_of, scores_of

COSTS = ["macs_percent", "params_percent", "score_s"]
VERDICT = ["against", "against_low", "against_high", "verdict", "why"]
COLUMNS = [
    *("recovery", "problem", "budget", "method", "matched_to", "n_problems", "top1"),
    *("change", "low", "high", *VERDICT, *COSTS),
]


def changes(
    trials: pd.DataFrame,
    cells: pd.DataFrame,
    by_base: Averaged,
    overall: pd.DataFrame,
    paired: pd.DataFrame,
    suite: Suite,
) -> pd.DataFrame:
    """One row a (recovery, budget, problem or `all problems`, method), in the order of the plan.

    Columns: `budget` (NaN: the mean over budgets, as it is tested; single ones only where there are
    several); `n_problems`: those on which the control has finished, or where it has on none, any
    method; who lacks one of them has no numbers; `top1` (percent); `change` against the dense
    network with its interval over bases, alone (`low`, `high`); `against` the control, with the
    interval of all declared comparisons at once (`against_low`, `against_high`), both in points;
    `verdict` and `why`, at every budget those of the mean over budgets; and means of `macs_percent`
    and `params_percent` (kept) and of `score_s`.

    Args:
        trials, cells, by_base: of `cells.scores`.
        overall, paired: of `over_problems.overall` and `by_problem.paired`.
        suite: gives the control, alpha, and its looks.
    """
    problems = list(dict.fromkeys(cells["problem"]))
    places = {OVER: problems} | ({one: [one] for one in problems} if len(problems) > 1 else {})
    several = cells.groupby("problem")["budget"].nunique().max() > 1
    scores = {np.nan: by_base} | (_by_budget(trials, cells) if several else {})
    tested = _tested(overall, paired, suite.analysis.control)
    rows: list[dict[str, Any]] = []
    for recovery in map(str, dict.fromkeys(cells["recovery"])):
        of_recovery = cells[cells["recovery"] == recovery]
        for budget, averaged in scores.items():
            at = of_recovery[(of_recovery["budget"] == budget) | np.isnan(budget)]
            for place, there in places.items():
                of_view = at[at["problem"].isin(there)]
                if set(of_view["problem"]) != set(there):
                    continue  # a budget of other problems
                view = {"recovery": recovery, "budget": budget, "problem": place}
                for row in _view(recovery, there, of_view, averaged, suite, len(overall)):
                    said = tested.get((recovery, place, row["method"]), {})
                    if not np.isnan(budget):
                        said = {name: said[name] for name in ("verdict", "why") if said}
                    rows.append(view | row | said)
    return pd.DataFrame(rows, columns=COLUMNS)


def _by_budget(trials: pd.DataFrame, cells: pd.DataFrame) -> dict[float, Averaged]:
    """Budget -> [bases] retained top-1 of complete cells, means over repeats; largest first."""
    whole = cells.loc[cells["complete"].astype(bool), CELL]
    found: dict[float, Averaged] = {
        float(one): {} for one in sorted(set(cells["budget"]), reverse=True)
    }
    if whole.empty:
        return found
    by_base = trials.merge(whole).groupby([*CELL, "base"])["retained_top1"].mean()
    for key, values in by_base.groupby(level=CELL):
        problem, recovery, method, budget = cast("tuple[str, str, str, float]", key)
        found[budget][problem, recovery, method] = values.to_numpy(dtype=np.float64)
    return found


def _tested(
    overall: pd.DataFrame, paired: pd.DataFrame, control: str
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(recovery, place, method) -> difference to the control on the mean over budgets, and word."""
    names = {"mean": "against", "joint_low": "against_low", "joint_high": "against_high"}
    over = overall.assign(problem=OVER).rename(columns={"word": "verdict"})
    each = paired.rename(columns={"reason": "why"})
    found = {}
    for table in (over, each):
        rows = table[table["reference"] == control].rename(columns=names)
        for row in rows.to_dict("records"):
            key = (row["recovery"], row["problem"], row["method"])
            found[key] = {name: row[name] for name in VERDICT}
    return found


def _view(
    recovery: str,
    problems: Sequence[str],
    cells: pd.DataFrame,
    averaged: Averaged,
    suite: Suite,
    comparisons: int,
) -> list[dict[str, Any]]:
    """The rows of one view, without what is tested; `averaged` holds its scores."""
    names = list(dict.fromkeys(cells["method"]))
    control = suite.analysis.control
    cube = scores_of(averaged, [(recovery, one) for one in names], problems)
    there = np.any(~np.isnan(cube), axis=2)
    counted = np.any(there, axis=0)
    if control in names and there[names.index(control)].any():
        counted = there[names.index(control)]
    matched = cells.drop_duplicates("method")["matched_to"]
    rows: list[dict[str, Any]] = [
        {"method": name, "matched_to": of, "n_problems": int(counted.sum())}
        for name, of in zip(names, matched, strict=True)
    ]
    if not counted.any():
        return rows
    cube, of_counted = cube[:, counted], np.array(problems)[counted]
    cube[~there[:, counted].all(axis=1)] = np.nan
    known = cells[cells["problem"].isin(of_counted)]
    means = known.assign(dense=known["top1"] - known["retained_top1"])
    means = means.groupby("method")[["dense", *COSTS]].mean().astype(float)
    looks = looks_of(suite)
    alone = statistics.on_these_problems(cube)
    low, high = bounded(alone.interval(1 - _spent(looks, cube)))
    for place, row in enumerate(rows):
        if np.isnan(alone.mean[place]):
            continue
        row |= {"change": alone.mean[place], "low": low[place], "high": high[place]}
        costs: Mapping[str, float] = means.loc[row["method"]].to_dict()
        row |= {"top1": costs["dense"] + row["change"], **{one: costs[one] for one in COSTS}}
    if control in names and comparisons:
        apart = np.delete(cube - cube[names.index(control)], names.index(control), axis=0)
        found = statistics.on_these_problems(apart, floor=True)
        low, high = bounded(found.interval(1 - _spent(looks, apart) / comparisons))
        others = [row for row in rows if row["method"] != control]
        for row, *numbers in zip(others, found.mean, low, high, strict=True):
            if row["matched_to"] is None or pd.isna(row["matched_to"]):
                row |= dict(zip(VERDICT[:3], numbers, strict=True))
    return rows


def _spent(looks: Sequence[Look], cube: statistics.Floats) -> statistics.Floats:
    """[rows] the level at the look that the bases of each have come to."""
    return statistics.spent(looks, (~np.isnan(cube)).sum(axis=2).max(axis=1))
