"""Standing of each method: the best, those not told from it, and those behind.

The best is chosen by looking, so a test of it against another is not one that was declared. What is
valid all the same is a set of methods that holds the truly best one with probability 1 - alpha:
leave out a method only where another one is better by a test at level alpha / (K - 1). If the truly
best one is left out, one of its own K - 1 comparisons has erred (Hsu 1981, Ann. Statist. 9,
1026-1034, with Bonferroni in place of his constants). Here each is held against the one that came
out on top.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from suites.schema import Suite

from .. import statistics
from ..statistics import Floats
from .cells import Averaged, collapsed
from .results import Results

OVER = "all problems"
COLUMNS = [
    *("recovery", "problem", "method", "n", "mean", "sd"),
    *("behind_best", "low", "high", "p", "standing"),
]


def against_best(
    suite: Suite,
    problems: Sequence[str],
    recoveries: Sequence[str],
    averaged: Averaged,
    cells: pd.DataFrame,
) -> pd.DataFrame:
    """One row a (recovery, problem or `all problems`, method), matched controls left out.

    Columns: `n` (bases of a problem; problems of `all problems`), `mean` and `sd` (over these) of
    retained top-1 in points, averaged over budgets; `behind_best` (mean difference to the best,
    paired) with its interval at 1 - alpha / (K - 1) (`low`, `high`; of a problem) or the exact
    Wilcoxon p times K - 1 (`p`; of all problems); `standing`: `best`, `near` (not told from it) or
    `behind`. It is `untold` where no data could tell a method from the best: one base, or too few
    problems for any test of K - 1. A method that lacks trials is `missing` there, and of `all
    problems` it is where one of its problems is.
    """
    names, alpha = [method.name for method in suite.methods], suite.analysis.alpha
    by_base = collapsed(averaged)
    planned = set(cells.groupby(["problem", "recovery", "method"]).groups)
    rows: list[dict[str, Any]] = []
    for recovery in recoveries:
        means: dict[str, list[float]] = {}
        for problem in problems:
            held = [name for name in names if (problem, recovery, name) in planned]
            keys = {name: (problem, recovery, name) for name in held}
            scores = {name: by_base[key] for name, key in keys.items() if key in by_base}
            for name, bases in scores.items():
                means.setdefault(name, []).append(float(bases.mean()))
            rows += _column(recovery, problem, held, scores, alpha)
        whole = {
            name: np.array(several)
            for name, several in means.items()
            if len(several) == len(problems)
        }
        held = [
            name for name in names if any((each, recovery, name) in planned for each in problems)
        ]
        rows += _column(recovery, OVER, held, whole, alpha)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def _column(
    recovery: str, problem: str, names: list[str], scores: Mapping[str, Floats], alpha: float
) -> list[dict[str, Any]]:
    """Rows of one column of the table; `scores` is method -> [repeats], paired across methods."""
    best = max(scores, key=lambda name: float(scores[name].mean()), default=None)
    family = max(len(scores) - 1, 1)
    n = scores[best].size if best is not None else 0
    blind = n < 2 if problem != OVER else statistics.smallest_holm_p(max(n, 1), family) > alpha
    rows = []
    for name in names:
        row: dict[str, Any] = {"recovery": recovery, "problem": problem, "method": name}
        if name not in scores or best is None:
            rows.append(row | {"n": 0, "standing": "missing"})
            continue
        own = scores[name]
        row |= {"n": own.size, "mean": own.mean()}
        row["sd"] = own.std(ddof=1) if own.size > 1 else np.nan
        difference = own - scores[best]
        row["behind_best"] = difference.mean()
        if name == best:
            rows.append(row | {"standing": "best"})
        elif blind:
            rows.append(row | {"standing": "untold"})
        elif problem == OVER:
            p = min(1.0, family * statistics.wilcoxon(difference).p_value)
            told = p <= alpha and statistics.hodges_lehmann(difference) < 0
            rows.append(row | {"p": p, "standing": "behind" if told else "near"})
        else:
            span = statistics.t_interval(difference, 1 - alpha / family)
            told = span.high < 0 and span.high > span.low  # without width the spread is unknown
            row |= {"low": span.low, "high": span.high}
            rows.append(row | {"standing": "behind" if told else "near"})
    return rows


def rule(results: Results) -> str:
    """How the marks of a table came about, for its caption."""
    alpha = results.suite.analysis.alpha
    told = results.standing[results.standing["standing"].isin(["near", "behind"])]
    over = told["problem"] == OVER
    ways = []
    if not over.all():
        ways.append(
            "on one problem a method is told from the best where the paired t-interval of their "
            f"difference over bases, at 1 − {alpha:g}/(K − 1) for K methods, lies below zero"
        )
    if over.any():
        ways.append(f"over problems where the exact Wilcoxon p, times K − 1, is at most {alpha:g}")
    blind = []
    if results.suite.bases == 1:
        blind.append("one base a problem")
    if len(results.problems) > 1 and not over.any():
        blind.append("too few problems for any test")
    untold = f"With {' and '.join(blind)}, nothing there could be told from the best, and nothing "
    untold += "is marked"
    if not ways:
        return f"Bold: the highest mean of a column, no more. {untold}"
    text = f"Bold: the highest mean of a column; †: not told from it: {'; '.join(ways)}. So the "
    text += f"best and those with † hold the truly best method with {100 * (1 - alpha):g} % "
    text += "confidence"
    return f"{text}. {untold}" if blind else text
