"""Plots with a row a method: names once at the left, a dot and a bar a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import GREY, INK, TWO_COLUMNS, Look

ROW = 0.145  # inches
_NAME = 0.062  # inches a letter takes


def row_grid(
    names: Sequence[str], lines: int, across: int, sharex: Literal["row", "col"] | bool = "col"
) -> tuple[Figure, list[list[Axes]]]:
    """Panels that share their rows; names at the left of each line, best above.

    Args:
        names: of the rows, from the top.
        lines: of panels.
        across: panels a line.
        sharex: as matplotlib's `subplots`.
    """
    longest = _NAME * max(len(name) for name in names)
    width = min(TWO_COLUMNS, longest + 2.9 * across) if across > 1 else longest + 2.9
    figure = Figure(figsize=(width, (ROW * max(len(names), 5) + 0.45) * lines + 0.3))
    axes = figure.subplots(lines, across, squeeze=False, sharex=sharex, sharey=True)
    for line in axes:
        line[0].set_yticks(range(len(names)), names)
        line[0].set_ylim(len(names) - 0.4, -0.6)
        for ax in line:
            ax.tick_params(axis="y", length=0, pad=5)  # room for the arrows of `arrows`
            ax.grid(axis="y", visible=False)
    return figure, [list(line) for line in axes]


def bold(axes: Sequence[Sequence[Axes]], control: str) -> None:
    """Set the control's name in bold."""
    for line in axes:
        for label in line[0].get_yticklabels():
            label.set_color(INK)
            if label.get_text() == control:
                label.set_fontweight("bold")


def dots(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """A dot and a bar a row, in the look of its method; `missing` where there is no number.

    Args:
        ax: the panel.
        rows: from the top; columns `method`, `mean`, `low`, `high`.
        looks: colour and marker of every method.
    """
    for y, row in enumerate(rows.to_dict("records")):
        if pd.isna(row["mean"]):
            ax.text(0.99, y, "missing", color=GREY, fontsize=6.5, ha="right", va="center",
                    transform=ax.get_yaxis_transform(), clip_on=True,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
            continue
        look = looks[row["method"]]
        if pd.notna(row["low"]):
            ax.hlines(y, row["low"], row["high"], color=look.colour, linewidth=1.2, zorder=2)
        face = "#ffffff" if look.dashes else look.colour
        ax.plot([row["mean"]], [y], color=look.colour, marker=look.marker, markersize=4.2,
                markerfacecolor=face, zorder=3)  # fmt: skip


def frame_means(ax: Axes, data: pd.DataFrame, *others: float) -> None:
    """Room for every mean and the values given; an interval over few repeats may run out.

    Args:
        ax: the panel, or one of those that share its axis.
        data: columns `mean`, `low`, `high`, of all panels that share the axis.
    """
    means = data["mean"].dropna()
    ends = pd.concat([data["low"], data["high"], means]).dropna()
    low, high = min([*means, *others]), max([*means, *others])
    room = 0.5 * max(high - low, 1.0)
    edge = 0.04 * max(high - low, 1.0)
    left, right = min([*ends, low]) - edge, max([*ends, high]) + edge
    ax.set_xlim(max(low - room, left), min(high + room, right))


def arrows(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Mark intervals that run out of the panel, so that a cut bar is not read as its end."""
    left, right = ax.get_xlim()
    for y, row in enumerate(rows.to_dict("records")):
        for cut, x, marker in ((row["low"] < left, left, "<"), (row["high"] > right, right, ">")):
            if cut:
                ax.plot([x], [y], color=looks[row["method"]].colour, marker=marker, markersize=3.5,
                        clip_on=False)  # fmt: skip
