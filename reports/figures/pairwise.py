"""Every pair of methods: the difference between them, and whether it holds after adjustment."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from suites.section import slug

from ..analysis.ranking import MethodRanks
from ..analysis.results import Results
from ..metric import spoken
from .captions import plotted
from .focus import focus, signed
from .plot import Plot
from .similarity import signs, square_figure
from .style import Look

_NUMBERS = 16  # methods up to which the differences are written into the squares


def drawn(ranks: MethodRanks) -> pd.DataFrame:
    """One row an ordered pair: `method`, `reference`, `difference` (points, method minus
    reference), `adjusted_p`, `n` (problems). Best mean first in both."""
    found = ranks.pairwise
    assert found is not None
    order = np.argsort(-np.nan_to_num(np.nanmean(ranks.scores, axis=0)), kind="stable")
    rows = [
        (ranks.methods[i], ranks.methods[j], found.difference[i, j], found.adjusted[i, j])
        for i in order
        for j in order
        if i != j
    ]
    columns = ["method", "reference", "difference", "adjusted_p"]
    return pd.DataFrame(rows, columns=columns).assign(n=len(ranks.problems))


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """One a recovery, of three methods or more of which any pair is shown to differ."""
    alpha = results.suite.analysis.alpha
    for recovery in results.recoveries:
        ranks = results.ranking[recovery]
        if len(ranks.methods) < 3 or not ranks.any_told:
            continue
        data = drawn(ranks)
        names = list(dict.fromkeys(data["method"]))
        wide = data.pivot(index="method", columns="reference", values="difference")
        matrix = wide.loc[names, names].to_numpy(dtype=float)
        p = data.pivot(index="method", columns="reference", values="adjusted_p")
        behind = np.nanmean(matrix, axis=1)
        near = behind >= focus(behind)  # a few that collapsed would take all colours for themselves
        sizes = np.abs(matrix[np.ix_(near, near)])
        sizes = sizes[np.isfinite(sizes)]
        limit = max(float(np.quantile(sizes, 0.9)), 1e-3)
        texts = signs(matrix)
        if len(names) <= _NUMBERS:
            texts = np.array([[signed(one) for one in row] for row in matrix])
        ends, label = (-limit, limit), f"difference ({spoken().points})"
        figure, ax = square_figure(matrix, names, names, "RdBu", ends, label, texts, extend="both")
        told = np.argwhere(p.loc[names, names].to_numpy(dtype=float) <= alpha)
        if len(told):
            low = 0.3 if len(names) <= _NUMBERS else 0.0  # below the number
            ax.plot(told[:, 1], told[:, 0] + low, linestyle="", marker="o", markersize=1.8,
                    color="black", markeredgecolor="white", markeredgewidth=0.3)  # fmt: skip
            dot = Line2D([], [], linestyle="", marker="o", markersize=2.5, color="black")
            dot.set_label(f"adjusted p ≤ {alpha:g}")
            figure.legend(handles=[dot], loc="outside lower right")
        name, numbers = f"pairwise-{slug(recovery)}", len(names) <= _NUMBERS
        yield plotted("pairwise", figure, data, results, name, ranks=ranks, numbers=numbers)
