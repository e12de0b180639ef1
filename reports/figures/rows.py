"""Plots with a row a method: every panel has its own order, names at its left, a dot and a bar a
row."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .focus import focus, mark_beside
from .panels import tiled
from .style import GREY, INK, TWO_COLUMNS, Look

ROW = 0.135  # inches
DOT: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 2.0, "alpha": 0.7}
DOT |= {"markeredgewidth": 0, "zorder": 2.5}
_SIZE = 6.5  # of names, points
_NAME = 0.053  # inches a letter takes


def row_grid(panels: Sequence[Sequence[str]], across: int) -> tuple[Figure, list[Axes]]:
    """Panels, `across` a line, each with rows of its own, named from the top."""
    starts = range(0, len(panels), across)
    counts = [max(5, *map(len, panels[at : at + across])) for at in starts]
    longest = _NAME * max(len(name) for names in panels for name in names)
    width = min(TWO_COLUMNS, (longest + 2.3) * across) if across > 1 else longest + 2.9
    heights = [ROW * count + 0.55 for count in counts]
    figure, axes = tiled(len(panels), across, heights, 0.3, width)
    for ax, names in zip(axes, panels, strict=True):
        ax.set_yticks(range(len(names)), names, fontsize=_SIZE)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0, pad=5)  # room for what stands at the edge
        ax.grid(axis="y", visible=False)
        ax.locator_params(axis="x", nbins=4)
        for label in ax.get_yticklabels():
            label.set_color(INK)
    return figure, axes


def dots(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], *held: float) -> None:
    """A dot and a bar a row, in the look of its method; `missing` where there is no number.

    The axis shows `focus` of the means and what is `held`, of which the first stands for one more
    method; what lies beyond, or runs out, is marked at the edge.

    `rows`: columns `row` (its name on the axis), `method`, `mean`, `low`, `high`, and `dot`: where
    that is not empty, the row is a small dot beside the mean.
    """
    means = rows.loc[rows["dot"] == "", "mean"].dropna()
    if len(means):  # room for those in focus; an interval or a small dot may run out
        low, high = focus([*means, *held[:1]], *held), max([*means, *held])
        far = rows.loc[(rows["dot"] == "") & (rows["mean"] < low), "row"]
        near = rows[~rows["row"].isin(far)]
        ends = pd.concat([near["low"], near["high"], near["mean"]]).dropna()
        room, edge = max(high - low, 1.0), 0.04 * max(high - low, 1.0)
        first, last = min([*ends, low]) - edge, max([*ends, high]) + edge
        ax.set_xlim(max(low - room, first), min(high + room, last))
    left, right = ax.get_xlim()
    named = defaultdict[str, list[dict[Any, Any]]](list)
    for one in rows.to_dict("records"):
        named[one["row"]].append(one)
    for y, name in enumerate(one.get_text() for one in ax.get_yticklabels()):
        found = [one for one in named[name] if one["dot"] == "" and pd.notna(one["mean"])]
        if not found:
            ax.text(0.99, y, "missing", color=GREY, fontsize=6.5, ha="right", va="center",
                    transform=ax.get_yaxis_transform(), clip_on=True,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
            continue
        row, look = found[0], looks[found[0]["method"]]
        small = [one["mean"] for one in named[name] if one["dot"] != ""]
        ax.plot(small, [y] * len(small), color=GREY, **DOT)
        if pd.notna(row["low"]):
            ax.hlines(y, row["low"], row["high"], color=look.colour, linewidth=1.2, zorder=2)
        face = "#ffffff" if look.dashes else look.colour
        ax.plot([row["mean"]], [y], color=look.colour, marker=look.marker, markersize=4.2,
                markerfacecolor=face, zorder=3)  # fmt: skip
        seen = left <= row["mean"] <= right
        mark_beside(ax, y, small if seen else [row["mean"]], look.colour)
        for cut, x, marker in ((row["low"] < left, left, "<"), (row["high"] > right, right, ">")):
            if cut:  # so that a bar is not read as ending here
                ax.plot([x], [y], color=look.colour, marker=marker, markersize=3.5, clip_on=False)
