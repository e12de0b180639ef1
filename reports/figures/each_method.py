"""Small multiples: a panel a method, its curve with a band over the control and all others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from suites.section import slug

from ..analysis.results import Results
from ..statistics import t_interval
from .accuracy_cost import COSTS, cost_axis
from .plot import Plot
from .style import QUIET, TWO_COLUMNS, Look, recovered

_ACROSS = 6


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """One a recovery, where `accuracy_cost` leaves methods grey; over budgets of all problems."""
    if len(results.shared_budgets) < 2 or not any(one.quiet for one in looks.values()):
        return
    control = results.suite.analysis.control
    for recovery in results.recoveries:
        data = drawn(results, recovery)
        if data["method"].nunique() < 2:
            continue
        several = len(results.problems) > 1
        n = f"n = {data['n'].max()} {data['unit'].iloc[0]}"
        level = f"{100 * (1 - results.suite.analysis.alpha):g} %"
        band = "range over problems" if several else f"{level} t-interval over bases"
        yield Plot(
            f"each_method-{slug(recovery)}",
            draw(data, looks, control, COSTS[_cost(results)]),
            data,
            f"Every method on its own, {recovered(recovery)}",
            f"Retained top-1 against cost, mean of {n}; best mean first. Band: {band}"
            f"{' (it may leave the panel)' if not several else ''}. Black: {control}; grey: all "
            "other methods.",
            f"Small panels, one a method, of retained top-1 against cost beside {control}.",
        )


def _cost(results: Results) -> str:
    """The axis of the budgets, on which methods stand at equal cost; of a knob: MACs."""
    axis = results.suite.budgets.cost
    return "macs" if axis == "threshold" else axis


def drawn(results: Results, recovery: str) -> pd.DataFrame:
    """Methods of which every cell of a recovery is complete, best mean first.

    Columns: `method`, `budget`, `cost_percent`, `mean` (points of retained top-1), `low`, `high`
    (range over problems; of one problem: t-interval over bases), `n`, `unit`.
    """
    cells = results.cells[results.cells["matched_to"].isna()]
    cells = cells[(cells["recovery"] == recovery) & cells["budget"].isin(results.shared_budgets)]
    cells = cells[cells.groupby("method")["complete"].transform("all").astype(bool)]
    cost = f"{_cost(results)}_percent"
    trials = results.trials[results.trials["recovery"] == recovery]
    rows = []
    several = len(results.problems) > 1
    for (method, budget), of_budget in cells.groupby(["method", "budget"], sort=False):
        row = {"method": method, "budget": budget, "cost_percent": of_budget[cost].mean()}
        row["mean"] = of_budget["retained_top1"].mean()
        if several:
            row |= {
                "low": of_budget["retained_top1"].min(),
                "high": of_budget["retained_top1"].max(),
            }
            row |= {"n": len(of_budget), "unit": "problems"}
        else:
            own_trials = trials[(trials["method"] == method) & (trials["budget"] == budget)]
            by_base = own_trials.groupby("base")["retained_top1"].mean().to_numpy()
            interval = t_interval(by_base, 1 - results.suite.analysis.alpha)
            row |= {"low": interval.low, "high": interval.high, "n": interval.n, "unit": "bases"}
        rows.append(row)
    columns = ["method", "budget", "cost_percent", "mean", "low", "high", "n", "unit"]
    data = pd.DataFrame(rows, columns=columns)
    place = data.groupby("method")["mean"].transform("mean")
    return data.assign(place=-place).sort_values(["place", "method", "budget"], ignore_index=True)[
        columns
    ]


def draw(data: pd.DataFrame, looks: Mapping[str, Look], control: str, x_label: str) -> Figure:
    """The picture of `drawn`: all panels have the same axes."""
    names = [name for name in data["method"].unique() if name != control]
    lines = math.ceil(len(names) / _ACROSS)
    figure = Figure(figsize=(TWO_COLUMNS, 1.12 * lines + 0.5))
    axes = figure.subplots(lines, _ACROSS, squeeze=False, sharex=True, sharey=True)
    curves = {str(name): rows for name, rows in data.groupby("method", sort=False)}
    for place, ax in enumerate(axes.flat):
        if place >= len(names):
            ax.set_visible(False)
            continue
        if place + _ACROSS >= len(names):
            ax.tick_params(labelbottom=True)
        _panel(ax, curves, names[place], control, looks)
    cost_axis(axes[0, 0], data)
    ticks = sorted(100 * data["budget"].unique())
    axes[0, 0].set_xticks(ticks[:: max(1, math.ceil(len(ticks) / 3))])
    values = data["mean"]
    edge = 0.06 * max(values.max() - values.min(), 1.0)
    axes[0, 0].set_ylim(values.min() - edge, values.max() + edge)
    figure.supxlabel(x_label, fontsize=8)
    figure.supylabel("retained top-1 (points)", fontsize=8)
    others = Line2D([], [], color=QUIET, linewidth=0.4, label="all methods")
    handles = [others]
    if control in curves:
        handles.insert(0, looks[control].line([], [], label=control))
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def _panel(
    ax: Axes,
    curves: Mapping[str, pd.DataFrame],
    name: str,
    control: str,
    looks: Mapping[str, Look],
) -> None:
    for rows in curves.values():
        ax.plot(rows["cost_percent"], rows["mean"], color="#cccccc", linewidth=0.4, zorder=1)
    if control in curves:
        rows = curves[control]
        ax.plot(rows["cost_percent"], rows["mean"], color="black", linewidth=1.0, zorder=2)
    look, own = looks[name], curves[name]
    colour = look.colour if not look.quiet else "#555555"
    ax.fill_between(own["cost_percent"], own["low"], own["high"], color=colour, alpha=0.22,
                    linewidth=0, zorder=1.5)  # fmt: skip
    ax.plot(own["cost_percent"], own["mean"], color=colour, marker=look.marker, markersize=2.6,
            linewidth=1.0, zorder=3)  # fmt: skip
    ax.set_title(name, fontsize=7)
    ax.tick_params(labelsize=6.5)
