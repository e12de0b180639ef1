"""Quality against what a method spends, with the Pareto front; names stand at the points."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
import pandas as pd
import textalloc
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..analysis.best import OVER
from ..analysis.results import Results
from ..metric import spoken
from ..statistics import Floats
from .captions import plotted
from .focus import focus, signed
from .panels import MANY, grid, legend
from .plot import Plot, settle
from .style import GREY, INK, QUIET, Look

_FRONT: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "linestyle": (0, (3, 2)), "zorder": 1}
_ROOM = 0.2  # of the width, at both sides, for names
SHORTEST_S = 1e-3  # shorter times stand at the left edge: a log axis has no zero
_KEYS = ["problem", "recovery", "method"]


def drawn(results: Results, cost: str) -> pd.DataFrame:
    """One row a (problem, recovery, method) of which every cell is complete.

    Columns: the cost (mean over budgets and bases), `retained_top1` (points, likewise), `low` and
    `high` (one standard deviation over bases; NaN of one), `n` (bases), `pareto` (no other method
    of the panel is at most as dear and at least as good, and better in one). Of more than `MANY`
    problems: over all of them.

    `results`: the analysis; matched controls are left out. `cost`: column of the trials.
    """
    known = results.standing.dropna(subset="mean").rename(columns={"mean": "retained_top1"})
    of_trials = results.trials.groupby(_KEYS)[cost].mean()
    means = known[known["problem"] != OVER].join(of_trials, on=_KEYS)
    means = means[[*_KEYS, cost, "retained_top1", "sd", "n"]].astype({cost: float, "n": int})
    if len(results.problems) > MANY:  # of those complete on all; `sd` and `n` are over these
        grouped = means.groupby(["recovery", "method"], sort=False)
        found = grouped[[cost, "retained_top1"]].mean()
        found["sd"], found["n"] = grouped["retained_top1"].std(), grouped.size()
        means = found[found["n"] == len(results.problems)].reset_index()
        means.insert(0, "problem", OVER)
    tops = results.dense.groupby("problem")["dense_top1"].mean()
    dense = means["problem"].map(tops).astype(float).fillna(tops.mean())  # `OVER`: their mean
    least, most = spoken().ends
    means["low"] = np.maximum(means["retained_top1"] - means["sd"], least - dense)
    means["high"] = np.minimum(means["retained_top1"] + means.pop("sd"), most - dense)
    means["pareto"] = False
    for _, panel in means.groupby(_KEYS[:2], sort=False):
        spent, gain = (panel[one].to_numpy(dtype=float) for one in (cost, "retained_top1"))
        no_worse = (spent[None] <= spent[:, None]) & (gain[None] >= gain[:, None])
        better = (spent[None] < spent[:, None]) | (gain[None] > gain[:, None])
        means.loc[panel.index, "pareto"] = np.logical_not(np.any(no_worse & better, axis=1))
    return means


def plots(
    results: Results, looks: Mapping[str, Look], name: Literal["score_cost", "training_cost"]
) -> Iterator[Plot]:
    """Against seconds of scoring or all training images, where methods differ in them."""
    timed = name == "score_cost"
    cost, label = "images_trained", f"training {spoken().sample}s after the base (thousands)"
    if timed:
        cost, label = "score_s", "scoring time (s)"
    data = drawn(results, cost)
    data = data.assign(x=data[cost].clip(lower=SHORTEST_S) if timed else data[cost] / 1000)
    several = data.groupby(_KEYS[:2])["x"].transform("nunique") > 1
    data = data[several].reset_index(drop=True)
    if data.empty:
        return
    figure, panels = grid(data, 2.5, label, spoken().change)
    if timed:
        panels[0].ax.set_xscale("log")
    named = []
    for panel in panels:
        rows = panel.of(data)
        _panel(panel.ax, rows, looks)
        edge = panel.ax.get_ylim()[0]  # what lies below it stands there, with its number
        loud = rows["method"].map(lambda one: not looks[one].quiet)
        rows = rows[loud | rows["pareto"] | (rows["retained_top1"] < edge)]
        shown = [
            one if value >= edge else f"{one} ({signed(value)})"
            for one, value in zip(rows["method"], rows["retained_top1"], strict=True)
        ]
        gains = rows["retained_top1"].clip(lower=edge)
        named.append((panel.ax, rows["x"].to_numpy(), gains.to_numpy(), shown))
    handles = [Line2D([], [], label="Pareto front", **_FRONT)]
    if any(looks[one].quiet for one in data["method"]):
        grey = Line2D([], [], linestyle="", marker="o", markersize=3, color=QUIET)
        grey.set_label("other methods")
        handles.append(grey)
    legend(figure, handles)
    _place_names(figure, named)
    crowded = any(one.quiet for one in looks.values())
    yield plotted("pareto", figure, data, results, name, timed=timed, crowded=crowded)


def _panel(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    ax.margins(x=_ROOM)
    near = rows[rows["retained_top1"] >= focus(rows["retained_top1"])]
    barred = near[[not looks[name].quiet for name in near["method"]]]
    ends = pd.concat([near["retained_top1"], barred["low"], barred["high"]])
    edge = 0.14 * max(ends.max() - ends.min(), 1.0)
    bottom = ends.min() - edge
    ax.set_ylim(bottom, ends.max() + edge)
    for row in rows.to_dict("records"):
        look = looks[row["method"]]
        if not look.quiet:
            ax.vlines(row["x"], row["low"], row["high"], color=look.colour, linewidth=0.7, zorder=2)
        below = row["retained_top1"] < bottom
        ax.plot([row["x"]], [max(row["retained_top1"], bottom)], linestyle="",
                color=look.colour, marker="v" if below else look.marker, clip_on=not below,
                markersize=3 if look.quiet else 4.6, zorder=look.z)  # fmt: skip
    front = rows[rows["pareto"].astype(bool)].sort_values("x")
    ax.step(front["x"], front["retained_top1"], where="post", **_FRONT)


def _place_names(
    figure: Figure, panels: Sequence[tuple[Axes, Floats, Floats, Sequence[str]]]
) -> None:
    """Write each name beside its point, clear of the markers and lines of its panel and of others.

    Where a panel has no free place left, the name stands over what is there.

    `figure`: complete but for the names: the layout must stand before they find their places.
    `panels`: of each the axes, [n] x and [n] y in data units, and n names.
    """
    settle(figure)  # names find free places in this layout, so it stays
    for ax, x, y, names in panels:
        drawn = [np.asarray(one.get_xydata()) for one in ax.lines]
        markers = np.concatenate(drawn)
        bars = (one.get_segments() for one in ax.collections if isinstance(one, LineCollection))
        lines = [
            np.asarray(one)
            for one in chain(drawn, *bars)
            if len(one) > 1 and np.isfinite(one).all()
        ]
        textalloc.allocate(
            ax, x, y, list(names),
            x_scatter=markers[:, 0], y_scatter=markers[:, 1],
            x_lines=[one[:, 0] for one in lines], y_lines=[one[:, 1] for one in lines],
            textsize=6.2, textcolor=INK, linecolor=GREY, linewidth=0.4, zorder=6,
        )  # fmt: skip
