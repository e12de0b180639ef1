"""Standing of each method: the highest mean, those that nothing tells from it, and those behind."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..formats import Mark
from .cells import Scores
from .ranking import MethodRanks

OVER = "all problems"
MARKED: Mapping[str, Mark] = {"best": "best", "near": "near"}  # standings that tables mark
COLUMNS = ["recovery", "problem", "method", "n", "mean", "sd", "standing"]


def against_best(
    scored: Scores, ranking: Mapping[str, MethodRanks], among: Collection[str] | None = None
) -> pd.DataFrame:
    """One row a (recovery, problem or `all problems`, method), matched controls left out.

    `among`: of these methods only; the tests remain those of all.

    `all problems` are those that every method has finished or failed on, so that means and tests
    are of the same. Columns: `n` (bases of a problem; problems of `all problems`), `mean` and `sd`
    (over these) of retained top-1 in points, averaged over budgets; `standing`: `best` (the highest
    mean), `near` (not told from it on these problems), `behind`, `untold` (where nothing is tested:
    a single problem of several, or too few bases) and `missing`.

    The tests are those of all pairs, adjusted for all of them and for all recoveries, so that the
    best may be chosen by looking: with probability 1 - alpha no method that is `behind` has the
    highest true mean, and the highest is among `best` and `near`.
    """
    rows, problems, by_base = list[dict[str, Any]](), scored.problems, scored.by_base
    tested = OVER if len(problems) > 1 else problems[0]
    for recovery, ranks in ranking.items():
        names = [name for name in ranks.planned if among is None or name in among]
        for problem in dict.fromkeys([*problems, tested]):
            if problem == OVER:
                found = zip(ranks.methods, ranks.scores.T, strict=True)
                scores = {name: one for name, one in found if one.size and name in names}
                scores = {name: one for name, one in scores.items() if not np.isnan(one).any()}
            else:
                keys = {name: (problem, recovery, name) for name in names}
                scores = {name: by_base[key] for name, key in keys.items() if key in by_base}
            places = {"recovery": recovery, "problem": problem}
            rows += _column(places, names, ranks, scores, tested=problem == tested)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def _column(
    place: Mapping[str, str],
    names: Sequence[str],
    ranks: MethodRanks,
    scores: Mapping[str, Any],
    tested: bool,
) -> list[dict[str, Any]]:
    """Rows of one column of the table; `scores` is method -> [bases or problems]."""
    best = max(scores, key=lambda name: float(scores[name].mean()), default=None)
    rows = []
    for name in names:
        row: dict[str, Any] = {**place, "method": name}
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
            last = ranks.apart(name, best) or any(ranks.apart(name, two) < 0 for two in scores)
            standing = "behind" if last else "near"
        rows.append(row | {"standing": standing})
    return rows
