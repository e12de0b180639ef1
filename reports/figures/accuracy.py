"""Accuracy at the one budget that a suite has: a row a method, a panel a problem and recovery."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import pandas as pd
from matplotlib.figure import Figure

from ..analysis.results import Results
from ..records import budget_words
from .plot import Plot
from .rows import arrows, bold, dots, frame_means, row_grid
from .style import GREY, Look, title


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Only where there is no curve to draw: several budgets are `accuracy_cost`."""
    cells = results.cells[results.cells["matched_to"].isna()]
    kept = list(results.budgets.values())
    if max(map(len, kept)) > 1 or not cells["complete"].any():
        return
    data = drawn(cells, results.dense)
    bases = results.suite.bases
    spread = "One base, so no intervals."
    if bases > 1:
        level = f"{100 * (1 - results.suite.analysis.alpha):g} %"
        spread = f"Bars: {level} t-interval over n = {bases} bases; an arrow marks one that leaves "
        spread += "the panel."
    words = {budget_words(results.suite.budgets.cost, one) for (one,) in kept}
    budget = (
        f"the one budget, {words.pop()}" if len(words) == 1 else "the one budget of each problem"
    )
    yield Plot(
        "accuracy",
        draw(data, looks, results.suite.analysis.control),
        data,
        "Accuracy at the budget",
        f"Mean test top-1 at {budget}; best mean first. {spread} Dashed grey: mean of "
        "the dense networks.",
        "Dot plot of test top-1, a row a method, by problem and recovery.",
    )


def drawn(cells: pd.DataFrame, dense: pd.DataFrame) -> pd.DataFrame:
    """Complete cells, best mean over all panels first.

    Columns: `problem`, `recovery`, `method`, `mean`, `low`, `high` (percent), `n` (bases), `dense`
    (mean of the dense networks).
    """
    names = {"top1": "mean", "top1_low": "low", "top1_high": "high", "bases": "n"}
    table = cells[cells["complete"].astype(bool)].rename(columns=names)
    table["dense"] = table["problem"].map(dense.groupby("problem")["dense_top1"].mean())
    # A method's place: its mean distance to the panel's mean, for it may lack some panels.
    panel = table.groupby(["problem", "recovery"])["mean"]
    ahead = (table["mean"] - panel.transform("mean")).groupby(table["method"]).mean()
    table = table.assign(order=-table["method"].map(ahead))
    columns = ["problem", "recovery", "method", "mean", "low", "high", "n", "dense"]
    return table.sort_values("order", kind="stable", ignore_index=True)[columns]


def draw(data: pd.DataFrame, looks: Mapping[str, Look], control: str) -> Figure:
    """The picture of `drawn`: recoveries beside one another, a line of panels a problem."""
    names = list(data["method"].unique())
    problems = list(data["problem"].unique())
    recoveries = sorted(data["recovery"].unique(), key=lambda one: one != "none")
    places = list(product(problems, recoveries))
    figure, axes = row_grid(names, len(problems), len(recoveries), sharex=False)
    for (problem, recovery), ax in zip(places, [ax for line in axes for ax in line], strict=True):
        shown = data[(data["problem"] == problem) & (data["recovery"] == recovery)]
        rows = shown.set_index("method").reindex(names).reset_index()
        ax.set_title(title(problem, recovery))
        dots(ax, rows, looks)
        if len(shown):
            value = float(shown["dense"].iloc[0])
            ax.axvline(value, color=GREY, linewidth=0.9, linestyle=(0, (6, 2)), zorder=1)
            frame_means(ax, shown, value)
            arrows(ax, rows, looks)
        if problem == problems[-1]:
            ax.set_xlabel("test top-1 (%)")
    bold(axes, control)
    return figure
