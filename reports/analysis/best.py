"""Standing of each method: the highest mean, those that nothing tells from it, and those behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .cells import Averaged
from .ranking import MethodRanks

OVER = "all problems"
COLUMNS = ["recovery", "problem", "method", "n", "mean", "sd", "standing"]


def against_best(
    problems: Sequence[str],
    by_base: Averaged,
    ranking: Mapping[str, MethodRanks],
) -> pd.DataFrame:
    """One row a (recovery, problem or `all problems`, method), matched controls left out.

    `all problems` are those that every method has finished or failed on, so that means and tests
    are of the same. Columns: `n` (bases of a problem; problems of `all problems`), `mean` and `sd`
    (over these) of retained top-1 in points, averaged over budgets; `standing`: `best` (the highest
    mean), `near` (not told from it on these problems), `behind`, `untold` (where nothing is tested:
    a single problem of several, or too few bases) and `missing`.

    The tests are those of all pairs, adjusted for all of them and for all recoveries, so that the
    best may be chosen by looking: with probability 1 - alpha no method that is `behind` has the
    highest true mean, and the highest is among `best` and `near`.
    """
    rows: list[dict[str, Any]] = []
    for recovery, ranks in ranking.items():
        for problem in problems:
            scores = {
                name: by_base[problem, recovery, name]
                for name in ranks.planned
                if (problem, recovery, name) in by_base
            }
            rows += _column(recovery, problem, ranks, scores, tested=len(problems) == 1)
        if len(problems) > 1:
            over = {
                name: ranks.scores[:, place]
                for place, name in enumerate(ranks.methods)
                if len(ranks.problems) and not np.isnan(ranks.scores[:, place]).any()
            }
            rows += _column(recovery, OVER, ranks, over, tested=True)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def _column(
    recovery: str, problem: str, ranks: MethodRanks, scores: Mapping[str, Any], tested: bool
) -> list[dict[str, Any]]:
    """Rows of one column of the table; `scores` is method -> [bases or problems]."""
    best = max(scores, key=lambda name: float(scores[name].mean()), default=None)
    rows = []
    for name in ranks.planned:
        row: dict[str, Any] = {"recovery": recovery, "problem": problem, "method": name}
        if name not in scores or best is None:
            rows.append(row | {"n": 0, "standing": "missing"})
            continue
        own = scores[name]
        row |= {"n": own.size, "mean": own.mean()}
        row["sd"] = own.std(ddof=1) if own.size > 1 else np.nan
        standing = "untold"
        if name == best:
            standing = "best"
        elif tested and ranks.pairwise is not None and ranks.pairwise.known:
            # What is told worse than any other cannot be the highest either.
            first = ranks.low[ranks.methods.index(name)] == 1
            standing = "near" if first and not ranks.told(name, best) else "behind"
        rows.append(row | {"standing": standing})
    return rows
