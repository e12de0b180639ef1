"""Accuracy against cost: a row a problem, a column a recovery, a line a method.

Published numbers are hollow markers beside our curves, in the colour of our method.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from ..analysis.published import matching
from ..analysis.results import Results
from ..formats import in_order
from ..metric import spoken
from ..records import WORDS
from .captions import plotted
from .focus import focus, mark_below
from .panels import by_method, entries, grid, legend
from .plot import Plot
from .style import DASHED, GREY, QUIET, Look

DENSE = "dense"
_LOG_FROM = 6.0  # ratio of largest to smallest cost from which the axis is logarithmic
_PUBLISHED = ["problem", "recovery", "method", "cost_percent", "top1", "low", "high"]
_PUBLISHED += ["published_in", "mark"]
_BANDS = 4  # coloured methods up to which each has its band


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Curves of all methods; and of those with matched controls, beside these."""
    if max(map(len, results.budgets.values())) < 2:
        return  # no curve; `accuracy` shows the points
    plain = results.cells[results.cells["matched_to"].isna()]
    if plain["complete"].any():
        yield curves(results, looks, plain, "accuracy_cost")
    matched = [one.name for one in results.suite.methods if one.matched]
    both = results.cells["matched_to"].notna() | results.cells["method"].isin(matched)
    cells = results.cells[both]
    if matched and cells["complete"].any():
        yield curves(results, looks, cells, "accuracy_cost_matched")


def drawn(table: pd.DataFrame, dense: pd.DataFrame, cost: str) -> pd.DataFrame:
    """What is drawn: complete cells, and one row a problem and recovery for the dense network.

    Columns: `problem`, `recovery`, `method`, `budget`, `cost_percent` (kept), `top1`, `low`, `high`
    (percent; t-interval over bases, for the dense network one standard deviation), `n` (bases); of
    latency also `cost_low` and `cost_high`, a 95 % interval over rounds. `cost`: `macs`, `params`
    or `latency`: the x axis.
    """
    names = {"top1_low": "low", "top1_high": "high", "bases": "n"}
    table = table[table["complete"].astype(bool)].rename(columns=names)
    table = table.assign(cost_percent=table[f"{cost}_percent"])
    columns = ["problem", "recovery", "method", "budget", "cost_percent"]
    if cost == "latency":
        ends = ["cost_low", "cost_high"]
        table[ends] = table[["latency_low_percent", "latency_high_percent"]]
        columns += ends
    columns += ["top1", "low", "high", "n"]
    rows = []
    for problem, recovery in product(table["problem"].unique(), table["recovery"].unique()):
        values = dense.loc[dense["problem"] == problem, "dense_top1"].to_numpy(dtype=float)
        mean, spread = values.mean(), values.std(ddof=1) if values.size > 1 else 0.0
        place = {"problem": problem, "recovery": recovery, "method": DENSE, "n": values.size}
        low, high = np.clip([mean - spread, mean + spread], *spoken().ends)
        rows.append(place | {"top1": mean, "low": low, "high": high})
    lines = pd.DataFrame(rows, columns=columns).astype({"budget": float, "cost_percent": float})
    return pd.concat([table[columns], lines], ignore_index=True)


def with_bands(
    data: pd.DataFrame, looks: Mapping[str, Look], control: str, value: str = "top1"
) -> list[str]:
    """All coloured methods where they are few; else the control and the best: bands hide lines."""
    there = in_order(data["method"], looks)
    loud = [name for name in there if not looks[name].quiet]
    if len(loud) <= _BANDS:
        return loud
    others = data[data["method"].isin(loud) & (data["method"] != control)]
    best = others.groupby("method")[value].mean().idxmax()
    return [name for name in loud if name in (control, best)]


def curves(results: Results, looks: Mapping[str, Look], cells: pd.DataFrame, name: str) -> Plot:
    """Curves of these cells, of which one or more is complete, against the cost of the analysis.
    The axis runs from the dense network to the left towards less kept."""
    cost = results.suite.analysis.cost.removesuffix("_ratio")
    unmeasured = cost if cells[f"{cost}_ratio"].isna().all() else ""
    if unmeasured:
        cost = "params" if results.suite.budgets.cost == "params" else "macs"
    data = drawn(cells, results.dense, cost)
    matched = cells["matched_to"].notna()  # their markers are hollow too: published ones stay away
    theirs = published_points(results, cells[:0] if matched.any() else cells, cost)
    theoretical = results.suite.budgets.unstructured and cost == "macs"
    label = f"{'theoretical ' if theoretical else ''}{WORDS[cost]} kept (%)"
    banded = with_bands(data, looks, results.suite.analysis.control)
    methods = in_order(data["method"], looks)
    figure, panels = grid(data, 2.1, label, spoken().axis)
    for panel in panels:
        own, others = panel.of(data), panel.of(theirs)
        _panel(panel.ax, own, looks, banded)
        draw_published(panel.ax, others, looks)
        panel.ax.set_ylim(*limits(pd.concat([own, others]) if len(others) else own))
    cost_axis(panels[0].ax, data)
    met = data.dropna(subset=["budget"])
    for panel in panels:
        mark_below(panel.ax, panel.of(met), "cost_percent", "top1", "budget", looks)
    dense = Line2D([], [], label="dense, mean", **DASHED)
    spread = Patch(color=GREY, alpha=0.18, linewidth=0, label="dense, ± 1 SD")
    several = (data.loc[data["method"] == DENSE, "n"] > 1).any()
    hollow = Line2D([], [], color=GREY, marker="o", markerfacecolor="none", markersize=5.2,
                    linestyle="none", label="published")  # fmt: skip
    published = [hollow] if len(theirs) else []
    legend(figure, [*entries(methods, looks), dense, *([spread] if several else []), *published])
    shown = pd.concat([data, theirs], ignore_index=True) if len(theirs) else data
    return plotted(
        "accuracy_cost", figure, shown, results, name, matched=matched.any(), cost=cost,
        unmeasured=unmeasured, label=label, banded=[looks[one].name for one in banded],
        published=len(theirs), methods=cells["method"].unique(),
    )  # fmt: skip


def _panel(
    ax: Axes, panel: pd.DataFrame, looks: Mapping[str, Look], banded: Collection[str]
) -> None:
    dense = panel[panel["method"] == DENSE].iloc[0]
    ax.axhline(dense["top1"], zorder=1, **DASHED)
    ax.axhspan(dense["low"], dense["high"], color=GREY, alpha=0.18, linewidth=0, zorder=0)
    quiet: list[tuple[float, float]] = []  # one line with gaps: dozens take a second to write
    for method, rows in by_method(panel.sort_values("cost_percent", kind="stable"), looks):
        look = looks[method]
        if method in banded:
            ax.fill_between(rows["cost_percent"], rows["low"], rows["high"], color=look.colour,
                            alpha=0.13, linewidth=0, zorder=1.2)  # fmt: skip
        if look.quiet and not look.dashes:
            quiet += [*zip(rows["cost_percent"], rows["top1"], strict=True), (math.nan, math.nan)]
        else:
            ax.add_line(look.line(rows["cost_percent"], rows["top1"]))
        if "cost_low" in rows:
            ax.hlines(rows["top1"], rows["cost_low"], rows["cost_high"], color=look.colour)
    if quiet:
        ax.add_line(Look("", QUIET, ".", quiet=True).line(*np.transpose(quiet)))
    ax.autoscale_view()


def limits(panel: pd.DataFrame) -> tuple[float, float]:
    """The curves in focus are seen; a band may leave the panel: it can span everything."""
    own = panel["budget"].notna()
    least = focus(panel[own].groupby("method")["top1"].min(), *panel.loc[~own, "top1"])
    top = panel["top1"].max()
    room = 0.15 * max(top - least, 1.0)
    near = panel[panel["top1"] >= least - room]
    low = max(near[["low", "top1"]].min().min(), least - room)
    high = min(near[["high", "top1"]].max().max(), top + room)
    margin = max(0.04 * (high - low), 0.3)
    return max(low - margin, -1.0), min(high + margin, 101.0)


def cost_axis(ax: Axes, data: pd.DataFrame) -> None:
    """Shared by all panels: reversed, with a tick at every budget where methods meet it."""
    cost = data["cost_percent"].dropna()
    if cost.max() / cost.min() > _LOG_FROM:
        ax.set_xscale("log")
    off_target = (data["cost_percent"] - 100 * data["budget"]).abs()
    if off_target.max() < 3:
        ticks = np.sort(100 * data["budget"].dropna().unique())
        ax.xaxis.set_major_locator(FixedLocator(list(ticks)))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.3g}"))
    ax.invert_xaxis()


def published_points(results: Results, cells: pd.DataFrame, cost: str) -> pd.DataFrame:
    """What is drawn: top-1 at a cost of this axis, of cells that have a curve.

    Columns as `accuracy_cost.drawn` (`low`, `high`: one standard deviation, as printed), and
    `published_in`, `mark` (why a row is doubtful).
    """
    complete = cells[cells["complete"].astype(bool)]
    curves = set(complete[["problem", "recovery", "method"]].itertuples(index=False, name=None))
    rows = []
    for number, recovery in matching(results.suite, results.problems):
        kept, place = number.kept(cost), (number.problem, recovery, number.method)
        if number.metric != "top1" or number.value is None or kept is None or place not in curves:
            continue
        spread = number.spread or math.nan
        numbers = (100 * kept, number.value, number.value - spread, number.value + spread)
        rows.append([*place, *numbers, number.source, number.mark])
    return pd.DataFrame(rows, columns=_PUBLISHED).astype(dict.fromkeys(_PUBLISHED[3:7], float))


def draw_published(ax: Axes, points: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Hollow, with the printed standard deviation as a bar."""
    for one in points.to_dict("records"):
        look = looks[one["method"]]
        spread = None if pd.isna(one["low"]) else one["high"] - one["top1"]
        ax.errorbar(
            one["cost_percent"], one["top1"], yerr=spread, color=look.colour, marker=look.marker,
            markerfacecolor="none", markersize=5.2, markeredgewidth=0.9, elinewidth=0.7,
            linestyle="none", zorder=look.z + 1,
        )  # fmt: skip
