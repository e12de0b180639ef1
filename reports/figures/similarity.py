"""Which criteria say the same: rank correlations of their scores, like ones side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from ..fidelity import FidelityResults


def similarity(results: FidelityResults, problem: str) -> pd.DataFrame:
    """Spearman correlation of every two methods' scores over all units, mean over bases.

    Rows and columns are in the order of an average-linkage clustering of 1 - |rho|, so that methods
    which rank alike, or upside down, stand together.
    """
    units = results.units[results.units["problem"] == problem]
    by_base = [
        rows.pivot(index=["group", "unit"], columns="method", values="score").corr("spearman")
        for _, rows in units.groupby(["base", "repeat"], sort=True)
    ]
    matrix = pd.concat(by_base).groupby(level=0).mean()
    matrix = matrix.loc[matrix.index, matrix.index].fillna(0.0)  # a constant score ranks nothing
    if len(matrix) < 3:
        return matrix
    apart = 1 - matrix.abs().to_numpy()
    np.fill_diagonal(apart, 0)
    order = leaves_list(linkage(squareform(apart, checks=False), "average"))
    return matrix.iloc[order, order]


def similarity_plot(matrix: pd.DataFrame) -> Figure:
    """A square a pair; numbers in them where they can be read."""
    count = len(matrix)
    side = 2.2 + 0.22 * count
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    ax = figure.add_subplot()
    drawn = ax.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
    ax.set_xticks(range(count), matrix.columns, rotation=90)
    ax.set_yticks(range(count), matrix.index)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    for (row, column), value in np.ndenumerate(matrix.to_numpy()):
        ink = "white" if abs(value) > 0.6 else "black"
        ax.text(
            column, row, str(round(100 * value)), ha="center", va="center", color=ink, fontsize=4.5
        )
    figure.colorbar(drawn, ax=ax, label="Spearman's ρ of scores", shrink=0.6)
    return figure
