"""Published numbers as hollow markers beside our curves: same colour and marker as our method."""

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..analysis.against_published import matching
from ..analysis.results import Results
from .style import GREY, Look

_COLUMNS = ["problem", "recovery", "method", "cost_percent", "top1", "low", "high"]
_COLUMNS += ["published_in", "mark"]


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
    return pd.DataFrame(rows, columns=_COLUMNS).astype(dict.fromkeys(_COLUMNS[3:7], float))


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


def published_entry() -> Line2D:
    """The entry of the legend."""
    return Line2D([], [], color=GREY, marker="o", markerfacecolor="none", markersize=5.2,
                  linestyle="none", label="published")  # fmt: skip
