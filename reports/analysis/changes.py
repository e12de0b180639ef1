"""Accuracy changes as a page first shows them: of every method, at a budget, against the dense
network and against the control, on all problems and on each.

What is tested are the means over budgets, in `over_problems` and `by_problem`, and their numbers
and words stand here too. Those at one budget are a description, with intervals like theirs.
"""

from collections.abc import Sequence
from itertools import product
from typing import cast

import numpy as np
import pandas as pd

from suites.schema import Suite

from .. import statistics
from .best import OVER
from .cells import CELL, Scores
from .comparisons import Averaged, bounded, looks_of, scores_of

COSTS = ["macs_percent", "params_percent", "score_s"]
AGAINST = ["against", "against_low", "against_high"]
COLUMNS = [
    *("recovery", "problem", "budget", "method", "matched_to", "n_problems", "top1"),
    *("change", "low", "high", *AGAINST, "verdict", "why", *COSTS),
]
PLACE = ["recovery", "problem", "method"]


def changes(scored: Scores, overall: pd.DataFrame, paired: pd.DataFrame) -> pd.DataFrame:
    """One row a (recovery, budget, problem or `all problems`, method), in the order of the plan.

    Columns: `budget` (NaN: the mean over budgets, as it is tested; single ones only where there are
    several); `n_problems`: those on which the control has finished, or where it has on none, any
    method; who lacks one of them has no numbers; `top1` (percent); `change` against the dense
    network with its interval over bases, alone (`low`, `high`); `against` the control, with the
    interval of all declared comparisons at once (`against_low`, `against_high`), both in points;
    `verdict` and `why`, at every budget those of the mean over budgets; and means of `macs_percent`
    and `params_percent` (kept) and of `score_s`.

    `overall`, `paired`: of `over_problems.overall` and `by_problem.paired`."""
    suite, cells, problems = scored.suite, scored.cells, scored.problems
    places = {OVER: problems} | ({one: [one] for one in problems} if len(problems) > 1 else {})
    several = cells.groupby("problem")["budget"].nunique().max() > 1
    scores = {np.nan: scored.by_base} | (_by_budget(scored) if several else {})
    views = []
    for recovery, (budget, averaged) in product(dict.fromkeys(cells["recovery"]), scores.items()):
        at = cells[(cells["recovery"] == recovery)]
        at = at[(at["budget"] == budget) | np.isnan(budget)]
        at = at.assign(dense=at["top1"] - at["retained_top1"])
        each = at.groupby(["problem", "method"])[["dense", *COSTS]].mean().astype(float)
        for place, there in places.items():
            of_view = at[at["problem"].isin(there)]
            if set(of_view["problem"]) == set(there):  # else it is a budget of other problems
                rows = _view(recovery, there, of_view, each, averaged, suite, len(overall))
                views.append(rows.assign(recovery=recovery, budget=budget, problem=place))
    over = overall.assign(problem=OVER).rename(columns={"word": "verdict"})
    tested = pd.concat([over, paired.rename(columns={"reason": "why"})])
    tested = tested[tested["reference"] == suite.analysis.control]
    ends = ["mean", "joint_low", "joint_high"]
    table = pd.concat(views, ignore_index=True).reindex(columns=COLUMNS)
    table = table.drop(columns=["verdict", "why"])
    table = table.merge(tested[[*PLACE, *ends, "verdict", "why"]], on=PLACE, how="left")
    mean = table["budget"].isna()
    table.loc[mean, AGAINST] = table.loc[mean, ends].to_numpy(dtype=float)
    return table[COLUMNS]


def _by_budget(scored: Scores) -> dict[float, Averaged]:
    """Budget -> [bases] retained top-1 of complete cells, means over repeats; largest first."""
    whole = scored.cells.loc[scored.cells["complete"].astype(bool), CELL]
    budgets = sorted(set(scored.cells["budget"]), reverse=True)
    found: dict[float, Averaged] = {one: {} for one in budgets}
    if whole.empty:
        return found
    by_base = scored.trials.merge(whole).groupby([*CELL, "base"])["retained_top1"].mean()
    for key, values in by_base.groupby(level=CELL):
        problem, recovery, method, budget = cast("tuple[str, str, str, float]", key)
        found[budget][problem, recovery, method] = values.to_numpy(dtype=np.float64)
    return found


def _view(
    recovery: str,
    problems: Sequence[str],
    cells: pd.DataFrame,
    each: pd.DataFrame,
    averaged: Averaged,
    suite: Suite,
    comparisons: int,
) -> pd.DataFrame:
    """The rows of one view, without what is tested; `averaged` holds its scores, `each` what else
    is shown of every problem and method."""
    rows = cells.drop_duplicates("method")[["method", "matched_to"]].reset_index(drop=True)
    names, is_control = list(rows["method"]), rows["method"] == suite.analysis.control
    cube = scores_of(averaged, [(recovery, one) for one in names], problems)
    there = np.any(~np.isnan(cube), axis=2)
    of_control = there[is_control.to_numpy()]
    counted = np.any(of_control if of_control.any() else there, axis=0)
    rows["n_problems"] = counted.sum()
    if not counted.any():
        return rows
    cube = cube[:, counted]
    cube[~there[:, counted].all(axis=1)] = np.nan
    looks = looks_of(suite)
    alone = statistics.on_these_problems(cube)
    rows["change"] = alone.mean
    rows["low"], rows["high"] = bounded(alone.interval(1 - statistics.spent(looks, cube)))
    known = each[each.index.isin(np.array(problems)[counted], level="problem")]
    means = known.groupby("method").mean().reindex(names)  # of problems, whatever their budgets
    means[np.isnan(alone.mean)] = np.nan
    rows["top1"], rows[COSTS] = alone.mean + means["dense"].to_numpy(), means[COSTS].to_numpy()
    others = (rows["matched_to"].isna() & ~is_control).to_numpy()
    if of_control.any() and others.any():
        apart = cube[others] - cube[is_control.to_numpy()]
        found = statistics.on_these_problems(apart, floor=True)
        ends = bounded(found.interval(1 - statistics.spent(looks, apart) / comparisons))
        rows.loc[others, AGAINST] = np.column_stack([found.mean, *ends])
    return rows
