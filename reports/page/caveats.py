"""What the analysis warns of by itself: failures that decide a test, saturated budgets, noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from ..analysis.cells import failures
from ..formats import p_value
from ..records import budget_words
from .findings import MOST

if TYPE_CHECKING:
    from ..analysis.analysis import Results


def caveats(results: Results) -> Iterator[str]:
    """Sentences for the page; none where nothing failed and repeats agree."""
    yield from _failed(results)
    yield from _saturated(results)
    floor = results.noise["aa_sd"].max()
    if floor > results.suite.analysis.rope:
        yield (
            f"On a problem, a method run again would differ from itself by {floor:.2f} points "
            "(standard deviation, from repeats, at the worst): more than the ROPE of "
            f"{results.suite.analysis.rope:g}. Differences of that size are no finding."
        )


LOST = 0.25  # share of the dense top-1 below which a method has kept nothing to compare


def _saturated(results: Results) -> Iterator[str]:
    """Budgets that tell nothing and still weigh in the area: by fixed rules, named, never dropped.

    They stay in, for a grid that depended on the results would change what was declared.
    """
    found = saturated(results.cells, results.suite.analysis.rope)
    rules = {
        "alike": f"the means of all methods lie within {results.suite.analysis.rope:g} points (the "
        "ROPE) of each other",
        "lost": f"no method keeps {100 * LOST:g} % of the dense top-1",
    }
    for why, rule in rules.items():
        rows = found[found["why"] == why]
        places = ", ".join(
            f"{row['problem']} {row['recovery']} at {budget_words(row['cost'], row['budget'])}"
            for row in rows.head(MOST).to_dict("records")
        )
        if len(rows) > MOST:
            places += f" and {len(rows) - MOST} more"
        if len(rows):
            yield (
                f"Saturated budgets, where {rule}: {places}. They stay in the area over budgets "
                "and add only noise to it."
            )


def saturated(cells: pd.DataFrame, rope: float) -> pd.DataFrame:
    """One row a (problem, recovery, budget) that tells no method from another.

    Columns: these, `cost`, and `why`: `lost`, where the best mean top-1 is below `LOST` of the
    dense one, else `alike`, where all means lie within `rope` points. Of complete cells, two or
    more; matched controls do not count.
    """
    mine = cells[cells["complete"].astype(bool) & cells["matched_to"].isna()]
    rows = []
    for key, group in mine.groupby(["problem", "recovery", "budget"], sort=False):
        kept = group["retained_top1"].astype(float)
        dense = (group["top1"] - kept).max()
        why = "lost" if group["top1"].max() < LOST * dense else "alike"
        if len(group) > 1 and (why == "lost" or kept.max() - kept.min() <= rope):
            rows.append((*key, group["cost"].iloc[0], why))
    return pd.DataFrame(rows, columns=["problem", "recovery", "budget", "cost", "why"])


def _failed(results: Results) -> Iterator[str]:
    """What failing means in the tests over problems, and whether the answer hangs on it."""
    lost = Counter(method for _, _, method in failures(results.cells))
    if not lost:
        return
    who = ", ".join(f"{method} ({n})" for method, n in sorted(lost.items()))
    worst = results.suite.analysis.failures == "worst"
    does = "take the worst rank there" if worst else "leave those problems out of their comparisons"
    yield (
        f"Methods that failed, with the number of problems and recoveries: {who}. In tests over "
        f"problems they {does}; differences in points are of the problems where both succeeded."
    )
    for row in results.disagreements.to_dict("records"):
        other = "with those problems left out" if worst else "with the worst rank"
        yield (
            f"{row['method']} against {row['reference']}, recovery {row['recovery']}: {other} the "
            f"test {'rejects' if row['rejected'] else 'does not reject'} "
            f"(Holm p {p_value(row['p_holm'])}), which is not what it does above."
        )
