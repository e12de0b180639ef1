"""Which methods are alike: a matrix of agreement with its dendrogram, like ones side by side."""

from __future__ import annotations

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

    Rows and columns are in the order of an average-linkage clustering of 1 - |rho|, so that methods
    which rank alike, or upside down, stand together.
    """
    units = results.units[results.units["problem"] == problem]
    return mean_correlation(
        [
            rows.pivot(index=["group", "unit"], columns="method", values="score")
            for _, rows in units.groupby(["base", "repeat"], sort=True)
        ]
    )


def overlap(results: FidelityResults, problem: str) -> pd.DataFrame:
    """Share that two methods' sets have in common, of all units in either: Jaccard, over bases.

    A set is the lowest `REMOVED` of the sampled units. Order as `similarity`, of 1 - overlap.
    """
    units = results.units[results.units["problem"] == problem]
    by_base = []
    for _, rows in units.groupby(["base", "repeat"], sort=True):
        scores = rows.pivot(index=["group", "unit"], columns="method", values="score")
        taken = scores.rank(method="first") <= REMOVED * len(scores)
        held = taken.to_numpy(dtype=float)
        both = held.T @ held
        either = held.sum(axis=0)[:, None] + held.sum(axis=0)[None] - both
        by_base.append(pd.DataFrame(both / either, taken.columns, taken.columns))
    matrix = pd.concat(by_base).groupby(level=0).mean()
    return ordered(matrix.loc[matrix.index, matrix.index])


def mean_correlation(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean of the tables' Spearman correlations between columns; like columns side by side.

    A constant column ranks nothing: its correlations are 0.
    """
    each = pd.concat([table.corr("spearman") for table in tables])
    matrix = each.groupby(level=0).mean()
    return ordered(matrix.loc[matrix.index, matrix.index].fillna(0.0))


def ordered(matrix: pd.DataFrame) -> pd.DataFrame:
    """The matrix with rows and columns in the order of the dendrogram."""
    if len(matrix) < 3:
        return matrix
    order = leaves_list(_tree(matrix))
    return matrix.iloc[order, order]


def _tree(matrix: pd.DataFrame) -> Floats:
    apart = 1 - matrix.abs().to_numpy(dtype=float)
    apart = (apart + apart.T) / 2
    np.fill_diagonal(apart, 0)
    tree: Floats = linkage(squareform(apart, checks=False), "average")
    return tree


def similarity_plot(matrix: pd.DataFrame, label: str = "Spearman's ρ of scores") -> Figure:
    """A square a pair, with numbers in percent where they can be read, below a dendrogram.

    Args:
        matrix: from `similarity`, `overlap` or `mean_correlation`.
        label: of the colours; they run from -1 to 1 where there is something negative.
    """
    values = matrix.to_numpy(dtype=float)
    names = [str(name) for name in matrix.index]
    texts = signs(values)
    if len(matrix) <= _NUMBERS:
        whole = np.rint(100 * values).astype(int)
        texts = np.char.replace(whole.astype(str), "-", "\N{MINUS SIGN}")
    signed = bool((values < 0).any())
    colours, low = ("RdBu", -1.0) if signed else ("Blues", 0.0)
    figure, ax = square_figure(values, names, names, colours, (low, 1.0), label, texts)
    if len(matrix) > 2:
        _dendrogram(ax, matrix)
    return figure


def _dendrogram(ax: Axes, matrix: pd.DataFrame) -> None:
    """Draw the tree above the squares; heights are 1 - |agreement|."""
    tree, count = _tree(matrix), len(matrix)
    places = {leaf: (float(leaf), 0.0) for leaf in range(count)}
    lines = []
    for node, (first, second, height, _) in enumerate(tree, start=count):
        (left, low), (right, also_low) = places[int(first)], places[int(second)]
        lines.append([(left, low), (left, height), (right, height), (right, also_low)])
        places[node] = ((left + right) / 2, float(height))
    above = ax.inset_axes((0, 1.01, 1, 0.12))
    above.add_collection(LineCollection(lines, colors=GREY, linewidths=0.6))
    above.set_xlim(-0.5, len(matrix) - 0.5)
    above.set_ylim(0, max(float(tree[:, 2].max()), 1e-9) * 1.05)
    above.axis("off")
