"""Performance profiles: on what share of trials a method loses no more than so many points."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from ..analysis.ranking import MethodRanks
from ..analysis.results import Results
from ..formats import in_order, ranged
from ..metric import spoken
from ..statistics import Floats, known_mean, shares_within
from .captions import plotted
from .focus import focus, mark_beside
from .panels import entries, legend, tiled
from .plot import Plot
from .style import GREY, ONE_COLUMN, TWO_COLUMNS, Look, recovered

_FEWEST = 6  # trials of a method
_POINTS = 100  # of a curve


def _lost(results: Results, ranks: MethodRanks) -> Floats:
    """[methods, budgets, problems, bases, repeats] points of top-1 lost.

    What failed has lost everything: infinity. NaN where no such trial was asked for.
    """
    trials = results.trials[results.trials["recovery"] == ranks.recovery]
    trials = trials[trials["problem"].isin(ranks.problems) & trials["method"].isin(ranks.methods)]
    axes = ["method", "budget", "problem", "base", "repeat"]
    values = trials.set_index(axes)["retained_top1"].astype(float)
    levels: list[list[Any]] = [
        list(ranks.methods),
        sorted({one for name in ranks.problems for one in results.budgets[name]}, reverse=True),
        list(ranks.problems),
    ]
    levels += [sorted(trials["base"].unique()), sorted(trials["repeat"].unique())]
    full = values.reindex(pd.MultiIndex.from_product(levels, names=axes))
    lost = np.negative(full.to_numpy(dtype=np.float64)).reshape([len(one) for one in levels])
    lost[np.isnan(lost)] = np.inf
    asked = {
        (one.method, one.budget, one.problem, one.base, one.repeat)
        for one in results.expected
        if one.recovery == ranks.recovery
    }
    planned = np.array([key in asked for key in full.index]).reshape(lost.shape)
    return cast("Floats", np.where(planned, lost, np.nan))


def drawn(cubes: Mapping[str, tuple[list[str], Floats]]) -> pd.DataFrame:
    """One row a (recovery, method, points lost).

    Columns: `recovery`, `method`, `lost` (points of top-1), `share` (of trials that lose no more,
    in [0, 1]; every problem counts alike), `most` (points that the method loses anywhere).
    """
    parts = []
    for recovery, (names, cube) in cubes.items():
        known = np.where(np.isfinite(cube), cube, np.nan)
        most = np.nanmax(known, axis=(1, 2, 3, 4))
        end = -focus(-most)
        thresholds = np.linspace(min(0.0, float(np.nanquantile(known, 0.02))), end, _POINTS)
        for name, lost, own in zip(names, cube, most, strict=True):
            within = shares_within(lost, thresholds)
            shares = known_mean(within.reshape(len(thresholds), -1), axis=1)
            part = pd.DataFrame({"lost": thresholds, "share": shares, "most": own})
            parts.append(part.assign(recovery=recovery, method=name))
    return pd.concat(parts, ignore_index=True)[["recovery", "method", "lost", "share", "most"]]


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """Profiles over two problems or more, where methods have trials enough for a curve."""
    cubes = {
        recovery: (list(ranks.methods), _lost(results, ranks))
        for recovery, ranks in results.ranking.items()
        if len(ranks.methods) > 1 and len(ranks.problems) > 1
    }
    cubes = {key: one for key, one in cubes.items() if one[1][0].size >= _FEWEST}
    if not cubes:
        return
    budgets = ranged([len(kept) for kept in results.budgets.values()], "budget")
    data = drawn(cubes)
    recoveries = list(data["recovery"].unique())
    width = ONE_COLUMN if len(recoveries) == 1 else TWO_COLUMNS
    figure, axes = tiled(len(recoveries), len(recoveries), width, 2.6, 0.3, sharey=True)
    methods = in_order(data["method"], looks)
    for recovery, ax in zip(recoveries, axes, strict=True):
        for name in methods:
            rows = data[(data["recovery"] == recovery) & (data["method"] == name)]
            look = looks[name]
            line = look.line(rows["lost"], rows["share"])
            line.set_drawstyle("steps-post")
            line.set_markevery(_POINTS // 8)
            ax.add_line(line)
        ax.set_title(recovered(recovery))
        ax.set_xlabel(f"at most so many {spoken().points} lost")
        of_recovery = data[data["recovery"] == recovery]
        ax.set_xlim(of_recovery["lost"].min(), of_recovery["lost"].max())
        last = of_recovery.groupby("method", sort=False).last()
        far = last[last["most"] > last["lost"]]
        for _, rows in far.groupby((20 * far["share"]).round()):  # texts have no room closer by
            colour = looks[str(rows.index[0])].colour if len(rows) == 1 else GREY
            mark_beside(ax, rows["share"].mean(), rows["most"], colour)
    axes[0].set_ylim(-0.02, 1.04)
    axes[0].set_ylabel("share of trials")
    legend(figure, list(entries(methods, looks)))
    yield plotted("profile", figure, data, results, cubes=cubes, budgets=budgets)
