"""Mean ranks on a line, with bars over methods that nothing tells apart (as Demsar 2006 draws)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.ranking import MethodRanks
from ..analysis.results import Results
from ..formats import counted
from ..statistics import mean_ranks
from .blocks import change, on_these_problems
from .plot import Plot
from .style import GREY, INK, TWO_COLUMNS, Look, recovered

_LINE = 0.135  # inches a name takes
_BAR = 0.05  # inches a bar takes
_HEAD = 0.42  # inches of axis and title


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """A line a recovery, where any two methods are told apart: one bar over all says nothing."""
    ranked = [
        ranks
        for ranks in (results.ranking[one] for one in results.recoveries)
        if ranks.pairwise is not None
        and all(len(clique) < len(ranks.methods) for clique in ranks.cliques)
    ]
    if not ranked:
        return
    data = drawn(ranked)
    sizes = "; ".join(dict.fromkeys(map(_said, ranked)))
    yield Plot(
        "rank_diagram",
        draw(data, looks),
        data,
        "Mean ranks",
        f"Mean rank of the {change(results)}; 1, at the left, is best; {sizes}. Bars join runs of "
        f"methods of which no pair differs {on_these_problems(results)}. Mean ranks depend on "
        "which methods take part.",
        "Rank diagram: methods on a line of mean ranks, with bars over groups that nothing tells "
        "apart.",
    )


def _said(ranks: MethodRanks) -> str:
    """n in words, and whom it leaves out."""
    text = f"n = {counted(len(ranks.problems), 'problem')}"
    if not ranks.waiting:
        return text
    return f"{text} ({counted(len(ranks.waiting), 'unfinished method')} left out)"


def drawn(ranked: Sequence[MethodRanks]) -> pd.DataFrame:
    """One row a (recovery, method), best first.

    Columns: `recovery`, `method`, `mean_rank`, `n` (problems), `bars` (numbers of the bars that it
    stands under, from 1, in one text).
    """
    parts = []
    for one in ranked:
        mean = mean_ranks(one.scores)
        bars = [
            " ".join(str(i) for i, run in enumerate(one.cliques, start=1) if place in run)
            for place in range(len(one.methods))
        ]
        part = pd.DataFrame({"method": one.methods, "mean_rank": mean, "bars": bars})
        part = part.assign(recovery=one.recovery, n=len(one.problems))
        parts.append(part.sort_values("mean_rank", kind="stable"))
    columns = ["recovery", "method", "mean_rank", "n", "bars"]
    return pd.concat(parts, ignore_index=True)[columns]


def draw(data: pd.DataFrame, looks: Mapping[str, Look]) -> Figure:
    """The picture of `drawn`: a line a recovery; the better half is named at the left."""
    panels = [(str(key), rows) for key, rows in data.groupby("recovery", sort=False)]
    heights = [_height(rows) for _, rows in panels]
    figure = Figure(figsize=(TWO_COLUMNS, sum(heights) + 0.15))
    axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for (recovery, rows), height, ax in zip(panels, heights, axes, strict=True):
        _panel(ax, rows.reset_index(drop=True), looks, height)
        ax.set_title(recovered(recovery))
    return figure


def _bars(rows: pd.DataFrame) -> list[tuple[float, float]]:
    """Ends of every bar on the line of ranks."""
    members = rows.assign(bar=rows["bars"].str.split()).explode("bar").dropna(subset=["bar"])
    spans = members.astype({"bar": int}).groupby("bar")["mean_rank"].agg(["min", "max"])
    return list(spans.itertuples(index=False, name=None))


def _height(rows: pd.DataFrame) -> float:
    return _HEAD + _BAR * (len(_bars(rows)) + 1) + _LINE * ((len(rows) + 1) // 2 + 1)


def _panel(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], height: float) -> None:
    """Draw one recovery: y is inches below the line of ranks, x the mean rank."""
    k = len(rows)
    ax.set_xlim(1 - 0.42 * (k - 1), k + 0.42 * (k - 1))
    ax.set_ylim(-(height - _HEAD), 0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.yaxis.set_visible(False)
    step = max(1, round((k - 1) / 8))
    ax.xaxis.tick_top()
    ax.set_xticks([*range(1, k + 1, step)])
    ax.hlines(0, 1, k, color=INK, linewidth=0.9, clip_on=False)
    bars = _bars(rows)
    for place, (low, high) in enumerate(bars, start=1):
        edge = 0.006 * k
        ax.hlines(-_BAR * place, low - edge, high + edge, color=GREY, linewidth=2.0, zorder=3)
    top = _BAR * (len(bars) + 1) + 0.5 * _LINE
    half = (k + 1) // 2
    for place, row in enumerate(rows.to_dict("records")):
        left = place < half
        y = -(top + _LINE * (place if left else k - 1 - place))
        end = 1 - 0.03 * (k - 1) if left else k + 0.03 * (k - 1)
        look = looks[row["method"]]
        ink = GREY if look.quiet else look.colour
        ax.plot([row["mean_rank"], row["mean_rank"], end], [0, y, y], color=ink, linewidth=0.6,
                zorder=2, clip_on=False)  # fmt: skip
        ax.plot([row["mean_rank"]], [0], color=look.colour, marker=look.marker, markersize=3.6,
                linestyle="", zorder=look.z + 2, clip_on=False)  # fmt: skip
        text = f"{row['method']}  {row['mean_rank']:.1f}"
        if not left:
            text = f"{row['mean_rank']:.1f}  {row['method']}"
        ax.text(end + (-0.008 if left else 0.008) * k, y, text, ha="right" if left else "left",
                va="center", fontsize=6.8, color=INK if not look.quiet else GREY)  # fmt: skip
