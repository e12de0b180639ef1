"""Forest plot: each method minus its reference, on each problem and over all."""

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from ..analysis.best import OVER
from ..analysis.results import Results
from ..metric import spoken
from .captions import plotted
from .panels import by_panel
from .plot import Plot
from .rows import dots, row_grid
from .style import GREY, Look, title

_PANELS = 2  # problems up to which each has a panel; more are small dots in one


def drawn(results: Results, family: str) -> pd.DataFrame:
    """What is drawn, best mean first: the paired differences of one family of comparisons.

    Columns: `recovery`, `panel` (a problem, or `all problems` where two or more are finished),
    `comparison` (the text of the row), `method`, `reference`, `dot` (the problem that a small dot
    stands for; empty of the mean), `mean`, `low`, `high` (points of top-1), `n` (bases,
    or problems), `unit`. Without a difference the numbers are NaN.
    """
    pairs = results.paired[results.paired["family"] == family]
    over = results.overall[results.overall["family"] == family]
    rows = pairs.assign(panel=pairs["problem"], n=pairs["n_bases"], unit="bases", dot="")
    if over["n_problems"].max() > 1:
        over = over.assign(panel=OVER, n=over["n_problems"], unit="problems", dot="")
        single = rows.dropna(subset=["mean"])
        single = single.assign(panel=OVER, dot=single["problem"], low=math.nan, high=math.nan)
        several = [] if len(results.problems) > _PANELS else [rows]
        rows = pd.concat([*several, single, over], ignore_index=True)
    for axis in ("panel", "recovery"):  # a row or column of nothing but gaps is left to the page
        rows = rows[rows.groupby(axis)["mean"].transform("count") > 0]
    rows["comparison"] = rows["method"]
    if family == "matched":
        rows["comparison"] = rows["method"] + " − " + rows["reference"]
    columns = ["recovery", "panel", "comparison", "method", "reference", "dot"]
    columns += ["mean", "low", "high", "n", "unit"]
    return rows.sort_values("mean", ascending=False, kind="stable", ignore_index=True)[columns]


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Against the control, and of methods with matched controls against these.

    Panels of one recovery stand beside one another, problems first; with one panel a recovery,
    these do. Problems and recoveries are in the order of the plan; the ROPE is shaded.
    """
    control, rope = results.suite.analysis.control, results.suite.analysis.rope
    finished = set(results.paired.loc[results.paired["mean"].notna(), "family"])
    for family, other in (("control", control), ("matched", "its matched control")):
        if family not in finished:
            continue
        data = drawn(results, family)
        names = [one for one in (*results.problems, OVER) if one in set(data["panel"])]
        recoveries = [one for one in results.recoveries if one in set(data["recovery"])]
        panels = by_panel(data, recovery=recoveries, panel=names)
        across = len(names) if len(names) > 1 else len(recoveries)
        of_rows = [list(rows.loc[rows["dot"] == "", "comparison"]) for rows in panels.values()]
        figure, axes = row_grid(of_rows, across)
        for ax, ((recovery, name), rows) in zip(axes, panels.items(), strict=True):
            ax.axvspan(-rope, rope, color=GREY, alpha=0.18, linewidth=0, zorder=0)
            ax.axvline(0, color=GREY, linewidth=0.8, zorder=1)
            dots(ax, rows.assign(row=rows["comparison"]), looks, 0.0, -rope, rope)
            ax.set_title(_title(name, recovery, rows[rows["dot"] == ""]))
        figure.supxlabel(f"method − {other} ({spoken().points})", fontsize=8)
        yield plotted(
            "paired_differences", figure, data, results,
            "paired_differences" + ("_matched" if family == "matched" else ""),
            family=family, other=other, overall=OVER in set(data["panel"]),
        )  # fmt: skip


def _title(panel: str, recovery: str, rows: pd.DataFrame) -> str:
    counts = sorted(set(rows.loc[rows["mean"].notna(), "n"].astype(int)))
    if not counts:
        return title(panel, recovery)
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
    unit = str(rows["unit"].dropna().iloc[0])
    return title(panel, recovery, f" · n = {n} {unit if n != '1' else unit[:-1]}")
