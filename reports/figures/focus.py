"""Which methods a crowded figure singles out; the rest are grey."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from ..analysis.analysis import Results

ALL = 10  # methods up to which every one has a colour
LOUD = 8  # coloured methods beside the control where there are more


def in_focus(results: Results) -> AbstractSet[str]:
    """All methods where they are few; else the control, those with matched controls, and the best.

    Best: the smallest rank under any recovery, by retained top-1 averaged over problems and
    budgets, of methods whose cells are complete; ties go to the better mean rank, then to the
    order of the suite.
    """
    names = [one.name for one in results.suite.methods]
    if len(names) <= ALL:
        return set(names)
    chosen = [one.name for one in results.suite.methods if one.matched][:LOUD]
    ranks = _ranks(results.cells, names)
    best = pd.DataFrame({"best": ranks.min(axis=1), "mean": ranks.mean(axis=1)})
    best = best.dropna().sort_values(["best", "mean"], kind="stable")
    control = results.suite.analysis.control
    rest = [str(one) for one in best.index if one not in (*chosen, control)]
    return {control, *chosen, *rest[: LOUD - len(chosen)]}


def _ranks(cells: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Rows are methods, columns recoveries; 1 is best."""
    mine = cells[cells["method"].isin(names)]
    whole = mine.groupby(["recovery", "method"])["complete"].transform("all").astype(bool)
    table = mine[whole].pivot_table(
        index="method", columns="recovery", values="retained_top1", aggfunc="mean"
    )
    return table.reindex(names).rank(ascending=False)
