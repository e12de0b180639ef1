"""A matrix as coloured squares, with names at its sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..statistics import Floats
from .style import TWO_COLUMNS

_SIDE = 0.16  # inches of a square, where so many fit
_LARGE = 0.27  # of one that holds a number
_LETTER = 0.058  # inches


def signs(matrix: Floats) -> NDArray[np.str_]:
    """A minus for every value below zero: the ends of a two-sided map are alike in grey."""
    return np.where(matrix < 0, "\N{MINUS SIGN}", "")


def square_figure(
    matrix: Floats,
    rows: Sequence[str],
    columns: Sequence[str],
    colours: str,
    limits: tuple[float, float],
    label: str,
    texts: NDArray[np.str_] | None = None,
    extend: Literal["neither", "both"] = "neither",
) -> tuple[Figure, Axes]:
    """The figure, and the axes of the matrix.

    Args:
        matrix: [rows, columns]; NaN stays blank.
        rows: names from the top.
        columns: names from the left.
        colours: a colour map.
        limits: values of its ends.
        label: of the colour bar.
        texts: [rows, columns] to write into the squares; `signs` where numbers have no room.
        extend: `both` where values lie beyond the limits.
    """
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
    bar = figure.colorbar(shown, ax=ax, label=label, extend=extend, aspect=30, fraction=0.05)
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
