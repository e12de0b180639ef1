"""Tables that hold methods against each other under one recovery: who stands where, how sure."""

from typing import Any

import pandas as pd

from .. import statistics
from ..analysis import best
from ..analysis.results import Results
from ..formats import Cell, Table, counts, interval, number, p_value, points, signed, spanned, whole
from ..records import WORDS
from .captions import captioned


def standing_table(results: Results, recovery: str) -> Table:
    """Methods by problems: who is best, and who is not shown to differ from it."""
    rows = results.standing[results.standing["recovery"] == recovery]
    places = [*results.problems, best.OVER] if len(results.problems) > 1 else results.problems
    cells = {(row["method"], row["problem"]): row for row in rows.to_dict("records")}
    last = rows[rows["problem"] == places[-1]].sort_values("mean", ascending=False, kind="stable")
    body = [
        [Cell(name), *(_standing(cells[name, place]) for place in places)]
        for name in last["method"]
    ]
    marked = set(rows.loc[rows["standing"].isin(["near", "behind"]), "problem"])
    return captioned("standing", recovery, results, body, places=places, marked=marked)


def _standing(row: dict[Any, Any]) -> Cell:
    if row["standing"] == "missing":
        return Cell("–")
    spread = "" if pd.isna(row["sd"]) else f" ± {points(row['sd']).removeprefix('+')}"
    mark = best.MARKED.get(row["standing"], "")
    return Cell(points(row["mean"]) + spread, float(row["mean"]), mark)


def overall_table(results: Results, recovery: str) -> Table:
    """The declared comparisons: what they are called, how large, how sure, and of what."""
    tested = results.layout.levels >= statistics.FEWEST_LEVELS
    rows = []
    for row in results.overall[results.overall["recovery"] == recovery].to_dict("records"):
        mean = signed(row["mean"])
        said = row["word"] + (f": {row['why']}" if row["why"] else "")
        cells = [Cell(row["method"]), Cell(row["reference"]), Cell(said), mean]
        cells += [Cell(interval(row["low"], row["high"]), mean.value)]
        cells += [Cell(interval(row["joint_low"], row["joint_high"]), mean.value)]
        cells += [Cell(p_value(row["p_adjusted"]), number(row["p_adjusted"]).value)]
        cells += [signed(row["typical"])]
        cells += [Cell(f"{row['n_problems']} of {row['of']}", float(row["n_problems"]))]
        cells += [Cell(counts(row), whole(row["wins"]).value)]
        if tested:
            cells += [Cell(row["like_word"])]
            cells += [Cell(interval(row["like_low"], row["like_high"]), mean.value)]
            cells += [Cell(p_value(row["like_p_adjusted"]), number(row["like_p_adjusted"]).value)]
        rows.append(cells)
    return captioned("overall", recovery, results, rows, tested=tested)


def factor_table(results: Results, recovery: str) -> Table | None:
    """Differences by dataset and by model; None where neither varies."""
    table = results.by_factor[results.by_factor["recovery"] == recovery]
    levels = table[["factor", "level"]].drop_duplicates().to_numpy().tolist()
    rows = []
    for pair, of in table.groupby(["method", "reference"], sort=False)[["mean", "low", "high"]]:
        numbers = (Cell(spanned(*ends), signed(ends[0]).value) for ends in of.to_numpy(float))
        rows.append([*(Cell(str(one)) for one in pair), *numbers])
    return captioned("by_factor", recovery, results, rows, levels=levels) if levels else None


def equal_cost_table(results: Results, recovery: str) -> Table | None:
    """Differences at equal amounts of the other cost; None where no two methods share a stretch."""
    table = results.equal_cost[results.equal_cost["recovery"] == recovery]
    if table.empty:
        return None
    axis = WORDS[results.suite.budgets.cost]
    keys = ["family", "recovery", "method", "reference"]
    declared = results.overall.set_index(keys)["mean"]
    rows = []
    for row in table.to_dict("records"):
        mean = signed(row["mean"])
        cells = [Cell(row["method"]), Cell(row["reference"])]
        cells += [signed(declared[tuple(row[key] for key in keys)]), mean]
        cells += [Cell(interval(row["low"], row["high"]), mean.value)]
        stretch = f"{100 * row['share_low']:.0f} to {100 * row['share_high']:.0f} %"
        cells += [Cell(stretch, float(row["share_low"]))]
        rows.append([*cells, Cell(f"{row['n_problems']} of {len(results.problems)}")])
    other = WORDS[table["cost"].iloc[0]]
    asked = results.overall[results.overall["recovery"] == recovery]["method"]
    apart = [one for one in asked.unique() if one not in set(table["method"])]
    known = {"axis": axis, "other": other, "apart": apart}
    return captioned("equal_cost", recovery, results, rows, **known)


def effect_table(results: Results) -> Table | None:
    """What each factor does, and what depends on another; None where the suite crosses none."""
    rows = []
    for row in results.factorial.to_dict("records"):
        mean, p = signed(row["mean"]), row["p_adjusted"]
        cells = [Cell(row["term"]), number(row["share"]), Cell(row["levels"]), mean]
        cells += [Cell(interval(row["low"], row["high"]), mean.value)]
        cells += [Cell(interval(row["joint_low"], row["joint_high"]), mean.value)]
        rows.append([*cells, Cell(p_value(p), number(p).value), Cell(row["word"])])
    return captioned("factorial", "", results, rows, table=results.factorial) if rows else None


def difference_table(results: Results, recovery: str) -> Table:
    """Paired differences of one recovery, a row a problem and comparison."""
    rows = difference_rows(results.paired[results.paired["recovery"] == recovery])
    return captioned("paired", recovery, results, rows)


def difference_rows(paired: pd.DataFrame) -> list[list[Cell]]:
    """Method, reference, problem, difference, interval, bases, won/tied/lost, what holds there."""
    rows = []
    for row in paired.to_dict("records"):
        outcome = f"missing: {row['reason']}" if row["reason"] else row["verdict"]
        mean = signed(row["mean"])
        cells = [Cell(row["method"]), Cell(row["reference"]), Cell(row["problem"]), mean]
        cells += [Cell(interval(row["low"], row["high"]), mean.value), whole(row["n_bases"])]
        rows.append([*cells, Cell(counts(row), whole(row["wins"]).value), Cell(outcome)])
    return rows


# All of them, in the order of the page.
HELD_AGAINST = (standing_table, overall_table, factor_table, equal_cost_table, difference_table)
