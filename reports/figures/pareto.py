"""Quality against what a method spends, with the Pareto front; names stand at the points."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ..analysis.results import Results
from ..metric import spoken
from ..statistics import Floats
from .captions import Said, said
from .focus import focus, signed
from .names import place_names
from .panels import ALL_PROBLEMS, MANY, grid, legend, name_axes
from .plot import Plot
from .style import GREY, QUIET, Look

_FRONT: dict[str, Any] = {"color": GREY, "linewidth": 1.0, "linestyle": (0, (3, 2)), "zorder": 1}
_ROOM = 0.2  # of the width, at both sides, for names
SHORTEST_S = 1e-3  # shorter times stand at the left edge: a log axis has no zero
_KEYS = ["problem", "recovery", "method"]


def score_cost(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Against seconds of scoring, where methods differ in them."""
    data = drawn(results, "score_s")
    data = _differing(data.assign(x=data["score_s"].clip(lower=SHORTEST_S)))
    if len(data):
        figure = draw(data, looks, "scoring time (s)", log=True)
        yield Plot("score_cost", figure, data, *_words(results, looks, timed=True))


def training_cost(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Against all training images, where methods differ in them."""
    data = drawn(results, "images_trained")
    data = _differing(data.assign(x=data["images_trained"] / 1000))
    if len(data):
        figure = draw(data, looks, "training images after the base (thousands)", log=False)
        yield Plot("training_cost", figure, data, *_words(results, looks, timed=False))


def _differing(data: pd.DataFrame) -> pd.DataFrame:
    """The panels whose methods do not all cost the same: the others say nothing of it."""
    several = data.groupby(_KEYS[:2])["x"].transform("nunique") > 1
    return data[several].reset_index(drop=True)


def _words(results: Results, looks: Mapping[str, Look], *, timed: bool) -> Said:
    crowded = any(one.quiet for one in looks.values())
    return said("pareto", results, timed=timed, crowded=crowded)


def drawn(results: Results, cost: str) -> pd.DataFrame:
    """One row a (problem, recovery, method) of which every cell is complete.

    Columns: the cost (mean over budgets and bases), `retained_top1` (points, likewise), `low` and
    `high` (one standard deviation over bases; NaN of one), `n` (bases), `pareto` (no other method
    of the panel is at most as dear and at least as good, and better in one). Of more than `MANY`
    problems: over all of them.

    Args:
        results: the analysis; matched controls are left out.
        cost: column of the trials.
    """
    names = sorted(one.name for one in results.suite.methods)
    rows = []
    for recovery, problem, method in product(results.recoveries, results.problems, names):
        values = results.averaged.get((problem, recovery, method))
        if values is not None:
            of_bases = values.mean(axis=1)
            spread = of_bases.std(ddof=1) if of_bases.size > 1 else np.nan
            rows.append((problem, recovery, method, of_bases.mean(), spread, of_bases.size))
    means = pd.DataFrame(rows, columns=[*_KEYS, "retained_top1", "sd", "n"])
    if means.empty:
        return means.assign(**{cost: []})
    means = means.astype({"n": int})
    spent = results.trials.groupby(_KEYS)[cost].mean().astype(float)
    means.insert(3, cost, spent.loc[list(means[_KEYS].itertuples(index=False))].to_numpy())
    if len(results.problems) > MANY:
        means = _over_problems(means, cost, len(results.problems))
    tops = results.dense.groupby("problem")["dense_top1"].mean()
    dense = means["problem"].map(tops).fillna(tops.mean())  # `ALL_PROBLEMS`: of their mean
    least, most = spoken().shown_limits
    means["low"] = np.maximum(means["retained_top1"] - means["sd"], least - dense)
    means["high"] = np.minimum(means["retained_top1"] + means.pop("sd"), most - dense)
    means["pareto"] = False
    for _, panel in means.groupby(_KEYS[:2], sort=False):
        means.loc[panel.index, "pareto"] = _on_front(
            panel[cost].to_numpy(dtype=float), panel["retained_top1"].to_numpy(dtype=float)
        )
    return means


def _over_problems(means: pd.DataFrame, cost: str, problems: int) -> pd.DataFrame:
    """One row a (recovery, method) complete on all problems; `sd` and `n` are over these."""
    grouped = means.groupby(["recovery", "method"], sort=False)
    found = grouped[[cost, "retained_top1"]].mean()
    found["sd"], found["n"] = grouped["retained_top1"].std(), grouped.size()
    found = found[found["n"] == problems].reset_index()
    found.insert(0, "problem", ALL_PROBLEMS)
    return found


def _on_front(cost: Floats, gain: Floats) -> NDArray[np.bool_]:
    no_worse = (cost[None] <= cost[:, None]) & (gain[None] >= gain[:, None])
    better = (cost[None] < cost[:, None]) | (gain[None] > gain[:, None])
    return np.logical_not((no_worse & better).any(axis=1, keepdims=True))[:, 0]


def draw(data: pd.DataFrame, looks: Mapping[str, Look], x_label: str, log: bool) -> Figure:
    """The picture of `drawn`, with the cost as `x`."""
    figure, panels = grid(data, 2.5)
    if log:
        panels[0].ax.set_xscale("log")
    named: list[tuple[Axes, pd.DataFrame]] = []
    for panel in panels:
        rows = panel.of(data)
        _panel(panel.ax, rows, looks)
        loud = rows["method"].map(lambda name: not looks[name].quiet)
        below = rows["retained_top1"] < panel.ax.get_ylim()[0]
        named.append((panel.ax, rows[loud | rows["pareto"] | below]))
    name_axes(figure, panels, x_label, spoken().change)
    handles = [Line2D([], [], label="Pareto front", **_FRONT)]
    if any(looks[name].quiet for name in data["method"]):
        grey = Line2D([], [], linestyle="", marker="o", markersize=3, color=QUIET)
        grey.set_label("other methods")
        handles.append(grey)
    legend(figure, handles)
    place_names(figure, [(ax, *_placed(rows, ax.get_ylim()[0])) for ax, rows in named])
    return figure


def _placed(rows: pd.DataFrame, edge: float) -> tuple[Floats, Floats, list[str]]:
    """(x, y, name) of every point; one below the edge stands there, with its number."""
    names = [
        name if value >= edge else f"{name} ({signed(value)})"
        for name, value in zip(rows["method"], rows["retained_top1"], strict=True)
    ]
    return rows["x"].to_numpy(), rows["retained_top1"].clip(lower=edge).to_numpy(), names


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
