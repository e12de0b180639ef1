"""Quality against scoring time, with the Pareto front; names stand at the points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from .style import GREY, Look, fit_titles, title

Floats = NDArray[np.float64]

_FRONT: dict[str, Any] = {
    "color": GREY,
    "linewidth": 1.0,
    "linestyle": (0, (3, 2)),
    "zorder": 1,
}
SHORTEST_S = 1e-3  # shorter times stand at the left edge: a log axis has no zero


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """One row a (problem, recovery, method) of which every cell is complete.

    Columns: `score_s` (mean over budgets and bases), `retained_top1` (points, mean over budgets
    and bases), `pareto` (no other method of the panel is at least as fast and as good, and better
    in one), `x_s` (the time on the axis, at least 1 ms).

    Args:
        table: cells, without matched controls.
    """
    keys = ["problem", "recovery", "method"]
    whole = table[table.groupby(keys)["complete"].transform("all").astype(bool)]
    means = whole.groupby(keys, sort=False)[["score_s", "retained_top1"]].mean().reset_index()
    means["pareto"] = False
    for _, panel in means.groupby(keys[:2], sort=False):
        means.loc[panel.index, "pareto"] = _on_front(
            panel["score_s"].to_numpy(dtype=float), panel["retained_top1"].to_numpy(dtype=float)
        )
    return means.assign(x_s=means["score_s"].clip(lower=SHORTEST_S))


def _on_front(cost: Floats, gain: Floats) -> NDArray[np.bool_]:
    no_worse = (cost[None] <= cost[:, None]) & (gain[None] >= gain[:, None])
    better = (cost[None] < cost[:, None]) | (gain[None] > gain[:, None])
    return np.logical_not((no_worse & better).any(axis=1, keepdims=True))[:, 0]


def draw(
    data: pd.DataFrame,
    looks: Mapping[str, Look],
    problems: Sequence[str],
    recoveries: Sequence[str],
) -> Figure:
    """The picture of `drawn`: a row a problem, a column a recovery, in the order given.

    Problems and recoveries without data are left out.
    """
    problems = [one for one in problems if one in set(data["problem"])]
    recoveries = [one for one in recoveries if one in set(data["recovery"])]
    figure = Figure(figsize=(3.7 * len(recoveries) + 0.4, 2.9 * len(problems) + 0.5))
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(problems), len(recoveries), squeeze=False, sharex=True)
    panels: list[tuple[Axes, pd.DataFrame]] = []
    for (i, problem), (j, recovery) in product(enumerate(problems), enumerate(recoveries)):
        ax = axes[i, j]
        rows = data[(data["problem"] == problem) & (data["recovery"] == recovery)]
        _panel(ax, rows, looks)
        ax.set_title(title(problem, recovery))
        if j == 0:
            ax.set_ylabel("retained top-1\n(points, mean over budgets)")
        if i == len(problems) - 1:
            ax.set_xlabel("scoring time (s)")
        panels.append((ax, rows))
    fit_titles(figure, 46)
    front = Line2D([], [], label="Pareto front", **_FRONT)
    figure.legend(handles=[front], loc="outside lower right")
    figure.draw_without_rendering()  # the layout must stand before labels find their places
    for ax, rows in panels:
        _label(ax, rows, looks, canvas)
    return figure


def _panel(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    ax.set_xscale("log")
    ax.margins(x=0.14, y=0.14)
    for row in rows.to_dict("records"):
        look = looks[row["method"]]
        ax.plot(
            [row["x_s"]],
            [row["retained_top1"]],
            linestyle="",
            color=look.colour,
            marker=look.marker,
            markersize=5.5,
            zorder=3,
        )
    front = rows[rows["pareto"].astype(bool)].sort_values("x_s")
    ax.step(front["x_s"], front["retained_top1"], where="post", **_FRONT)


def _label(
    ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], canvas: FigureCanvasAgg
) -> None:
    """Put each name at the first place near its point that is free of names and of points."""
    renderer = canvas.get_renderer()
    points = ax.transData.transform(rows[["x_s", "retained_top1"]].to_numpy(dtype=float))
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in points]
    taken += _front_boxes(points[rows["pareto"].to_numpy(dtype=bool)])
    frame = ax.get_window_extent(renderer)
    for point, name in zip(points, rows["method"], strict=True):
        text = ax.text(0, 0, name, fontsize=7, color="#222222", zorder=4)
        extent = text.get_window_extent(renderer)
        box, far = _free_place(point, extent.width, extent.height, frame, taken)
        taken.append(box)
        x, y = ax.transData.inverted().transform((box.x0, box.y0))
        text.set_position((float(x), float(y)))
        text.set_verticalalignment("bottom")
        text.set_in_layout(False)
        if far:
            near = (np.clip(point[0], box.x0, box.x1), np.clip(point[1], box.y0, box.y1))
            ends = ax.transData.inverted().transform([point, near])
            ax.plot(*ends.T, color=looks[name].colour, linewidth=0.5, zorder=2)


def _front_boxes(front: Floats) -> list[Bbox]:
    """The steps of the front as thin boxes, in pixels, so that no name is struck through."""
    front = front[np.argsort(front[:, 0], kind="stable")]
    boxes = []
    for (x0, y0), (x1, y1) in pairwise(front):
        boxes += [
            Bbox.from_extents(x0, y0 - 1, x1, y0 + 1),
            Bbox.from_extents(x1 - 1, y0, x1 + 1, y1),
        ]
    return boxes


def _free_place(
    point: Floats, width: float, height: float, frame: Bbox, taken: Sequence[Bbox]
) -> tuple[Bbox, bool]:
    """(box in pixels, whether it stands far enough to need a leader line)."""
    best = None
    for distance in (8, 14, 22, 32, 44, 58):
        for angle in (0, 180, 90, 270, 45, 315, 135, 225, 20, 340, 160, 200, 65, 115, 245, 295):
            dx, dy = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            x = float(point[0] + dx * (distance + width / 2))
            y = float(point[1] + dy * (distance + height / 2))
            box = Bbox.from_bounds(x - width / 2, y - height / 2, width, height)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1
            inside = inside and frame.y0 <= box.y0 and box.y1 <= frame.y1
            best = best or box
            if inside and not any(box.overlaps(other) for other in taken):
                return box, distance > 14
    assert best is not None
    return best, False  # no free place: beside the point, over another name
