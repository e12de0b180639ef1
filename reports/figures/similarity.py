"""Matrices as coloured squares with names at their sides; of agreement with a dendrogram above."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage
from scipy.spatial.distance import squareform

from ..statistics import Floats
from .style import GREY, TWO_COLUMNS

_NUMBERS = 30  # methods up to which numbers are written into the squares
_SIDE = 0.16  # inches of a square, where so many fit
_LARGE = 0.27  # of one that holds a number
_LETTER = 0.058  # inches


def similarity(units: pd.DataFrame) -> pd.DataFrame:
    """Spearman correlation of every two methods' scores over all units, mean over bases.

    Rows and columns are in the order of an average-linkage clustering of 1 - rho, so that methods
    which rank alike stand together. `units` are those of one problem.
    """
    return mean_agreement([one.corr("spearman") for one in _scores(units)])


def _scores(units: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Of each base and repeat [units, methods]; what stands for all repeats is in each."""
    of_all = units[units["all_repeats"].astype(bool)]
    for (base, repeat), rows in units.groupby(["base", "repeat"], sort=True):
        if repeat:
            rows = pd.concat([rows, of_all[of_all["base"] == base]])
        yield rows.pivot(index=["group", "unit"], columns="method", values="score")


def mean_agreement(matrices: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean of matrices between methods, where they have a number; like methods side by side. What
    ranks nothing has NaN throughout, and stands last."""
    mean = pd.concat(matrices).groupby(level=0).mean()
    mean = mean.loc[mean.index, mean.index]
    ranked = mean[mean.notna().any(axis=1)].index
    if len(ranked) > 2:
        ranked = ranked[leaves_list(_tree(mean.loc[ranked, ranked]))]
    order = [*ranked, *mean.index.difference(ranked, sort=False)]
    return mean.loc[order, order]


def _tree(matrix: pd.DataFrame) -> Floats:
    apart = np.maximum(1 - matrix.fillna(0.0).to_numpy(dtype=float), 0)  # rounding
    apart = (apart + apart.T) / 2
    np.fill_diagonal(apart, 0)
    return linkage(squareform(apart, checks=False), "average")


def similarity_plot(matrix: pd.DataFrame) -> Figure:
    """A square a pair, with numbers in percent where they can be read, below a dendrogram. NaN
    stays blank. Colours run from -1 to 1 where there is something negative."""
    values = matrix.to_numpy(dtype=float)
    ranked = matrix.notna().any(axis=1)
    names = [str(name) if ranked[name] else f"{name} (constant)" for name in matrix.index]
    texts = np.where(values < 0, "\N{MINUS SIGN}", "")  # the ends of the map are alike in grey
    if len(matrix) <= _NUMBERS:
        whole = np.rint(100 * np.nan_to_num(values)).astype(int)
        texts = np.char.replace(whole.astype(str), "-", "\N{MINUS SIGN}")
    signed = bool((values < 0).any())
    colours, low = ("RdBu", -1.0) if signed else ("Blues", 0.0)
    figure, ax = square_figure(values, names, names, colours, (low, 1.0), "Spearman's ρ", texts)
    if ranked.sum() > 2:  # the tree above the first squares; heights are 1 - agreement
        found = dendrogram(_tree(matrix.loc[ranked, ranked]), no_plot=True)
        left = (np.array(found["icoord"]) - 5) / 10  # scipy's leaves stand at 5, 15, 25 ...
        above = ax.inset_axes((0, 1.01, 1, 0.12))
        lines = np.dstack([left, found["dcoord"]])
        above.add_collection(LineCollection(list(lines), colors=GREY, linewidths=0.6))
        above.set_xlim(-0.5, len(matrix) - 0.5)
        above.set_ylim(0, max(float(np.max(found["dcoord"])), 1e-9) * 1.05)
        above.axis("off")
    return figure


def square_figure(
    matrix: Floats,  # [rows, columns]; NaN stays blank
    rows: Sequence[str],  # names from the top
    columns: Sequence[str],  # names from the left
    colours: str,  # a colour map
    limits: tuple[float, float],  # values of its ends
    label: str,  # of the colour bar
    texts: NDArray[np.str_] | None = None,  # [rows, columns] to write into the squares
) -> tuple[Figure, Axes]:
    """The figure, and the axes of the matrix."""
    names = _LETTER * max(len(name) for name in rows) + 0.15
    above = _LETTER * max(len(name) for name in columns) + 0.15
    single = texts is None or np.char.str_len(texts).max() <= 1
    side = _SIDE if single else _LARGE
    side = min(side, (TWO_COLUMNS - names - 0.75) / len(columns))
    width = max(side * len(columns), 0.6) + names + 0.75
    height = max(side * len(rows) + above + 0.25, 1.6)
    figure = Figure(figsize=(width, height))
    ax = figure.add_subplot()
    shown = ax.imshow(matrix, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
    small = max(4.5, min(7.0, 58 * side))
    every = max(1, int(np.ceil(0.085 / side)))  # of very many columns, some are named
    named = range(0, len(columns), every)
    ax.set_xticks(named, [columns[i] for i in named], rotation=90, fontsize=small)
    ax.set_yticks(range(len(rows)), rows, fontsize=small)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(shown, ax=ax, label=label, aspect=30, fraction=0.05)
    bar.outline.set_visible(False)
    if texts is not None:
        scale = Normalize(*limits, clip=True)
        for (row, column), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                r, g, b, _ = colormaps[colours](scale(value))
                dark = 0.299 * r + 0.587 * g + 0.114 * b < 0.5
                ax.text(column, row, str(texts[row, column]), ha="center", va="center", fontsize=5,
                        color="white" if dark else "black")  # fmt: skip
    return figure, ax
