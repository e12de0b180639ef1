"""Where each method stands: the best, those not told from it, and those behind.

The best is chosen by looking, so a test of it against another is not one that was declared. What is
valid all the same is a set of methods that holds the truly best one with probability 1 - alpha:
leave out a method only where another one is better by a test at level alpha / (K - 1). If the truly
best one is left out, one of its own K - 1 comparisons has erred (Hsu 1981, Ann. Statist. 9,
1026-1034, with Bonferroni in place of his constants). Here each is held against the one that came
out on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import statistics
from .cells import collapsed

if TYPE_CHECKING:
    from .analysis import Results

OVER = "all problems"
Standing = Literal["best", "near", "behind", "untold", "missing"]
COLUMNS = [
    *("recovery", "problem", "method", "n", "mean", "sd"),
    *("behind_best", "low", "high", "p", "standing"),
]


def standing(results: Results) -> pd.DataFrame:
    """One row a (recovery, problem or `all problems`, method), matched controls left out.

    Columns: `n` (bases of a problem; problems of `all problems`), `mean` and `sd` (over these) of
    retained top-1 in points, averaged over budgets; `behind_best` (mean difference to the best,
    paired) with its interval at 1 - alpha / (K - 1) (`low`, `high`; of a problem) or the exact
    Wilcoxon p times K - 1 (`p`; of all problems); `standing`. It is `untold` where no data could
    tell a method from the best: one base, or too few problems for any test of K - 1. A method that
    lacks trials is `missing` there, and of `all problems` it is where one of its problems is.
    """
    names = [one.name for one in results.suite.methods]
    values = collapsed(results.averaged)
    asked = set(results.cells.groupby(["problem", "recovery", "method"]).groups)
    rows: list[dict[str, Any]] = []
    for recovery in results.recoveries:
        means: dict[str, list[float]] = {}
        for problem in results.problems:
            held = [one for one in names if (problem, recovery, one) in asked]
            there = {
                one: values[problem, recovery, one]
                for one in held
                if (problem, recovery, one) in values
            }
            for one, found in there.items():
                means.setdefault(one, []).append(float(found.mean()))
            rows += _against_best(recovery, problem, held, there, results.suite.analysis.alpha)
        whole = {
            one: np.array(found)
            for one, found in means.items()
            if len(found) == len(results.problems)
        }
        held = [
            one for one in names if any((each, recovery, one) in asked for each in results.problems)
        ]
        rows += _against_best(recovery, OVER, held, whole, results.suite.analysis.alpha)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def _against_best(
    recovery: str,
    problem: str,
    names: list[str],
    found: Mapping[str, NDArray[np.float64]],
    alpha: float,
) -> list[dict[str, Any]]:
    """Rows of one column of the table; `found` is method -> [repeats], paired across methods."""
    best = max(found, key=lambda one: float(found[one].mean()), default=None)
    family = max(len(found) - 1, 1)
    n = found[best].size if best is not None else 0
    blind = n < 2 if problem != OVER else statistics.smallest_holm_p(max(n, 1), family) > alpha
    rows = []
    for name in names:
        row: dict[str, Any] = {"recovery": recovery, "problem": problem, "method": name}
        if name not in found or best is None:
            rows.append(row | {"n": 0, "standing": "missing"})
            continue
        mine = found[name]
        row |= {"n": mine.size, "mean": mine.mean()}
        row["sd"] = mine.std(ddof=1) if mine.size > 1 else np.nan
        difference = mine - found[best]
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
