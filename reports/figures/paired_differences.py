"""Forest plot: each method minus its reference, a row a problem and one over all problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import GREY, Look, fit_titles, title

OVERALL = "all problems"


def drawn(pairs: pd.DataFrame, overall: pd.DataFrame, family: str) -> pd.DataFrame:
    """What is drawn, best mean first: the paired differences of one family of comparisons.

    Columns: `recovery`, `panel` (a problem, or `all problems` where two or more are finished),
    `comparison` (the text of the row), `method`, `reference`, `mean`, `low`, `high` (points of
    retained top-1), `n` (bases, or problems), `unit`. Without a difference the numbers are NaN.
    """
    mine = pairs[pairs["family"] == family]
    rows = [mine.assign(panel=mine["problem"], n=mine["n_bases"], unit="bases")]
    over = overall[overall["family"] == family]
    if over["n_problems"].max() > 1:
        rows.append(over.assign(panel=OVERALL, n=over["n_problems"], unit="problems"))
    data = pd.concat(rows, ignore_index=True)
    for axis in ("panel", "recovery"):  # a row or column of nothing but gaps is left to the page
        data = data[data.groupby(axis)["mean"].transform("count") > 0]
    data["comparison"] = data["method"]
    if family == "matched":
        data["comparison"] = data["method"] + " − " + data["reference"]
    columns = ["recovery", "panel", "comparison", "method", "reference"]
    columns += ["mean", "low", "high", "n", "unit"]
    rank = mine.groupby(["method", "reference"], sort=False)["mean"].mean()
    order = {key: -value for key, value in rank.fillna(float("-inf")).items()}
    keys = list(zip(data["method"], data["reference"], strict=True))
    data = data.assign(order=[order[key] for key in keys])
    return data.sort_values("order", kind="stable", ignore_index=True)[columns]


def draw(
    data: pd.DataFrame,
    looks: Mapping[str, Look],
    rope: float,
    panels: Sequence[str],
    recoveries: Sequence[str],
    x_label: str,
) -> Figure:
    """The picture of `drawn`: rows of panels in the order given, a column a recovery.

    Args:
        data: from `drawn`.
        looks: colour and marker of every method.
        rope: half width of the shaded region, in points.
        panels: problems, in order; those without data are left out.
        recoveries: in order, likewise.
        x_label: what the difference is.
    """
    panels = [one for one in (*panels, OVERALL) if one in set(data["panel"])]
    recoveries = [one for one in recoveries if one in set(data["recovery"])]
    names = list(data["comparison"].unique())
    height = (0.19 * len(names) + 0.45) * len(panels) + 0.5
    width = 3.2 * len(recoveries) + 0.06 * max(len(name) for name in names) + 0.4
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(len(panels), len(recoveries), squeeze=False, sharex="col", sharey=True)
    for (i, panel), (j, recovery) in product(enumerate(panels), enumerate(recoveries)):
        ax = axes[i, j]
        rows = data[(data["panel"] == panel) & (data["recovery"] == recovery)]
        _panel(ax, rows.set_index("comparison").reindex(names), looks, rope)
        ax.set_title(_title(panel, recovery, rows))
        if i == len(panels) - 1:
            ax.set_xlabel(x_label)
    for j, recovery in enumerate(recoveries):
        mine = data[data["recovery"] == recovery]
        _limits(axes[0, j], mine, rope)
        for i, panel in enumerate(panels):
            rows = mine[mine["panel"] == panel].set_index("comparison").reindex(names)
            _arrows(axes[i, j], rows, looks)
    fit_titles(figure, 50)
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def _title(panel: str, recovery: str, rows: pd.DataFrame) -> str:
    counts = sorted(set(rows.loc[rows["mean"].notna(), "n"].astype(int)))
    if not counts:
        return title(panel, recovery)
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
    return title(panel, recovery, f" (n = {n} {rows['unit'].iloc[0]})")


def _panel(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], rope: float) -> None:
    ax.axvspan(-rope, rope, color=GREY, alpha=0.18, linewidth=0, zorder=0)
    ax.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    for y, (_, row) in enumerate(rows.iterrows()):
        if pd.isna(row["mean"]):
            ax.text(0.99, y, "missing", color=GREY, fontsize=7, ha="right", va="center",
                    transform=ax.get_yaxis_transform())  # fmt: skip
            continue
        look = looks[row["method"]]
        if pd.notna(row["low"]):
            ax.plot([row["low"], row["high"]], [y, y], color=look.colour, linewidth=1.3)
        ax.plot(row["mean"], y, color=look.colour, marker=look.marker, markersize=5)


def _limits(ax: Axes, data: pd.DataFrame, rope: float) -> None:
    """Room for every mean; an interval over few repeats may run out of the panel."""
    means = data["mean"].dropna()
    ends = pd.concat([data["low"], data["high"], means]).dropna()
    low, high = min([*means, -rope, 0.0]), max([*means, rope, 0.0])
    room = 0.75 * max(high - low, 1.0)
    ax.set_xlim(
        max(low - room, min([*ends, low]) - 0.1), min(high + room, max([*ends, high]) + 0.1)
    )


def _arrows(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Mark intervals that run out of the panel, so that a cut bar is not read as its end."""
    left, right = ax.get_xlim()
    for y, (_, row) in enumerate(rows.iterrows()):
        for cut, x, marker in ((row["low"] < left, left, "<"), (row["high"] > right, right, ">")):
            if cut:
                ax.plot(x, y, color=looks[row["method"]].colour, marker=marker, markersize=4,
                        clip_on=False)  # fmt: skip
