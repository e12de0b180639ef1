"""Places over budgets: which methods fall back, and which come forward, as less is kept."""

from collections.abc import Iterator, Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.results import Results
from ..records import budget_words
from .captions import COSTS, plotted
from .panels import tiled
from .plot import Plot
from .style import INK, TWO_COLUMNS, Look, recovered

_LINE = 0.13  # inches a place takes
THRESHOLD = "the methods' own threshold"
_SHORT = 14  # letters of a name up to which two panels stand beside one another
_MANY = 30  # methods from which on they do, whatever their names


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """The flow over two budgets or more that all problems have, of three methods or more.

    Of a recovery under which no two are shown to differ, places are those of noise.
    """
    if len(results.shared_budgets) < 2:
        return
    data = drawn(results)
    if data.empty or data["method"].nunique() < 3:
        return
    axis = results.suite.budgets.cost
    figure = draw(data, looks, THRESHOLD if axis == "threshold" else COSTS[axis])
    ranked = [results.ranking[one] for one in data["recovery"].unique()]
    yield plotted("rank_flow", figure, data, results, ranked=ranked)


def drawn(results: Results) -> pd.DataFrame:
    """One row a (recovery, method, budget).

    A problem without a budget has no places there: only those that all problems have are columns.
    Columns: `recovery`, `method`, `budget`, `at` (the budget in words), `mean` (points of retained
    top-1, over problems; NaN where the method failed on one), `place` (1 is best), `n` (problems).
    """
    parts = []
    for recovery, ranks in results.ranking.items():
        if not ranks.any_told:
            continue
        cells = results.cells[results.cells["recovery"] == recovery]
        cells = cells[cells["method"].isin(ranks.methods) & cells["problem"].isin(ranks.problems)]
        for budget in results.shared_budgets if len(cells) else ():
            scores = cells[cells["budget"] == budget].pivot(
                index="problem", columns="method", values="retained_top1"
            )
            mean = scores[list(ranks.methods)].astype(float).mean(skipna=False)
            part = mean.sort_values(ascending=False, kind="stable").rename("mean").reset_index()
            part = part.assign(place=part.index + 1, recovery=recovery, budget=budget)
            part["at"] = budget_words(results.suite.budgets.cost, budget)
            parts.append(part.assign(n=len(ranks.problems)))
    columns = ["recovery", "method", "budget", "at", "mean", "place", "n"]
    return pd.concat(parts)[columns] if parts else pd.DataFrame(columns=columns)


def draw(data: pd.DataFrame, looks: Mapping[str, Look], x_label: str) -> Figure:
    """The picture of `drawn`: names at both ends of the lines."""
    recoveries = list(data["recovery"].unique())
    longest = max(len(name) for name in data["method"])
    beside = longest <= _SHORT or data["method"].nunique() > _MANY
    across = min(2 if beside else 1, len(recoveries))
    height = _LINE * data["method"].nunique() + 0.55
    width = TWO_COLUMNS if across > 1 else 0.62 * TWO_COLUMNS
    figure, axes = tiled(len(recoveries), across, width, height, 0.1)
    for recovery, ax in zip(recoveries, axes, strict=True):
        _panel(ax, data[data["recovery"] == recovery], looks)
        ax.set_title(recovered(recovery))
        ax.set_xlabel(x_label)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    budgets = list(rows["at"].unique())
    methods = rows.groupby("method", sort=False)
    for name, of_method in methods:
        look = looks[str(name)]
        line = look.line([budgets.index(one) for one in of_method["at"]], of_method["place"])
        line.set_markersize(2.6 if look.quiet else 4.2)
        ax.add_line(line)
    first, last = rows[rows["at"] == budgets[0]], rows[rows["at"] == budgets[-1]]
    ax.set_ylim(len(methods) + 0.7, 0.3)
    ax.set_xlim(-0.15, len(budgets) - 0.85)
    ax.set_xticks(
        range(len(budgets)), [one.removesuffix(" %").removeprefix("threshold ") for one in budgets]
    )
    ax.set_yticks(first["place"], first["method"])
    right = ax.secondary_yaxis("right")
    right.set_yticks(last["place"], last["method"])
    ax.grid(visible=False)
    for end in (ax, right):
        end.tick_params(axis="y", length=0, labelsize=6.5)
        end.spines[:].set_visible(False)
        for label in end.get_yticklabels():
            label.set_color(INK if not looks[label.get_text()].quiet else "#808080")
