"""Small multiples: a panel a method, its curve with a band over the control and all others."""

import math
from collections.abc import Iterator, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from suites.section import slug

from ..analysis.results import Results
from ..metric import spoken
from ..statistics import t_interval
from .accuracy_cost import cost_axis
from .captions import COSTS, plotted
from .focus import focus, mark_below
from .panels import tiled
from .plot import Plot
from .rows import DOT, with_dots
from .style import QUIET, Look

_ACROSS = 6


def drawn(results: Results, recovery: str) -> pd.DataFrame:
    """Methods of which every cell of a recovery is complete, best mean first.

    Columns: `method`, `budget`, `cost_percent`, `mean` (points of retained top-1), `low`, `high`
    (range over problems; of one problem: t-interval over bases), `n`, `unit`, `dot` (the base of a
    small dot).
    """
    cells = results.cells[results.cells["matched_to"].isna()]
    cells = cells[(cells["recovery"] == recovery) & cells["budget"].isin(results.shared_budgets)]
    cells = cells[cells.groupby("method")["complete"].transform("all").astype(bool)]
    by_budget = cells.groupby(["method", "budget"], sort=False)
    gain = by_budget["retained_top1"]
    data = pd.DataFrame({"cost_percent": by_budget[f"{results.axis}_percent"].mean()})
    data = data.assign(mean=gain.mean(), low=gain.min(), high=gain.max(), n=gain.size())
    data = data.assign(unit="problems", dot="").reset_index()
    if len(results.problems) == 1:
        trials = results.trials[results.trials["recovery"] == recovery]
        by_base = trials.groupby(["method", "budget", "base"])["retained_top1"].mean()
        dense, level = results.dense["dense_top1"].mean(), 1 - results.suite.analysis.alpha
        least, most = spoken().ends
        spans = [
            t_interval(by_base[method, budget], level, least - dense, most - dense)
            for method, budget in zip(data["method"], data["budget"], strict=True)
        ]
        data[["low", "high", "n"]] = pd.DataFrame(spans)[["low", "high", "n"]]
        data = with_dots(
            data.assign(unit="bases"), lambda row: by_base[row["method"], row["budget"]]
        )
    columns = ["method", "budget", "cost_percent", "mean", "low", "high", "n", "unit", "dot"]
    place = data.groupby("method")["mean"].transform("mean")
    data = data.assign(place=-place).sort_values(["place", "method", "budget"], ignore_index=True)
    return data[columns]


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """One a recovery, where `accuracy_cost` leaves methods grey; over budgets of all problems."""
    if len(results.shared_budgets) < 2 or not any(one.quiet for one in looks.values()):
        return
    control = results.suite.analysis.control
    for recovery in results.recoveries:
        data = drawn(results, recovery)
        if data["method"].nunique() < 2:
            continue
        names = [name for name in data["method"].unique() if name != control]
        figure, axes = tiled(len(names), _ACROSS, 1.12, 0.5, sharex=True, sharey=True)
        curves = {str(name): rows for name, rows in data.groupby("method", sort=False)}
        low = focus([rows["mean"][rows["dot"] == ""].min() for rows in curves.values()])
        top = data.loc[data["dot"] == "", "mean"].max()
        edge = 0.06 * max(top - low, 1.0)
        axes[0].set_ylim(low - edge, top + edge)
        for ax, name in zip(axes, names, strict=True):
            _panel(ax, curves, name, control, looks)
        for ax in axes[-_ACROSS:]:
            ax.tick_params(labelbottom=True)
        cost_axis(axes[0], data)
        ticks = sorted(100 * data["budget"].unique())
        axes[0].set_xticks(ticks[:: max(1, math.ceil(len(ticks) / 3))])
        for ax, name in zip(axes, names, strict=True):
            mark_below(ax, curves[name], "cost_percent", "mean", "budget", looks, most=3)
        figure.supxlabel(COSTS[results.axis], fontsize=8)
        figure.supylabel(spoken().change, fontsize=8)
        others = Line2D([], [], color=QUIET, linewidth=0.4, label="all methods")
        black = [looks[control].line([], [], label=control)] if control in curves else []
        figure.legend(handles=[*black, others], loc="outside upper right", ncols=2)
        file = f"each_method-{slug(recovery)}"
        yield plotted("each_method", figure, data, results, file, recovery=recovery)


def _panel(
    ax: Axes, curves: Mapping[str, pd.DataFrame], name: str, control: str, looks: Mapping[str, Look]
) -> None:
    lines = {name: rows[rows["dot"] == ""] for name, rows in curves.items()}
    for rows in lines.values():
        ax.plot(rows["cost_percent"], rows["mean"], color="#cccccc", linewidth=0.4, zorder=1)
    if control in lines:
        rows = lines[control]
        ax.plot(rows["cost_percent"], rows["mean"], color="black", linewidth=1.0, zorder=2)
    look, own, every = looks[name], lines[name], curves[name]
    single = every[every["dot"] != ""]
    colour = look.colour if not look.quiet else "#555555"
    ax.fill_between(own["cost_percent"], own["low"], own["high"], color=colour, alpha=0.22,
                    linewidth=0, zorder=1.5)  # fmt: skip
    ax.plot(own["cost_percent"], own["mean"], color=colour, marker=look.marker, markersize=2.6,
            linewidth=1.0, zorder=3)  # fmt: skip
    ax.plot(single["cost_percent"], single["mean"], color=colour, **DOT)
    ax.set_title(name, fontsize=7)
    ax.tick_params(labelsize=6.5)
