"""Which methods are alike: a matrix of agreement with its dendrogram, like ones side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from ..analysis.fidelity import FidelityResults
from ..statistics import Floats
from .squares import signs, square_figure
from .style import GREY

REMOVED = 0.3  # share of the units that a removed set holds
_NUMBERS = 30  # methods up to which numbers are written into the squares


def similarity(results: FidelityResults, problem: str) -> pd.DataFrame:
    """Spearman correlation of every two methods' scores over all units, mean over bases.

    Rows and columns are in the order of an average-linkage clustering of 1 - tau, so that methods
    which rank alike, or upside down, stand together.
    """
    return mean_agreement([one.corr("spearman") for one in _scores(results, problem)])


def overlap(results: FidelityResults, problem: str) -> pd.DataFrame:
    """Share that two methods' sets have in common, of all units in either: Jaccard, over bases.

    A set is the lowest `REMOVED` of the sampled units. Order as `similarity`, of 1 - overlap.
    """
    by_base = []
    for scores in _scores(results, problem):
        taken = scores.rank(method="first") <= REMOVED * len(scores)
        held = taken.to_numpy(dtype=float)
        both = held.T @ held
        either = held.sum(axis=0)[:, None] + held.sum(axis=0)[None] - both
        by_base.append(pd.DataFrame(both / either, taken.columns, taken.columns))
    return mean_agreement(by_base)


def _scores(results: FidelityResults, problem: str) -> Iterator[pd.DataFrame]:
    """Of each base and repeat [units, methods]."""
    units = results.units[results.units["problem"] == problem]
    for _, rows in units.groupby(["base", "repeat"], sort=True):
        yield rows.pivot(index=["group", "unit"], columns="method", values="score")


def mean_agreement(matrices: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean of matrices between methods, where they have a number; like methods side by side.

    What ranks nothing has NaN throughout, and stands last.
    """
    mean = pd.concat(matrices).groupby(level=0).mean()
    mean = mean.loc[mean.index, mean.index]
    ranked = mean[_ranks(mean)].index
    if len(ranked) > 2:
        ranked = ranked[leaves_list(_tree(mean.loc[ranked, ranked]))]
    order = [*ranked, *mean.index.difference(ranked, sort=False)]
    return mean.loc[order, order]


def _ranks(matrix: pd.DataFrame) -> pd.Series:
    return matrix.notna().any(axis=1)


def _tree(matrix: pd.DataFrame) -> Floats:
    apart = np.maximum(1 - matrix.fillna(0.0).to_numpy(dtype=float), 0)  # rounding
    apart = (apart + apart.T) / 2
    np.fill_diagonal(apart, 0)
    tree: Floats = linkage(squareform(apart, checks=False), "average")
    return tree


def similarity_plot(
    matrix: pd.DataFrame, label: str = "Spearman's ρ of scores", flat: str = "constant"
) -> Figure:
    """A square a pair, with numbers in percent where they can be read, below a dendrogram.

    Args:
        matrix: from `similarity`, `overlap` or `mean_agreement`; NaN stays blank.
        label: of the colours; they run from -1 to 1 where there is something negative.
        flat: what is said of methods that rank nothing.
    """
    values = matrix.to_numpy(dtype=float)
    ranked = _ranks(matrix)
    names = [str(name) if ranked[name] else f"{name} ({flat})" for name in matrix.index]
    texts = signs(values)
    if len(matrix) <= _NUMBERS:
        whole = np.rint(100 * np.nan_to_num(values)).astype(int)
        texts = np.char.replace(whole.astype(str), "-", "\N{MINUS SIGN}")
    signed = bool((values < 0).any())
    colours, low = ("RdBu", -1.0) if signed else ("Blues", 0.0)
    figure, ax = square_figure(values, names, names, colours, (low, 1.0), label, texts)
    if ranked.sum() > 2:
        _dendrogram(ax, matrix.loc[ranked, ranked], len(matrix))
    return figure


def _dendrogram(ax: Axes, matrix: pd.DataFrame, across: int) -> None:
    """Draw the tree above the first of so many squares; heights are 1 - agreement."""
    tree, count = _tree(matrix), len(matrix)
    places = {leaf: (float(leaf), 0.0) for leaf in range(count)}
    lines = []
    for node, (first, second, height, _) in enumerate(tree, start=count):
        (left, low), (right, also_low) = places[int(first)], places[int(second)]
        lines.append([(left, low), (left, height), (right, height), (right, also_low)])
        places[node] = ((left + right) / 2, float(height))
    above = ax.inset_axes((0, 1.01, 1, 0.12))
    above.add_collection(LineCollection(lines, colors=GREY, linewidths=0.6))
    above.set_xlim(-0.5, across - 0.5)
    above.set_ylim(0, max(float(tree[:, 2].max()), 1e-9) * 1.05)
    above.axis("off")
