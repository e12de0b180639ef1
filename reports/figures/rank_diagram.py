"""Methods on a line of their means, with bars over runs that nothing tells apart (after Demsar)."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..analysis.ranking import MethodRanks
from ..analysis.results import Results
from .captions import plotted
from .focus import focus, signed
from .plot import Plot
from .style import GREY, INK, TWO_COLUMNS, Look, recovered

_LINE = 0.135  # inches a name takes
_BAR = 0.05  # inches a bar takes
_HEAD = 0.42  # inches of axis and title


def drawn(ranked: Sequence[MethodRanks]) -> pd.DataFrame:
    """One row a (recovery, method), best first; one that failed anywhere has no mean, and is last.

    Columns: `recovery`, `method`, `mean` (points, over problems), `rank_low`, `rank_high`, `n`
    (problems), `bars` (numbers of the bars that it stands under, from 1, in one text)."""
    parts = []
    for one in ranked:
        bars = [
            " ".join(str(i) for i, run in enumerate(one.cliques, start=1) if place in run)
            for place in range(len(one.methods))
        ]
        part = pd.DataFrame({"method": one.methods, "mean": one.scores.mean(axis=0), "bars": bars})
        part = part.assign(recovery=one.recovery, n=len(one.problems))
        part = part.assign(rank_low=one.low.astype(int), rank_high=one.high.astype(int))
        parts.append(part.sort_values("mean", ascending=False, kind="stable"))
    columns = ["recovery", "method", "mean", "rank_low", "rank_high", "n", "bars"]
    return pd.concat(parts, ignore_index=True)[columns]


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """A line a recovery, where any two methods are shown to differ: one bar says nothing."""
    ranked = [
        ranks
        for ranks in (results.ranking[one] for one in results.recoveries)
        if ranks.pairwise is not None
        and all(len(clique) < len(ranks.methods) for clique in ranks.cliques)
    ]
    if not ranked:
        return
    data = drawn(ranked)
    panels = [(str(key), rows) for key, rows in data.groupby("recovery", sort=False)]
    lines = [(len(_bars(rows)) + 1, (len(rows) + 1) // 2 + 1) for _, rows in panels]
    heights = [_HEAD + _BAR * bars + _LINE * names for bars, names in lines]
    figure = Figure(figsize=(TWO_COLUMNS, np.sum(heights) + 0.15))
    axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for (recovery, rows), height, ax in zip(panels, heights, axes, strict=True):
        _panel(ax, rows.reset_index(drop=True), looks, height)
        one = results.ranking[recovery]
        n, lacking = len(one.problems), len(one.left_out)
        said = recovered(recovery) + f" · {n} of {n + lacking} problems" * bool(lacking)
        ax.set_title(said, pad=22)  # above the ticks
    yield plotted("rank_diagram", figure, data, results, ranked=ranked)


def _bars(rows: pd.DataFrame) -> list[list[int]]:
    """Rows under every bar."""
    members = rows["bars"].str.split().explode().dropna().astype(int)
    return [list(places.index) for _, places in members.groupby(members)]


def _panel(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], height: float) -> None:
    """Draw one recovery: y is inches below the line of means, x points, the best at the left.

    Methods far behind stand behind the end of the line."""
    k, top = len(rows), float(rows["mean"].max())
    low = min(focus(rows["mean"], top), top - 0.1)
    span = top - low
    near = (rows["mean"] >= low).to_numpy()
    at = np.where(near, rows["mean"], low - 0.06 * span)
    outer = low - (0.0 if near.all() else 0.06) * span
    ax.set_xlim(top + 0.42 * span, outer - 0.42 * span)
    ax.set_ylim(-(height - _HEAD), 0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.yaxis.set_visible(False)
    ax.xaxis.tick_top()
    ticks = [one for one in MaxNLocator(8).tick_values(low, top) if low <= one <= top]
    ax.set_xticks(ticks, [f"{one:g}".replace("-", "−") for one in ticks])
    ax.hlines(0, top, low, color=INK, linewidth=0.9, clip_on=False)
    bars, edge = _bars(rows), 0.006 * span
    for place, members in enumerate(bars, start=1):
        ends = at[members].max() + edge, at[members].min() - edge
        ax.hlines(-_BAR * place, *ends, color=GREY, linewidth=2.0, zorder=3)
    below = _BAR * (len(bars) + 1) + 0.5 * _LINE
    half = (k + 1) // 2
    for place, (x, row) in enumerate(zip(at, rows.to_dict("records"), strict=True)):
        left = place < half
        y = -(below + _LINE * (place if left else k - 1 - place))
        end = top + 0.03 * span if left else outer - 0.03 * span
        look = looks[row["method"]]
        ink = GREY if look.quiet else look.colour
        ax.plot([x, x, end], [0, y, y], color=ink, linewidth=0.6, zorder=2, clip_on=False)
        ax.plot([x], [0], color=look.colour, linestyle="", markersize=3.6,
                marker=look.marker if near[place] else ">",
                zorder=look.z + 2, clip_on=False)  # fmt: skip
        number = "failed" if pd.isna(row["mean"]) else signed(row["mean"])
        open_ = dict.fromkeys(str(row[one]) for one in ("rank_low", "rank_high"))
        words = [row["method"], f"({'–'.join(open_)})", number]
        ax.text(end + (0.008 if left else -0.008) * span, y, "  ".join(words[:: 1 if left else -1]),
                ha="right" if left else "left", va="center", fontsize=6.8,
                color=INK if not look.quiet else GREY)  # fmt: skip
