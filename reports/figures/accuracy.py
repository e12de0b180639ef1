"""Accuracy at the one budget that a suite has: a row a method, a panel a problem and recovery."""

from collections.abc import Iterator, Mapping

import pandas as pd

from ..analysis.results import Results
from ..metric import spoken
from .captions import plotted
from .panels import by_panel
from .plot import Plot
from .rows import dots, row_grid
from .style import DASHED, Look, title


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Only where there is no curve to draw: several budgets are `accuracy_cost`."""
    cells = results.cells[results.cells["matched_to"].isna()]
    if max(map(len, results.budgets.values())) > 1 or not cells["complete"].any():
        return
    yield points(results, looks, cells, "accuracy")


def drawn(cells: pd.DataFrame, dense: pd.DataFrame) -> pd.DataFrame:
    """Complete cells, best mean first in each panel.

    Columns: `problem`, `recovery`, `method`, `mean`, `low`, `high` (percent), `n` (bases), `dense`
    (mean of the dense networks).
    """
    names = {"top1": "mean", "top1_low": "low", "top1_high": "high", "bases": "n"}
    table = cells[cells["complete"].astype(bool)].rename(columns=names)
    table["dense"] = table["problem"].map(dense.groupby("problem")["dense_top1"].mean())
    order = list(table["problem"].unique()).index
    table = table.sort_values("mean", ascending=False, kind="stable", ignore_index=True)
    table = table.sort_values("problem", key=lambda one: one.map(order), kind="stable")
    return table[["problem", "recovery", "method", "mean", "low", "high", "n", "dense"]]


def points(results: Results, looks: Mapping[str, Look], cells: pd.DataFrame, name: str) -> Plot:
    """Dots of these cells of one budget, of which one or more is complete."""
    data = drawn(cells, results.dense)
    named = data.assign(row=[looks[one].name for one in data["method"]])
    recoveries = sorted(data["recovery"].unique(), key=lambda one: one != "none")
    rows_of = by_panel(named, problem=data["problem"].unique(), recovery=recoveries)
    names = [list(dict.fromkeys([*rows["row"], *named["row"]])) for rows in rows_of.values()]
    # Recoveries stand beside one another; of one, its problems.
    across = len(recoveries) if len(recoveries) > 1 else min(3, data["problem"].nunique())
    figure, axes = row_grid(names, across)
    for place, ((problem, recovery), rows) in enumerate(rows_of.items()):
        ax, values = axes[place], rows["dense"].head(1).tolist()
        ax.set_title(title(problem, recovery))
        for value in values:
            ax.axvline(value, zorder=1, **DASHED)
        dots(ax, rows.assign(dot=""), looks, *values)
        if place + across >= len(axes):
            ax.set_xlabel(spoken().axis)
        for label in ax.get_yticklabels():
            if label.get_text() == looks[results.suite.analysis.control].name:
                label.set_fontweight("bold")
    return plotted("accuracy", figure, data, results, name)
