"""Every pair of methods: the shift between them, and whether it holds after adjustment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from suites.section import slug

from ..analysis.results import Results
from ..statistics import pairwise, smallest_holm_p
from .blocks import COLLAPSED, Blocks, blocks
from .plot import Plot
from .squares import signs, square_figure
from .style import Look, recovered

_NUMBERS = 16  # methods up to which the shifts are written into the squares


def plots(results: Results, looks: Mapping[str, Look]) -> Iterator[Plot]:
    """One a recovery, of two blocks and three methods or more: less is the forest plot's."""
    alpha = results.suite.analysis.alpha
    for recovery in results.recoveries:
        scored = blocks(results, recovery)
        if scored is None or scored.n < 2 or scored.scores.shape[1] < 3:
            continue
        data = drawn(scored)
        k = scored.scores.shape[1]
        if smallest_holm_p(scored.n, k * (k - 1) // 2) > alpha:
            tested = f"No pair of {k} methods can be told apart at level {alpha:g} over so few."
        else:
            tested = f"Dots: adjusted p ≤ {alpha:g} (exact Wilcoxon signed-rank, Holm over all "
            tested += "pairs)."
        signed = "" if k <= _NUMBERS else ", red ones, with a minus, worse"
        yield Plot(
            f"pairwise-{slug(recovery)}",
            draw(data, alpha),
            data,
            f"Every pair, {recovered(recovery)}",
            f"Hodges–Lehmann shift of {COLLAPSED}, in points, row minus column: blue rows are "
            f"better{signed}. Methods stand by their mean score; {scored.said}. {tested} The "
            "darkest colours stand for the largest tenth of shifts and all beyond.",
            f"Matrix of shifts between all pairs of {k} methods, {recovered(recovery)}.",
        )


def drawn(scored: Blocks) -> pd.DataFrame:
    """One row an ordered pair: `method`, `reference`, `shift` (points, method minus reference),
    `p`, `adjusted_p`, `n`, `unit`. Best mean score first in both."""
    scores = scored.scores[scored.scores.mean().sort_values(ascending=False, kind="stable").index]
    result = pairwise(scores.to_numpy())
    names = list(scores.columns)
    rows = [
        (
            one,
            other,
            result.shift[i, j],
            result.p[i, j],
            result.adjusted[i, j],
            scored.n,
            scored.unit,
        )
        for i, one in enumerate(names)
        for j, other in enumerate(names)
        if i != j
    ]
    columns = ["method", "reference", "shift", "p", "adjusted_p", "n", "unit"]
    return pd.DataFrame(rows, columns=columns)


def draw(data: pd.DataFrame, alpha: float) -> Figure:
    """The picture of `drawn`."""
    names = list(dict.fromkeys(data["method"]))
    wide = data.pivot(index="method", columns="reference", values="shift")
    matrix = wide.loc[names, names].to_numpy(dtype=float)
    p = data.pivot(index="method", columns="reference", values="adjusted_p")
    sizes = np.abs(matrix[np.isfinite(matrix)])
    limit = max(float(np.quantile(sizes, 0.9)), 1e-3)
    texts = signs(matrix)
    if len(names) <= _NUMBERS:
        texts = np.where(np.isfinite(matrix), np.char.mod("%.1f", matrix), "")
        texts = np.char.replace(texts, "-", "\N{MINUS SIGN}")
    figure, ax = square_figure(
        matrix, names, names, "RdBu", (-limit, limit), "shift (points)", texts, extend="both"
    )
    told = np.argwhere(p.loc[names, names].to_numpy(dtype=float) <= alpha)
    if len(told):
        low = 0.3 if len(names) <= _NUMBERS else 0.0  # below the number
        ax.plot(told[:, 1], told[:, 0] + low, linestyle="", marker="o", markersize=1.8,
                color="black", markeredgecolor="white", markeredgewidth=0.3)  # fmt: skip
        dot = Line2D([], [], linestyle="", marker="o", markersize=2.5, color="black")
        dot.set_label(f"adjusted p ≤ {alpha:g}")
        figure.legend(handles=[dot], loc="outside lower right")
    return figure
