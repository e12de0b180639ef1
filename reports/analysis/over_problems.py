"""The declared comparisons over problems: the test, its size, its uncertainty, and what it means.

The block is the problem. No budget, base or repeat can be one: the differences that come in have
one row a problem.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from suites.schema import Suite

from .. import statistics
from ..statistics import Failures, Floats
from .cells import WHO, Averaged, Comparison, holm_within

FEW = 3  # problems; fewer are no sample that a bootstrap or a belief could stand on
KEYS = ["recovery", "family", "method", "reference"]
COLUMNS = [
    *("family", "recovery", "method", "reference", "n_problems", "n_failed"),
    *("mean", "low", "high", "boot_low", "boot_high"),
    *("hodges_lehmann", "shift_low", "shift_high"),
    *("wins", "ties", "losses", "share_won", "rank_biserial"),
    *("p_better", "p_equal", "p_worse", "p", "verdict"),
]


def overall(
    pairs: pd.DataFrame, averaged: Averaged, suite: Suite, failures: Failures | None = None
) -> pd.DataFrame:
    """Differences over problems: one row a (recovery, comparison).

    The block is the problem, its value the mean over its bases. Columns, in points unless said:

    - `n_problems`: those where both succeeded; `n_failed`: those where either failed. Failing is
      the worse outcome in `p`, `wins`, `ties`, `losses`, `share_won` and `rank_biserial`; sizes in
      points are of the others. With `drop` these problems take no part at all.
    - `mean`, `low`, `high` (t-interval of block means, only where one test over so many problems
      could reject; fewer say nothing of the spread), `boot_low`, `boot_high` (hierarchical
      bootstrap over problems, bases, repeats; from three problems on), `hodges_lehmann` with
      `shift_low`, `shift_high` (inverted signed-rank test).
    - `share_won` (ties count one half), `rank_biserial` (matched pairs).
    - `p_better`, `p_equal`, `p_worse`: Bayesian signed-rank with the declared ROPE; likewise from
      three problems on.
    - `p` (exact Wilcoxon), `p_holm` (Holm over the comparisons of the family and recovery; one
      without any problem keeps its place as p = 1), `rejected`, `verdict` (with the t-interval).

    Args:
        pairs: of `cells.paired`.
        averaged: of `cells.by_trial`.
        suite: gives alpha, the ROPE and what failing means.
        failures: another meaning of failing than the suite's.
    """
    alpha = suite.analysis.alpha
    policy = failures or suite.analysis.failures
    rows = []
    for key, by_problem in pairs.groupby(KEYS, sort=False):
        row: dict[str, Any] = dict(zip(KEYS, key, strict=True))
        trials = [
            averaged[problem, row["recovery"], row["method"]]
            - averaged[problem, row["recovery"], row["reference"]]
            for problem in by_problem.loc[by_problem["mean"].notna(), "problem"]
        ]
        rows.append(row | _tested(by_problem, policy) | _measured(by_problem, trials, suite))
    whole = dict.fromkeys(("n_problems", "n_failed", "wins", "ties", "losses"), "Int64")
    table = pd.DataFrame(rows, columns=COLUMNS).astype(whole)
    table["p_holm"] = holm_within(table, ["recovery", "family"])
    table["rejected"] = table["p_holm"] <= alpha
    return table


def _tested(by_problem: pd.DataFrame, policy: Failures) -> dict[str, Any]:
    """What rests on order alone, so that failing has a place in it."""
    failed = by_problem["failed"].isin(["method", "both"])
    reference_failed = by_problem["failed"].isin(["reference", "both"])
    row: dict[str, Any] = {"n_failed": int((failed | reference_failed).sum())}
    takes_part = by_problem["mean"].notna() | ((failed | reference_failed) & (policy == "worst"))
    if not takes_part.any():
        return row
    outcomes = statistics.worst_differences(
        by_problem.loc[takes_part, "mean"].to_numpy(dtype=float),
        failed[takes_part].to_numpy(),
        reference_failed[takes_part].to_numpy(),
    )
    count = statistics.win_tie_loss(outcomes)
    return row | {
        "wins": count.wins,
        "ties": count.ties,
        "losses": count.losses,
        "share_won": statistics.share_won(outcomes),
        "rank_biserial": statistics.rank_biserial(outcomes),
        "p": statistics.wilcoxon(outcomes).p_value,
    }


def _measured(by_problem: pd.DataFrame, trials: list[Floats], suite: Suite) -> dict[str, Any]:
    """What is in points, of the problems where both succeeded."""
    blocks = by_problem["mean"].dropna().to_numpy(dtype=float)
    alpha, rope = suite.analysis.alpha, suite.analysis.rope
    row: dict[str, Any] = {"n_problems": blocks.size}
    if not blocks.size:
        return row
    shift = statistics.shift_interval(blocks, 1 - alpha)
    row |= {"mean": blocks.mean(), "hodges_lehmann": shift.shift}
    row |= {"shift_low": shift.low, "shift_high": shift.high}
    if blocks.size < FEW:
        return row
    belief = statistics.bayesian_signed_rank(blocks, rope)
    row |= {"p_better": belief.better, "p_equal": belief.equivalent, "p_worse": belief.worse}
    if len({one.shape for one in trials}) == 1:
        resampled = statistics.hierarchical_interval(np.stack(trials), 1 - alpha)
        row |= {"boot_low": resampled.low, "boot_high": resampled.high}
    if statistics.smallest_p(blocks.size) <= alpha:
        interval = statistics.t_interval(blocks, 1 - alpha)
        row |= {"low": interval.low, "high": interval.high}
        row |= {"verdict": statistics.rope_verdict(interval, rope)}
    return row


def per_budget(cells: pd.DataFrame, declared: Sequence[Comparison], suite: Suite) -> pd.DataFrame:
    """The declared comparisons at each budget alone: one row a (recovery, budget, comparison).

    Descriptive: the budgets of a problem are no evidence of each other, so each has a Holm family
    of its own, and the confirmatory test is that of `overall`. Columns: `family`, `recovery`,
    `budget`, `method`, `reference`, `n_problems`, `n_failed`, `mean` and `hodges_lehmann` (points
    of retained top-1), `wins`, `ties`, `losses`, `share_won`, `rank_biserial`, `p`, `p_holm`, all
    as in `overall`.

    Args:
        cells: of `cells.cells`.
        declared: the comparisons.
        suite: gives what failing means.
    """
    rows = []
    for (recovery, budget), at_budget in cells.groupby(["recovery", "budget"], sort=False):
        values = at_budget.pivot(index="problem", columns="method", values="retained_top1")
        lost = at_budget.pivot(index="problem", columns="method", values="failed") > 0
        for comparison in declared:
            if not {comparison.method, comparison.reference} <= set(values):
                continue  # a way of finetuning, where nothing is finetuned
            who = zip(lost[comparison.method], lost[comparison.reference], strict=True)
            difference = (values[comparison.method] - values[comparison.reference]).astype(float)
            by_problem = pd.DataFrame({"mean": difference, "failed": [WHO[both] for both in who]})
            blocks = difference.dropna().to_numpy()
            row = {
                "recovery": recovery,
                "budget": budget,
                "n_problems": blocks.size,
                **vars(comparison),
            }
            if blocks.size:
                row |= {"mean": blocks.mean()}
                row |= {"hodges_lehmann": statistics.hodges_lehmann(blocks)}
            rows.append(row | _tested(by_problem, suite.analysis.failures))
    columns = ["family", "recovery", "budget", "method", "reference", "n_problems", "n_failed"]
    columns += ["mean", "hodges_lehmann", "wins", "ties", "losses", "share_won", "rank_biserial"]
    whole = dict.fromkeys(("n_problems", "n_failed", "wins", "ties", "losses"), "Int64")
    table = pd.DataFrame(rows, columns=[*columns, "p"]).astype(whole)
    table["p_holm"] = holm_within(table, ["recovery", "budget", "family"])
    return table


def disagreements(
    pairs: pd.DataFrame, averaged: Averaged, suite: Suite, found: pd.DataFrame
) -> pd.DataFrame:
    """Rows of `overall` under the other meaning of failing, where that changes a rejection.

    Args:
        pairs, averaged, suite: as `overall`.
        found: its result under the suite's own meaning.
    """
    if not found["n_failed"].any():
        return found.iloc[:0]
    other: Failures = "drop" if suite.analysis.failures == "worst" else "worst"
    table = overall(pairs, averaged, suite, other)
    return table[table["rejected"] != found["rejected"]].reset_index(drop=True)
