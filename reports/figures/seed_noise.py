"""How much a method varies by chance: between bases, and between repeats on one base."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..analysis.results import Results
from ..metric import spoken
from ..statistics import FEWEST_BASES
from .captions import plotted
from .focus import focus, mark_beside
from .plot import Plot
from .rows import bold, left_out, places, row_grid
from .style import GREY, Look, recovered

_LEVELS = {"base_sd": "between bases", "repeat_sd": "between repeats on one base"}


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """The plot, where there is any spread: two bases, or two repeats."""
    data = drawn(results)
    if data.empty:
        return
    levels = set(data["level"])
    yield plotted(
        "seed_noise", draw(data, looks, results.suite.analysis.control), data, results,
        problems=data["n_problems"].max(), left_out=left_out(data["method"].nunique(), 1, 1),
        between_bases=_LEVELS["base_sd"] in levels, between_repeats=_LEVELS["repeat_sd"] in levels,
    )  # fmt: skip


def drawn(results: Results) -> pd.DataFrame:
    """One row a (recovery, method, level) with a known spread, the steadiest method first.

    Columns: `level` (between bases, or repeats on one base), `sd` (points of retained top-1; root
    mean square over problems), `n_problems`.
    """
    names = [one.name for one in results.suite.methods]
    noise = results.noise[results.noise["method"].isin(names)]
    rows = []
    for (recovery, method), of_method in noise.groupby(["recovery", "method"], sort=False):
        for column, level in _LEVELS.items():
            if column == "base_sd" and results.suite.bases < FEWEST_BASES:
                continue  # two numbers measure no spread
            sd = of_method[column].dropna().to_numpy(dtype=float)
            if sd.size:
                rows.append((recovery, method, level, float(np.sqrt((sd**2).mean())), sd.size))
    data = pd.DataFrame(rows, columns=["recovery", "method", "level", "sd", "n_problems"])
    data["order"] = data.groupby(["recovery", "method"])["sd"].transform("mean")
    data = data.sort_values(["order", "method"], kind="stable", ignore_index=True)
    return data.drop(columns="order")


def draw(data: pd.DataFrame, looks: Mapping[str, Look], control: str) -> Figure:
    """The picture of `drawn`: a panel a recovery."""
    recoveries = sorted(data["recovery"].unique(), key=lambda one: one != "none")
    panels = {one: data[data["recovery"] == one] for one in recoveries}
    names = [list(rows["method"].unique()) for rows in panels.values()]
    figure, axes = row_grid(names, len(recoveries), looks)
    for (recovery, of_recovery), ax in zip(panels.items(), axes, strict=True):
        at = places(ax)
        right = -focus(-of_recovery.groupby("method")["sd"].max().to_numpy(), 0.0)
        ax.set_xlim(-0.03 * right, 1.05 * right if right else 1.0)
        for row in of_recovery[of_recovery["method"].isin(at)].to_dict("records"):
            look = looks[row["method"]]
            hollow = row["level"] == _LEVELS["repeat_sd"]
            y = at[row["method"]]
            ax.plot([row["sd"]], [y], color=look.colour, linestyle="",
                    marker=look.marker, markersize=4.2, zorder=3 - hollow,
                    markerfacecolor="#ffffff" if hollow else look.colour)  # fmt: skip
            mark_beside(ax, y, [row["sd"]], look.colour)
        ax.set_title(recovered(recovery))
        ax.set_xlabel(f"standard deviation ({spoken().points})")
    bold(axes, control)
    handles = [
        Line2D([], [], linestyle="", marker="o", color=GREY, label=level,
               markerfacecolor="#ffffff" if level == _LEVELS["repeat_sd"] else GREY)
        for level in dict.fromkeys(data["level"])
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower right", ncols=2)
    return figure
