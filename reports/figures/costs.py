"""One cost against the others: equal MACs are not equal parameters, nor equal time."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analysis.results import Results
from ..formats import in_order
from .captions import COSTS, plotted
from .panels import ALL_PROBLEMS, MANY, by_panel, entries, legend, tiled
from .plot import Plot
from .rows import bold, left_out, places, row_grid
from .style import GREY, Look

_DIFFER = 0.5  # percent of the dense cost, below which two costs say the same


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Parameters and latency against MACs; where budgets are of another cost, MACs too.

    With one budget there are no curves: the other costs stand on the x axis, a row a method.
    """
    data = drawn(results)
    if data.empty:
        return
    methods, problems, others, budgets = data[["method", "problem", "other", "budget"]].nunique()
    left = left_out(methods, others * problems, others) if budgets == 1 else ""
    panels = by_panel(data, problem=data["problem"].unique(), other=data["other"].unique())
    figure = (_one_budget if budgets == 1 else _curves)(panels, others, looks)
    if budgets == 1:
        bold(figure.axes, results.suite.analysis.control)
    yield plotted(
        "costs", figure, data, results, left_out=left, axis=results.axis, single=budgets == 1,
        timed=data["low"].notna().any(),
    )  # fmt: skip


def drawn(results: Results) -> pd.DataFrame:
    """One row a (problem, other cost, method, budget) of complete cells, of their first recovery.

    Columns: `axis` (the cost on the x axis), `x` and `y` (percent kept), `other` (the cost of y),
    `low` and `high` (of latency: 95 % intervals over rounds). Other costs that follow
    from the first are left out. Of more than `MANY` problems: means over these.
    """
    first = results.axis
    cells = results.cells[results.cells["matched_to"].isna() & results.cells["complete"]]
    place = cells["recovery"].map(results.recoveries.index)
    earliest = place.groupby([cells["problem"], cells["method"]]).transform("min")
    cells = cells[place == earliest]
    parts = []
    for other in ("macs", "params", "latency"):
        y = cells[f"{other}_percent"].astype(float)
        if other != first and (y - cells[f"{first}_percent"]).abs().max() > _DIFFER:
            part = cells[["problem", "method", "budget"]].assign(axis=first, other=other)
            ends = {end: cells.get(f"{other}_{end}_percent", np.nan) for end in ("low", "high")}
            part = part.assign(x=cells[f"{first}_percent"], y=y, **ends)
            parts.append(part.dropna(subset=["y"]))
    columns = ["problem", "other", "method", "budget", "axis", "x", "y", "low", "high"]
    if not parts:
        return pd.DataFrame(columns=columns)
    data = pd.concat(parts, ignore_index=True)[columns]
    if len(results.problems) <= MANY:
        return data
    keys = ["other", "method", "budget", "axis"]
    means = data.groupby(keys, sort=False)[["x", "y", "low", "high"]].mean().reset_index()
    return means.assign(problem=ALL_PROBLEMS)[columns]


def _curves(
    panels: Mapping[tuple[str, ...], pd.DataFrame], others: int, looks: Mapping[str, Look]
) -> Figure:
    """A row of panels a problem, a column a cost."""
    there = in_order([one for rows in panels.values() for one in rows["method"]], looks)
    across = others if others > 1 else min(3, len(panels))
    figure, axes = tiled(len(panels), across, 2.3, 0.3)
    for ((problem, other), shown), ax in zip(panels.items(), axes, strict=True):
        for name in there:
            rows = shown[shown["method"] == name].sort_values("x")
            ax.add_line(looks[name].line(rows["x"], rows["y"]))
            if other == "latency":
                ax.vlines(rows["x"], rows["low"], rows["high"], color=looks[name].colour)
        ends = [0.95 * shown["x"].min(), 1.03 * shown["x"].max()]
        ax.plot(ends, ends, color=GREY, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=1)
        ax.set_title(problem)
        ax.set_xlabel(COSTS[shown["axis"].iloc[0]])
        ax.set_ylabel(COSTS[other])
    legend(figure, list(entries(there, looks)))
    return figure


def _one_budget(
    data: Mapping[tuple[str, ...], pd.DataFrame], others: int, looks: Mapping[str, Look]
) -> Figure:
    panels = {place: rows.sort_values("y") for place, rows in data.items()}
    names = [list(rows["method"]) for rows in panels.values()]
    figure, axes = row_grid(names, others, looks)
    for ((problem, other), shown), ax in zip(panels.items(), axes, strict=True):
        at = places(ax)
        for row in shown[shown["method"].isin(at)].to_dict("records"):
            y, look = at[row["method"]], looks[row["method"]]
            if other == "latency":
                ax.hlines(y, row["low"], row["high"], color=look.colour, linewidth=1.2)
            ax.plot([row["y"]], [y], color=look.colour, linestyle="", marker=look.marker,
                    markersize=4.2, zorder=look.z)  # fmt: skip
        ax.axvline(shown["x"].mean(), color=GREY, linewidth=0.9, linestyle=(0, (1, 1.5)))
        ax.set_title(problem)
        ax.set_xlabel(COSTS[other])
    return figure
