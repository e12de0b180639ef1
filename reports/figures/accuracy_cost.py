"""Accuracy against cost: a row a problem, a column a recovery, a line a method."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from .style import GREY, Look, fit_titles, in_order, title

DENSE = "dense"
_DODGE = 0.35  # share of the gap between two budgets over which the methods are spread
_LOG_FROM = 6.0  # ratio of largest to smallest cost from which the axis is logarithmic


def drawn(table: pd.DataFrame, dense: pd.DataFrame, cost: str, dodge: bool) -> pd.DataFrame:
    """What is drawn: complete cells, and one row a problem and recovery for the dense network.

    Columns: `problem`, `recovery`, `method`, `budget`, `cost_percent` (kept), `x` (where the point
    stands: moved aside where `dodge`), `top1`, `low`, `high` (percent; t-interval over bases, for
    the dense network one standard deviation), `n_bases`.

    Args:
        table: cells.
        dense: one row a base.
        cost: `macs`, `params` or `latency`: the x axis.
        dodge: spread the methods of one budget; for an axis on which they all stand at one cost.
    """
    table = table[table["complete"].astype(bool)].rename(
        columns={"top1_low": "low", "top1_high": "high", "bases": "n_bases"}
    )
    table = table.assign(cost_percent=table[f"{cost}_percent"])
    table["x"] = table["cost_percent"]
    if dodge and len(table):
        table["x"] = _dodged(table)
    columns = ["problem", "recovery", "method", "budget", "cost_percent", "x"]
    columns += ["top1", "low", "high", "n_bases"]
    rows = []
    for problem, recovery in product(table["problem"].unique(), table["recovery"].unique()):
        values = dense.loc[dense["problem"] == problem, "dense_top1"].to_numpy(dtype=float)
        mean, spread = values.mean(), values.std(ddof=1) if values.size > 1 else 0.0
        place = {"problem": problem, "recovery": recovery, "method": DENSE, "n_bases": values.size}
        rows.append(place | {"top1": mean, "low": mean - spread, "high": mean + spread})
    lines = pd.DataFrame(rows, columns=columns).astype({"budget": float, "x": float})
    return pd.concat([table[columns], lines.astype({"cost_percent": float})], ignore_index=True)


def _dodged(table: pd.DataFrame) -> pd.Series[float]:
    methods = list(table["method"].unique())
    budgets = np.sort(table["budget"].unique())
    scale, back = (np.log, np.exp) if _is_log(table["cost_percent"]) else (np.array, np.array)
    x = scale(table["cost_percent"].to_numpy(dtype=float))
    gap = np.diff(scale(100 * budgets)).min() if budgets.size > 1 else 0.05 * np.ptp(scale([1, 99]))
    place = table["method"].map(methods.index).to_numpy() - (len(methods) - 1) / 2
    return pd.Series(back(x - place * _DODGE * gap / max(len(methods), 4)), index=table.index)


def _is_log(cost: pd.Series[float]) -> bool:
    return bool(cost.max() / cost.min() > _LOG_FROM)


def draw(data: pd.DataFrame, looks: Mapping[str, Look], x_label: str) -> Figure:
    """The picture of `drawn`; the axis runs from the dense network to the left towards less kept.

    Raises:
        ValueError: there is nothing to draw.
    """
    if data.empty:
        raise ValueError("no complete cell to draw")
    problems, recoveries = data["problem"].unique(), data["recovery"].unique()
    methods = in_order(list(data["method"]), looks)
    size = (3.3 * len(recoveries) + 1.5, max(2.6 * len(problems), 0.19 * len(methods) + 1.0))
    figure = Figure(figsize=size)
    axes = figure.subplots(len(problems), len(recoveries), squeeze=False, sharex=True)
    for (i, problem), (j, recovery) in product(enumerate(problems), enumerate(recoveries)):
        panel = data[(data["problem"] == problem) & (data["recovery"] == recovery)]
        ax = axes[i, j]
        _panel(ax, panel, methods, looks)
        ax.set_title(title(problem, recovery))
        if j == 0:
            ax.set_ylabel("test top-1 (%)")
        if i == len(problems) - 1:
            ax.set_xlabel(x_label)
    fit_titles(figure, 40)
    _cost_axis(axes[0, 0], data)
    figure.legend(handles=_legend(methods, looks), loc="outside right upper")
    return figure


def _panel(ax: Axes, panel: pd.DataFrame, methods: list[str], looks: Mapping[str, Look]) -> None:
    dense = panel[panel["method"] == DENSE].iloc[0]
    ax.axhline(dense["top1"], color=GREY, linewidth=0.9, linestyle=(0, (6, 2)), zorder=1)
    ax.axhspan(dense["low"], dense["high"], color=GREY, alpha=0.18, linewidth=0, zorder=0)
    for method in methods:
        rows = panel[panel["method"] == method].sort_values("x")
        look = looks[method]
        ax.vlines(rows["x"], rows["low"], rows["high"], color=look.colour, linewidth=0.7, alpha=0.6)
        ax.add_line(look.line(rows["x"], rows["top1"]))
    shown = panel["top1"]
    low, high = panel["low"].fillna(shown).min(), panel["high"].fillna(shown).max()
    # Long bars may leave the panel: half as much room again as the means take is enough.
    room = 0.5 * max(shown.max() - shown.min(), 1.0)
    low, high = max(low, shown.min() - room), min(high, shown.max() + room)
    margin = max(0.04 * (high - low), 0.5)
    ax.autoscale_view()
    ax.set_ylim(max(low - margin, -1.0), min(high + margin, 101.0))


def _cost_axis(ax: Axes, data: pd.DataFrame) -> None:
    """Shared by all panels: reversed, with a tick at every budget where they stand together."""
    cost = data["cost_percent"].dropna()
    if _is_log(cost):
        ax.set_xscale("log")
    off_target = (data["cost_percent"] - 100 * data["budget"]).abs()
    if off_target.max() < 3:
        ax.xaxis.set_major_locator(FixedLocator(list(100 * data["budget"].dropna().unique())))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    ax.invert_xaxis()


def _legend(methods: list[str], looks: Mapping[str, Look]) -> list[Line2D | Patch]:
    entries: list[Line2D | Patch] = [looks[name].line([], [], label=name) for name in methods]
    dense = Line2D([], [], color=GREY, linewidth=0.9, linestyle=(0, (6, 2)), label="dense, mean")
    return [*entries, dense, Patch(color=GREY, alpha=0.18, linewidth=0, label="dense, ± 1 SD")]
